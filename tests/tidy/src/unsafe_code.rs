//! Unsafe code says why it is sound, right where it is.

use crate::source::{Source, words};
use crate::tree::Tree;
use crate::violation::Violation;

/// Unsafe blocks and implementations without a `SAFETY:` comment just above.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.within("", ".rs") {
        let source = Source::parse(text);
        for (line, code) in source.all_code() {
            let needs_reason = words(code).any(|word| {
                let after = word.after.trim_start();
                word.text == "unsafe" && (after.starts_with('{') || after.starts_with("impl"))
            });
            if needs_reason && !has_reason(&source, line - 1) {
                let instead =
                    "Write a `// SAFETY:` comment above it: which promise makes it sound.";
                violations.push(Violation::new(
                    path,
                    line,
                    "unsafe code without its reason",
                    instead,
                ));
            }
        }
    }
    violations
}

/// Looks upwards from the line, through the rest of its statement and through comments.
fn has_reason(source: &Source<'_>, at: usize) -> bool {
    let is_comment = |at: usize| source.lines[at].trim_start().starts_with("//");
    let mut at = at;
    while at > 0 && !is_comment(at - 1) {
        let before = source.code[at - 1].trim();
        let ends_a_statement = before.is_empty() || before.ends_with([';', '{', '}', ',']);
        if ends_a_statement {
            return false;
        }
        at -= 1;
    }
    let comment = (0..at).rev().take_while(|at| is_comment(*at));
    comment.into_iter().any(|at| source.lines[at].contains("// SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check(&Tree::of(&[("a.rs", text)])).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn unsafe_code_without_a_reason_is_found() {
        assert_eq!(lines("fn a() {\n    unsafe { b() }\n}"), [2]);
        assert_eq!(lines("// SAFETY: as before.\nlet a = 1;\nlet b = unsafe { c() };"), [3]);
        assert_eq!(lines("// Fast.\nunsafe impl Send for A {}"), [2]);
    }

    #[test]
    fn a_reason_may_be_long_and_the_statement_too() {
        assert!(
            lines("// SAFETY: c is\n// checked above.\nlet a =\n    unsafe { b(c) };").is_empty()
        );
        assert!(lines("// unsafe { a() }\nlet b = \"unsafe { c() }\";").is_empty());
        assert!(lines("/// # Safety\n/// a\npub unsafe fn b() {}").is_empty());
    }
}
