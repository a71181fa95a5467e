//! Answers that lie somewhere else than in memory, are larger than they may be, or have no meaning.

use crate::guest::{Guest, answer, data};
use crate::hostile::{Hostile, guest, harm, with_harm};

/// The output limit of a call, which is also that of a row.
const OUTPUT_BYTES_MAX: u32 = 1 << 20;
/// The template's memory.
const MEMORY_BYTES: u32 = 4 << 16;

/// Where the answer's record is said to be.
const RECORDS: [(&str, &str, u32); 6] = [
    ("pointer-misaligned", "Answers at an address that is not aligned.", 18),
    ("pointer-odd", "Answers at an odd address.", 0x0001_0001),
    ("pointer-negative", "Answers at -16.", 0xffff_fff0),
    ("pointer-at-the-end", "Answers where memory ends.", MEMORY_BYTES),
    ("pointer-half-beyond-the-end", "Answers where only half of it fits.", MEMORY_BYTES - 8),
    ("pointer-of-2-gib", "Answers at an address that is the lowest of a signed number.", 1 << 31),
];

/// Whether it is an error, and where the list is said to be, and how long.
const LISTS: [(&str, &str, bool, u32, u32); 7] = [
    ("list-of-4-gib", "Answers with 4 GiB from the start of memory on.", false, 0, u32::MAX),
    ("list-at-minus-one", "Answers with a byte at -1.", false, u32::MAX, 1),
    (
        "list-that-wraps-around",
        "Answers with what ends where it begins.",
        false,
        u32::MAX,
        u32::MAX,
    ),
    (
        "list-beyond-the-end",
        "Answers with a byte more than there is.",
        false,
        16,
        MEMORY_BYTES - 15,
    ),
    ("list-after-the-end", "Answers with one byte after the end.", false, MEMORY_BYTES, 1),
    (
        "list-of-2-gib",
        "Answers with a length that is negative as a signed number.",
        false,
        0,
        1 << 31,
    ),
    ("error-of-4-gib", "Fails with a text of 4 GiB.", true, 2048, u32::MAX),
];

/// The tags of the answer.
const TAGS: [(&str, &str, u32, u32); 4] = [
    ("tag-result-2", "Answers with neither ok nor err.", 2, 0),
    ("tag-result-255", "Answers with neither ok nor err, with all bits set.", 255, 1),
    ("tag-option-2", "Answers ok with neither none nor some.", 0, 2),
    ("tag-option-7", "Answers ok with neither none nor some, but with a valid list.", 0, 7),
];

pub(super) fn all() -> Vec<Hostile> {
    let records =
        RECORDS.iter().map(|(name, tries, at)| harm(name, tries, format!("(i32.const {at})")));
    let lists = LISTS
        .iter()
        .map(|(name, tries, error, at, length)| harm(name, tries, answer(*error, *at, *length)));
    let tags = TAGS.iter().map(|(name, tries, result, option)| {
        let tags = format!(
            "(i32.store (i32.const 16) (i32.const {result}))
             (i32.store (i32.const 20) (i32.const {option}))
             (i32.store (i32.const 24) (i32.const 2048))
             (i32.store (i32.const 28) (i32.const 1)) (i32.const 16)"
        );
        harm(name, tries, tags)
    });
    let mut all: Vec<Hostile> =
        records.chain(lists).chain(tags).map(|draft| draft.faults("invalid-output")).collect();
    all.extend(that_mean_something());
    all.extend(sizes());
    all
}

/// Odd, but right.
fn that_mean_something() -> Vec<Hostile> {
    let tag_of = |high: u32| {
        format!(
            "(i32.store (i32.const 16) (i32.const {})) (i32.store (i32.const 20) (i32.const {}))
             (i32.store (i32.const 24) (i32.const 2048)) (i32.store (i32.const 28) (i32.const 2))
             (i32.const 16)",
            high << 8,
            (high << 8) | 1
        )
    };
    vec![
        guest("pointer-null", "Answers at address 0, which is an address like any other.", || {
            with_harm(
                &data(2048, b"{}"),
                "(i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 1))
                 (i32.store (i32.const 8) (i32.const 2048)) (i32.store (i32.const 12) (i32.const 2))
                 (i32.const 0)",
            )
        })
        .merges("{}"),
        guest("pointer-into-the-argument", "Answers on top of its argument.", || {
            with_harm(
                &data(2048, b"{}"),
                "(i32.store offset=0 (local.get $p) (i32.const 0))
                 (i32.store offset=4 (local.get $p) (i32.const 1))
                 (i32.store offset=8 (local.get $p) (i32.const 2048))
                 (i32.store offset=12 (local.get $p) (i32.const 2)) (local.get $p)",
            )
        })
        .merges("{}"),
        harm(
            "list-in-the-answer",
            "Answers with a list that is part of the answer itself.",
            "(i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 1))
             (i32.store (i32.const 24) (i32.const 28)) (i32.store (i32.const 28) (i32.const 2))
             (i32.const 16)",
        )
        .faults("invalid-output"),
        harm(
            "list-of-nothing-at-the-end",
            "Answers with no bytes, where memory ends.",
            answer(false, MEMORY_BYTES, 0),
        )
        .faults("invalid-output"),
        guest(
            "tag-with-dirt-beside-it",
            "Leaves dirt in the bytes that no one should read.",
            move || with_harm(&data(2048, b"{}"), &tag_of(0x00ff_fffe)),
        )
        .merges("{}"),
    ]
}

/// A row of exactly so many bytes, made at run time.
fn row_of(bytes: u32) -> Guest {
    let last = 65_536 + bytes - 2;
    Guest {
        memory: r#"(memory (export "memory") 20)"#.into(),
        ..with_harm(
            &data(2048, br#"{"s":""}"#),
            &format!(
                "(memory.fill (i32.const 65536) (i32.const 120) (i32.const {bytes}))
                 (memory.copy (i32.const 65536) (i32.const 2048) (i32.const 6))
                 (memory.copy (i32.const {last}) (i32.const 2054) (i32.const 2)) {}",
                answer(false, 65_536, bytes)
            ),
        )
    }
}

fn sizes() -> Vec<Hostile> {
    let large_memory = || r#"(memory (export "memory") 20)"#.to_owned();
    vec![
        guest("output-at-the-limit", "Answers with exactly as much as is allowed.", || {
            row_of(OUTPUT_BYTES_MAX)
        })
        .merges(format!(r#"{{"s":"{}"}}"#, "x".repeat(OUTPUT_BYTES_MAX as usize - 8))),
        guest("output-over-the-limit", "Answers with one byte more than is allowed.", || {
            row_of(OUTPUT_BYTES_MAX + 1)
        })
        .faults("output-too-large"),
        guest("output-over-its-own-limit", "Answers with more than its manifest asks for.", || {
            Guest {
                manifest: Some(r#"{"v":1,"limits":{"output_bytes":100}}"#.into()),
                ..row_of(101)
            }
        })
        .faults("output-too-large"),
        guest(
            "error-over-the-limit",
            "Fails with a text that is larger than an answer may be.",
            move || Guest {
                memory: large_memory(),
                ..with_harm("", &answer(true, 0, OUTPUT_BYTES_MAX + 1))
            },
        )
        .faults("output-too-large"),
        guest("output-of-white-space", "Answers with a row of which most is white space.", || {
            Guest {
                memory: r#"(memory (export "memory") 20)"#.into(),
                ..with_harm(
                    &data(2048, br#"{"s":1}"#),
                    &format!(
                        "(memory.fill (i32.const 65536) (i32.const 32) (i32.const 1048576))
                         (memory.copy (i32.const 600000) (i32.const 2048) (i32.const 7)) {}",
                        answer(false, 65_536, OUTPUT_BYTES_MAX)
                    ),
                )
            }
        })
        .merges(r#"{"s":1}"#),
        guest(
            "output-that-escapes-make-larger",
            "Answers with control characters in short escapes.",
            || with_harm(&data(2048, br#"{"s":"\u001f\b\/\u00e9"}"#), &answer(false, 2048, 24)),
        )
        .merges("{\"s\":\"\\u001f\\b/é\"}"),
    ]
}
