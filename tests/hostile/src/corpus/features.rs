//! Features of WebAssembly that a merge function may not use, as they differ between processors,
//! are young, or are of no use to a pure function.

use crate::guest::{Guest, data};
use crate::hostile::{Hostile, guest, text, with_harm};

/// The name, the sentence, and items that use the feature.
const CORE: [(&str, &str, &str); 25] = [
    (
        "relaxed-simd",
        "Uses vector instructions that differ between processors.",
        "(func (result v128) (f32x4.relaxed_madd (v128.const i64x2 1 2) (v128.const i64x2 1 2)
           (v128.const i64x2 1 2)))",
    ),
    (
        "relaxed-swizzle",
        "Shuffles as the processor pleases.",
        "(func (param v128) (result v128)
           (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))",
    ),
    (
        "atomics",
        "Uses atomic instructions.",
        "(func (result i32) (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))",
    ),
    ("atomic-fence", "Uses a fence, which needs no shared memory.", "(func (atomic.fence))"),
    (
        "atomic-wait",
        "Waits for another thread.",
        "(func (result i32)
           (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))",
    ),
    ("tail-call", "Calls without coming back.", "(func $f (return_call $f))"),
    (
        "tail-call-indirect",
        "Calls through a table without coming back.",
        "(table 1 funcref) (func (return_call_indirect (i32.const 0)))",
    ),
    (
        "function-reference",
        "Calls by a typed reference.",
        "(type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))",
    ),
    (
        "function-reference-in-a-table",
        "Has a table of references that are never null.",
        "(type $t (func)) (func $f) (table 1 (ref $t) (ref.func $f))",
    ),
    (
        "gc-struct",
        "Has a struct that the host must collect.",
        "(type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1))))",
    ),
    (
        "gc-array",
        "Has an array of 4 billion elements that the host must collect.",
        "(type $a (array (mut i64)))
         (func (drop (array.new_default $a (i32.const -1))))",
    ),
    ("gc-i31", "Puts a number into a reference.", "(func (drop (ref.i31 (i32.const 1))))"),
    (
        "gc-recursive-types",
        "Has types that refer to one another.",
        "(rec (type $a (func (param (ref null $b)))) (type $b (func (param (ref null $a)))))",
    ),
    (
        "external-reference",
        "Converts a reference of the host's.",
        "(func (param externref) (drop (any.convert_extern (local.get 0))))",
    ),
    ("exceptions", "Throws an exception.", "(tag $e) (func (throw $e))"),
    (
        "exceptions-caught",
        "Catches whatever is thrown.",
        "(func (block $b (try_table (catch_all $b))))",
    ),
    ("exceptions-of-old", "Catches in the way of old.", "(func try catch_all end)"),
    (
        "wide-arithmetic",
        "Adds 128 bits at once.",
        "(func (result i64 i64)
           (i64.add128 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))",
    ),
    (
        "extended-constants",
        "Calculates in a constant.",
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
    ),
    (
        "continuations",
        "Switches stacks.",
        "(type $f (func)) (type $c (cont $f)) (func (param (ref $c)) (drop (local.get 0)))",
    ),
    ("table-of-64-bits", "Has a table with indices of 64 bits.", "(table i64 1 funcref)"),
    (
        "table-of-externals",
        "Has a table of references to what the host owns.",
        "(table 1 externref)",
    ),
    (
        "second-memory-by-number",
        "Uses a memory that is not there.",
        "(func (result i32) (i32.load 1 (i32.const 0)))",
    ),
    (
        "memory-control",
        "Gives memory back in the way of a proposal.",
        "(func (memory.discard (i32.const 0) (i32.const 65536)))",
    ),
    (
        "annotated-branches",
        "Asks for a stack switch by a name that is none.",
        "(func (param contref))",
    ),
];

const MEMORIES: [(&str, &str, &str); 4] = [
    ("memory-of-64-bits", "Has a memory with addresses of 64 bits.", "i64 4"),
    ("memory-shared", "Has a memory that threads could share.", "4 8 shared"),
    ("memory-with-pages-of-a-byte", "Has pages of one byte.", "262144 (pagesize 1)"),
    ("memory-of-64-bits-and-16-eib", "Has a memory of 16 EiB.", "i64 4 0x1000000000000"),
];

pub(super) fn all() -> Vec<Hostile> {
    let core = CORE.iter().map(|(name, tries, items)| {
        guest(format!("feature-{name}"), *tries, move || Guest {
            items: (*items).into(),
            ..Guest::default()
        })
    });
    let memories = MEMORIES.iter().map(|(name, tries, memory)| {
        guest(format!("feature-{name}"), *tries, move || Guest {
            memory: format!(r#"(memory (export "memory") {memory})"#),
            ..Guest::default()
        })
    });
    let refused = core.chain(memories).map(|draft| draft.refused("invalid-component"));
    refused.chain(others()).collect()
}

fn others() -> [Hostile; 4] {
    let allowed = br#"{"f":1}"#;
    [
        guest("feature-two-memories", "Has a second memory.", || Guest {
            items: "(memory 1)".into(),
            ..Guest::default()
        })
        .refused("component-too-complex"),
        guest(
            "feature-many-results",
            "Returns many values from blocks, which is allowed.",
            move || {
                with_harm(
                    &data(2048, allowed),
                    "(block (result i32 i32 i64) (i32.const 1) (i32.const 2) (i64.const 3))
                 drop drop drop
                 (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 1))
                 (i32.store (i32.const 24) (i32.const 2048))
                 (i32.store (i32.const 28) (i32.const 7))
                 (i32.const 16)",
                )
            },
        )
        .merges(r#"{"f":1}"#),
        guest(
            "feature-sign-extension",
            "Extends signs and saturates, which is allowed.",
            move || {
                with_harm(
                    &data(2048, allowed),
                    "(i32.store (i32.const 16) (i32.extend8_s (i32.const 0x100)))
                 (i32.store (i32.const 20) (i32.trunc_sat_f32_s (f32.const 1.9)))
                 (i32.store (i32.const 24) (i32.extend16_s (i32.const 2048)))
                 (i32.store (i32.const 28) (i32.const 7)) (i32.const 16)",
                )
            },
        )
        .merges(r#"{"f":1}"#),
        text("feature-async-lift", "Is lifted as a function that may wait.", || {
            Guest::default().text().replace("string-encoding=utf8", "string-encoding=utf8 async")
        })
        .refused("invalid-component"),
    ]
}
