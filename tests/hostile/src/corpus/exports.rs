//! Components whose `merge` is missing, is something else, or is not what it seems.

use crate::guest::{Guest, TYPES, answer, data, lift};
use crate::hostile::{Hostile, answering_boom, text, with_harm};

const EXPORT: &str = r#"(export "merge" (func $merge))"#;

/// What takes the place of the export, and the code.
const IN_PLACE: [(&str, &str, &str, &str); 9] = [
    ("missing", "Exports nothing.", "no-merge-export", ""),
    (
        "of-another-name",
        "Exports its function under another name.",
        "no-merge-export",
        r#"(export "merges" (func $merge))"#,
    ),
    (
        "of-a-namespace",
        "Exports its function as an interface.",
        "no-merge-export",
        r#"(instance $x (export "merge" (func $merge)))
           (export "syncline:merge/merge@1.0.0" (instance $x))"#,
    ),
    (
        "instance",
        "Exports an instance in place of a function.",
        "no-merge-export",
        r#"(instance $x (export "f" (func $merge))) (export "merge" (instance $x))"#,
    ),
    (
        "type",
        "Exports a type in place of a function.",
        "no-merge-export",
        r#"(export "merge" (type $conflict))"#,
    ),
    (
        "module",
        "Exports a core module in place of a function.",
        "component-structure",
        r#"(export "merge" (core module $m))"#,
    ),
    (
        "component",
        "Exports a component in place of a function.",
        "component-structure",
        r#"(component $c) (export "merge" (component $c))"#,
    ),
    (
        "twice",
        "Exports its function twice.",
        "invalid-component",
        r#"(export "merge" (func $merge)) (export "merge" (func $merge))"#,
    ),
    (
        "twice-but-for-the-case",
        "Exports its function twice, once in capitals.",
        "invalid-component",
        r#"(export "merge" (func $merge)) (export "MERGE" (func $merge))"#,
    ),
];

/// A part of the world's types, and what stands in its place.
const OTHER_TYPES: [(&str, &str, &str, &str); 8] = [
    (
        "enumeration",
        "Calls a case of an enumeration otherwise.",
        r#"(enum "insert" "update" "delete")"#,
        r#"(enum "insert" "update" "erase")"#,
    ),
    (
        "case-more",
        "Knows an operation more.",
        r#"(enum "insert" "update" "delete")"#,
        r#"(enum "insert" "update" "delete" "drop")"#,
    ),
    (
        "sign",
        "Takes the time as a number with a sign.",
        r#"(field "hlc" u64)"#,
        r#"(field "hlc" s64)"#,
    ),
    ("field", "Calls a field otherwise.", r#"(field "row-pk" string)"#, r#"(field "key" string)"#),
    (
        "order",
        "Has two fields in another order.",
        r#"(field "table" string) (field "row-pk" string)"#,
        r#"(field "row-pk" string) (field "table" string)"#,
    ),
    (
        "option",
        "Needs an ancestor.",
        r#"(field "ancestor" (option (list u8)))"#,
        r#"(field "ancestor" (list u8))"#,
    ),
    (
        "result",
        "Never deletes a row.",
        "(result (result (option (list u8)) (error string)))",
        "(result (result (list u8) (error string)))",
    ),
    (
        "error",
        "Fails with bytes in place of a text.",
        "(result (result (option (list u8)) (error string)))",
        "(result (result (option (list u8)) (error (list u8))))",
    ),
];

/// A part of the core module or of how it is lifted, and what stands in its place.
const LIFTED_WRONG: [(&str, &str, &str, &str); 7] = [
    (
        "parameters",
        "Lifts a function that takes more.",
        r#"(func (export "merge") (param $p i32)"#,
        r#"(func (export "merge") (param $p i32) (param i32)"#,
    ),
    (
        "wide-result",
        "Lifts a function that answers with 64 bits.",
        r#"(func (export "merge") (param $p i32) (result i32)"#,
        r#"(func (export "merge") (param $p i32) (result i64) i64.const 0 return"#,
    ),
    (
        "realloc",
        "Lifts with a realloc of another type.",
        r#"(realloc (core func $i "realloc"))"#,
        r#"(realloc (core func $i "merge"))"#,
    ),
    ("no-realloc", "Lifts without a realloc.", r#"(realloc (core func $i "realloc"))"#, ""),
    ("no-memory", "Lifts without a memory.", r#"(memory (core memory $i "memory"))"#, ""),
    (
        "post-return",
        "Cleans up with a function of another type.",
        r#"(post-return (core func $i "post"))"#,
        r#"(post-return (core func $i "realloc"))"#,
    ),
    (
        "memory-that-is-none",
        "Lifts with a memory that nobody exports.",
        r#"(core memory $i "memory")"#,
        r#"(core memory $i "post")"#,
    ),
];

pub(super) fn all() -> Vec<Hostile> {
    let in_place = IN_PLACE.iter().map(|(name, tries, code, parts)| {
        text(format!("export-{name}"), *tries, move || {
            Guest::default().text().replacen(EXPORT, parts, 1)
        })
        .refused(code)
    });
    let replaced = |name: String, tries: &str, from: &'static str, to: &'static str| {
        text(name, tries, move || {
            let text = Guest::default().text();
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        })
    };
    let other_types = OTHER_TYPES.iter().map(|(name, tries, from, to)| {
        replaced(format!("type-of-{name}"), tries, from, to).refused("wrong-merge-type")
    });
    let lifted_wrong = LIFTED_WRONG.iter().map(|(name, tries, from, to)| {
        replaced(format!("lift-of-{name}"), tries, from, to).refused("invalid-component")
    });
    in_place.chain(other_types).chain(lifted_wrong).chain(roundabout()).collect()
}

fn roundabout() -> Vec<Hostile> {
    vec![
        text("export-of-an-import", "Exports the function that it imports.", || {
            format!(
                r#"(component {TYPES}
                  (import "their-merge" (func $merge (param "conflict" $conflict)
                    (result (result (option (list u8)) (error string)))))
                  (export "merge" (func $merge)))"#
            )
        })
        .refused("import-not-allowed"),
        text("type-of-nothing", "Takes nothing and gives nothing.", || {
            r#"(component
                 (core module $m (func (export "merge")))
                 (core instance $i (instantiate $m))
                 (func $merge (canon lift (core func $i "merge")))
                 (export "merge" (func $merge)))"#
                .into()
        })
        .refused("wrong-merge-type"),
        text(
            "export-of-more",
            "Exports other functions beside its own, which nobody calls.",
            || {
                answering_boom(br#"{"x":1}"#)
                    .text()
                    .replacen(
                        EXPORT,
                        &format!(
                            r#"{EXPORT} (export "init" (func $merge))
                       (func $run (canon lift (core func $x "run"))) (export "run" (func $run))"#
                        ),
                        1,
                    )
                    .replacen(
                        "(core instance $i",
                        r#"(core module $x (func (export "run") (unreachable)))
                   (core instance $x (instantiate $x)) (core instance $i"#,
                        1,
                    )
            },
        )
        .merges(r#"{"x":1}"#),
        text(
            "export-through-an-instance",
            "Puts its function into an instance and takes it out.",
            || {
                answering_boom(br#"{"x":1}"#).text().replacen(
                    EXPORT,
                    r#"(instance $x (export "f" (func $merge)))
                       (alias export $x "f" (func $same)) (export "merge" (func $same))"#,
                    1,
                )
            },
        )
        .merges(r#"{"x":1}"#),
        text("lift-of-itself", "Calls its own export, through the host and back.", lift_of_itself)
            .faults("trap"),
    ]
}

/// `merge` is lifted from an outer module that calls the lowering of a function that was lifted
/// from the inner: a component that enters itself.
fn lift_of_itself() -> String {
    let inner = with_harm(&data(2048, b"{}"), &answer(false, 2048, 2)).module();
    let good = Guest::default().merge;
    let (outer, own) = (lift("utf8"), lift("utf8"));
    let own = own.replace(r#"(export "merge" (func $merge))"#, "").replace("$merge", "$inner");
    let outer = outer.replace(r#"(core func $i "merge")"#, r#"(core func $o "merge")"#);
    format!(
        r#"(component {TYPES}
          (core module $m {inner})
          (core instance $i (instantiate $m))
          {own}
          (core func $lowered (canon lower (func $inner) (memory (core memory $i "memory"))
            (realloc (core func $i "realloc"))))
          (core module $n
            (import "m" "memory" (memory 1))
            (import "m" "lowered" (func $lowered (param i32 i32)))
            {}
            (func (export "merge") (param $p i32) (result i32)
              (if (result i32) (call $is_boom (local.get $p))
                (then (call $lowered (local.get $p) (i32.const 1024)) (i32.const 1024))
                (else {good}))))
          (core instance $o (instantiate $n (with "m" (instance
            (export "memory" (memory $i "memory")) (export "lowered" (func $lowered))))))
          {outer})"#,
        crate::hostile::IS_BOOM
    )
}
