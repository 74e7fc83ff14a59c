;; A plugin of version 1.1: puts the expression of the first alert into brackets, with its
;; threshold, and changes an annotation and `keep_firing_for`. Goes into frame.wat.
;;
;; A change takes 144 bytes here: an alert has grown, and with it the edit `add`.
(data (i32.const 3072) "(up > ) and on () vector(1)runbook_urlhttps://example.com/")
;; Three parts, each a byte for its kind, pointer and length at 4: text, threshold, text.
(data (i32.const 3200) "\00\00\00\00\00\0c\00\00\06\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\06\0c\00\00\15\00\00\00")
(func $first (param $change i32) (param $alerts i32) (param $edit i32)
  (i64.store (local.get $change) (i64.load (local.get $alerts)))
  (i32.store8 offset=8 (local.get $change) (local.get $edit))
  (i32.store offset=136 (local.get $change) (i32.const 1034))
  (i32.store offset=140 (local.get $change) (i32.const 13)))
(func (export "monprov:plugin/thresholds@1.1.0#adjust")
  (param $settings i32) (param i32) (param $alerts i32) (param $count i32)
  (param i32 i32) (param $stack i32) (param i32) (result i32)
  (local $changes i32)
  (local.set $changes (call $allocate (i32.const 432)))
  (call $first (local.get $changes) (local.get $alerts) (i32.const 5))
  (i32.store offset=16 (local.get $changes) (i32.const 3200))
  (i32.store offset=20 (local.get $changes) (i32.const 3))
  (call $first (i32.add (local.get $changes) (i32.const 144)) (local.get $alerts) (i32.const 6))
  (i32.store offset=160 (local.get $changes) (i32.const 3099))
  (i32.store offset=164 (local.get $changes) (i32.const 11))
  (i32.store offset=168 (local.get $changes) (i32.const 3110))
  (i32.store offset=172 (local.get $changes) (i32.const 20))
  (call $first (i32.add (local.get $changes) (i32.const 288)) (local.get $alerts) (i32.const 7))
  (f64.store offset=304 (local.get $changes) (f64.const 60))
  (call $answer (local.get $changes) (i32.const 3)))
