//! runtime/core decides, and does nothing: what it computes depends on its arguments alone, in
//! every region and at every time.

use crate::source::{Source, Word, words};
use crate::tree::Tree;
use crate::violation::Violation;

const CORE: &str = "runtime/core/src/";
/// The switch of the planted bugs: constant in the product, and state only in the simulator's build.
const NOT_IN_THE_PRODUCT: &str = "runtime/core/src/planted.rs";

const CLOCK: &str = "Take the time as an argument, as Clock::tick does; the node reads the clock.";
const RANDOM: &str = "Take what is random as an argument; a simulator must be able to repeat it.";
const ORDER: &str = "Use BTreeMap or BTreeSet: a hash map's order differs from process to process.";
const FLOAT: &str = "Use integers, in parts of a whole: floats round, and differ over platforms.";
const EFFECT: &str = "Return the effect as a value, as Commit does; the node carries it out.";

/// Names that have no place in the core, and what to do instead.
const NAMES: [(&str, &str); 29] = [
    ("Instant", CLOCK),
    ("SystemTime", CLOCK),
    ("UNIX_EPOCH", CLOCK),
    ("rand", RANDOM),
    ("getrandom", RANDOM),
    ("fastrand", RANDOM),
    ("thread_rng", RANDOM),
    ("RandomState", RANDOM),
    ("DefaultHasher", RANDOM),
    ("HashMap", ORDER),
    ("HashSet", ORDER),
    ("hash_map", ORDER),
    ("hash_set", ORDER),
    ("f32", FLOAT),
    ("f64", FLOAT),
    ("println", EFFECT),
    ("eprintln", EFFECT),
    ("print", EFFECT),
    ("eprint", EFFECT),
    ("tracing", EFFECT),
    ("log", EFFECT),
    ("tokio", EFFECT),
    ("async", EFFECT),
    ("await", EFFECT),
    ("thread_local", EFFECT),
    ("include_bytes", EFFECT),
    ("include_str", EFFECT),
    ("unsafe", "The core has no reason to be unsafe; find the safe way."),
    ("static", "State belongs into a value that the caller holds; use const for constants."),
];

/// Modules of std that do something.
const STD_MODULES: [&str; 7] = ["env", "fs", "io", "net", "os", "process", "thread"];

/// Whatever in the core's sources is not pure.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    // Tests in a file of their own may use what they like, as those at a file's end may.
    let sources = tree
        .within(CORE, ".rs")
        .filter(|(path, _)| !path.ends_with("/tests.rs") && *path != NOT_IN_THE_PRODUCT);
    for (path, text) in sources {
        let source = Source::parse(text);
        let mut in_std_use = false;
        for (line, code) in source.code_without_tests() {
            in_std_use |= code.contains("use std::{");
            for word in words(code) {
                let name = NAMES.iter().find(|(name, _)| *name == word.text);
                if let Some((name, instead)) = name.filter(|_| !is_harmless(word)) {
                    violations.push(Violation::new(
                        path,
                        line,
                        format!("`{name}` in the core, which is pure"),
                        *instead,
                    ));
                }
                let of_std =
                    word.before.ends_with("std::") || (in_std_use && !word.before.ends_with("::"));
                if of_std && STD_MODULES.contains(&word.text) {
                    let what = format!("`std::{}` in the core, which is pure", word.text);
                    violations.push(Violation::new(path, line, what, EFFECT));
                }
                if is_float_literal(word) {
                    let what = format!("a float, `{}`, in the core", word.text);
                    violations.push(Violation::new(path, line, what, FLOAT));
                }
            }
            in_std_use &= !code.contains(';');
        }
    }
    violations
}

/// `'static`, and a macro's or module's name that is a method or a field here.
fn is_harmless(word: Word<'_>) -> bool {
    match word.text {
        "static" => word.before.ends_with('\''),
        "print" | "eprint" | "println" | "eprintln" | "thread_local" | "include_bytes"
        | "include_str" => !word.after.starts_with('!'),
        "log" | "rand" | "tracing" | "tokio" | "getrandom" | "fastrand" => {
            !word.after.starts_with("::") && !word.before.contains("use ")
        }
        _ => false,
    }
}

/// `1.5`, `1.`, `1e9`; not `a.0.1`, `0..5`, `1.max(2)`, `0x1e9`.
fn is_float_literal(word: Word<'_>) -> bool {
    let mut letters = word.text.chars();
    let starts = letters.next().is_some_and(|c| c.is_ascii_digit());
    if !starts || word.before.ends_with('.') && !word.before.ends_with("..") {
        return false;
    }
    if ["0x", "0b", "0o"].iter().any(|prefix| word.text.starts_with(prefix)) {
        return false;
    }
    if word.text.contains(['e', 'E']) || word.text.ends_with("f32") || word.text.ends_with("f64") {
        return !word.text.ends_with("size");
    }
    let Some(rest) = word.after.strip_prefix('.') else { return false };
    let is_method_or_range = rest.starts_with(|c: char| c == '.' || c == '_' || c.is_alphabetic());
    word.text.chars().all(|c| c.is_ascii_digit() || c == '_') && !is_method_or_range
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("runtime/core/src/a.rs", text), ("runtime/node/src/a.rs", text)]);
        check(&tree).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn what_is_not_pure_is_found() {
        for bad in [
            "use std::time::Instant;",
            "let now = SystemTime::now();",
            "let n = rand::random();",
            "use std::collections::HashMap;",
            "fn a(b: &HashSet<u8>) {}",
            "let share: f64 = a;",
            "let share = a as f32;",
            "let a = 1.5;",
            "let a = 1.;",
            "let a = 1e9;",
            "let a = 2_f64;",
            "std::fs::read(a);",
            "use std::{fmt, net::TcpStream};",
            "use std::{\n    thread,\n};",
            "println!(\"a\");",
            "tracing::info!(\"a\");",
            "static A: AtomicU64 = AtomicU64::new(0);",
            "let a = unsafe { b() };",
        ] {
            assert_eq!(lines(bad).len(), 1, "{bad}");
        }
        assert_eq!(lines("fn a() {}\n\nlet b = 0.5;"), [3]);
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for good in [
            "// an Instant, HashMap and 1.5 in words",
            "let a = \"std::fs 1.5\";",
            "for i in 0..5 { b.0.1 = 1.max(2) + 0x1e9 + 1_000usize; }",
            "let range = 1..=10;",
            "fn a(b: &'static str) { b.print(); commit.log; }",
            "use std::{fmt, sync::Arc};\nlet process = io;",
            "use std::sync::atomic::AtomicU64;",
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    use std::collections::HashMap;\n}",
        ] {
            assert_eq!(lines(good), [0; 0], "{good}");
        }
    }
}
