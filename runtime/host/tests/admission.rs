//! What is not taken as a merge function, and what it is told.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod guest;

use std::time::{Duration, Instant};

use guest::{Guest, TYPES, custom_section, doing, host, leb};
use syncline_host::{COMPONENT_BYTES_MAX, Host, LoadError, Refused};

/// The code and the text with which these bytes are refused.
fn refused(host: &Host, component: &[u8]) -> (&'static str, String) {
    match host.admit(component) {
        Ok(_) => ("admitted", String::new()),
        Err(refused) => (refused.code(), refused.to_string()),
    }
}

fn text(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"))
}

/// A component whose core module has more in it than the guest.
fn with_items(items: &str) -> Vec<u8> {
    Guest { items: items.into(), ..Guest::default() }.component()
}

/// A component with more in it than its guest.
fn with_parts(parts: &str) -> Vec<u8> {
    let guest = Guest::default().text();
    text(&format!("{} {parts})", guest.trim_end().strip_suffix(')').unwrap()))
}

#[test]
fn a_component_of_the_world_is_admitted() {
    let host = host();
    let component = Guest::default().component();
    let admitted = host.admit(&component).unwrap();
    assert_eq!(admitted.version, syncline_core::FunctionVersion::of(&component));
    assert!(admitted.manifest.needs_ancestor);
    let named = Guest {
        manifest: Some(r#"{"v":1,"name":"cart","version":"0.1.0"}"#.into()),
        ..Guest::default()
    };
    let manifest = host.admit(&named.component()).unwrap().manifest;
    assert_eq!(
        (manifest.name.as_deref(), manifest.version.as_deref()),
        (Some("cart"), Some("0.1.0"))
    );
}

#[test]
fn what_is_no_component_is_refused() {
    let host = host();
    let good = Guest::default().component();
    let code = |bytes: &[u8]| refused(&host, bytes).0;
    assert_eq!(code(b""), "not-wasm");
    assert_eq!(code(b"hello, this is not wasm at all"), "not-wasm");
    assert_eq!(code(b"(component)"), "not-wasm");
    assert_eq!(code(&good[..7]), "malformed-component");
    assert_eq!(code(b"\0asm\xff\xff\xff\xff"), "malformed-component");
    assert_eq!(code(&text(&format!("(module {})", Guest::default().module()))), "core-module");
    assert_eq!(code(b"\0asm\x01\0\0\0"), "core-module");
    assert_eq!(code(&vec![0; COMPONENT_BYTES_MAX + 1]), "component-too-large");
    assert_eq!(code(&text("(component)")), "no-merge-export");
}

#[test]
fn a_component_cut_anywhere_or_with_a_byte_changed_does_no_harm() {
    let host = host();
    let good = Guest::default().component();
    let mut admitted = 0;
    for length in 0..good.len() {
        match refused(&host, &good[..length]).0 {
            "not-wasm" | "malformed-component" | "invalid-component" | "no-merge-export" => {}
            // Without its last section, which holds names for debuggers.
            "admitted" => admitted += 1,
            code => panic!("{length}: {code}"),
        }
    }
    assert!(admitted <= 1);
    let mut ran = 0;
    for at in 0..good.len() {
        for mask in [0x01, 0x11, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= mask;
            // Some changes are only to names or constants; then it runs, to any outcome.
            let version = syncline_core::FunctionVersion::of(&bad);
            if host.load(version, &bad).is_ok() {
                match host.run(&version, &guest::case().input()) {
                    Ok(_) => ran += 1,
                    Err(fault) => panic!("{at} {mask}: {fault}"),
                }
                host.remove(&version);
            }
        }
    }
    assert!(ran > 100, "{ran}");
}

#[test]
fn imports_are_refused_by_name() {
    let host = host();
    let cases = [
        (r#"(import "log" (func (param "text" string)))"#, "`log`"),
        (r#"(import "thing" (type (sub resource)))"#, "`thing`"),
        (r#"(import "syncline:merge/types@0.9.0" (instance))"#, "`syncline:merge/types@0.9.0`"),
        (r#"(import "syncline:merge/clock@1.0.0" (instance))"#, "`syncline:merge/clock@1.0.0`"),
    ];
    for (import, name) in cases {
        let (code, message) = refused(&host, &text(&format!("(component {import})")));
        assert_eq!(code, "import-not-allowed", "{import}: {message}");
        assert!(message.contains(name), "{message}");
    }
    for inside in [r#"(export "now" (func (result u64)))"#, r#"(export "r" (type (sub resource)))"#]
    {
        let wat =
            format!(r#"(component (import "syncline:merge/types@1.0.0" (instance {inside})))"#);
        assert_eq!(refused(&host, &text(&wat)).0, "import-not-allowed");
    }
}

#[test]
fn of_the_system_only_what_is_allowed_is_let_in() {
    let host = host();
    for name in [
        "wasi:sockets/tcp@0.2.0",
        "wasi:sockets/network@0.2.6",
        "wasi:http/types@0.2.0",
        "wasi:clocks/timezone@0.2.0",
        "wasi:cli/run@0.2.0",
        "wasi:cli/exit",
        "wasi:cli/exit@0.1.0",
        "wasi:cli/exit@0.3.0",
        "wasi:cli/exit@1.2.0",
        "wasi:cli/exit@0.2.0-rc-2023-12-05",
        "wasi:cli/exit@0.2.0+build",
        "wasi:keyvalue/store@0.2.0",
        "other:cli/exit@0.2.0",
    ] {
        let wat = format!("(component (import \"{name}\" (instance)))");
        let (code, message) = refused(&host, &text(&wat));
        assert_eq!(code, "import-not-allowed", "{name}: {message}");
        assert!(message.contains(&format!("`{name}`")), "{message}");
    }
    let wat = "(component (import \"wasi:cli/exit@0.2.0\" (func)))";
    assert_eq!(refused(&host, &text(wat)).0, "import-not-allowed");
}

#[test]
fn what_is_let_in_is_linked_in_its_own_form_or_refused() {
    let host = host();
    let with = |import: &str| {
        let echo = Guest::default().text();
        let (start, rest) = echo.split_once('\n').unwrap();
        wat::parse_str(format!("{start}\n{import}\n{rest}")).unwrap()
    };
    for (name, inside) in [
        // Any release of the line that asks for nothing new.
        ("wasi:cli/exit@0.2.0", r#"(export "exit" (func (param "status" (result))))"#),
        ("wasi:cli/exit@0.2.99", r#"(export "exit" (func (param "status" (result))))"#),
        ("wasi:random/random@0.2.6", r#"(export "get-random-u64" (func (result u64)))"#),
        ("wasi:io/poll@0.2.3", r#"(export "pollable" (type (sub resource)))"#),
        ("wasi:filesystem/types@0.2.0", ""),
    ] {
        let admitted = host.admit(&with(&format!("(import \"{name}\" (instance {inside}))")));
        assert!(admitted.is_ok(), "{name}: {admitted:?}");
    }
    for (name, inside) in [
        ("wasi:cli/exit@0.2.0", r#"(export "leave" (func))"#),
        ("wasi:cli/exit@0.2.0", r#"(export "exit" (func (param "status" u8)))"#),
        ("wasi:clocks/wall-clock@0.2.0", r#"(export "now" (func (result u64)))"#),
        ("wasi:io/poll@0.2.3", r#"(export "streams" (type (sub resource)))"#),
        ("wasi:random/random@0.2.99", r#"(export "get-random-u8" (func (result u8)))"#),
    ] {
        let import = format!("(import \"{name}\" (instance {inside}))");
        let (code, message) = refused(&host, &with(&import));
        assert_eq!(code, "wrong-import-type", "{import}: {message}");
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_newer_world_is_told_from_a_wrong_import() {
    let host = host();
    for name in [
        "syncline:merge/types@1.0.1",
        "syncline:merge/types@1.1.0",
        "syncline:merge/types@2.0.0",
        "syncline:merge/clock@10.0.0",
    ] {
        let wat = Guest::default().text().replace("syncline:merge/types@1.0.0", name);
        let (code, message) = refused(&host, &text(&wat));
        assert_eq!(code, "newer-world", "{message}");
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn another_world_is_refused() {
    let host = host();
    let wat = Guest::default().text();
    let code = |wat: &str| refused(&host, &text(wat)).0;
    assert_eq!(code(&wat.replace(r#"(export "merge" (func $merge))"#, "")), "no-merge-export");
    assert_eq!(
        code(
            &wat.replace(r#"(export "merge" (func $merge))"#, r#"(export "merged" (func $merge))"#)
        ),
        "no-merge-export"
    );
    assert_eq!(
        code(&format!("(component {TYPES} (export \"merge\" (type $conflict)))")),
        "no-merge-export"
    );
    for (ours, other) in [
        (r#"(enum "insert" "update" "delete")"#, r#"(enum "insert" "update" "erase")"#),
        (r#"(field "hlc" u64)"#, r#"(field "hlc" s64)"#),
        (r#"(field "row-pk" string)"#, r#"(field "key" string)"#),
        (r#"(field "ancestor" (option (list u8)))"#, r#"(field "ancestor" (list u8))"#),
        (r#"(result (option (list u8)) (error string))"#, r#"(result (list u8) (error string))"#),
        (r#"(result (option (list u8)) (error string))"#, r#"(result (option (list u8)))"#),
        (r#"(param "conflict" $conflict)"#, r#"(param "conflict" $conflict) (param "more" u32)"#),
    ] {
        let changed = wat.replace(ours, other);
        assert_ne!(changed, wat);
        // Where the layout differs too the core function is of another type, which shows before.
        let code = code(&changed);
        assert!(["wrong-merge-type", "invalid-component"].contains(&code), "{other}: {code}");
    }
    let renamed = wat.replace(r#""delete""#, r#""erase""#);
    assert_eq!(code(&renamed), "wrong-merge-type");
}

#[test]
fn features_that_the_profile_leaves_out_are_refused() {
    let host = host();
    let cases = [
        "(func (result v128) (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0)))",
        "(func $f (return_call $f))",
        "(memory $second 1)",
        "(func (param i32) (result i32) (i32.atomic.load (local.get 0)))",
        "(type $s (struct (field i32))) (func (drop (struct.new_default $s)))",
        "(tag $t) (func (throw $t))",
        "(func (param externref))",
        "(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))",
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
        "(func (param i64 i64 i64 i64) (i64.add128 (local.get 0) (local.get 1) (local.get 2)
            (local.get 3)) drop drop)",
    ];
    for items in cases {
        let (code, message) = refused(&host, &with_items(items));
        assert_eq!(
            code,
            if items.contains("memory") { "component-too-complex" } else { "invalid-component" },
            "{items}: {message}"
        );
    }
    let memory64 = with_parts("(core module (memory i64 1))");
    assert_eq!(refused(&host, &memory64).0, "invalid-component");
    let future = with_parts("(type (future u8))");
    assert_eq!(refused(&host, &future).0, "invalid-component");
    assert!(host.admit(&with_items("(func (result v128) (v128.const i32x4 0 0 0 0))")).is_ok());
}

#[test]
fn the_manifest_must_be_one_that_can_be_followed() {
    let host = host();
    let good = Guest::default().component();
    let with = |sections: &[&str]| {
        let mut component = good.clone();
        for section in sections {
            component.extend(custom_section("syncline:manifest", section.as_bytes()));
        }
        component
    };
    assert!(host.admit(&with(&[r#"{"v":1}"#])).is_ok());
    for sections in [
        &["{"][..],
        &[r#"{"v":2}"#],
        &[r#"{"v":1,"limits":{"fuel":50000001}}"#],
        &[r#"{"v":1}"#, r#"{"v":1}"#],
    ] {
        let (code, message) = refused(&host, &with(sections));
        assert_eq!(code, "invalid-manifest", "{message}");
    }
    // Inside of the core module it is some other tool's business.
    let inner = with_items("(@custom \"syncline:manifest\" \"{\")");
    assert!(host.admit(&inner).unwrap().manifest.needs_ancestor);
    let more = Guest { memory: r#"(memory (export "memory") 1025)"#.into(), ..Guest::default() };
    assert_eq!(refused(&host, &more.component()).0, "memory-too-large");
    let less = Guest {
        manifest: Some(r#"{"v":1,"limits":{"memory_bytes":262143}}"#.into()),
        ..Guest::default()
    };
    assert_eq!(refused(&host, &less.component()).0, "memory-too-large");
}

#[test]
fn code_from_elsewhere_is_refused() {
    let host = host();
    for parts in [
        r#"(import "m" (core module $x))"#,
        r#"(import "c" (component $x))"#,
        "(core module $x) (component (alias outer 1 $x (core module)))",
        "(component $x) (component (alias outer 1 $x (component)))",
        r#"(component $c (core module $x) (export "x" (core module $x))) (instance $i (instantiate $c))"#,
        r#"(core module $x) (export "x" (core module $x))"#,
        r#"(component (component $x) (export "x" (component $x)))"#,
        "(component (core module))",
        "(core module $x) (core instance (instantiate $x)) (core instance (instantiate $x))",
        r#"(core module (func (export "syncline:meter-fuel")))"#,
        r#"(core module (import "syncline:meter" "fuel" (func)))"#,
    ] {
        let (code, message) = refused(&host, &with_parts(parts));
        assert_eq!(code, "component-structure", "{parts}: {message}");
    }
}

/// Repeats a text, with `N` replaced by the number.
fn times(count: usize, part: &str) -> String {
    (0..count).map(|n| part.replace('N', &n.to_string())).collect()
}

#[test]
fn bombs_are_refused_by_their_counts() {
    let host = host();
    let started = Instant::now();
    let nested = |levels: usize| format!("{}{}", "(component ".repeat(levels), ")".repeat(levels));
    let parts = [
        times(8, "(core module)"),
        times(16, "(component)"),
        nested(5),
        "(core module $x (memory 1)) (core instance (instantiate $x))".to_owned(),
        times(
            2,
            "(core module $xN (table 1 funcref) (table 1 funcref) (table 1 funcref)) \
             (core instance (instantiate $xN))",
        ),
        format!("(component $x) {}", times(17, "(instance (instantiate $x))")),
    ];
    for parts in &parts {
        let (code, message) = refused(&host, &with_parts(parts));
        assert_eq!(code, "component-too-complex", "{parts}: {message}");
    }
    let items = [
        times(20_000, "(func)"),
        format!("(func {})", "nop ".repeat(300 << 10)),
        times(9, &format!("(func {})", "nop ".repeat(255 << 10))),
        times(1_001, "(global i32 (i32.const N))"),
        times(10_001, "(func $fN (import \"a\" \"N\"))"),
        times(10_001, "(data \"\")"),
        format!("(table 10000 funcref) (elem (i32.const 0) func {})", "0 ".repeat(100_001)),
        "(table 10001 funcref)".to_owned(),
        times(5, "(table 1 funcref)"),
        format!("(data \"{}\")", "x".repeat(5 << 20)),
        times(100_000, "(type (func (param i32 i64 f32 f64 i32 i64 f32 f64)))"),
    ];
    for items in &items {
        let component = if items.contains("import") {
            // Imports come first in a module.
            text(&format!("(component (core module {items}))"))
        } else {
            with_items(items)
        };
        let (code, message) = refused(&host, &component);
        assert_eq!(code, "component-too-complex", "{message}: {}", &items[..60.min(items.len())]);
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn code_that_is_hard_to_compile_is_refused() {
    let host = host();
    let started = Instant::now();
    let locals = |count| "i32 ".repeat(count);
    let loops = |count: usize, set: &str| {
        format!("{}{}", format!("(loop {set} ").repeat(count), ")".repeat(count))
    };
    let values = |count| format!("(func (param {}))", "i64 ".repeat(count));
    let set = "(local.set 1 (i32.add (local.get 2) (local.get 3)))";
    let many = |places: usize, local_count| {
        format!("(func (local {}) {})", locals(local_count), loops(1, set).repeat(places))
    };
    for items in [
        format!("(func (local {}) {})", locals(100), loops(51, set)),
        values(129),
        many(1_000, 1_000),
        many(10, 49_000).repeat(25),
        format!(
            "(func (local {}) (block (br_table {} (i32.const 0))))",
            locals(1_000),
            "0 ".repeat(60_000)
        ),
    ] {
        let (code, message) = refused(&host, &with_items(&items));
        assert_eq!(code, "component-too-complex", "{message}: {}", &items[..60.min(items.len())]);
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    for items in [format!("(func (local {}) {})", locals(100), loops(50, set)), values(128)] {
        host.admit(&with_items(&items)).unwrap();
    }
}

#[test]
fn a_count_that_lies_is_refused() {
    let host = host();
    let good = Guest::default().component();
    // Sections of 4 billion items without any of them: of types, aliases, instances, exports.
    for id in 1..=11 {
        let mut bytes = good.clone();
        let count = leb(u32::MAX as usize);
        bytes.push(id);
        bytes.extend(leb(count.len()));
        bytes.extend(count);
        let (code, message) = refused(&host, &bytes);
        let codes = ["component-too-complex", "malformed-component", "invalid-component"];
        assert!(codes.contains(&code), "{id}: {message}");
    }
}

#[test]
fn a_type_bomb_is_refused() {
    let host = host();
    let types: String = (1..40)
        .map(|n| {
            "(type $tN (tuple $tM $tM))"
                .replace('N', &n.to_string())
                .replace('M', &(n - 1).to_string())
        })
        .collect();
    let bomb = with_parts(&format!("(type $t0 (tuple u8 u8)) {types}"));
    assert_eq!(refused(&host, &bomb).0, "invalid-component");
}

#[test]
fn deep_nesting_in_a_function_compiles_or_is_refused() {
    let host = host();
    for depth in [1_000, 10_000, 60_000] {
        let body =
            format!("{}{}", "(block ".repeat(0), "block ".repeat(depth) + &"end ".repeat(depth));
        let _ = host.admit(&doing(&format!("{body} unreachable")).component());
        let sum = "(i32.const 1) ".repeat(depth) + &"i32.add ".repeat(depth - 1);
        let _ = host.admit(&doing(&sum).component());
        let ifs = "(i32.const 1) if ".repeat(depth) + &"end ".repeat(depth) + " unreachable";
        let _ = host.admit(&doing(&ifs).component());
    }
}

#[test]
fn a_refused_component_is_not_loaded() {
    let host = host();
    let component = text("(component)");
    let version = syncline_core::FunctionVersion::of(&component);
    let error = host.load(version, &component).unwrap_err();
    assert!(matches!(error, LoadError::Refused(Refused::NoMerge)), "{error}");
    let good = Guest::default().component();
    let error = host.load(version, &good).unwrap_err();
    assert!(matches!(error, LoadError::Checksum { .. }), "{error}");
    assert!(host.manifest(&version).is_none());
}
