//! Recursion without end. How deep the engine's stack lets it go is not the same everywhere, so the
//! depth that counts is that of the guest's own frames.

use crate::guest::{Guest, TYPES, answer, data, lift};
use crate::hostile::{Hostile, KEY_IS_BOOM, guest, on_boom, text, with_harm};

/// The name, the sentence, the functions, and the call of the deep one.
type Deep = (&'static str, &'static str, fn() -> String, &'static str);

/// It calls itself, and has something left to do afterwards, so that no compiler makes it a loop.
const DIRECT: &str = "(func $deep (param i32) (result i32)
  (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))";
const CALL: &str = "(call $deep (i32.const 0))";

const IN_MERGE: [Deep; 9] = [
    ("depth-direct", "A function calls itself.", || DIRECT.into(), CALL),
    (
        "depth-without-a-frame",
        "A function calls itself and keeps nothing.",
        || "(func $deep (call $deep))".into(),
        "(call $deep) unreachable",
    ),
    (
        "depth-mutual",
        "Two functions call one another.",
        || {
            "
        (func $deep (param i32) (result i32) (i32.mul (local.get 0) (call $pong (local.get 0))))
        (func $pong (param i32) (result i32) (i32.xor (local.get 0) (call $deep (local.get 0))))"
                .into()
        },
        CALL,
    ),
    (
        "depth-indirect",
        "A function calls itself through a table.",
        || {
            "
        (type $t (func (param i32) (result i32)))
        (table funcref (elem $deep))
        (func $deep (type $t)
          (i32.add (local.get 0) (call_indirect (type $t) (local.get 0) (i32.const 0))))"
                .into()
        },
        CALL,
    ),
    (
        "depth-of-100-locals",
        "Each frame keeps 100 locals over the call.",
        || {
            let sets = numbered(
                100,
                "(local.set # (i64.add (i64.extend_i32_u (local.get 0))
            (i64.const #)))",
            );
            let adds = numbered(100, "local.get # i64.xor ");
            format!(
                "(func $deep (param i32) (result i32) (local {}) {sets}
            (drop (call $deep (i32.add (local.get 0) (i32.const 1))))
            (i64.const 0) {adds} i32.wrap_i64)",
                "i64 ".repeat(100)
            )
        },
        CALL,
    ),
    (
        "depth-of-1000-operands",
        "Each frame keeps 1,000 operands over the call.",
        || {
            let pushes = numbered(
                1_000,
                "(i64.mul (i64.load (local.get 0)) (i64.load offset=# (local.get 0)))",
            );
            format!(
                "(func $deep (param i32) (result i32) {pushes}
            (i64.extend_i32_u (call $deep (i32.add (local.get 0) (i32.const 1)))) {}
            i32.wrap_i64)",
                "i64.add ".repeat(1_000)
            )
        },
        CALL,
    ),
    (
        "depth-of-40-vectors",
        "Each frame keeps 40 vectors over the call.",
        || {
            let pushes = numbered(
                40,
                "(i32x4.mul (i32x4.splat (local.get 0))
            (v128.load offset=# (local.get 0)))",
            );
            format!(
                "(func $deep (param i32) (result i32) {pushes}
            (i32x4.splat (call $deep (i32.add (local.get 0) (i32.const 1)))) {}
            i32x4.extract_lane 1)",
                "i32x4.add ".repeat(40)
            )
        },
        CALL,
    ),
    (
        "depth-of-100-parameters",
        "Each call hands over 100 values.",
        || {
            format!(
                "(func $many (param {}) (result i64)
            (i64.add (local.get 0) (call $many (local.get 0) {})))
            (func $deep (param i32) (result i32) (i32.wrap_i64 (call $many {})))",
                "i64 ".repeat(100),
                numbered(99, "(local.get #)"),
                "(i64.const 7)".repeat(100)
            )
        },
        CALL,
    ),
    (
        "depth-in-a-tree",
        "Each call makes two more, which is deep before it is wide.",
        || {
            "
        (func $deep (param i32) (result i32)
          (i32.add (call $deep (local.get 0)) (call $deep (local.get 0))))"
                .into()
        },
        CALL,
    ),
];

/// The part for each of the numbers 1 to `count`.
fn numbered(count: usize, part: &str) -> String {
    (1..=count).map(|n| part.replace('#', &n.to_string())).collect()
}

pub(super) fn all() -> Vec<Hostile> {
    let in_merge = IN_MERGE.iter().map(|(name, tries, functions, call)| {
        guest(*name, *tries, move || with_harm(&functions(), call)).faults("depth-limit")
    });
    let elsewhere = [
        guest("depth-in-start", "The start function calls itself.", || Guest {
            items: DIRECT.into(),
            start: Some(format!("(drop {CALL})")),
            ..Guest::default()
        })
        .faults("depth-limit")
        .on_every_row(),
        guest("depth-in-realloc", "Who is asked for memory calls itself.", || {
            let guest = on_boom("unreachable");
            let good = Guest::default().realloc;
            Guest {
                items: format!("{DIRECT} {}", guest.items),
                realloc: format!("(if {KEY_IS_BOOM} (then (return {CALL}))) {good}"),
                ..guest
            }
        })
        .faults("depth-limit"),
        guest("depth-in-post-return", "Answers well, and cleans up for ever deeper.", || Guest {
            post_return: format!("(if (global.get $armed) (then (drop {CALL})))"),
            ..with_harm(
                &format!("(global $armed (mut i32) (i32.const 0)) {DIRECT} {}", data(2048, b"{}")),
                &format!("(global.set $armed (i32.const 1)) {}", answer(false, 2048, 2)),
            )
        })
        .faults("depth-limit"),
        text(
            "depth-across-instances",
            "Two instances call one another through a table that they share.",
            across_instances,
        )
        .faults("depth-limit"),
    ];
    let harmless = guest(
        "depth-of-100-calls",
        "Goes 100 calls deep, as parsers do, and must be let through.",
        || {
            with_harm(
                &format!(
                    "(func $deep (param i32) (if (local.get 0) (then
                   (call $deep (i32.sub (local.get 0) (i32.const 1)))))) {}",
                    data(2048, b"{}")
                ),
                &format!("(call $deep (i32.const 100)) {}", answer(false, 2048, 2)),
            )
        },
    )
    .merges("{}");
    in_merge.chain(elsewhere).chain([harmless]).collect()
}

/// The first instance exports its table and calls what is in it; the second puts its own function
/// there, which calls the first's.
fn across_instances() -> String {
    let guest = with_harm(
        "(type $t (func (param i32) (result i32)))
         (table $t (export \"table\") 1 funcref)
         (func $ping (export \"ping\") (type $t)
           (i32.add (local.get 0) (call_indirect (type $t) (local.get 0) (i32.const 0))))",
        "(call $ping (i32.const 1))",
    );
    let module = guest.module();
    let lift = lift("utf8");
    format!(
        r#"(component {TYPES}
          (core module $m {module})
          (core module $n
            (type $t (func (param i32) (result i32)))
            (import "m" "table" (table 1 funcref))
            (import "m" "ping" (func $ping (type $t)))
            (func $pong (type $t) (i32.add (local.get 0) (call $ping (local.get 0))))
            (elem (i32.const 0) func $pong))
          (core instance $i (instantiate $m))
          (core instance (instantiate $n (with "m" (instance $i))))
          {lift})"#
    )
}
