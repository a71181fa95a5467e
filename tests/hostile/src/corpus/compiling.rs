//! Small files that would cost a compiler minutes or gigabytes.

use crate::guest::Guest;
use crate::hostile::{Draft, Hostile, Needs, answering_boom, guest, times};

const ANSWER: &str = r#"{"c":1}"#;

/// A good guest with these functions in it, which nobody calls.
fn with(name: &str, tries: &str, functions: impl Fn() -> String + Send + Sync + 'static) -> Draft {
    guest(name, tries, move || {
        let guest = answering_boom(ANSWER.as_bytes());
        Guest { items: format!("{} {}", guest.items, functions()), ..guest }
    })
}

fn locals(count: usize) -> String {
    format!("(local {})", "i32 ".repeat(count))
}

/// Eight bytes of code.
const WIDE: &str = "(drop (i64.const 1234567890123)) ";
const SET: &str = "(local.set 1 (i32.add (local.get 2) (local.get 3)))";

pub(super) fn all() -> Vec<Hostile> {
    let mut all = too_complex();
    all.extend(cheap());
    all.extend(expensive());
    all
}

fn too_complex() -> Vec<Hostile> {
    let complex = |name, tries, functions: fn() -> String| {
        with(name, tries, functions).refused("component-too-complex")
    };
    vec![
        complex(
            "compiling-loops-in-loops",
            "Has 4,000 loops in one another over 100 locals.",
            || {
                let (open, close) = (format!("loop {SET} ").repeat(4_000), "end ".repeat(4_000));
                format!("(func {} {open}{close})", locals(100))
            },
        ),
        complex("compiling-51-loops", "Has a loop too many in one another.", || {
            format!("(func {}{})", "loop ".repeat(51), "end ".repeat(51))
        }),
        complex("compiling-loops-in-a-row", "Has 10,000 loops in a row over 1,000 locals.", || {
            format!("(func {} {})", locals(1_000), format!("(loop {SET})").repeat(10_000))
        }),
        complex("compiling-branches", "Has 10,000 conditions over 1,000 locals.", || {
            let one = format!("(if (local.get 0) (then {SET}))");
            format!("(func {} {})", locals(1_000), one.repeat(10_000))
        }),
        complex(
            "compiling-a-table-of-branches",
            "Branches to 60,000 places over 1,000 locals.",
            || {
                format!(
                    "(func {} (block (br_table {} (i32.const 0))))",
                    locals(1_000),
                    "0 ".repeat(60_000)
                )
            },
        ),
        complex("compiling-deeper-blocks", "Has 60,000 blocks in one another.", || {
            format!("(func {}{})", "block ".repeat(60_000), "end ".repeat(60_000))
        }),
        complex("compiling-a-huge-branch-table", "Branches to 100,000 places from one.", || {
            format!("(func (block (br_table {} (i32.const 0))))", "0 ".repeat(100_000))
        }),
        complex("compiling-many-functions-of-locals", "Has 25 functions of 49,000 locals.", || {
            format!("(func {} {})", locals(49_000), format!("(loop {SET})").repeat(10)).repeat(25)
        }),
        complex("compiling-20000-functions", "Has 20,000 tiny functions.", || {
            times(20_000, "(func (result i32) (i32.const #))")
        }),
        complex("compiling-1000-parameters", "Has a function of 1,000 parameters.", || {
            format!("(func (param {}))", "i64 ".repeat(1_000))
        }),
        complex("compiling-1000-results", "Has a function of 1,000 results.", || {
            format!("(func (result {}) unreachable)", "v128 ".repeat(1_000))
        }),
        complex("compiling-a-long-function", "Has a function of 300 KiB.", || {
            format!("(func {})", WIDE.repeat(300 << 10 >> 3))
        }),
        complex("compiling-much-code", "Has more than 2 MiB of code.", || {
            times(9, &format!("(func {})", WIDE.repeat(255 << 10 >> 3)))
        }),
        complex("compiling-imports", "Has 10,001 globals.", || {
            times(10_001, "(global i32 (i32.const #))")
        }),
    ]
}

fn cheap() -> Vec<Hostile> {
    let merged =
        |name, tries, functions: fn() -> String| with(name, tries, functions).merges(ANSWER);
    vec![
        merged("compiling-50-loops", "Has as many loops in one another as are allowed.", || {
            format!("(func {}{})", "loop ".repeat(50), "end ".repeat(50))
        }),
        merged("compiling-deep-blocks", "Has 7,000 blocks in one another.", || {
            format!("(func {}{})", "block ".repeat(7_000), "end ".repeat(7_000))
        }),
        merged(
            "compiling-deep-sum",
            "Has a sum of 20,000 constants, all on the stack at once.",
            || {
                format!(
                    "(func (result i32) {}{})",
                    "(i32.const 1)".repeat(20_000),
                    "i32.add ".repeat(19_999)
                )
            },
        ),
        merged("compiling-50000-locals", "Has a function of 50,000 locals.", || {
            format!("(func (local {}))", "i64 ".repeat(49_990))
        }),
        merged("compiling-3000-functions", "Has 3,000 tiny functions.", || {
            times(3_000, "(func (result i32) (i32.const #))")
        }),
        merged("compiling-a-large-branch-table", "Branches to 7,000 places from one.", || {
            format!("(func (block (br_table {} (i32.const 0))))", "0 ".repeat(7_000))
        }),
        merged("compiling-128-parameters", "Has functions that hand 128 values around.", || {
            let gets = times(128, "(local.get #)");
            let one = format!("(func (param {}) (call $many {gets}))", "i64 ".repeat(128));
            format!("{} {}", one.replacen("(func", "(func $many", 1), one.repeat(20))
        }),
        merged("compiling-live-values", "Keeps 2,000 values alive without a branch.", || {
            live(2_000, "i64", "i64.load", "i64.mul")
        }),
        merged("compiling-live-vectors", "Keeps 1,000 vectors alive without a branch.", || {
            live(1_000, "v128", "v128.load", "i8x16.add")
        }),
    ]
}

/// A function that has so many values at once, more than there are registers by far.
fn live(count: usize, ty: &str, load: &str, fold: &str) -> String {
    let loads = times(count, &format!("({load} offset=# (local.get 0)) "));
    format!("(func (param i32) (result {ty}) {loads} {})", format!("{fold} ").repeat(count - 1))
}

/// What is complex in no number that is worth counting.
fn expensive() -> Vec<Hostile> {
    let expensive = |name, tries, functions: fn() -> String| {
        with(name, tries, functions).refused("compile-too-expensive").needs(Needs::CompilerApart)
    };
    vec![
        expensive(
            "compiling-too-many-live-values",
            "Keeps 20,000 values alive, in 7 functions.",
            || live(20_000, "i64", "i64.load", "i64.mul").repeat(7),
        ),
        expensive(
            "compiling-too-many-live-vectors",
            "Keeps 20,000 vectors alive, in 7 functions.",
            || live(20_000, "v128", "v128.load", "f64x2.min").repeat(7),
        ),
    ]
}
