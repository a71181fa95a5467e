//! What the meter counts, which is part of the determinism profile: the golden file never changes
//! under one profile, and no setting of the engine takes part in it.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod guest;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use guest::{Guest, case, doing, load};
use syncline_core::{FunctionVersion, GuestFault};
use syncline_guest_build::example;
use syncline_host::{EngineSettings, Host, HostConfig, PROFILE, Run};

/// Guests that between them use each kind of operator and each rule of the pass.
#[allow(clippy::too_many_lines, reason = "a list, of which each entry stands for itself")]
fn guests() -> Vec<(&'static str, Guest)> {
    let answer = Guest::default().merge;
    let with = |items: &str, body: &str| Guest {
        items: items.into(),
        ..doing(&format!("(local $i i32) (local $x i64) (local $f f64) {body} {answer}"))
    };
    let turns = |body: &str| {
        format!(
            "(loop $l {body} (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $l (i32.lt_u (local.get $i) (i32.const 100))))"
        )
    };
    vec![
        ("answers at once", Guest::default()),
        ("a loop", with("", &turns(""))),
        ("a loop in a loop", with("", &turns(&format!("(block {} )", turns(""))))),
        (
            "branches that are folded and some that are not",
            with(
                "",
                &turns(
                    "(if (i32.and (local.get $i) (i32.const 1)) (then nop) (else (local.set $x
                   (i64.mul (local.get $x) (i64.add (local.get $x) (i64.const 5))))))
                 (block $a (br_if $a (i32.eqz (local.get $i)))
                   (local.set $x (i64.const 1)) (br_if $a (i64.eqz (local.get $x)))
                   (local.set $f (f64.const 1)))",
                ),
            ),
        ),
        (
            "a table of branches",
            with(
                "",
                &turns(
                    "(block $a (block $b (block $c
                   (br_table $a $b $c (i32.rem_u (local.get $i) (i32.const 5))))
                   (local.set $x (i64.const 3))) (local.set $x (i64.const 4)))",
                ),
            ),
        ),
        (
            "code that is not reached",
            with(
                "(func $f (result i32) (return (i32.const 1)) (i32.const 2) (drop) (i32.const 3))",
                "(block $a (br $a) (loop $l (br $l))) (drop (call $f))",
            ),
        ),
        (
            "calls",
            with(
                "(type $t (func (param i32) (result i32)))
                 (table 2 funcref) (elem (i32.const 0) $one $two)
                 (func $one (type $t) (i32.add (local.get 0) (i32.const 1)))
                 (func $two (type $t) (call $one (call $one (local.get 0))))
                 (func $three (param i32 i64) (result i64 i32)
                   (local.get 1) (call $two (local.get 0)))
                 (func $early (param i32) (result i32)
                   (if (local.get 0) (then (return (call $two (i32.const 5)))))
                   (call $one (i32.const 7)))",
                &turns(
                    "(drop (call_indirect (type $t) (local.get $i)
                        (i32.and (local.get $i) (i32.const 1))))
                     (call $three (local.get $i) (local.get $x)) (drop) (drop)
                     (drop (call $early (i32.and (local.get $i) (i32.const 3))))",
                ),
            ),
        ),
        (
            "recursion",
            with(
                "(func $fib (param i32) (result i32) (if (result i32)
                   (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
                   (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))",
                "(drop (call $fib (i32.const 15)))",
            ),
        ),
        (
            "lengths",
            with(
                "(table $t 10 funcref) (elem $e func $f) (func $f)
                 (data $d \"0123456789abcdef\")",
                "(memory.fill (i32.const 8192) (i32.const 7) (i32.const 5000))
                 (memory.copy (i32.const 9000) (i32.const 8192) (i32.const 777))
                 (memory.init $d (i32.const 8200) (i32.const 1) (i32.const 15)) (data.drop $d)
                 (table.fill $t (i32.const 1) (ref.func $f) (i32.const 9))
                 (table.copy $t $t (i32.const 0) (i32.const 4) (i32.const 5))
                 (table.init $t $e (i32.const 2) (i32.const 0) (i32.const 1)) (elem.drop $e)
                 (table.set $t (i32.const 3) (table.get $t (i32.const 4)))
                 (drop (table.grow $t (ref.null func) (i32.const 20)))
                 (drop (table.grow $t (ref.null func) (i32.const 20000)))
                 (drop (table.size $t)) (drop (memory.grow (i32.const 3)))
                 (drop (memory.grow (i32.const 0))) (drop (memory.size))",
            ),
        ),
        (
            "numbers",
            with(
                "",
                &turns(
                    "(local.set $x (i64.rem_u (i64.add (i64.extend_i32_u (i32.div_u (local.get $i)
                    (i32.const 3))) (i64.popcnt (local.get $x))) (i64.const 11)))
                 (local.set $f (f64.sqrt (f64.div (f64.min (f64.add (local.get $f) (f64.const 1.5))
                    (f64.convert_i32_s (local.get $i))) (f64.const 3))))
                 (drop (i32.trunc_sat_f64_u (f64.nearest (f64.mul (local.get $f) (f64.const 9)))))",
                ),
            ),
        ),
        (
            "vectors",
            with(
                "(func $v (param v128) (result v128) (local v128)
                   (local.set 1 (i8x16.add (local.get 0) (v128.const i32x4 1 2 3 4)))
                   (f64x2.div (f32x4.ceil (local.get 1)) (i32x4.splat (i32.const 5))))",
                &turns("(drop (i8x16.extract_lane_s 3 (call $v (v128.const i64x2 1 2))))"),
            ),
        ),
        (
            "globals of its own",
            with(
                "(global $g (mut i32) (i32.const 1)) (global $c i64 (i64.const 2))
                 (export \"g\" (global $g))",
                &turns("(global.set $g (i32.add (global.get $g) (i32.wrap_i64 (global.get $c))))"),
            ),
        ),
        (
            "all around the call",
            Guest {
                items: format!("(func $go (local $i i32) {})", turns("")),
                start: Some("call $go".into()),
                post_return: "call $go".into(),
                realloc: format!("call $go {}", Guest::default().realloc),
                ..Guest::default()
            },
        ),
        ("a trap", with("", "unreachable")),
        ("an endless loop", with("", "(loop $l (br $l))")),
    ]
}

/// A guest of two core modules, which call one another through a table, and share the budget.
fn two_modules(levels: u32) -> Vec<u8> {
    let guest = Guest {
        items: format!(
            r#"(type $t (func (param i32)))
               (table (export "table") 2 funcref) (elem (i32.const 0) func $here)
               (global $mine (mut i32) (i32.const 3)) (export "mine" (global $mine))
               (func $here (export "here") (type $t)
                 (if (local.get 0) (then (call_indirect (type $t)
                   (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))))
               (func $go (call $here (i32.const {levels})))"#
        ),
        merge: format!("call $go {}", Guest::default().merge),
        ..Guest::default()
    };
    let second = r#"
      (core module $second
        (import "first" "table" (table $t 2 funcref))
        (import "first" "mine" (global $mine (mut i32)))
        (type $t (func (param i32)))
        (table $own 1 funcref) (global $plus (mut i32) (i32.const 5))
        (elem (table $t) (i32.const 1) func $there)
        (func $there (type $t)
          (global.set $mine (i32.add (global.get $mine) (global.get $plus)))
          (drop (table.get $own (i32.const 0)))
          (if (local.get 0) (then (call_indirect $t (type $t)
            (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))))
      (core instance (instantiate $second (with "first" (instance $i))))"#;
    let text = guest.text();
    let text = text.trim_end().strip_suffix(')').unwrap();
    wat::parse_str(format!("{text} {second})")).unwrap()
}

fn host(engine: EngineSettings) -> Host {
    Host::new(HostConfig { slots: 2, functions: 2, engine, ..HostConfig::default() }).unwrap()
}

fn run(host: &Host, guest: &Guest) -> Run {
    run_bytes(host, &guest.component())
}

/// One call, without its log: that is for people, and says where the engine's frames were.
fn run_bytes(host: &Host, component: &[u8]) -> Run {
    let version = FunctionVersion::of(component);
    host.load(version, component).unwrap();
    let run = host.run(&version, &case().input()).unwrap();
    host.remove(&version);
    Run { log: String::new(), ..run }
}

fn line(name: &str, run: &Run) -> String {
    let outcome = match &run.outcome {
        Ok(_) => "merged",
        Err(fault) => fault.code(),
    };
    match run.usage {
        Some(usage) => {
            format!("{name}: {outcome}, fuel {}, stack {}", usage.fuel, usage.stack_bytes)
        }
        None => format!("{name}: {outcome}"),
    }
}

#[test]
fn the_profile_is_what_the_golden_file_says() {
    let host = host(EngineSettings::Production);
    let mut found = String::new();
    for (name, guest) in guests() {
        writeln!(found, "{}", line(name, &run(&host, &guest))).unwrap();
    }
    writeln!(found, "{}", line("two modules", &run_bytes(&host, &two_modules(1000)))).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../tests/golden/metering/profile-{PROFILE}.txt"));
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &found).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(found, golden, "a change of what is counted needs a new profile");
}

#[test]
fn no_setting_of_the_engine_changes_a_count() {
    let reference = host(EngineSettings::Production);
    let examples = ["cart", "first-word", "hash-sides"]
        .map(|name| (name, fs::read(example(name).unwrap().path).unwrap()));
    for settings in EngineSettings::ALL {
        let host = host(settings);
        for (name, guest) in guests() {
            assert_eq!(run(&host, &guest), run(&reference, &guest), "{settings:?}: {name}");
        }
        for (name, component) in &examples {
            let (here, there) = (run_bytes(&host, component), run_bytes(&reference, component));
            assert_eq!(here, there, "{settings:?}: {name}");
        }
        let component = two_modules(1000);
        assert_eq!(run_bytes(&host, &component), run_bytes(&reference, &component), "{settings:?}");
    }
}

/// Functions that recurse without end, each with a frame that is heavy in another way.
fn recursions() -> Vec<(&'static str, String)> {
    let times = |n: usize, part: &dyn Fn(usize) -> String| (0..n).map(part).collect::<String>();
    let around = |locals: &str, before: &str, after: &str| {
        format!(
            "(func $deep (param $n i32) (result i32) {locals} {before}
               (call $deep (i32.add (local.get $n) (i32.const 1))) {after})"
        )
    };
    let loads = times(100, &|i| format!("(i64.load (i32.const {})) (local.set $l{i})", i * 8));
    let stores = times(100, &|i| format!("(i64.store (i32.const {}) (local.get $l{i}))", i * 8));
    let vector_loads =
        times(40, &|i| format!("(v128.load (i32.const {})) (local.set $l{i})", i * 16));
    let vector_stores =
        times(40, &|i| format!("(v128.store (i32.const {}) (local.get $l{i}))", i * 16));
    // An optimiser keeps the subexpressions alive over the call.
    let common = |at: usize| {
        times(1000, &|i| {
            format!(
                "(i32.store (i32.const {}) (i32.xor (i32.mul (local.get $n) (i32.const {}))
                   (i32.const {})))",
                (at + i) * 4,
                2 * i + 1_000_003,
                i * 7919 + 13
            )
        })
    };
    let wide = "i64 ".repeat(120);
    let zeros = "(i64.const 0)".repeat(120);
    vec![
        ("tiny", around("", "", "(i32.add (i32.const 1))")),
        ("100 locals", around(&times(100, &|i| format!("(local $l{i} i64)")), &loads, &stores)),
        (
            "100 operands",
            around(
                "",
                &times(100, &|i| format!("(i32.load (i32.const {}))", i * 4)),
                &"i32.add ".repeat(100),
            ),
        ),
        (
            "40 vectors",
            around(&times(40, &|i| format!("(local $l{i} v128)")), &vector_loads, &vector_stores),
        ),
        ("1,000 common subexpressions", around("", &common(0), &common(2000))),
        (
            "120 parameters and results",
            format!(
                "(func $wide (param {wide}) (result {wide})
                   {zeros} (call $wide) (call $wide))
                 (func $deep (param i32) (result i32) {zeros} (call $wide)
                   {} (i32.const 0))",
                "drop ".repeat(120)
            ),
        ),
    ]
}

#[test]
fn the_engines_stack_decides_nothing_on_any_setting() {
    for settings in EngineSettings::ALL {
        let host = host(settings);
        for (name, items) in recursions() {
            let guest = Guest { items, ..doing("(call $deep (i32.const 0))") };
            let run = run(&host, &guest);
            assert_eq!(run.outcome, Err(GuestFault::DepthLimit), "{settings:?}: {name}");
        }
        let run = run_bytes(&host, &two_modules(u32::MAX));
        assert_eq!(run.outcome, Err(GuestFault::DepthLimit), "{settings:?}: two modules");
    }
}

#[test]
fn a_call_counts_the_same_however_many_came_before() {
    let host = host(EngineSettings::Production);
    let (_, guest) = guests().swap_remove(7);
    let version = load(&host, &guest);
    let first = host.run(&version, &case().input()).unwrap();
    for _ in 0..5000 {
        assert_eq!(host.run(&version, &case().input()).unwrap(), first);
    }
}
