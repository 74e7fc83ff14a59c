;; Doubles every threshold.
(func (export "monprov:plugin/thresholds@1.0.0#adjust")
  (param $settings i32) (param i32) (param $alerts i32) (param $count i32)
  (param i32 i32) (param $stack i32) (param i32) (result i32)
  (local $changes i32) (local $n i32) (local $alert i32)
  (local.set $changes (call $allocate (i32.mul (local.get $count) (i32.const 128))))
  (block $done
    (loop $again
      (br_if $done (i32.ge_u (local.get $n) (local.get $count)))
      (local.set $alert (i32.add (local.get $alerts) (i32.mul (local.get $n) (i32.const 104))))
      (f64.store offset=16
        (call $change (local.get $changes) (local.get $n) (local.get $alerts) (i32.const 0))
        (f64.mul (f64.load offset=40 (local.get $alert)) (f64.const 2)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $again)))
  (call $answer (local.get $changes) (local.get $count)))
