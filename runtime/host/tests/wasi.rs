//! What a component sees that imports WASI: components of plain `cargo build --target wasm32-wasip2`,
//! and text that calls one function of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod guest;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use guest::wasi::{IMPORTS, using, using_with};
use guest::{Case, case, host, merged};
use syncline_core::{FunctionVersion, GuestFault};
use syncline_guest_build::guests_target_dir;
use syncline_host::{FUEL_MAX, Host, Refused, Run};

/// Variables of the build that runs this test, which a plain build would not have.
const OUTER_BUILD: [&str; 5] =
    ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "RUSTFLAGS", "RUSTC"];
const OUTER_BUILD_PREFIXES: [&str; 3] = ["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_"];

/// Builds the guests that use the standard library, once; the folder with their components.
fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/hostile/guests/std");
        let target = guests_target_dir();
        let mut cargo = Command::new(env::var_os("CARGO").unwrap());
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if OUTER_BUILD.contains(&&*text)
                || OUTER_BUILD_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            {
                cargo.env_remove(&name);
            }
        }
        cargo.args(["build", "--release", "--locked", "--target", "wasm32-wasip2"]);
        cargo.args(["--lib", "--examples", "--target-dir"]).arg(&target).current_dir(source);
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target.join("wasm32-wasip2/release")
    })
}

fn load(host: &Host, component: &[u8]) -> FunctionVersion {
    let version = FunctionVersion::of(component);
    host.load(version, component).unwrap();
    version
}

/// The standard library's guest, on a row whose key says what it does.
fn std_guest(pk: &str) -> Run {
    static HOST: OnceLock<(Host, FunctionVersion)> = OnceLock::new();
    let (host, version) = HOST.get_or_init(|| {
        let component = fs::read(built().join("std_guest.wasm")).unwrap();
        let host = host();
        let version = load(&host, &component);
        (host, version)
    });
    let case = Case::of_row(pk);
    let run = host.run(version, &case.input()).unwrap();
    assert_eq!(host.run(version, &case.input()).unwrap(), run, "{pk}: twice the same");
    run
}

/// What it says that it saw.
fn seen(pk: &str) -> String {
    let run = std_guest(pk);
    let image = run.outcome.unwrap_or_else(|fault| panic!("{pk}: {fault}: {}", run.log)).unwrap();
    let row: serde_json::Value = serde_json::from_slice(image.as_bytes()).unwrap();
    row["seen"].as_str().unwrap().to_owned()
}

fn trap(pk: &str) -> (String, String) {
    match std_guest(pk) {
        Run { outcome: Err(GuestFault::Trap(text)), log, .. } => (text, log),
        other => panic!("{pk}: {other:?}"),
    }
}

/// One call of a component of text.
fn run(component: &[u8]) -> Run {
    let host = host();
    let version = load(&host, component);
    let first = host.run(&version, &case().input()).unwrap();
    assert_eq!(host.run(&version, &case().input()).unwrap(), first, "twice the same");
    first
}

fn fault(code: &str) -> GuestFault {
    run(&using(code)).outcome.unwrap_err()
}

fn trap_text(code: &str) -> String {
    match fault(code) {
        GuestFault::Trap(text) => text,
        other => panic!("{code}: {other:?}"),
    }
}

/// The fuel of the calls of the host in this code, to a hundred: what the code itself takes of it is
/// less than that.
fn host_fuel(code: &str) -> u64 {
    let run = run(&using(&code.repeat(10)));
    assert_eq!(run.outcome, merged(r#"{"n":2}"#), "{code}");
    run.usage.unwrap().fuel / 1_000 * 100
}

#[test]
fn a_process_of_nothing() {
    assert_eq!(seen("environment"), "[] [] Some(\"/\")");
    assert_eq!(seen("files"), "Some(NotFound) Some(NotFound) Some(NotFound)");
    assert_eq!(seen("stdin"), "Ok(0) \"\"");
    assert_eq!(seen("thread"), "true");
}

#[test]
fn the_time_is_the_newer_sides_and_stands_still() {
    assert_eq!(seen("time"), "Ok(1795203212955) Some(0ns)");
}

#[test]
fn hash_maps_are_ordered_by_the_conflict() {
    // The order of the row named so: another is another answer of a function that is in use.
    assert_eq!(seen("hash-order"), "11 10 6 5 0 7 2 1 3 9 4 8");
}

#[test]
fn what_is_printed_goes_to_the_log() {
    let run = std_guest("print");
    assert_eq!(run.log, "to the output: \\u{1b}[2J é\nto the error output\n");
    assert!(run.outcome.is_ok());
    let much = std_guest("print-much");
    assert!(much.log.starts_with("line 0\nline 1\n"), "{}", much.log);
    assert!(much.log.ends_with(" bytes more)\n"), "{}", much.log);
    assert!(much.log.len() < 5_000, "{}", much.log.len());
    let long = std_guest("print-long");
    assert_eq!(long.log, format!("{}\n(and 95905 bytes more)\n", "x".repeat(1024)));
}

#[test]
fn a_flood_of_prints_ends_with_the_fuel() {
    let run = std_guest("print-endlessly");
    assert_eq!(run.outcome, Err(GuestFault::OutOfFuel { limit: FUEL_MAX }));
    assert_eq!(run.usage, None);
    assert!(run.log.contains("bytes more)\nout-of-fuel\n"), "{}", run.log);
}

#[test]
fn a_panic_is_a_trap_and_the_log_says_where() {
    let (text, log) = trap("panic");
    assert_eq!(text, "wasm `unreachable` instruction executed");
    assert!(log.contains("the key has 5 letters"), "{log}");
    assert!(log.contains("\ntrap: wasm `unreachable` instruction executed\n"), "{log}");
    assert!(log.contains("\n  at std_guest::surely_panics\n"), "{log}");
    assert_eq!(trap("abort").0, "wasm `unreachable` instruction executed");
}

#[test]
fn leaving_and_sleeping_are_traps() {
    assert_eq!(trap("exit").0, "it left by exit, with success, and without an answer");
    assert_eq!(trap("exit-failing").0, "it left by exit, with failure, and without an answer");
    let (text, log) = trap("sleep");
    assert_eq!(text, "it waits for time to pass, and none passes in a call");
    assert!(log.contains("  at std::thread::"), "{log}");
    assert_eq!(seen("sleep-not"), "slept");
}

#[test]
fn sockets_are_refused_by_name() {
    let component = fs::read(built().join("examples/sockets.wasm")).unwrap();
    match host().admit(&component) {
        Err(Refused::Import { name }) => assert!(name.starts_with("wasi:sockets/"), "{name}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_component_without_wasi_has_no_log() {
    assert_eq!(guest::run(&guest::Guest::default()).unwrap().log, "");
    let run = guest::run(&guest::doing("unreachable")).unwrap();
    assert_eq!(run.log, "trap: wasm `unreachable` instruction executed\n  at function 1\n");
    let named = guest::Guest {
        items: r#"(func $inner (export "inner") unreachable)"#.into(),
        ..guest::doing("(call $inner) (i32.const 16)")
    };
    let log = guest::run(&named).unwrap().log;
    assert_eq!(log, "trap: wasm `unreachable` instruction executed\n  at inner\n  at function 2\n");
}

#[test]
fn a_backtrace_is_bounded_and_escaped() {
    let name = format!("a\\u{{1b}}[2J\\0a{}", "é".repeat(1_000));
    let items = format!(
        r#"(func $"{name}" (param i32)
          (if (i32.eqz (local.get 0)) (then unreachable))
          (call $"{name}" (i32.sub (local.get 0) (i32.const 1))))"#
    );
    let code = format!("(call $\"{name}\" (i32.const 500)) (i32.const 16)");
    let log = guest::run(&guest::Guest { items, ..guest::doing(&code) }).unwrap().log;
    assert_eq!(log.lines().count(), 1 + 16, "{log}");
    for line in log.lines().skip(1) {
        assert!(line.starts_with("  at a\\u{1b}[2J\\né"), "{line}");
        assert!(line.len() <= 5 + 160, "{line}");
    }
}

/// What every call costs, which is part of what regions must agree on.
#[test]
fn each_function_costs_fuel() {
    for (_, _, name, _) in IMPORTS {
        if let Some((code, fuel)) = one_call(name) {
            assert_eq!(host_fuel(&code), fuel, "{name}: {code}");
        }
    }
}

/// Code around one call of a function, which leaves nothing behind, and the fuel of all its calls. None
/// for those that do not come back.
fn one_call(name: &str) -> Option<(String, u64)> {
    // With a handle in $h.
    let with = |kind: &str, code: &str| {
        let get = if kind == "input" { "get-stdin" } else { "get-stdout" };
        format!("(local.set $h (call ${get})) {code} (call $drop-{kind} (local.get $h))")
    };
    let on = |kind: &str, rest: &str| with(kind, &format!("(call ${name} (local.get $h) {rest})"));
    let subscribed = |kind: &str, code: &str| {
        let (subscribe, drop) = (format!("subscribe-{kind}"), "(call $drop-pollable");
        let code = format!("(local.set $i (call ${subscribe} (local.get $h))) {code}");
        with(kind, &format!("{code} {drop} (local.get $i))"))
    };
    let with_input = |code: &str| {
        format!("(local.set $i (call $get-stdin)) {code} (call $drop-input (local.get $i))")
    };
    let returns = || format!("(call ${name} (i32.const 512))");
    let bytes = || format!("(call ${name} (i64.const 32) (i32.const 512))");
    let number = || format!("(drop (call ${name}))");
    Some(match name {
        "ready" => (subscribed("output", "(drop (call $ready (local.get $i)))"), 5_000),
        "block" => (subscribed("input", "(call $block (local.get $i))"), 5_000),
        "poll" => {
            let poll = "(i32.store (i32.const 600) (local.get $i))
                (i32.store (i32.const 604) (local.get $i))
                (call $poll (i32.const 600) (i32.const 2) (i32.const 512))";
            (subscribed("input", poll), 6_000)
        }
        "subscribe-input" => (subscribed("input", ""), 4_000),
        "subscribe-output" => (subscribed("output", ""), 4_000),
        "read" | "blocking-read" | "skip" | "blocking-skip" => {
            (on("input", "(i64.const 9) (i32.const 512)"), 3_000)
        }
        "check-write" | "flush" | "blocking-flush" => (on("output", "(i32.const 512)"), 3_000),
        "write" | "blocking-write" => {
            (on("output", "(i32.const 4096) (i32.const 100) (i32.const 512)"), 3_400)
        }
        "zeroes" | "blocking-zeroes" => (on("output", "(i64.const 100) (i32.const 512)"), 3_400),
        "splice" | "blocking-splice" => {
            let splice = on("output", "(local.get $i) (i64.const -1) (i32.const 512)");
            (with_input(&splice), 5_000)
        }
        "get-stdin" => (format!("(call $drop-input (call ${name}))"), 2_000),
        "get-stdout" | "get-stderr" => (format!("(call $drop-output (call ${name}))"), 2_000),
        "random-bytes" | "insecure-bytes" => (bytes(), 4_200),
        "random-number" | "insecure-number" => (number(), 1_800),
        "insecure-seed" => (returns(), 2_600),
        "now" | "resolution" => (number(), 1_000),
        "exit" | "exit-with-code" | "subscribe-instant" | "subscribe-duration" => return None,
        _ => (returns(), 1_000),
    })
}

#[test]
fn what_would_wait_or_leave_is_a_trap() {
    let waits = "it waits for time to pass, and none passes in a call";
    for name in ["subscribe-instant", "subscribe-duration"] {
        for nanoseconds in ["0", "1", "-1"] {
            let code = format!("(drop (call ${name} (i64.const {nanoseconds})))");
            assert_eq!(trap_text(&code), waits);
        }
    }
    let left = |how| format!("it left by exit, with {how}, and without an answer");
    assert_eq!(trap_text("(call $exit (i32.const 0))"), left("success"));
    assert_eq!(trap_text("(call $exit (i32.const 1))"), left("failure"));
    assert_eq!(trap_text("(call $exit-with-code (i32.const 0))"), left("success"));
    assert_eq!(trap_text("(call $exit-with-code (i32.const 255))"), left("failure"));
    let no_status = "it hands over a value that is none of its type";
    assert_eq!(trap_text("(call $exit (i32.const 2))"), no_status);
    assert_eq!(
        trap_text("(call $poll (i32.const 4096) (i32.const 0) (i32.const 512))"),
        "it polled nothing, which never ends"
    );
}

#[test]
fn standard_input_has_ended_whatever_is_asked_of_it() {
    for name in ["read", "blocking-read", "skip", "blocking-skip"] {
        for length in ["0", "1", "-1"] {
            // An error, and of its cases the second: closed.
            let code = format!(
                "(call ${name} (call $get-stdin) (i64.const {length}) (i32.const 512))
                 (if (i32.ne (i32.load8_u (i32.const 512)) (i32.const 1)) (then unreachable))"
            );
            assert_eq!(run(&using(&code)).outcome, merged(r#"{"n":2}"#), "{name} {length}");
        }
    }
}

#[test]
fn writes_are_bounded_and_logged() {
    let write = |name: &str, arguments: &str| {
        format!("(call ${name} (call $get-stderr) {arguments} (i32.const 512))")
    };
    let text = r#"(data (i32.const 4096) "one\ntwo\1b\ff")"#;
    for name in ["write", "blocking-write"] {
        let log = run(&using_with(&write(name, "(i32.const 4096) (i32.const 9)"), text)).log;
        assert_eq!(log, "one\ntwo\\u{1b}\u{fffd}\n", "{name}");
        for too_much in ["4097", "131072"] {
            let code = write(name, &format!("(i32.const 4096) (i32.const {too_much})"));
            assert_eq!(trap_text(&code), "it wrote more at once than a stream takes");
        }
        // Beyond what is copied for any call, and beyond the end of memory.
        let code = write(name, "(i32.const 4096) (i32.const 131073)");
        assert_eq!(trap_text(&code), "it hands over too much");
        for (at, length) in [("4096", "-1"), ("-1", "1"), ("1048570", "7")] {
            let code = write(name, &format!("(i32.const {at}) (i32.const {length})"));
            assert_eq!(trap_text(&code), "it hands over a wrong pointer", "{at} {length}");
        }
    }
    for name in ["zeroes", "blocking-zeroes"] {
        assert_eq!(run(&using(&write(name, "(i64.const 2)"))).log, "\\u{0}\\u{0}\n");
        let code = write(name, "(i64.const 4097)");
        assert_eq!(trap_text(&code), "it wrote more at once than a stream takes");
        let limit = FUEL_MAX;
        for fuel_too in ["-1", "1152921504606846976"] {
            let code = write(name, &format!("(i64.const {fuel_too})"));
            assert_eq!(fault(&code), GuestFault::OutOfFuel { limit }, "{name} {fuel_too}");
        }
    }
}

#[test]
fn random_bytes_are_bounded() {
    for name in ["random-bytes", "insecure-bytes"] {
        let code = |length: &str| format!("(call ${name} (i64.const {length}) (i32.const 512))");
        assert_eq!(run(&using(&code("65536"))).outcome, merged(r#"{"n":2}"#));
        let too_many = "it asked for too many random bytes at once";
        assert_eq!(trap_text(&code("65537")), too_many);
        assert_eq!(fault(&code("-1")), GuestFault::OutOfFuel { limit: FUEL_MAX });
        // The result's place is wrong, and the guest has no room for it.
        let astray = format!("(call ${name} (i64.const 4) (i32.const 513))");
        assert_eq!(trap_text(&astray), "it hands over a wrong pointer");
        let beyond = format!("(call ${name} (i64.const 4) (i32.const 1048572))");
        assert_eq!(trap_text(&beyond), "it hands over a wrong pointer");
        let full = format!("(loop $l {} (br $l))", code("65536"));
        assert_eq!(trap_text(&full), "cabi_realloc returned a wrong pointer");
    }
}

#[test]
fn handles_are_bounded_and_checked() {
    let collect = |what: &str| format!("(loop $l (drop {what}) (br $l))");
    for what in ["(call $get-stdin)", "(call $get-stdout)", "(call $get-stderr)"] {
        assert_eq!(trap_text(&collect(what)), "it holds too many streams and pollables");
    }
    let pollables = "(local.set $h (call $get-stdin))".to_owned()
        + &collect("(call $subscribe-input (local.get $h))");
    assert_eq!(trap_text(&pollables), "it holds too many streams and pollables");
    // What is dropped can be had again.
    let churn = "(local.set $n (i32.const 5000))
        (loop $l (call $drop-input (call $get-stdin))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))";
    assert_eq!(run(&using(churn)).outcome, merged(r#"{"n":2}"#));

    let unknown = "it uses a handle that it does not hold";
    for handle in ["0", "1", "77", "-1", "268435457"] {
        assert_eq!(trap_text(&format!("(call $drop-input (i32.const {handle}))")), unknown);
        assert_eq!(trap_text(&format!("(call $block (i32.const {handle}))")), unknown);
    }
    let twice = "(local.set $h (call $get-stdin)) (call $drop-input (local.get $h))
        (call $drop-input (local.get $h))";
    assert_eq!(trap_text(twice), unknown);
    let another = "it uses a handle of another kind";
    assert_eq!(trap_text("(call $block (call $get-stdin))"), another);
    assert_eq!(trap_text("(call $drop-output (call $get-stdin))"), another);
}

#[test]
fn what_is_polled_is_bounded() {
    let poll = |count: u32| {
        format!(
            "(local.set $h (call $subscribe-output (call $get-stdout)))
             (loop $l (i32.store (i32.add (i32.const 4096) (local.get $n)) (local.get $h))
               (local.set $n (i32.add (local.get $n) (i32.const 4)))
               (br_if $l (i32.lt_u (local.get $n) (i32.const {}))))
             (call $poll (i32.const 4096) (i32.const {count}) (i32.const 512))
             (if (i32.ne (i32.load (i32.const 516)) (i32.const {count})) (then unreachable))
             (if (i32.ne (i32.load offset=3996 (i32.load (i32.const 512)))
               (i32.const {})) (then unreachable))",
            count * 4,
            999,
        )
    };
    assert_eq!(run(&using(&poll(1_000))).outcome, merged(r#"{"n":2}"#));
    assert_eq!(trap_text(&poll(1_001)), "it polled too much at once");
    let odd = "(call $poll (i32.const 4097) (i32.const 1) (i32.const 512))";
    assert_eq!(trap_text(odd), "it hands over a wrong pointer");
    // More than is copied for any call.
    assert_eq!(trap_text(&poll(40_000)), "it hands over too much");
}

#[test]
fn a_flood_of_any_call_ends_with_the_fuel() {
    for call in [
        "(drop (call $now))",
        "(call $wall-now (i32.const 512))",
        "(drop (call $random-number))",
        "(call $get-environment (i32.const 512))",
        "(call $drop-input (call $get-stdin))",
    ] {
        let run = run(&using(&format!("(loop $l {call} (br $l))")));
        assert_eq!(run.outcome, Err(GuestFault::OutOfFuel { limit: FUEL_MAX }), "{call}");
        assert_eq!(run.usage, None, "{call}");
    }
}

#[test]
fn fuel_of_the_guest_and_of_the_host_is_one_budget() {
    // Some 30,000,000 of each.
    let calls = "(local.set $n (i32.const 30000))
        (loop $l (drop (call $now))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))";
    let code = "(local.set $n (i32.const 5000000))
        (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))";
    assert!(run(&using(calls)).outcome.is_ok());
    assert!(run(&using(code)).outcome.is_ok());
    let both = run(&using(&format!("{calls}{code}")));
    assert_eq!(both.outcome, Err(GuestFault::OutOfFuel { limit: FUEL_MAX }));
    assert_eq!(both.usage, None);
}

#[test]
fn randomness_is_the_conflicts() {
    let component = using(
        "(local.set $i (i32.const 65536))
         (call $random-bytes (i64.const 8) (i32.const 512))
         (call $write (call $get-stdout) (i32.load (i32.const 512)) (i32.const 8)
           (i32.const 512))",
    );
    let host = host();
    let version = load(&host, &component);
    let log = |pk: &str| host.run(&version, &Case::of_row(pk).input()).unwrap().log;
    assert_eq!(log("c-1"), log("c-1"));
    assert_ne!(log("c-1"), log("c-2"));
}
