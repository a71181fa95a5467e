//! Uses what the standard library offers: the row's key says what of it, and the answer what it saw.

use std::collections::HashMap;
use std::io::Read as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io, process, thread};

use serde::{Deserialize, Serialize};
use syncline_sdk::{Conflict, MergeError, merge_function};

#[derive(Deserialize, Serialize)]
struct Row {
    #[serde(default)]
    seen: String,
}

#[merge_function]
fn merge(c: Conflict<Row>) -> Result<Option<Row>, MergeError> {
    let seen = match c.row_pk.as_str() {
        "environment" => environment(),
        "time" => time(),
        "hash-order" => hash_order(),
        "files" => files(),
        "stdin" => stdin(),
        "print" => print(),
        "print-much" => (0..2_000).map(|n| println!("line {n}")).count().to_string(),
        "print-endlessly" => loop {
            println!("once more");
        },
        "print-long" => long_line(),
        "panic" => surely_panics(c.row_pk.len()),
        "exit" => process::exit(0),
        "exit-failing" => process::exit(3),
        "abort" => process::abort(),
        "sleep" => sleep(Duration::from_millis(1)),
        "sleep-not" => sleep(Duration::ZERO),
        "thread" => format!("{:?}", thread::Builder::new().spawn(|| ()).map(|_| ()).is_err()),
        _ => String::new(),
    };
    Ok(Some(Row { seen }))
}

fn environment() -> String {
    let arguments: Vec<String> = env::args().collect();
    let variables: Vec<(String, String)> = env::vars().collect();
    let folder = env::current_dir().map(|dir| dir.display().to_string()).ok();
    format!("{arguments:?} {variables:?} {folder:?}")
}

fn time() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_millis());
    let start = Instant::now();
    let passed = (0..1_000).map(|_| start.elapsed()).max();
    format!("{now:?} {passed:?}")
}

fn hash_order() -> String {
    let map: HashMap<u32, u32> = (0..12).map(|n| (n, n)).collect();
    let order: Vec<String> = map.keys().map(u32::to_string).collect();
    order.join(" ")
}

fn files() -> String {
    let read = fs::read("anything").err().map(|error| error.kind());
    let write = fs::write("anything", "text").err().map(|error| error.kind());
    let list = fs::read_dir(".").err().map(|error| error.kind());
    format!("{read:?} {write:?} {list:?}")
}

fn stdin() -> String {
    let mut text = String::new();
    format!("{:?} {text:?}", io::stdin().read_to_string(&mut text))
}

fn print() -> String {
    println!("to the output: \u{1b}[2J é");
    eprintln!("to the error output");
    String::from("printed")
}

fn long_line() -> String {
    println!("{}", "x".repeat(100_000));
    String::from("printed")
}

#[inline(never)]
fn surely_panics(length: usize) -> String {
    panic!("the key has {length} letters");
}

fn sleep(duration: Duration) -> String {
    thread::sleep(duration);
    String::from("slept")
}
