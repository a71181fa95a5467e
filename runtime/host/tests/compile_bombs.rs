//! Small components that cost a compiler much, or the checks before it. What is asserted is what
//! becomes of them, never how long that takes.
//!
//! All in one test, one after the other: they share the one compiler of this process, and would
//! find it busy.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod guest;

use guest::{Guest, case, custom_section, merged};
use syncline_core::FunctionVersion;
use syncline_host::{COMPONENT_BYTES_MAX, Compiler, Host, HostConfig};

const TOO_COMPLEX: &[&str] = &["component-too-complex"];
/// On a machine that does much else the time for an answer is over before the processor's is.
const TOO_EXPENSIVE: &[&str] = &["compile-too-expensive", "compile-unavailable"];
const STRUCTURE: &[&str] = &["component-structure"];
const ADMITTED: &[&str] = &["admitted"];

fn repeat(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

/// A guest whose core module has this in it too.
fn with_items(items: String) -> Vec<u8> {
    Guest { items, ..Guest::default() }.component()
}

/// A component with more in it than its guest.
fn with_parts(parts: &str) -> Vec<u8> {
    let guest = Guest::default().text();
    let text = format!("{} {parts})", guest.trim_end().strip_suffix(')').unwrap());
    wat::parse_str(text).unwrap()
}

/// A type with so many values in and out.
fn wide(values: usize) -> String {
    let values = "i64 ".repeat(values);
    format!("(type $wide (func (param {values}) (result {values})))")
}

fn locals(count: usize) -> String {
    repeat(count, |local| format!("(local.get {local}) "))
}

/// What passes many values on by short operators.
fn passing() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let calls = |call: &str| {
        with_items(format!(
            "{} (table 1 funcref) (func $f (type $wide) unreachable)
             (func (type $wide) {} {})",
            wide(128),
            locals(128),
            call.repeat(20_000)
        ))
    };
    let blocks = |open: &str, close: &str, count: usize| {
        let body = format!("{open} (type $wide) {close}").repeat(count);
        with_items(format!("{} (func (type $wide) {} {body})", wide(120), locals(120)))
    };
    vec![
        ("calls with many values", calls("(call $f) "), TOO_COMPLEX),
        (
            "indirect calls with many values",
            calls("(call_indirect (type $wide) (i32.const 0)) "),
            TOO_COMPLEX,
        ),
        ("blocks of many values", blocks("(block", "(br_if 0 (i32.const 0)))", 5_000), TOO_COMPLEX),
        ("loops of many values", blocks("(loop", "(br_if 0 (i32.const 0)))", 5_000), TOO_COMPLEX),
        (
            "choices of many values",
            blocks("(i32.const 1) (if", "(then) (else))", 1_500),
            TOO_COMPLEX,
        ),
        (
            "many functions of many values",
            with_items(format!(
                "{} {}",
                wide(128),
                "(func (type $wide) unreachable) ".repeat(19_000)
            )),
            TOO_COMPLEX,
        ),
    ]
}

/// What is long, or many, or meets often.
fn plain() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let local_types = "i32 ".repeat(100);
    let steps = repeat(4_000, |i| {
        let (to, from) = (i % 100, (i + 1) % 100);
        format!("(loop (br_if 0 (local.tee {to} (i32.add (local.get {from}) (i32.const 1)))))")
    });
    let live = repeat(8_000, |i| format!("(i32.load offset={i} (local.get 0)) "));
    let sums = "i32.add ".repeat(7_999);
    let arms = repeat(7_000, |i| format!("{i} "));
    vec![
        (
            "many live values over a call",
            with_items(format!("(func $c) (func (param i32) (result i32) {live} call $c {sums})")),
            ADMITTED,
        ),
        (
            "thousands of loops in a row",
            with_items(format!("(func (param i32) (local {local_types}) {steps})")),
            ADMITTED,
        ),
        (
            "a table of branches to thousands of blocks",
            with_items(format!(
                "(func (param i32) {} (br_table {arms} 0 (local.get 0)) {})",
                "block ".repeat(7_000),
                "end ".repeat(7_000)
            )),
            TOO_COMPLEX,
        ),
        (
            "thousands of blocks in one another",
            with_items(format!(
                "(func (param i32) {} {})",
                "(block (br_if 0 (local.get 0)) ".repeat(7_000),
                ")".repeat(7_000)
            )),
            ADMITTED,
        ),
        (
            "many functions with many locals",
            with_items(repeat(15_000, |_| format!("(func (local {local_types}))"))),
            TOO_COMPLEX,
        ),
        (
            "wide arithmetic",
            with_items(format!(
                "(func (param v128) (result v128) (local.get 0) {})",
                "i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_u f64x2.nearest "
                    .repeat(10_000)
            )),
            ADMITTED,
        ),
        (
            "many globals",
            with_items(repeat(1_001, |_| "(global (mut i32) (i32.const 0))".into())),
            TOO_COMPLEX,
        ),
    ]
}

/// What costs the checks themselves.
fn checked() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let mut empty_sections = Guest::default().component();
    while empty_sections.len() < COMPONENT_BYTES_MAX - 3 {
        empty_sections.extend([0, 1, 0]);
    }
    let mut large_section = Guest::default().component();
    let zeros = vec![0; COMPONENT_BYTES_MAX - large_section.len() - 100];
    large_section.extend(custom_section("x", &zeros));
    let resources = |count| repeat(count, |i| format!("(export \"a{i}\" (type (sub resource)))"));
    let imports = |count| repeat(count, |i| format!("(import \"i{i}\" (instance (type $r)))"));
    let interfaces = |declarations, count| {
        let (declarations, imports) = (resources(declarations), imports(count));
        with_parts(&format!("(type $r (instance {declarations})) {imports}"))
    };
    vec![
        ("millions of empty sections", empty_sections, TOO_COMPLEX),
        ("one large section", large_section, ADMITTED),
        ("many interfaces", interfaces(10, 200), TOO_COMPLEX),
        ("interfaces with many resources", interfaces(2_001, 1), TOO_COMPLEX),
        ("as many as are allowed", interfaces(1_900, 99), &["import-not-allowed"]),
        (
            "interfaces in one another",
            with_parts(
                "(type $r (instance
                   (type $s (instance (export \"a\" (type (sub resource)))))
                   (export \"s\" (instance (type $s)))))",
            ),
            STRUCTURE,
        ),
        ("types of components", with_parts("(type (component))"), STRUCTURE),
        (
            "instances that multiply",
            with_parts(
                "(component $a (core module $m) (core instance (instantiate $m))
                   (core instance (instantiate $m)))
                 (component $b (component $a (core module $m) (core instance (instantiate $m))
                   (core instance (instantiate $m)))
                   (instance (instantiate $a)) (instance (instantiate $a)))
                 (instance (instantiate $a)) (instance (instantiate $b))
                 (instance (instantiate $b))",
            ),
            STRUCTURE,
        ),
    ]
}

/// What only the child's own limits catch: more memory than it may have, and more time.
fn caught() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    // Far more of them than there are registers.
    let live = format!(
        "(func (param i32) (result i64) {} {})",
        repeat(20_000, |i| format!("(i64.load offset={i} (local.get 0))")),
        "i64.mul ".repeat(19_999)
    );
    vec![
        (
            "growing memory in a row",
            with_items(format!(
                "(func (param i32) {})",
                "(drop (memory.grow (local.get 0)))".repeat(50_000)
            )),
            &["compile-too-expensive"],
        ),
        ("values that live at once", with_items(live.repeat(7)), TOO_EXPENSIVE),
    ]
}

#[test]
fn a_small_file_that_costs_much_is_refused_and_the_next_one_is_taken() {
    let program = env!("CARGO_BIN_EXE_compile-worker").into();
    let compiler = Compiler::Process { program, args: Vec::new() };
    let config = HostConfig { slots: 2, functions: 2, compiler, ..HostConfig::default() };
    let host = Host::new(config).unwrap();
    for (name, component, expected) in
        [passing(), plain(), checked(), caught()].into_iter().flatten()
    {
        let (code, text) = match host.admit(&component) {
            Ok(_) => ("admitted", String::new()),
            Err(refused) => (refused.code(), refused.to_string()),
        };
        assert!(expected.contains(&code), "{name}, {} bytes: {code} {text}", component.len());
    }
    let good = Guest::default().component();
    let version = FunctionVersion::of(&good);
    host.load(version, &good).unwrap();
    assert_eq!(host.run(&version, &case().input()).unwrap().outcome, merged(r#"{"n":2}"#));
}
