//! Components that ask for what a merge function is not given.

use crate::guest::{Guest, TYPES};
use crate::hostile::{Hostile, answering_boom, text};

const NOT_ALLOWED: [(&str, &str, &str); 19] = [
    (
        "unknown",
        "Imports an interface that nobody knows.",
        r#"(import "my:own/thing@1.0.0" (instance))"#,
    ),
    ("sockets", "Imports the network.", r#"(import "wasi:sockets/tcp@0.2.0" (instance))"#),
    (
        "names",
        "Imports the lookup of names.",
        r#"(import "wasi:sockets/ip-name-lookup@0.2.0" (instance))"#,
    ),
    ("http", "Imports HTTP.", r#"(import "wasi:http/outgoing-handler@0.2.0" (instance))"#),
    ("key-values", "Imports a store.", r#"(import "wasi:keyvalue/store@0.2.0-draft" (instance))"#),
    ("time-zones", "Imports the time zone.", r#"(import "wasi:clocks/timezone@0.2.0" (instance))"#),
    (
        "wasi-0.3",
        "Imports a clock of WASI 0.3.",
        r#"(import "wasi:clocks/system-clock@0.3.0" (instance))"#,
    ),
    (
        "wasi-without-version",
        "Imports WASI of no version.",
        r#"(import "wasi:random/random" (instance))"#,
    ),
    (
        "wasi-look-alike",
        "Imports what is nearly called like WASI.",
        r#"(import "wasi:random/random-x@0.2.0" (instance))"#,
    ),
    ("function", "Imports a function.", r#"(import "log" (func (param "text" string)))"#),
    (
        "function-called-merge",
        "Imports a function called like its export.",
        r#"(import "merge" (func (param "text" string)))"#,
    ),
    ("resource", "Imports a resource.", r#"(import "thing" (type (sub resource)))"#),
    (
        "instance-with-a-resource",
        "Imports an instance with a resource.",
        r#"(import "my:own/things@1.0.0" (instance (export "thing" (type (sub resource)))))"#,
    ),
    (
        "older-world",
        "Imports our types of an older version.",
        r#"(import "syncline:merge/types@0.9.0" (instance))"#,
    ),
    (
        "our-clock",
        "Imports a clock from our package.",
        r#"(import "syncline:merge/clock@1.0.0" (instance))"#,
    ),
    (
        "our-types-without-version",
        "Imports our types of no version.",
        r#"(import "syncline:merge/types" (instance))"#,
    ),
    (
        "by-address",
        "Imports what lies at an address on the web.",
        r#"(import "url=<https://example.com/evil.wasm>" (func))"#,
    ),
    (
        "by-checksum",
        "Imports what has a checksum.",
        r#"(import "integrity=<sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=>" (func))"#,
    ),
    (
        "by-dependency",
        "Imports whatever fits a range of versions.",
        r#"(import "unlocked-dep=<my:own@{>=1.0.0}>" (func))"#,
    ),
];

const REFUSED: [(&str, &str, &str, &str); 5] = [
    (
        "core-module",
        "Imports a core module.",
        "component-structure",
        r#"(import "m" (core module))"#,
    ),
    ("component", "Imports a component.", "component-structure", r#"(import "c" (component))"#),
    ("value", "Imports a value.", "invalid-component", r#"(import "v" (value string))"#),
    (
        "error-context",
        "Imports a function of what components do not have yet.",
        "invalid-component",
        r#"(import "f" (func (result error-context)))"#,
    ),
    (
        "stream",
        "Imports a function with a stream.",
        "invalid-component",
        r#"(import "f" (func (result (stream u8))))"#,
    ),
];

pub(super) fn all() -> Vec<Hostile> {
    let with = |name: &str, tries: &str, import: &'static str| {
        text(format!("import-{}", name.replace('.', "-")), tries, move || {
            Guest::default().text().replacen("(component", &format!("(component {import}"), 1)
        })
    };
    let not_allowed = NOT_ALLOWED
        .iter()
        .map(|(name, tries, import)| with(name, tries, import).refused("import-not-allowed"));
    let refused =
        REFUSED.iter().map(|(name, tries, code, import)| with(name, tries, import).refused(code));
    not_allowed.chain(refused).chain(of_our_own()).collect()
}

fn of_our_own() -> Vec<Hostile> {
    let version = |name: &str, tries: &str, version: &'static str| {
        text(name, tries, move || {
            Guest::default().text().replace("types@1.0.0", &format!("types@{version}"))
        })
    };
    let inside = |name: &str, tries: &str, export: &'static str| {
        text(name, tries, move || {
            answering_boom(br#"{"i":1}"#).text().replacen(
                "(export \"conflict\" (type (eq $conflict')))",
                &format!("(export \"conflict\" (type (eq $conflict'))) {export}"),
                1,
            )
        })
    };
    vec![
        version("import-newer-patch", "Is built for our world 1.0.1.", "1.0.1")
            .refused("newer-world"),
        version("import-newer-minor", "Is built for our world 1.1.0.", "1.1.0")
            .refused("newer-world"),
        version("import-newer-major", "Is built for our world 10.0.0.", "10.0.0")
            .refused("newer-world"),
        version("import-older", "Is built for our world 0.9.9.", "0.9.9")
            .refused("import-not-allowed"),
        inside(
            "import-function-in-our-types",
            "Has our types bring a function along.",
            r#"(export "now" (func (result u64)))"#,
        )
        .refused("import-not-allowed"),
        inside(
            "import-resource-in-our-types",
            "Has our types bring a resource along.",
            r#"(export "handle" (type (sub resource)))"#,
        )
        .refused("import-not-allowed"),
        inside(
            "import-another-type-in-our-types",
            "Has our types bring a type along.",
            r#"(type $more' u8) (export "more" (type (eq $more')))"#,
        )
        .merges(r#"{"i":1}"#),
        text(
            "import-component-in-an-instance",
            "Imports an instance that has a component.",
            || {
                r#"(component (import "my:own/c@1.0.0" (instance (export "c" (component)))))"#
                    .into()
            },
        )
        .refused("component-structure"),
        text("import-twice", "Imports our types twice.", || {
            let again = TYPES
                .replace("$types", "$again")
                .replace("(type $conflict))", "(type $conflict-again))");
            Guest::default().text().replacen(TYPES, &format!("{TYPES} {again}"), 1)
        })
        .refused("invalid-component"),
    ]
}
