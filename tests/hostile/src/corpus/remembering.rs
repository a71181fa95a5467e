//! Guests that try to keep something from one call to the next. Each answers with how much it
//! remembers, so that a second call shows whether it did.

use crate::guest::{Guest, answer, data};
use crate::hostile::{Hostile, guest, with_harm};

/// A guest that runs this, which leaves a number below ten, and answers with it.
fn telling(items: &str, number: &str) -> Guest {
    with_harm(
        &format!("{items} {}", data(2048, br#"{"n":0}"#)),
        &format!(
            "(i32.store8 (i32.const 2053) (i32.add (i32.const 48) {number})) {}",
            answer(false, 2048, 7)
        ),
    )
}

/// The name, the sentence, the items, the number, and what it is in a fresh instance.
type Kept = (&'static str, &'static str, &'static str, &'static str, u8);

const KEPT: [Kept; 10] = [
    (
        "remembers-in-a-global",
        "Counts its calls in a global.",
        "(global $n (mut i32) (i32.const 0))",
        "(block (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1)))
           (global.get $n))",
        1,
    ),
    (
        "remembers-in-memory",
        "Counts its calls in memory that was zero.",
        "",
        "(block (result i32) (i32.store (i32.const 8192)
           (i32.add (i32.load (i32.const 8192)) (i32.const 1))) (i32.load (i32.const 8192)))",
        1,
    ),
    (
        "remembers-in-data",
        "Counts its calls in memory that has a segment.",
        "(data (i32.const 8192) \"\\03\")",
        "(block (result i32) (i32.store8 (i32.const 8192)
           (i32.add (i32.load8_u (i32.const 8192)) (i32.const 1))) (i32.load8_u (i32.const 8192)))",
        4,
    ),
    (
        "remembers-in-a-vector",
        "Counts its calls in a global of 128 bits.",
        "(global $n (mut v128) (v128.const i64x2 0 0))",
        "(block (result i32) (global.set $n (i32x4.add (global.get $n) (v128.const i32x4 1 1 1 1)))
           (i32x4.extract_lane 3 (global.get $n)))",
        1,
    ),
    (
        "remembers-by-the-size-of-memory",
        "Grows its memory by a page each call.",
        "",
        "(memory.grow (i32.const 1))",
        4,
    ),
    (
        "remembers-in-grown-memory",
        "Writes into memory that it has grown, far from all else.",
        "",
        "(block (result i32) (drop (memory.grow (i32.const 100)))
           (i32.store (i32.const 6000000)
             (i32.add (i32.load (i32.const 6000000)) (i32.const 1)))
           (i32.load (i32.const 6000000)))",
        1,
    ),
    (
        "remembers-by-the-size-of-a-table",
        "Grows a table by an element each call.",
        "(table $t 2 100 funcref)",
        "(table.grow $t (ref.null func) (i32.const 1))",
        2,
    ),
    (
        "remembers-in-a-table",
        "Sets an element that was null.",
        "(table $t 2 funcref) (func $f) (elem declare func $f)",
        "(block (result i32) (ref.is_null (table.get $t (i32.const 1)))
           (table.set $t (i32.const 1) (ref.func $f)))",
        1,
    ),
    (
        "remembers-by-dropping-data",
        "Uses a segment and drops it, so that it is gone.",
        "(data $d \"\\05\")",
        "(block (result i32) (memory.init $d (i32.const 8192) (i32.const 0) (i32.const 1))
           (data.drop $d) (i32.load8_u (i32.const 8192)))",
        5,
    ),
    (
        "remembers-by-dropping-elements",
        "Uses elements and drops them, so that they are gone.",
        "(table $t 2 funcref) (func $f) (elem $e func $f)",
        "(block (result i32) (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))
           (elem.drop $e) (i32.eqz (ref.is_null (table.get $t (i32.const 0)))))",
        1,
    ),
];

pub(super) fn all() -> Vec<Hostile> {
    let kept = KEPT.iter().map(|(name, tries, items, number, fresh)| {
        guest(*name, *tries, move || telling(items, number)).merges(format!(r#"{{"n":{fresh}}}"#))
    });
    let others = [
        guest("remembers-in-start", "Counts how often it was started.", || Guest {
            start: Some(
                "(i32.store (i32.const 8192) (i32.add (i32.load (i32.const 8192)) (i32.const 1)))"
                    .into(),
            ),
            ..telling("", "(i32.load (i32.const 8192))")
        })
        .merges(r#"{"n":1}"#),
        guest(
            "remembers-after-a-trap",
            "Counts, and traps on its third call, if it remembers.",
            || {
                telling(
                    "(global $n (mut i32) (i32.const 0))",
                    "(block (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1)))
                   (if (i32.ge_u (global.get $n) (i32.const 3)) (then unreachable))
                   (global.get $n))",
                )
            },
        )
        .merges(r#"{"n":1}"#),
        guest(
            "remembers-what-others-left",
            "Looks for what another guest left in the same memory.",
            || {
                telling(
                    "(func $dirt (result i32) (local $i i32)
                       (local.set $i (i32.const 65536))
                       (loop $l (if (i32.load (local.get $i)) (then (return (i32.const 1))))
                         (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4)))
                           (i32.const 262144))))
                       (i32.const 0))",
                    "(call $dirt)",
                )
            },
        )
        .merges(r#"{"n":0}"#),
    ];
    kept.chain(others).collect()
}
