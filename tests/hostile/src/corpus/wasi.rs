//! Components that import WASI, as compilers' standard libraries do, and call it for ever, for too
//! much, or for what there is not.

use crate::guest::{Guest, TYPES, answer, data, lift};
use crate::hostile::{Draft, Hostile, IS_BOOM, text};

const RANDOM: &str = r#"
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
    (export "get-random-u64" (func (result u64)))))"#;

const SEED: &str = r#"
  (import "wasi:random/insecure-seed@0.2.0" (instance $seed
    (export "insecure-seed" (func (result (tuple u64 u64))))))"#;

const WALL_CLOCK: &str = r#"
  (import "wasi:clocks/wall-clock@0.2.3" (instance $wall
    (type $d' (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $d (eq $d')))
    (export "now" (func (result $d)))))"#;

const ENVIRONMENT: &str = r#"
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))"#;

const EXIT: &str = r#"
  (import "wasi:cli/exit@0.2.0" (instance $exit
    (export "exit" (func (param "status" (result))))))"#;

const POLL: &str = r#"
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.ready" (func (param "self" (borrow $p)) (result bool)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))
    (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))"#;

const MONOTONIC_CLOCK: &str = r#"
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $monotonic
    (alias outer 1 $pollable (type $p'))
    (export "pollable" (type $p (eq $p')))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))"#;

const STREAMS: &str = r#"
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $io-error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $io-error (type $e'))
    (alias outer 1 $pollable (type $p'))
    (export "error" (type $e (eq $e')))
    (export "pollable" (type $p (eq $p')))
    (export "output-stream" (type $o (sub resource)))
    (type $f' (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $f (eq $f')))
    (type $write (func (param "self" (borrow $o)) (param "contents" (list u8))
      (result (result (error $f)))))
    (type $zeroes (func (param "self" (borrow $o)) (param "len" u64) (result (result (error $f)))))
    (export "[method]output-stream.subscribe" (func (param "self" (borrow $o)) (result (own $p))))
    (export "[method]output-stream.write-zeroes" (func (type $zeroes)))
    (export "[method]output-stream.write" (func (type $write)))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output (type $o'))
    (export "output-stream" (type $o (eq $o')))
    (export "get-stdout" (func (result (own $o))))))"#;

/// What the core module imports: the name there, the component's function, and the core type.
type Lowered = (&'static str, &'static str, &'static str);

const BYTES: Lowered = ("bytes", r#"$random "get-random-bytes""#, "(param i64 i32)");
const NUMBER: Lowered = ("number", r#"$random "get-random-u64""#, "(result i64)");
const INSECURE: Lowered = ("seed", r#"$seed "insecure-seed""#, "(param i32)");
const TIME: Lowered = ("time", r#"$wall "now""#, "(param i32)");
const TICKS: Lowered = ("ticks", r#"$monotonic "now""#, "(result i64)");
const SLEEP: Lowered = ("sleep", r#"$monotonic "subscribe-duration""#, "(param i64) (result i32)");
const VARIABLES: Lowered = ("variables", r#"$environment "get-environment""#, "(param i32)");
const LEAVE: Lowered = ("leave", r#"$exit "exit""#, "(param i32)");
const WAIT: Lowered = ("wait", r#"$poll "poll""#, "(param i32 i32 i32)");
const IS_READY: Lowered =
    ("ready", r#"$poll "[method]pollable.ready""#, "(param i32) (result i32)");
const OUT: Lowered = ("out", r#"$stdout "get-stdout""#, "(result i32)");
const WRITE: Lowered =
    ("write", r#"$streams "[method]output-stream.write""#, "(param i32 i32 i32 i32)");
const ZEROES: Lowered =
    ("zeroes", r#"$streams "[method]output-stream.write-zeroes""#, "(param i32 i64 i32)");
const SUBSCRIBE: Lowered =
    ("subscribe", r#"$streams "[method]output-stream.subscribe""#, "(param i32) (result i32)");

const ANSWER: &[u8] = br#"{"w":1}"#;
const ANSWERED: &str = r#"{"w":1}"#;

/// A component of two modules: one with the memory, which the host's functions write to, and one
/// with the code, which calls them. `$heap` is the next free address for both.
fn component(imports: &[&str], lowered: &[Lowered], body: &str) -> String {
    let good = Guest::default();
    let (realloc, merge) = (&good.realloc, &good.merge);
    let imports = imports.concat();
    let canons: String = lowered
        .iter()
        .map(|(name, function, _)| {
            format!(
                r#"(core func ${name} (canon lower (func {function})
                  (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))"#
            )
        })
        .collect();
    let core: String = lowered
        .iter()
        .map(|(name, _, ty)| format!(r#"(import "wasi" "{name}" (func ${name} {ty}))"#))
        .collect();
    let given: String =
        lowered.iter().map(|(name, ..)| format!(r#"(export "{name}" (func ${name}))"#)).collect();
    let (data, answer) = (data(2048, ANSWER), answer(false, 2048, ANSWER.len() as u32));
    let lift = lift("utf8")
        .replace(r#"(core memory $i "memory")"#, r#"(core memory $libc "memory")"#)
        .replace(r#"(core func $i "realloc")"#, r#"(core func $libc "realloc")"#);
    format!(
        r#"(component {TYPES} {imports}
          (core module $libc
            (memory (export "memory") 4)
            (global $heap (export "heap") (mut i32) (i32.const 16384))
            (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32)
              (param $size i32) (result i32) {realloc}))
          (core instance $libc (instantiate $libc))
          {canons}
          (core module $m
            (import "libc" "memory" (memory 1))
            (import "libc" "heap" (global $heap (mut i32)))
            {core}
            {data} {IS_BOOM}
            (func $harm (param $p i32) (result i32) (local $handle i32) {body} {answer})
            (func (export "merge") (param $p i32) (result i32)
              (if (result i32) (call $is_boom (local.get $p))
                (then (call $harm (local.get $p))) (else {merge})))
            (func (export "post") (param i32)))
          (core instance $i (instantiate $m
            (with "libc" (instance $libc)) (with "wasi" (instance {given}))))
          {lift})"#
    )
}

fn calling(
    name: &str,
    tries: &str,
    imports: &'static [&'static str],
    lowered: &'static [Lowered],
    body: impl Into<String>,
) -> Draft {
    let body = body.into();
    text(name, tries, move || component(imports, lowered, &body))
}

/// The body again and again. What the host puts into memory is given up each time.
fn for_ever(body: &str) -> String {
    format!("(loop $l (global.set $heap (i32.const 32768)) {body} (br $l))")
}

const OUTPUT: &[&str] = &[POLL, STREAMS];

pub(super) fn all() -> Vec<Hostile> {
    let mut all = floods();
    all.extend(too_much());
    all.extend(not_given());
    all
}

fn floods() -> Vec<Hostile> {
    let flood = |name, tries, imports, lowered, body: &str| {
        calling(name, tries, imports, lowered, for_ever(body)).faults("out-of-fuel")
    };
    let printing = "(local.set $handle (call $out))
        (loop $l (call $write (local.get $handle) (i32.const 0) (i32.const 4096) (i32.const 1024))
          (br $l))";
    vec![
        calling("wasi-prints", "Prints for ever.", OUTPUT, &[OUT, WRITE], printing)
            .faults("out-of-fuel"),
        calling(
            "wasi-prints-nothing",
            "Prints nothing for ever.",
            OUTPUT,
            &[OUT, WRITE],
            printing.replace("(i32.const 4096)", "(i32.const 0)"),
        )
        .faults("out-of-fuel"),
        flood(
            "wasi-random-bytes",
            "Asks for random bytes for ever.",
            &[RANDOM],
            &[BYTES],
            "(call $bytes (i64.const 1000) (i32.const 1024))",
        ),
        flood(
            "wasi-random-nothing",
            "Asks for no random bytes for ever.",
            &[RANDOM],
            &[BYTES],
            "(call $bytes (i64.const 0) (i32.const 1024))",
        ),
        flood(
            "wasi-random-numbers",
            "Asks for random numbers for ever.",
            &[RANDOM],
            &[NUMBER],
            "(drop (call $number))",
        ),
        flood(
            "wasi-seeds",
            "Asks for a seed for ever.",
            &[SEED],
            &[INSECURE],
            "(call $seed (i32.const 1024))",
        ),
        flood(
            "wasi-time",
            "Asks for the time until it changes.",
            &[WALL_CLOCK],
            &[TIME],
            "(call $time (i32.const 1024))",
        ),
        flood(
            "wasi-ticks",
            "Waits in a loop for a clock that stands still.",
            &[POLL, MONOTONIC_CLOCK],
            &[TICKS],
            "(br_if $l (i64.eqz (call $ticks)))",
        ),
        flood(
            "wasi-environment",
            "Asks for its environment for ever.",
            &[ENVIRONMENT],
            &[VARIABLES],
            "(call $variables (i32.const 1024))",
        ),
        calling(
            "wasi-polls",
            "Polls for ever what is always ready.",
            OUTPUT,
            &[OUT, SUBSCRIBE, WAIT],
            "(i32.store (i32.const 1024) (call $subscribe (call $out)))
             (loop $l (global.set $heap (i32.const 32768))
               (call $wait (i32.const 1024) (i32.const 1) (i32.const 1032)) (br $l))",
        )
        .faults("out-of-fuel"),
        calling(
            "wasi-ready",
            "Asks for ever whether what is ready is ready.",
            OUTPUT,
            &[OUT, SUBSCRIBE, IS_READY],
            "(local.set $handle (call $subscribe (call $out)))
             (loop $l (br_if $l (call $ready (local.get $handle))))",
        )
        .faults("out-of-fuel"),
    ]
}

fn too_much() -> Vec<Hostile> {
    vec![
        calling(
            "wasi-random-2-63-bytes",
            "Asks for 2^63 random bytes.",
            &[RANDOM],
            &[BYTES],
            "(call $bytes (i64.const 0x8000000000000000) (i32.const 1024))",
        )
        .faults("out-of-fuel"),
        calling(
            "wasi-writes-2-63-zeroes",
            "Writes 2^63 zeroes.",
            OUTPUT,
            &[OUT, ZEROES],
            "(call $zeroes (call $out) (i64.const 0x8000000000000000) (i32.const 1024))",
        )
        .faults("out-of-fuel"),
        calling(
            "wasi-writes-too-much",
            "Writes more at once than a stream takes.",
            OUTPUT,
            &[OUT, WRITE],
            "(call $write (call $out) (i32.const 0) (i32.const 100000) (i32.const 1024))",
        )
        .faults("trap"),
        calling(
            "wasi-writes-4-gib",
            "Writes 4 GiB, which it does not have.",
            OUTPUT,
            &[OUT, WRITE],
            "(call $write (call $out) (i32.const 0) (i32.const -1) (i32.const 1024))",
        )
        .faults("trap"),
        calling(
            "wasi-handles",
            "Takes streams without giving any back.",
            OUTPUT,
            &[OUT],
            "(loop $l (drop (call $out)) (br $l))",
        )
        .faults("trap"),
        calling(
            "wasi-pollables",
            "Subscribes for ever to one stream.",
            OUTPUT,
            &[OUT, SUBSCRIBE],
            "(local.set $handle (call $out))
             (loop $l (drop (call $subscribe (local.get $handle))) (br $l))",
        )
        .faults("trap"),
        calling(
            "wasi-polls-4-gib",
            "Polls a list of a billion handles.",
            OUTPUT,
            &[WAIT],
            "(call $wait (i32.const 0) (i32.const 0x3fffffff) (i32.const 1024))",
        )
        .faults("trap"),
        calling(
            "wasi-polls-nothing",
            "Polls nothing, which would never end.",
            OUTPUT,
            &[WAIT],
            "(call $wait (i32.const 0) (i32.const 0) (i32.const 1024))",
        )
        .faults("trap"),
        calling(
            "wasi-result-nowhere",
            "Wants the time where there is no memory.",
            &[WALL_CLOCK],
            &[TIME],
            "(call $time (i32.const -8))",
        )
        .faults("trap"),
        calling(
            "wasi-handle-of-its-own-making",
            "Uses a handle that it was never given.",
            OUTPUT,
            &[WRITE],
            "(call $write (i32.const 77) (i32.const 0) (i32.const 1) (i32.const 1024))",
        )
        .faults("trap"),
    ]
}

fn not_given() -> Vec<Hostile> {
    let leaving = |status: u8| format!("(call $leave (i32.const {status}))");
    vec![
        calling("wasi-exit", "Leaves the process with success.", &[EXIT], &[LEAVE], leaving(0))
            .faults("trap"),
        calling(
            "wasi-exit-with-failure",
            "Leaves the process with failure.",
            &[EXIT],
            &[LEAVE],
            leaving(1),
        )
        .faults("trap"),
        calling(
            "wasi-sleep",
            "Sleeps for 584 years.",
            &[POLL, MONOTONIC_CLOCK],
            &[SLEEP],
            "(drop (call $sleep (i64.const -1)))",
        )
        .faults("trap"),
        calling(
            "wasi-imported-without-use",
            "Imports WASI and calls none of it.",
            &[RANDOM, SEED, WALL_CLOCK, ENVIRONMENT, EXIT, POLL, MONOTONIC_CLOCK, STREAMS],
            &[],
            "",
        )
        .merges(ANSWERED),
        calling(
            "wasi-prints-a-little",
            "Prints what clears a terminal, and answers well.",
            OUTPUT,
            &[OUT, WRITE],
            "(i64.store (i32.const 1024) (i64.const 0x0a4a325b1b)) (local.set $handle (call $out))
             (call $write (local.get $handle) (i32.const 1024) (i32.const 5) (i32.const 1040))",
        )
        .merges(ANSWERED),
        text("wasi-of-another-type", "Imports an allowed interface in a form of its own.", || {
            component(&[&RANDOM.replace("(result u64)", "(result s8)")], &[], "")
        })
        .refused("wrong-import-type"),
        text(
            "wasi-function-that-is-none",
            "Imports a function that an interface never had.",
            || component(&[&RANDOM.replace("get-random-u64", "get-password")], &[], ""),
        )
        .refused("wrong-import-type"),
    ]
}
