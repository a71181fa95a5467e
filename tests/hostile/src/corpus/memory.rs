//! Bombs of memory, tables and segments.

use crate::guest::{Guest, data};
use crate::hostile::{
    Hostile, KEY_IS_BOOM, answering_boom, guest, harm, on_boom, times, with_harm,
};

const GROW: &str = "(loop $l (drop (memory.grow (i32.const 16))) (br $l))";
const ANSWER: &[u8] = br#"{"m":1}"#;
const ANSWERED: &str = r#"{"m":1}"#;

pub(super) fn all() -> Vec<Hostile> {
    let mut all = memories();
    all.extend(tables());
    all.extend(segments());
    all.extend(elements());
    all
}

fn memory(text: &str) -> String {
    format!(r#"(memory (export "memory") {text})"#)
}

/// A guest that does this and then answers well.
fn before_answering(items: &str, body: &str) -> Guest {
    let items = format!("{items} {}", data(2048, ANSWER));
    with_harm(&items, &format!("{body} {}", crate::guest::answer(false, 2048, 7)))
}

fn memories() -> Vec<Hostile> {
    let grows = |name, tries, pages: &str| {
        let body = format!("(drop (memory.grow (i32.const {pages}))) unreachable");
        harm(name, tries, body).faults("memory-limit")
    };
    vec![
        harm(
            "memory-in-steps",
            "Takes memory until there is no more.",
            format!("{GROW} unreachable"),
        )
        .faults("memory-limit"),
        grows("memory-one-page-too-many", "Takes one page more than the limit.", "1021"),
        grows("memory-4-gib", "Takes all that 32 bits can address.", "65532"),
        grows("memory-beyond-4-gib", "Takes more than 32 bits can address.", "-1"),
        harm(
            "memory-trap-of-its-own",
            "Turns the refusal of memory into a trap of its own.",
            "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable))
             unreachable",
        )
        .faults("memory-limit"),
        guest(
            "memory-all-of-it",
            "Takes and writes all memory that is allowed, on every page.",
            || {
                before_answering(
                    "",
                    "(local $at i32) (drop (memory.grow (i32.const 1020)))
              (local.set $at (i32.const 65532))
              (loop $l (i32.store (local.get $at) (i32.const -1))
                (br_if $l (i32.gt_u (i32.const 67108864)
                  (local.tee $at (i32.add (local.get $at) (i32.const 65536))))))",
                )
            },
        )
        .merges(ANSWERED),
        guest(
            "memory-maximum-of-its-own",
            "Asks for more than its own maximum, which is a -1.",
            || Guest {
                memory: memory("4 5"),
                ..before_answering(
                    "",
                    "(if (i32.ne (memory.grow (i32.const 2)) (i32.const -1)) (then unreachable))",
                )
            },
        )
        .merges(ANSWERED),
        guest("memory-over-its-own-limit", "Takes more than its manifest asks for.", || Guest {
            manifest: Some(r#"{"v":1,"limits":{"memory_bytes":262144}}"#.into()),
            ..on_boom("(drop (memory.grow (i32.const 1))) unreachable")
        })
        .faults("memory-limit"),
        guest("memory-in-realloc", "Takes memory for ever when asked for some.", || {
            let good = Guest::default().realloc;
            Guest {
                realloc: format!("(if {KEY_IS_BOOM} (then {GROW})) {good}"),
                ..on_boom("unreachable")
            }
        })
        .faults("memory-limit"),
        guest(
            "memory-in-post-return",
            "Answers well, and takes memory for ever afterwards.",
            || Guest {
                post_return: format!("(if (global.get $armed) (then {GROW}))"),
                ..before_answering(
                    "(global $armed (mut i32) (i32.const 0))",
                    "(global.set $armed (i32.const 1))",
                )
            },
        )
        .faults("memory-limit"),
        guest("memory-in-start", "Takes memory for ever in its start function.", || Guest {
            start: Some(GROW.into()),
            ..Guest::default()
        })
        .faults("memory-limit")
        .on_every_row(),
        guest("memory-initially-at-the-limit", "Starts with all memory that is allowed.", || {
            Guest { memory: memory("1024"), ..answering_boom(ANSWER) }
        })
        .merges(ANSWERED),
        guest("memory-initially-over-the-limit", "Starts with a page too many.", || Guest {
            memory: memory("1025"),
            ..answering_boom(ANSWER)
        })
        .refused("memory-too-large"),
        guest("memory-initially-4-gib", "Starts with 4 GiB.", || Guest {
            memory: memory("65536"),
            ..answering_boom(ANSWER)
        })
        .refused("memory-too-large"),
        guest(
            "memory-maximum-4-gib",
            "Says that it may grow to 4 GiB, which costs nothing.",
            || Guest { memory: memory("4 65536"), ..answering_boom(ANSWER) },
        )
        .merges(ANSWERED),
        harm(
            "memory-read-beyond-the-end",
            "Reads where there is no memory.",
            "(i32.load offset=0xfffffff0 (i32.const 0xfffffff0))",
        )
        .faults("trap"),
        harm(
            "memory-copy-of-4-gib",
            "Copies 4 GiB, which costs fuel before it fails.",
            "(memory.copy (i32.const 0) (i32.const 0) (i32.const -1)) unreachable",
        )
        .faults("out-of-fuel"),
        harm(
            "memory-copy-beyond-the-end",
            "Copies more than there is, from the middle on.",
            "(memory.copy (i32.const 0) (i32.const 1000) (i32.const 262144)) unreachable",
        )
        .faults("trap"),
    ]
}

fn tables() -> Vec<Hostile> {
    let table = |name, tries, items: &'static str, body: &'static str| {
        guest(name, tries, move || before_answering(items, body))
    };
    vec![
        table(
            "table-without-end",
            "Grows a table for ever.",
            "(table $t 0 funcref)",
            "(loop $l (drop (table.grow $t (ref.null func) (i32.const 7))) (br $l))",
        )
        .faults("out-of-fuel"),
        table(
            "table-over-the-limit",
            "Grows a table beyond its limit, which is a -1.",
            "(table $t 1 funcref)",
            "(if (i32.ne (i32.const -1) (table.grow $t (ref.null func) (i32.const 10000)))
               (then unreachable))",
        )
        .merges(ANSWERED),
        table(
            "table-4-billion",
            "Grows a table by 4 billion elements, which costs fuel by each.",
            "(table $t 1 funcref)",
            "(drop (table.grow $t (ref.null func) (i32.const -1)))",
        )
        .faults("out-of-fuel"),
        table(
            "table-at-the-limit",
            "Has the largest table that is allowed, and fills it.",
            "(table $t 9999 0xffffffff funcref)",
            "(if (i32.ne (i32.const 9999) (table.grow $t (ref.null func) (i32.const 1)))
               (then unreachable))
             (table.fill $t (i32.const 0) (ref.null func) (i32.const 10000))",
        )
        .merges(ANSWERED),
        table(
            "table-initially-over-the-limit",
            "Starts with an element too many.",
            "(table 10001 funcref)",
            "",
        )
        .refused("component-too-complex"),
        table(
            "table-initially-4-billion",
            "Starts with 4 billion elements.",
            "(table 0xffffffff funcref)",
            "",
        )
        .refused("component-too-complex"),
        table(
            "tables-too-many",
            "Has five tables.",
            "(table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref)
             (table 1 funcref)",
            "",
        )
        .refused("component-too-complex"),
        table(
            "table-filled-beyond-the-end",
            "Fills a table beyond its end.",
            "(table $t 10 funcref)",
            "(table.fill $t (i32.const 5) (ref.null func) (i32.const 6))",
        )
        .faults("trap"),
        table(
            "table-call-of-nothing",
            "Calls an element that is null.",
            "(table $t 10 funcref)",
            "(call_indirect (i32.const 3))",
        )
        .faults("trap"),
        table(
            "table-call-of-another-type",
            "Calls an element of another type.",
            "(table $t 1 funcref) (func $f (param f64)) (elem (i32.const 0) func $f)",
            "(call_indirect (i32.const 0))",
        )
        .faults("trap"),
    ]
}

fn segments() -> Vec<Hostile> {
    let with = |name, tries, items: fn() -> String| {
        guest(name, tries, move || before_answering(&items(), ""))
    };
    vec![
        with("data-beyond-the-end", "Has data where there is no memory.", || {
            "(data (i32.const 0x7fffffff) \"x\")".into()
        })
        .faults("trap")
        .on_every_row(),
        with("data-at-a-negative-address", "Has data at -1.", || {
            "(data (i32.const -1) \"xy\")".into()
        })
        .faults("trap")
        .on_every_row(),
        with("data-half-beyond-the-end", "Has data of which half lies beyond the end.", || {
            "(data (i32.const 262142) \"wxyz\")".into()
        })
        .faults("trap")
        .on_every_row(),
        with(
            "data-of-nothing-at-the-end",
            "Has no data at the very end, which is allowed.",
            || "(data (i32.const 262144) \"\")".into(),
        )
        .merges(ANSWERED),
        with("data-over-data", "Has data over its own data; the last of them counts.", || {
            data(2048, br#"{"x":7}"#)
        })
        .merges(ANSWERED),
        with("data-over-the-limit", "Has more than 4 MiB of data.", || {
            format!("(data \"{}\")", "x".repeat(4 << 20))
        })
        .refused("component-too-complex"),
        guest("data-at-the-limit", "Has nearly 4 MiB of data.", || Guest {
            memory: memory("80"),
            ..before_answering(
                &format!("(data (i32.const 65536) \"{}\")", "x".repeat((4 << 20) - 64)),
                "",
            )
        })
        .merges(ANSWERED),
        with("data-segments-too-many", "Has 10,001 segments of nothing.", || {
            times(10_000, "(data \"\")")
        })
        .refused("component-too-complex"),
        with("data-segments-many", "Has 9,999 segments, all at one place.", || {
            times(9_999, "(data (i32.const 1024) \"x\")")
        })
        .merges(ANSWERED),
        guest("data-read-beyond-its-end", "Initializes memory from beyond a segment.", || {
            before_answering(
                "(data $d \"0123\")",
                "(memory.init $d (i32.const 0) (i32.const 2) (i32.const 3))",
            )
        })
        .faults("trap"),
    ]
}

fn elements() -> Vec<Hostile> {
    let with = |name, tries, items: fn() -> String| {
        guest(name, tries, move || before_answering(&items(), ""))
    };
    vec![
        with("elements-beyond-the-end", "Has elements where there is no table.", || {
            "(table 1 funcref) (func $f) (elem (i32.const 1) func $f)".into()
        })
        .faults("trap")
        .on_every_row(),
        with("elements-at-a-negative-index", "Has elements at -1.", || {
            "(table 1 funcref) (func $f) (elem (i32.const -1) func $f $f)".into()
        })
        .faults("trap")
        .on_every_row(),
        with("elements-too-many", "Has 100,001 elements in its segments.", || {
            format!("(func $f) (elem func {})", "$f ".repeat(100_001))
        })
        .refused("component-too-complex"),
        with("elements-many", "Has 100,000 elements in its segments.", || {
            format!("(func $f) (elem func {})", "$f ".repeat(100_000))
        })
        .merges(ANSWERED),
    ]
}
