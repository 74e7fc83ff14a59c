;; What every guest of these tests has: a memory, an allocator, and a name. The line that says
;; so is replaced by one of the files beside this one, which exports `adjust`.
;;
;; Places in memory: 1024 texts, 2048 what `describe` returns, 4096 what `adjust` returns: a byte
;; for ok or error, and at 4100 pointer and length of the list of changes, or the failure.
;; A change takes 128 bytes: pointer and length of the alert's id at 0, the kind of edit at 8, its
;; value from 16, the reason at 120.
(module
  (memory (export "memory") 1)
  (data (i32.const 1024) "guest1.0.0a good reason")
  (data (i32.const 2048) "\00\04\00\00\05\00\00\00\05\04\00\00\05\00\00\00\00\04\00\00\00\00\00\00\00\04\00\00\00\00\00\00")
  (global $next (mut i32) (i32.const 8192))
  (func $realloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (block $fits
      (loop $grow
        (br_if $fits (i32.le_u (global.get $next) (i32.shl (memory.size) (i32.const 16))))
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $grow)))
    (local.get $at))
  (func $allocate (param $size i32) (result i32)
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (local.get $size)))
  ;; The nth of so many changes, with its alert's id (an alert takes 104 bytes) and a reason.
  (func $change (param $changes i32) (param $n i32) (param $alerts i32) (param $edit i32) (result i32)
    (local $change i32) (local $alert i32)
    (local.set $change (i32.add (local.get $changes) (i32.mul (local.get $n) (i32.const 128))))
    (local.set $alert (i32.add (local.get $alerts) (i32.mul (local.get $n) (i32.const 104))))
    (i64.store (local.get $change) (i64.load (local.get $alert)))
    (i32.store8 offset=8 (local.get $change) (local.get $edit))
    (i32.store offset=120 (local.get $change) (i32.const 1034))
    (i32.store offset=124 (local.get $change) (i32.const 13))
    (local.get $change))
  (func $answer (param $changes i32) (param $count i32) (result i32)
    (i32.store8 (i32.const 4096) (i32.const 0))
    (i32.store (i32.const 4100) (local.get $changes))
    (i32.store (i32.const 4104) (local.get $count))
    (i32.const 4096))
  (func (export "monprov:plugin/meta@1.0.0#describe") (result i32) (i32.const 2048))
  ;; the guest
)
