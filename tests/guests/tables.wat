;; Makes a table of four billion entries.
(table $table 1 funcref)
(func (export "monprov:plugin/thresholds@1.0.0#adjust")
  (param $settings i32) (param i32) (param $alerts i32) (param $count i32)
  (param i32 i32) (param $stack i32) (param i32) (result i32)
  (loop $again
    (br_if $again (i32.ne (table.grow $table (ref.null func) (i32.const 65536)) (i32.const -1))))
  unreachable)
