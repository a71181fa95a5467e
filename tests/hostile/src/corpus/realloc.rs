//! What a guest can do wrong where it is asked for memory for its argument.

use crate::guest::{Guest, answer, data};
use crate::hostile::{Hostile, KEY_IS_BOOM, guest, on_boom, with_harm};

/// On the one row, once the key is there, it answers with this instead of new memory.
fn returning(expression: &'static str) -> Guest {
    let good = Guest::default().realloc;
    Guest {
        realloc: format!("(if {KEY_IS_BOOM} (then (return {expression}))) {good}"),
        ..on_boom("unreachable")
    }
}

/// It answers with this on every row, and never looks at its argument.
fn always(realloc: &str) -> Guest {
    Guest {
        items: data(131_072, br#"{"r":1}"#),
        realloc: realloc.into(),
        merge: answer(false, 131_072, 7),
        ..Guest::default()
    }
}

pub(super) fn all() -> Vec<Hostile> {
    let traps = [
        guest("realloc-traps", "Traps when asked for memory.", || returning("(unreachable)")),
        guest("realloc-beyond-the-end", "Gives out what lies beyond its memory.", || {
            returning("(i32.const 0x7ffffff8)")
        }),
        guest("realloc-negative", "Gives out -1, as allocators do that have failed.", || {
            returning("(i32.const -1)")
        }),
        guest("realloc-at-the-end", "Gives out the end of its memory.", || {
            returning("(i32.const 262144)")
        }),
        guest(
            "realloc-half-beyond-the-end",
            "Gives out memory of which the last byte is missing.",
            || returning("(i32.sub (i32.const 262145) (local.get $size))"),
        ),
    ];
    let misaligned =
        guest("realloc-misaligned", "Gives out an address that is not aligned.", || {
            always("(i32.const 3)")
        });
    let harmless = [
        guest("realloc-null", "Gives out address 0, which is an address like any other.", || {
            always("(i32.const 0)")
        }),
        guest("realloc-always-the-same", "Gives out the same memory again and again.", || {
            always("(i32.const 1024)")
        }),
        guest("realloc-overlapping", "Gives out memory that overlaps what it gave before.", || {
            always(
                "(global.set $heap (i32.add (global.get $heap) (i32.const 8)))
                 (global.get $heap)",
            )
        }),
    ];
    let mut all: Vec<Hostile> = traps.into_iter().map(|draft| draft.faults("trap")).collect();
    all.push(misaligned.faults("trap").on_every_row());
    all.push(
        guest("realloc-over-its-data", "Has its argument written over its own answer.", || {
            always("(i32.const 131000)")
        })
        .faults("invalid-output")
        .on_every_row(),
    );
    all.extend(harmless.into_iter().map(|draft| draft.merges(r#"{"r":1}"#).on_every_row()));
    all.push(
        guest("realloc-null-for-some", "Gives out address 0 for what comes after the key.", || {
            let good = Guest::default().realloc;
            Guest {
                realloc: format!("(if {KEY_IS_BOOM} (then (return (i32.const 0)))) {good}"),
                ..with_harm(&data(2048, br#"{"r":1}"#), &answer(false, 2048, 7))
            }
        })
        .merges(r#"{"r":1}"#),
    );
    all.push(
        guest("realloc-in-post-return", "Traps while it cleans up.", || Guest {
            post_return: "(if (global.get $armed) (then unreachable))".into(),
            ..with_harm(
                &format!("(global $armed (mut i32) (i32.const 0)) {}", data(2048, b"{}")),
                &format!("(global.set $armed (i32.const 1)) {}", answer(false, 2048, 2)),
            )
        })
        .faults("trap"),
    );
    all
}
