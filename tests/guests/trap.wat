;; Divides by zero.
(func (export "monprov:plugin/thresholds@1.0.0#adjust")
  (param $settings i32) (param i32) (param $alerts i32) (param $count i32)
  (param i32 i32) (param $stack i32) (param i32) (result i32)
  (i32.div_u (local.get $count) (i32.const 0)))
