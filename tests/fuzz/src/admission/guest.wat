(component
  (import "syncline:merge/types@1.0.0" (instance $types
    (type $operation' (enum "insert" "update" "delete"))
    (export "operation" (type $operation (eq $operation')))
    (type $side' (record (field "region" string) (field "hlc" u64)
      (field "operation" $operation) (field "image" (option (list u8)))))
    (export "side" (type $side (eq $side')))
    (type $conflict' (record (field "table" string) (field "row-pk" string)
      (field "ancestor" (option (list u8))) (field "older" $side) (field "newer" $side)))
    (export "conflict" (type (eq $conflict')))))
  (alias export $types "conflict" (type $conflict))
  {before}
  (core module $m
    {imports}
    (memory (export "memory") 4)
    (type $none (func))
    (global $heap (export "heap") (mut i32) (i32.const 16384))
    (table $table (export "table") 8 funcref)
    {items}
    (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32)
      (param $size i32) (result i32)
      (global.set $heap (i32.and (i32.add (global.get $heap)
        (i32.sub (local.get $align) (i32.const 1))) (i32.sub (i32.const 0) (local.get $align))))
      (global.get $heap)
      (global.set $heap (i32.add (global.get $heap) (local.get $size))))
    (func (export "merge") (param $p i32) (result i32) (local $i i32) (local $x i64)
      {body}
      (i32.store (i32.const 16) (i32.const 0))
      (i32.store (i32.const 20) (i32.load8_u offset=84 (local.get $p)))
      (i32.store (i32.const 24) (i32.load offset=88 (local.get $p)))
      (i32.store (i32.const 28) (i32.load offset=92 (local.get $p)))
      (i32.const 16))
    (func (export "post") (param i32) {post}))
  (core instance $i (instantiate $m {with}))
  {after}
  (func $merge (param "conflict" $conflict)
    (result (result (option (list u8)) (error string)))
    (canon lift (core func $i "merge") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc")) (post-return (core func $i "post"))))
  (export "merge" (func $merge)))
