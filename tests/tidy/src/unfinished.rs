//! Nothing is left for later in the code: what is missing is an issue, not a comment.

use crate::source::{Source, words};
use crate::tree::Tree;
use crate::violation::Violation;

/// In pieces, so that this file does not hold them.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Notes to self anywhere; macros for code that is not there, and tests that do not run.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.iter() {
        for (at, line) in text.lines().enumerate() {
            if let Some(note) = words(line).find(|word| NOTES.contains(&word.text)) {
                let what = format!("the note `{}`", note.text);
                let instead = "Do it now, or open an issue and leave no note.";
                violations.push(Violation::new(path, at + 1, what, instead));
            }
        }
        if !path.ends_with(".rs") {
            continue;
        }
        for (line, code) in Source::parse(text).all_code() {
            let called = |word: &crate::source::Word<'_>| word.after.starts_with('!');
            if let Some(word) = words(code).find(|w| MACROS.contains(&w.text) && called(w)) {
                let what = format!("`{}!` stands for code that is not there", word.text);
                violations.push(Violation::new(path, line, what, "Write it, or return an error."));
            }
            if code.contains("#[ignore") {
                let instead = "Let it run always, or delete it; what is slow is a benchmark.";
                violations.push(Violation::new(path, line, "a test that does not run", instead));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_for_later_is_found() {
        let note = format!("# {}: later", NOTES[0]);
        let code = format!("fn a() {{\n    {}!()\n}}\n#[ignore]\nfn b() {{}}", MACROS[0]);
        let tree = Tree::of(&[("a.toml", &note), ("a.rs", &code)]);
        let found: Vec<(String, usize)> =
            check(&tree).into_iter().map(|found| (found.path, found.line)).collect();
        let expected = [("a.rs", 2), ("a.rs", 4), ("a.toml", 1)];
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
        assert!(check(&Tree::of(&[("a.rs", "fn todo() { dbg(\"#[ignore]\") }")])).is_empty());
    }
}
