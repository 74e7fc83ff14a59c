;; A component that asks the host for a function.
(component (import "host:files/read" (instance (export "read" (func (param "path" string) (result string))))))
