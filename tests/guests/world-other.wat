;; A sound component that is no plugin.
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $greeter (export "greet" (func $f)))
  (export "other:greeter/greeter@1.0.0" (instance $greeter)))
