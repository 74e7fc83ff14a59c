;; A component that asks for HTTP.
(component
  (import "wasi:http/outgoing-handler@0.2.3" (instance (export "handle" (func (param "to" string)))))
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $meta (export "describe" (func $f)))
  (export "monprov:plugin/meta@1.0.0" (instance $meta))
  (export "monprov:plugin/thresholds@1.0.0" (instance $meta)))
