//! Endless loops: wherever code runs, and of whatever costs more time than it seems to.

use crate::guest::{Guest, answer, data};
use crate::hostile::{Hostile, KEY_IS_BOOM, guest, on_boom, with_harm};

const EMPTY: &str = "(loop $l (br $l))";

/// The name, the sentence, items of the module, the locals and what the loop repeats.
type Repeated = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// What is dear for an engine in comparison to its length.
const DEAR: [Repeated; 17] = [
    (
        "loop-of-divisions",
        "Divides for ever.",
        "",
        "(local i64)",
        "(local.set 1 (i64.div_s (i64.const -9007199254740993)
           (i64.or (local.get 1) (i64.const 3))))",
    ),
    (
        "loop-of-remainders",
        "Takes remainders for ever.",
        "",
        "(local i64)",
        "(local.set 1 (i64.rem_u (i64.const -1) (i64.or (local.get 1) (i64.const 7))))",
    ),
    (
        "loop-of-roots",
        "Takes square roots for ever.",
        "",
        "(local f64)",
        "(local.set 1 (f64.sqrt (f64.add (local.get 1) (f64.const 2))))",
    ),
    (
        "loop-of-function-references",
        "Makes references to functions for ever.",
        "(func $f) (elem declare func $f)",
        "",
        "(drop (ref.func $f))",
    ),
    (
        "loop-of-table-reads",
        "Reads a table for ever, which makes its elements lazily.",
        "(table $t 10000 funcref) (func $f) (elem (i32.const 0) func $f $f $f $f $f $f $f $f)",
        "(local i32)",
        "(drop (table.get $t (i32.and (local.get 1) (i32.const 8191))))
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))",
    ),
    (
        "loop-of-table-writes",
        "Writes a table for ever.",
        "(table $t 10 funcref) (func $f) (elem declare func $f)",
        "",
        "(table.set $t (i32.const 3) (ref.func $f))",
    ),
    (
        "loop-of-table-fills",
        "Fills the largest table for ever.",
        "(table $t 10000 funcref) (func $f) (elem declare func $f)",
        "",
        "(table.fill $t (i32.const 0) (ref.func $f) (i32.const 10000))",
    ),
    (
        "loop-of-table-copies",
        "Copies the largest table onto itself for ever.",
        "(table $t 10000 funcref)",
        "",
        "(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 9999))",
    ),
    (
        "loop-of-table-inits",
        "Initializes a table for ever.",
        "(table $t 8 funcref) (func $f) (elem $e func $f $f $f $f $f $f $f $f)",
        "",
        "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 8))",
    ),
    (
        "loop-of-fills",
        "Fills 64 MiB of memory for ever.",
        "",
        "",
        "(drop (memory.grow (i32.sub (i32.const 1024) (memory.size))))
      (memory.fill (i32.const 0) (i32.const 255) (i32.const 67108864))",
    ),
    (
        "loop-of-copies",
        "Copies 64 MiB of memory onto itself for ever.",
        "",
        "",
        "(drop (memory.grow (i32.sub (i32.const 1024) (memory.size))))
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 67108863))",
    ),
    (
        "loop-of-inits",
        "Initializes memory for ever.",
        "(data $d \"0123456789\")",
        "",
        "(memory.init $d (i32.const 1024) (i32.const 0) (i32.const 10))",
    ),
    (
        "loop-of-growing-by-nothing",
        "Grows memory by nothing for ever.",
        "",
        "",
        "(drop (memory.grow (i32.const 0)))",
    ),
    (
        "loop-of-tables-growing-by-nothing",
        "Grows a table by nothing for ever.",
        "(table $t 1 funcref)",
        "",
        "(drop (table.grow $t (ref.null func) (i32.const 0)))",
    ),
    (
        "loop-of-indirect-calls",
        "Calls through a table for ever.",
        "(type $t (func)) (table 2 funcref) (func $f) (elem (i32.const 0) func $f $f)",
        "",
        "(call_indirect (type $t) (i32.const 1))",
    ),
    (
        "loop-of-vectors",
        "Works on vectors for ever.",
        "",
        "(local v128)",
        "(local.set 1 (i16x8.q15mulr_sat_s (i8x16.swizzle (local.get 1) (local.get 1))
        (f32x4.sqrt (local.get 1))))",
    ),
    (
        "loop-of-dropped-segments",
        "Drops a segment for ever.",
        "(data $d \"0123456789\") (func $f) (elem $e func $f)",
        "",
        "(data.drop $d) (elem.drop $e)",
    ),
];

/// Bodies of the harm that only turn in circles.
const CIRCLES: [(&str, &str, &str, &str); 6] = [
    ("loop-empty", "Does nothing for ever.", "", "(loop $l (br $l)) unreachable"),
    (
        "loop-by-a-condition",
        "Turns on a condition that stays true.",
        "",
        "(loop $l (br_if $l (i32.ge_u (memory.size) (i32.const 1)))) unreachable",
    ),
    (
        "loop-by-br-table",
        "Turns by a table of branches, whose default is the loop too.",
        "",
        "(loop $l (br_table $l $l $l (i32.load (local.get $p)))) unreachable",
    ),
    (
        "loop-in-a-loop",
        "Turns in an inner loop, and would in the outer.",
        "",
        "(loop $o (loop $i (br_if $i (i32.const 1))) (br $o)) unreachable",
    ),
    (
        "loop-of-calls",
        "Has two functions that call nobody deeply, for ever.",
        "(func $ping (call $pong)) (func $pong)",
        "(loop $l (call $ping) (br $l)) unreachable",
    ),
    (
        "loop-counting-to-2-64",
        "Counts to 2^64, which ends, but not before anybody's patience.",
        "",
        "(local $n i64)
      (loop $l (br_if $l (i64.ne (i64.const 0)
        (local.tee $n (i64.add (local.get $n) (i64.const 1))))))
      unreachable",
    ),
];

pub(super) fn all() -> Vec<Hostile> {
    let dear = DEAR.iter().map(|(name, tries, items, locals, repeated)| {
        guest(*name, *tries, move || {
            with_harm(items, &format!("{locals} (loop $l {repeated} (br $l)) unreachable"))
        })
    });
    let circles = CIRCLES
        .iter()
        .map(|(name, tries, items, body)| guest(*name, *tries, move || with_harm(items, body)));
    let mut all: Vec<Hostile> =
        dear.chain(circles).map(|draft| draft.faults("out-of-fuel")).collect();
    all.extend(elsewhere());
    all.push(
        guest(
            "loop-that-ends-in-time",
            "Looks endless, but ends long before its fuel does, and must be let through.",
            || {
                let turns = "(local $n i32) (loop $l (br_if $l (i32.ne (i32.const 100000)
                    (local.tee $n (i32.add (local.get $n) (i32.const 1))))))";
                with_harm(&data(2048, b"{}"), &format!("{turns} {}", answer(false, 2048, 2)))
            },
        )
        .merges("{}"),
    );
    all
}

/// Loops outside of `merge`.
fn elsewhere() -> [Hostile; 4] {
    [
        guest("loop-in-realloc", "Never ends asking for memory for the argument.", || {
            let good = Guest::default().realloc;
            let realloc = format!("(if {KEY_IS_BOOM} (then {EMPTY})) {good}");
            Guest { realloc, ..on_boom("unreachable") }
        })
        .faults("out-of-fuel"),
        guest("loop-in-post-return", "Answers well, and never ends cleaning up.", || {
            let harm = format!("(global.set $armed (i32.const 1)) {}", answer(false, 2048, 2));
            Guest {
                post_return: format!("(if (global.get $armed) (then {EMPTY}))"),
                ..with_harm(
                    "(global $armed (mut i32) (i32.const 0)) (data (i32.const 2048) \"{}\")",
                    &harm,
                )
            }
        })
        .faults("out-of-fuel"),
        guest("loop-in-start", "Never ends its start function.", || Guest {
            start: Some(EMPTY.into()),
            ..Guest::default()
        })
        .faults("out-of-fuel")
        .on_every_row(),
        guest(
            "loop-with-little-fuel",
            "Asks for one unit of fuel, which is no harm but its own.",
            || Guest {
                manifest: Some(r#"{"v":1,"limits":{"fuel":1}}"#.into()),
                ..Guest::default()
            },
        )
        .faults("out-of-fuel")
        .on_every_row(),
    ]
}
