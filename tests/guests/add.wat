;; Adds the alert Extra: up == 0.
(data (i32.const 3000) "Extraup == 0info")
(func (export "monprov:plugin/thresholds@1.0.0#adjust")
  (param $settings i32) (param i32) (param $alerts i32) (param $count i32)
  (param i32 i32) (param $stack i32) (param i32) (result i32)
  (local $changes i32) (local $change i32)
  (local.set $changes (call $allocate (i32.const 128)))
  (local.set $change (call $change (local.get $changes) (i32.const 0) (local.get $alerts) (i32.const 3)))
  (i32.store (local.get $change) (i32.const 3000))
  (i32.store offset=4 (local.get $change) (i32.const 5))
  (i32.store offset=40 (local.get $change) (i32.const 3005)) ;; expr
  (i32.store offset=44 (local.get $change) (i32.const 7))
  (i32.store offset=80 (local.get $change) (i32.const 3012)) ;; severity
  (i32.store offset=84 (local.get $change) (i32.const 4))
  (call $answer (local.get $changes) (i32.const 1)))
