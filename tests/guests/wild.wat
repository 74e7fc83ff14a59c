;; Returns a list far outside of its memory.
(func (export "monprov:plugin/thresholds@1.0.0#adjust")
  (param $settings i32) (param i32) (param $alerts i32) (param $count i32)
  (param i32 i32) (param $stack i32) (param i32) (result i32)
  (call $answer (i32.const -256) (i32.const 1000000)))
