//! What a guest answers, and what it does wrong: outcomes, the same in every region.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod guest;

use guest::{
    Case, Guest, answer, answer_with, answering, doing, failing, host, load, merged, outcome,
};
use syncline_core::{GuestFault, MergeFunctions};
use syncline_host::{FUEL_MAX, MEMORY_BYTES_MAX, OUTPUT_BYTES_MAX};

const LOOP: &str = "(loop $l (br $l))";

#[test]
fn a_guest_gets_the_conflict_and_answers() {
    assert_eq!(outcome(&Guest::default()), merged(r#"{"n":2}"#));
    let older = doing(&answer_with("(i32.load8_u offset=52 (local.get $p))", 56, 60));
    assert_eq!(outcome(&older), merged(r#"{"o":1}"#));
    let ancestor = doing(&answer_with("(i32.load8_u offset=16 (local.get $p))", 20, 24));
    assert_eq!(outcome(&ancestor), merged(r#"{"a":0}"#));
}

#[test]
fn every_field_arrives_as_the_wit_says() {
    // Traps unless operation is delete, insert; hlc is as given; the names have their lengths.
    let checks = "
        (if (i32.ne (i32.load8_u offset=48 (local.get $p)) (i32.const 2)) (then unreachable))
        (if (i32.ne (i32.load8_u offset=80 (local.get $p)) (i32.const 0)) (then unreachable))
        (if (i64.ne (i64.load offset=40 (local.get $p)) (i64.const 117650437764218881))
          (then unreachable))
        (if (i64.ne (i64.load offset=72 (local.get $p)) (i64.const 117650437764218882))
          (then unreachable))
        (if (i32.ne (i32.load offset=4 (local.get $p)) (i32.const 5)) (then unreachable))
        (if (i32.ne (i32.load offset=12 (local.get $p)) (i32.const 4)) (then unreachable))
        (if (i32.ne (i32.load offset=36 (local.get $p)) (i32.const 9)) (then unreachable))
        (if (i32.ne (i32.load offset=68 (local.get $p)) (i32.const 11)) (then unreachable))";
    assert_eq!(1_795_203_212_955u64 << 16, 117_650_437_764_218_880);
    let guest = doing(&format!("{checks}{}", Guest::default().merge));
    let host = host();
    let version = load(&host, &guest);
    let case = Case::new(None, None, Some(r#"{"n":2}"#));
    assert_eq!(host.merge(&version, &case.input()).unwrap(), merged(r#"{"n":2}"#));
    let nothing = Case::new(Some("{}"), Some("{}"), None);
    assert_eq!(host.merge(&version, &nothing.input()).unwrap().unwrap_err().code(), "trap");
    let echo = load(&host, &Guest::default());
    assert_eq!(host.merge(&echo, &nothing.input()).unwrap(), Ok(None));
}

#[test]
fn an_answer_is_brought_into_canonical_form() {
    let guest = answering(b" {\"b\": 1.50, \"a\": \"\\u0041\"} ");
    assert_eq!(outcome(&guest), merged(r#"{"a":"A","b":1.50}"#));
}

#[test]
fn what_is_no_row_is_an_invalid_output() {
    for bytes in [&b"nonsense"[..], b"", b"[1]", b"\"text\"", b"{\"a\":1", b"{\"a\":\"\xff\"}"] {
        let fault = outcome(&answering(bytes)).unwrap_err();
        assert_eq!(fault.code(), "invalid-output", "{bytes:?}: {fault}");
    }
}

#[test]
fn wild_pointers_and_tags_are_an_invalid_output() {
    let result_at = |at: u32| doing(&format!("(i32.const {at})"));
    let tags = |result: u32, option: u32| {
        doing(&format!(
            "(i32.store (i32.const 16) (i32.const {result}))
             (i32.store (i32.const 20) (i32.const {option})) (i32.const 16)"
        ))
    };
    let guests = [
        result_at(0xffff_fff0),
        result_at((4 << 16) - 12),
        result_at(18),
        tags(2, 0),
        tags(0, 2),
        doing(&answer(false, 0xffff_ffff, 1)),
        doing(&answer(false, 16, 4 << 16)),
        doing(&answer(false, 0, 0xffff_ffff)),
        doing(&answer(false, 0xffff_ffff, 0xffff_ffff)),
        doing(&answer(true, 0xffff_ffff, 0xffff_ffff)),
        failing(b"\xff\xfe"),
        Guest { encoding: "utf16", ..doing(&answer(true, 17, 1)) },
        Guest { encoding: "utf16", ..doing(&answer(true, 16, 0xffff_ffff)) },
        Guest {
            encoding: "utf16",
            items: guest::data(2048, b"\x00\xd8"),
            ..doing(&answer(true, 2048, 1))
        },
    ];
    for guest in guests {
        let fault = outcome(&guest).unwrap_err();
        assert_eq!(fault.code(), "invalid-output", "{fault}: {}", guest.merge);
    }
}

#[test]
fn an_error_text_is_the_guests_own_fault_cut_and_escaped() {
    let text = |guest: &Guest| match outcome(guest) {
        Err(GuestFault::Error(text)) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(text(&failing("stock is below zero, 5 €".as_bytes())), "stock is below zero, 5 €");
    assert_eq!(text(&failing(b"")), "");
    assert_eq!(text(&failing(b"a\n\x1b[2J\0")), "a\\n\\u{1b}[2J\\u{0}");
    assert_eq!(text(&failing("é".repeat(600).as_bytes())), "é".repeat(512));
    let utf16 = Guest {
        encoding: "utf16",
        items: guest::data(2048, b"o\0h\0\xac\x20"),
        ..doing(&answer(true, 2048, 3))
    };
    assert_eq!(text(&utf16), "oh€");
    let latin1 = Guest {
        encoding: "latin1+utf16",
        items: guest::data(2048, b"o\xe9"),
        ..doing(&answer(true, 2048, 2))
    };
    assert_eq!(text(&latin1), "oé");
    let tagged = Guest {
        encoding: "latin1+utf16",
        items: guest::data(2048, b"o\0\xac\x20"),
        ..doing(&answer(true, 2048, 0x8000_0002))
    };
    assert_eq!(text(&tagged), "o€");
}

#[test]
fn an_answer_over_the_limit_is_not_read() {
    let memory = r#"(memory (export "memory") 128)"#.to_owned();
    let big = |error, bytes| Guest { memory: memory.clone(), ..doing(&answer(error, 0, bytes)) };
    let limit_bytes = OUTPUT_BYTES_MAX;
    for error in [false, true] {
        assert_eq!(
            outcome(&big(error, 1_048_577)),
            Err(GuestFault::OutputTooLarge { bytes: 1_048_577, limit_bytes })
        );
    }
    assert_eq!(outcome(&big(false, 1_048_576)).unwrap_err().code(), "invalid-output");
    let manifest = Some(r#"{"v":1,"limits":{"output_bytes":6}}"#.to_owned());
    assert_eq!(
        outcome(&Guest { manifest: manifest.clone(), ..Guest::default() }),
        Err(GuestFault::OutputTooLarge { bytes: 7, limit_bytes: 6 })
    );
    assert_eq!(outcome(&Guest { manifest, ..answering(b"{}") }), merged("{}"));
}

#[test]
fn a_loop_ends_when_its_fuel_does_wherever_it_is() {
    let call = Err(GuestFault::OutOfFuel { limit: FUEL_MAX });
    let in_merge = doing(&format!("{LOOP} unreachable"));
    assert_eq!(outcome(&in_merge), call);
    let in_realloc = Guest { realloc: format!("{LOOP} unreachable"), ..Guest::default() };
    assert_eq!(outcome(&in_realloc), call);
    let in_post_return = Guest { post_return: LOOP.into(), ..Guest::default() };
    assert_eq!(outcome(&in_post_return), call);
    let in_start = Guest { start: Some(LOOP.into()), ..Guest::default() };
    assert_eq!(outcome(&in_start), call);
    let manifest = Some(r#"{"v":1,"limits":{"fuel":1000}}"#.to_owned());
    let run = guest::run(&Guest { manifest, ..in_merge }).unwrap();
    assert_eq!(run.outcome, Err(GuestFault::OutOfFuel { limit: 1000 }));
    assert_eq!(run.usage, None);
}

/// A guest that turns a loop so often and then answers, with so much fuel at most.
fn turning(turns: u32, fuel: Option<u64>) -> Guest {
    Guest {
        manifest: fuel.map(|fuel| format!(r#"{{"v":1,"limits":{{"fuel":{fuel}}}}}"#)),
        ..doing(&format!(
            "(local $i i32) (loop $l
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $l (i32.lt_u (local.get $i) (i32.const {turns})))) {}",
            Guest::default().merge
        ))
    }
}

#[test]
fn fuel_is_exact_over_any_number_of_slices() {
    let out_of_fuel = |limit| Err(GuestFault::OutOfFuel { limit });
    for turns in [1, 1000, 100_000, 777_777] {
        let run = guest::run(&turning(turns, None)).unwrap();
        assert_eq!(run.outcome, merged(r#"{"n":2}"#));
        let used = run.usage.unwrap().fuel;
        assert!(used > u64::from(turns) * 7, "{used}");
        // What it needs is what it needs, however much there is.
        let enough = guest::run(&turning(turns, Some(used))).unwrap();
        assert_eq!((enough.outcome, enough.usage), (run.outcome, run.usage));
        assert_eq!(outcome(&turning(turns, Some(used - 1))), out_of_fuel(used - 1));
        assert_eq!(outcome(&turning(turns, Some(used / 2))), out_of_fuel(used / 2));
    }
}

#[test]
fn deep_recursion_is_the_guests_fault_whatever_it_recurses_through() {
    let direct = Guest {
        items: "(func $deep (param i32) (result i32)
            (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))"
            .into(),
        ..doing("(call $deep (i32.const 0))")
    };
    let indirect = Guest {
        items: "(type $t (func (param i32) (result i32))) (table 1 funcref)
            (elem (i32.const 0) $deep)
            (func $deep (type $t) (i32.add (i32.const 1) (call_indirect (type $t)
              (local.get 0) (i32.const 0))))"
            .into(),
        ..doing("(call $deep (i32.const 0))")
    };
    let locals = "(local i64)".repeat(400);
    let large = Guest {
        items: format!(
            "(func $deep (param i32) (result i32) {locals}
               (i32.add (call $deep (local.get 0)) (i32.wrap_i64 (local.get 7))))"
        ),
        ..doing("(call $deep (i32.const 0))")
    };
    let in_start = Guest {
        items: "(func $deep (call $deep))".into(),
        start: Some("call $deep".into()),
        ..Guest::default()
    };
    let in_realloc = Guest {
        items: "(func $deep (result i32) (i32.add (i32.const 1) (call $deep)))".into(),
        realloc: "call $deep".into(),
        ..Guest::default()
    };
    let in_post_return = Guest {
        items: "(func $deep (call $deep))".into(),
        post_return: "call $deep".into(),
        ..Guest::default()
    };
    for guest in [direct, indirect, large, in_start, in_realloc, in_post_return] {
        assert_eq!(outcome(&guest), Err(GuestFault::DepthLimit));
    }
}

#[test]
fn depth_is_given_back_after_a_call_from_outside() {
    // Each nests to over half of the account; together they would be over it.
    let deep = |levels: u32| {
        format!(
            "(func $deep (param $n i32)
               (if (local.get $n) (then (call $deep (i32.sub (local.get $n) (i32.const 1))))))
             (func $go (call $deep (i32.const {levels})))"
        )
    };
    let guest = |levels| Guest {
        items: deep(levels),
        start: Some("call $go".into()),
        post_return: "call $go".into(),
        merge: format!("call $go {}", Guest::default().merge),
        ..Guest::default()
    };
    let run = guest::run(&guest(6000)).unwrap();
    assert_eq!(run.outcome, merged(r#"{"n":2}"#));
    let stack = run.usage.unwrap().stack_bytes;
    assert!(stack > 600_000 && stack < 1 << 20, "{stack}");
    assert_eq!(outcome(&guest(12_000)), Err(GuestFault::DepthLimit));
}

#[test]
fn traps_are_outcomes_wherever_they_are() {
    let guests = [
        doing("unreachable"),
        doing("(i32.div_u (i32.const 1) (i32.const 0))"),
        doing("(i32.load (i32.const 0x7fffffff))"),
        Guest {
            items: "(table 1 funcref)".into(),
            ..doing("(call_indirect (result i32) (i32.const 0))")
        },
        Guest { realloc: "unreachable".into(), ..Guest::default() },
        Guest { post_return: "unreachable".into(), ..Guest::default() },
        Guest { start: Some("unreachable".into()), ..Guest::default() },
        Guest { items: "(data (i32.const 0x7fffffff) \"x\")".into(), ..Guest::default() },
        Guest { items: "(table 1 funcref) (elem (i32.const 1) 0)".into(), ..Guest::default() },
        Guest { realloc: "(i32.const 0x7ffffff8)".into(), ..Guest::default() },
        Guest { realloc: "(i32.const 3)".into(), ..Guest::default() },
    ];
    for guest in guests {
        let fault = outcome(&guest).unwrap_err();
        let GuestFault::Trap(text) = &fault else { panic!("{fault}") };
        assert!(!text.is_empty() && text.len() <= 512 && !text.contains("host"), "{text}");
    }
}

#[test]
fn a_memory_bomb_meets_the_limit_wherever_it_is() {
    let limit = Err(GuestFault::MemoryLimit { limit_bytes: MEMORY_BYTES_MAX });
    let grow = "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable";
    assert_eq!(outcome(&doing(grow)), limit);
    // A guest that would trap itself on a -1 has met the limit all the same.
    let own_trap = "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable))
                    unreachable";
    assert_eq!(outcome(&doing(own_trap)), limit);
    // Beyond what a memory can be at all.
    assert_eq!(outcome(&doing("(memory.grow (i32.const 65536)) drop unreachable")), limit);
    assert_eq!(outcome(&doing("(memory.grow (i32.const -1)) drop unreachable")), limit);
    assert_eq!(outcome(&Guest { realloc: grow.into(), ..Guest::default() }), limit);
    assert_eq!(outcome(&Guest { post_return: grow.into(), ..Guest::default() }), limit);
    assert_eq!(outcome(&Guest { start: Some(grow.into()), ..Guest::default() }), limit);
    let manifest = Some(r#"{"v":1,"limits":{"memory_bytes":262144}}"#.to_owned());
    assert_eq!(
        outcome(&Guest { manifest: manifest.clone(), ..doing("(memory.grow (i32.const 1))") }),
        Err(GuestFault::MemoryLimit { limit_bytes: 262_144 })
    );
    assert_eq!(outcome(&Guest { manifest, ..Guest::default() }), merged(r#"{"n":2}"#));
}

#[test]
fn a_limit_of_the_guests_own_gives_it_the_minus_one_of_webassembly() {
    let minus_one = |grow: &str| {
        format!("(if (i32.ne {grow} (i32.const -1)) (then unreachable)) {}", Guest::default().merge)
    };
    let own_maximum = Guest {
        memory: r#"(memory (export "memory") 4 5)"#.into(),
        ..doing(&minus_one("(memory.grow (i32.const 2))"))
    };
    assert_eq!(outcome(&own_maximum), merged(r#"{"n":2}"#));
    let table = Guest {
        items: "(table $t 1 funcref)".into(),
        ..doing(&minus_one("(table.grow $t (ref.null func) (i32.const 10000))"))
    };
    assert_eq!(outcome(&table), merged(r#"{"n":2}"#));
    let all_of_memory = doing(&format!(
        "(drop (memory.grow (i32.const 1020))) (memory.fill (i32.const 65536) (i32.const 1)
           (i32.const 1048576)) {}",
        Guest::default().merge
    ));
    assert_eq!(outcome(&all_of_memory), merged(r#"{"n":2}"#));
}

#[test]
fn a_table_bomb_costs_fuel_only() {
    let bomb = Guest {
        items: "(table $t 0 funcref)".into(),
        ..doing(
            "(loop $l (drop (table.grow $t (ref.null func) (i32.const 7))) (br $l)) unreachable",
        )
    };
    assert_eq!(outcome(&bomb), Err(GuestFault::OutOfFuel { limit: FUEL_MAX }));
}

#[test]
fn a_function_that_needs_no_ancestor_gets_none() {
    let manifest = |needs| Some(format!(r#"{{"v":1,"needs_ancestor":{needs}}}"#));
    let ancestor = doing(&answer_with("(i32.load8_u offset=16 (local.get $p))", 20, 24));
    assert_eq!(outcome(&Guest { manifest: manifest(false), ..ancestor.clone() }), Ok(None));
    assert_eq!(outcome(&Guest { manifest: manifest(true), ..ancestor }), merged(r#"{"a":0}"#));
}

#[test]
fn nothing_survives_a_call() {
    // Counts its calls in a global, in memory and in a table, and answers with the digit.
    let counting = Guest {
        items: format!(
            "(global $n (mut i32) (i32.const 0)) (table $t 1 100 funcref) {}",
            guest::data(2048, br#"{"n":0}"#)
        ),
        ..doing(&format!(
            "(global.set $n (i32.add (global.get $n) (i32.const 1)))
             (i32.store8 (i32.const 1024) (i32.add (i32.load8_u (i32.const 1024)) (i32.const 1)))
             (drop (table.grow $t (ref.null func) (i32.const 1)))
             (i32.store8 (i32.const 2053) (i32.add (i32.load8_u (i32.const 2053)) (i32.add
               (global.get $n) (i32.add (i32.load8_u (i32.const 1024)) (table.size $t)))))
             (drop (memory.grow (i32.const 1)))
             (i32.store8 (i32.const 262144) (i32.const 1))
             {}",
            answer(false, 2048, 7)
        ))
    };
    let host = host();
    let version = load(&host, &counting);
    let other = load(&host, &answering(b"{\"other\":1}"));
    for _ in 0..20 {
        let run = host.run(&version, &guest::case().input()).unwrap();
        assert_eq!(run.outcome, merged(r#"{"n":4}"#));
        assert_eq!(host.merge(&other, &guest::case().input()).unwrap(), merged(r#"{"other":1}"#));
    }
}

#[test]
fn not_a_number_has_one_pattern() {
    // 0/0 with a sign and with a payload: the bits of the results, added to '0' where they are not
    // the canonical ones.
    let nan = |expression: &str| {
        format!(
            "(if (i64.ne (i64.reinterpret_f64 {expression}) (i64.const 0x7ff8000000000000))
               (then unreachable))"
        )
    };
    let zero = "(f64.load (i32.const 1024))";
    let payload = "(f64.reinterpret_i64 (i64.add (i64.load (i32.const 1024))
                     (i64.const 0xfff4000000000123)))";
    let guest = doing(&format!(
        "{}{}{}{}{}",
        nan(&format!("(f64.div {zero} {zero})")),
        nan(&format!("(f64.mul {payload} (f64.const 2))")),
        nan(&format!("(f64.sqrt (f64.add {zero} (f64.const -1)))")),
        nan(&format!("(f64.min {payload} {zero})")),
        Guest::default().merge
    ));
    assert_eq!(outcome(&guest), merged(r#"{"n":2}"#));
}

#[test]
fn the_same_call_has_the_same_outcome_and_fuel_every_time() {
    let guests = [
        Guest::default(),
        doing(&format!("{LOOP} unreachable")),
        doing("(loop $l (drop (memory.grow (i32.const 1))) (br $l)) unreachable"),
        failing(b"no"),
        answering(b"no"),
    ];
    let (one, two) = (host(), host());
    for guest in guests {
        let version = load(&one, &guest);
        load(&two, &guest);
        let first = one.run(&version, &guest::case().input()).unwrap();
        for host in [&one, &two, &one, &two] {
            assert_eq!(host.run(&version, &guest::case().input()).unwrap(), first);
        }
    }
}
