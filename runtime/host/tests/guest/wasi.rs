//! Guests written as text that import all of WASI that there is.

use super::{TYPES, answer_with};

/// A function of WASI: its interface's name in wasi.wat, its own, what the guest calls it, and the
/// parameters and result that the guest's code sees.
type Import = (&'static str, &'static str, &'static str, &'static str);

const READ: &str = "(param i32 i64 i32)";
const WRITE: &str = "(param i32 i32 i32 i32)";
const FLUSH: &str = "(param i32 i32)";
const ZEROES: &str = "(param i32 i64 i32)";
const SPLICE: &str = "(param i32 i32 i64 i32)";
const RETURNS: &str = "(param i32)";
const GIVES: &str = "(result i32)";
const GIVES_LONG: &str = "(result i64)";
const OF_ONE: &str = "(param i32) (result i32)";

pub const IMPORTS: [Import; 41] = [
    ("poll", "[method]pollable.ready", "ready", OF_ONE),
    ("poll", "[method]pollable.block", "block", "(param i32)"),
    ("poll", "poll", "poll", "(param i32 i32 i32)"),
    ("streams", "[method]input-stream.read", "read", READ),
    ("streams", "[method]input-stream.blocking-read", "blocking-read", READ),
    ("streams", "[method]input-stream.skip", "skip", READ),
    ("streams", "[method]input-stream.blocking-skip", "blocking-skip", READ),
    ("streams", "[method]input-stream.subscribe", "subscribe-input", OF_ONE),
    ("streams", "[method]output-stream.check-write", "check-write", FLUSH),
    ("streams", "[method]output-stream.write", "write", WRITE),
    ("streams", "[method]output-stream.blocking-write-and-flush", "blocking-write", WRITE),
    ("streams", "[method]output-stream.flush", "flush", FLUSH),
    ("streams", "[method]output-stream.blocking-flush", "blocking-flush", FLUSH),
    ("streams", "[method]output-stream.subscribe", "subscribe-output", OF_ONE),
    ("streams", "[method]output-stream.write-zeroes", "zeroes", ZEROES),
    ("streams", "[method]output-stream.blocking-write-zeroes-and-flush", "blocking-zeroes", ZEROES),
    ("streams", "[method]output-stream.splice", "splice", SPLICE),
    ("streams", "[method]output-stream.blocking-splice", "blocking-splice", SPLICE),
    ("environment", "get-environment", "get-environment", RETURNS),
    ("environment", "get-arguments", "get-arguments", RETURNS),
    ("environment", "initial-cwd", "initial-cwd", RETURNS),
    ("exit", "exit", "exit", "(param i32)"),
    ("exit", "exit-with-code", "exit-with-code", "(param i32)"),
    ("stdin", "get-stdin", "get-stdin", GIVES),
    ("stdout", "get-stdout", "get-stdout", GIVES),
    ("stderr", "get-stderr", "get-stderr", GIVES),
    ("terminal-stdin", "get-terminal-stdin", "get-terminal-stdin", RETURNS),
    ("terminal-stdout", "get-terminal-stdout", "get-terminal-stdout", RETURNS),
    ("terminal-stderr", "get-terminal-stderr", "get-terminal-stderr", RETURNS),
    ("wall-clock", "now", "wall-now", RETURNS),
    ("wall-clock", "resolution", "wall-resolution", RETURNS),
    ("monotonic-clock", "now", "now", GIVES_LONG),
    ("monotonic-clock", "resolution", "resolution", GIVES_LONG),
    ("monotonic-clock", "subscribe-instant", "subscribe-instant", "(param i64) (result i32)"),
    ("monotonic-clock", "subscribe-duration", "subscribe-duration", "(param i64) (result i32)"),
    ("random", "get-random-bytes", "random-bytes", "(param i64 i32)"),
    ("random", "get-random-u64", "random-number", GIVES_LONG),
    ("insecure", "get-insecure-random-bytes", "insecure-bytes", "(param i64 i32)"),
    ("insecure", "get-insecure-random-u64", "insecure-number", GIVES_LONG),
    ("insecure-seed", "insecure-seed", "insecure-seed", RETURNS),
    ("preopens", "get-directories", "get-directories", RETURNS),
];

/// Types of resources whose handles the guest can drop.
const DROPS: [&str; 3] = ["pollable", "input", "output"];

/// A component that runs this code, then answers with the newer image. Results are best put at 512;
/// 4,096 to 8,192 is free. `$drop-input`, `$drop-output` and `$drop-pollable` drop.
pub fn using(code: &str) -> Vec<u8> {
    using_with(code, "")
}

/// As [`using`], with more items of the guest's module.
pub fn using_with(code: &str, items: &str) -> Vec<u8> {
    using_with_parts(code, items, "", "")
}

/// As [`using_with`], with more parts of the component, and what the guest's module can import of them
/// from `wasi`.
pub fn using_with_parts(code: &str, items: &str, parts: &str, exports: &str) -> Vec<u8> {
    let (mut lowered, mut provided, mut imported) = (String::new(), String::new(), String::new());
    for (interface, function, name, signature) in IMPORTS {
        lowered += &format!(
            r#"(core func ${name} (canon lower (func ${interface} "{function}")
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))"#
        );
        provided += &format!("(export \"{name}\" (func ${name}))");
        imported += &format!("(import \"wasi\" \"{name}\" (func ${name} {signature}))");
    }
    for name in DROPS {
        lowered += &format!("(core func $drop-{name} (canon resource.drop ${name}))");
        provided += &format!("(export \"drop-{name}\" (func $drop-{name}))");
        imported += &format!("(import \"wasi\" \"drop-{name}\" (func $drop-{name} (param i32)))");
    }
    let wasi = include_str!("wasi.wat");
    let answer = answer_with("(i32.load8_u offset=84 (local.get $p))", 88, 92);
    let text = format!(
        r#"(component {TYPES} {wasi}
          (core module $libc
            (memory (export "memory") 16)
            (global $heap (mut i32) (i32.const 786432))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
              (global.set $heap (i32.and (i32.add (global.get $heap) (i32.const 7))
                (i32.const -8)))
              (global.get $heap)
              (global.set $heap (i32.add (global.get $heap) (local.get 3)))))
          (core instance $libc (instantiate $libc))
          {lowered} {parts}
          (core module $main
            (import "libc" "memory" (memory 16))
            {imported} {items}
            (func $merge (export "merge") (param $p i32) (result i32)
              (local $h i32) (local $i i32) (local $n i32) {code} {answer}))
          (core instance $main (instantiate $main (with "libc" (instance $libc))
            (with "wasi" (instance {provided} {exports}))))
          (func $merge (param "conflict" $conflict)
            (result (result (option (list u8)) (error string)))
            (canon lift (core func $main "merge") (memory (core memory $libc "memory"))
              (realloc (core func $libc "realloc"))))
          (export "merge" (func $merge)))"#
    );
    wat::parse_str(text).unwrap()
}
