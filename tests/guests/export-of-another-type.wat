;; Exports the functions, but they take and return nothing.
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $meta (export "describe" (func $f)))
  (instance $thresholds (export "adjust" (func $f)))
  (export "monprov:plugin/meta@1.0.0" (instance $meta))
  (export "monprov:plugin/thresholds@1.0.0" (instance $thresholds)))
