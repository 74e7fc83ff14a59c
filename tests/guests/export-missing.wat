;; Exports the interfaces, but lacks their functions.
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $empty (export "other" (func $f)))
  (export "monprov:plugin/meta@1.0.0" (instance $empty))
  (export "monprov:plugin/thresholds@1.0.0" (instance $empty)))
