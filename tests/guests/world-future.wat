;; A plugin of an ABI that this release does not know.
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $meta (export "describe" (func $f)))
  (export "monprov:plugin/meta@2.0.0" (instance $meta))
  (export "monprov:plugin/thresholds@2.0.0" (instance $meta)))
