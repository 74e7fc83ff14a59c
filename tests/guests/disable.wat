;; Takes the first alert out.
(func (export "monprov:plugin/thresholds@1.0.0#adjust")
  (param $settings i32) (param i32) (param $alerts i32) (param $count i32)
  (param i32 i32) (param $stack i32) (param i32) (result i32)
  (local $changes i32)
  (local.set $changes (call $allocate (i32.const 128)))
  (drop (call $change (local.get $changes) (i32.const 0) (local.get $alerts) (i32.const 4)))
  (call $answer (local.get $changes) (i32.const 1)))
