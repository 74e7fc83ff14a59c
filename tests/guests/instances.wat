;; Is made of 70 instances of a core module; the test repeats the line.
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (core instance (instantiate $m)) ;; 70 times
  (func $f (canon lift (core func $i "f")))
  (instance $empty (export "other" (func $f)))
  (export "monprov:plugin/meta@1.0.0" (instance $empty))
  (export "monprov:plugin/thresholds@1.0.0" (instance $empty)))
