;; Takes memory until there is no more.
(func (export "monprov:plugin/thresholds@1.0.0#adjust")
  (param $settings i32) (param i32) (param $alerts i32) (param $count i32)
  (param i32 i32) (param $stack i32) (param i32) (result i32)
  (loop $again
    (br_if $again (i32.ne (memory.grow (i32.const 64)) (i32.const -1))))
  unreachable)
