//! Where things lie: no drawers for whatever, no logic in `mod.rs`, and each crate says what it is.

use crate::source::Source;
use crate::tree::Tree;
use crate::violation::Violation;

const DRAWERS: [&str; 9] =
    ["common", "helper", "helpers", "misc", "shared", "types", "util", "utility", "utils"];

/// Files that are named after nothing.
pub fn check_names(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, _) in tree.within("", ".rs").chain(tree.within("", ".ts")) {
        let parts: Vec<&str> = path.split('/').collect();
        let names = parts.iter().map(|part| part.split('.').next().unwrap_or_default());
        if let Some(name) = names.into_iter().find(|name| DRAWERS.contains(name)) {
            let what = format!("`{name}` is a drawer for whatever");
            violations.push(Violation::new(path, 1, what, "Name it after what is in it."));
        }
    }
    violations
}

/// `mod.rs` files that hold more than declarations. Below `tests/`, where each file is a program of
/// its own, `mod.rs` is how programs share a module.
pub fn check_mod_rs(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.within("", "/mod.rs") {
        if path.starts_with("tests/") || path.contains("/tests/") {
            continue;
        }
        let source = Source::parse(text);
        let declares = |code: &str| {
            let code = code.trim();
            let starts = ["mod ", "pub mod ", "pub(crate) mod ", "use ", "pub use ", "#", "}"];
            code.is_empty() || starts.iter().any(|start| code.starts_with(start))
        };
        if let Some((line, _)) = source.all_code().find(|(_, code)| !declares(code)) {
            let instead = "Move it into a file with a name, or call this file like its folder.";
            violations.push(Violation::new(path, line, "logic in a mod.rs", instead));
        }
    }
    violations
}

/// Crates that don't say in a sentence what they do.
pub fn check_crate_docs(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.within("", "src/lib.rs") {
        let docs: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let first: Vec<&str> = docs.iter().copied().take_while(|line| !line.is_empty()).collect();
        if !first.last().is_some_and(|line| line.trim_end().ends_with(['.', ':'])) {
            let instead =
                "Begin it with `//!` and a sentence of what it does; say what it never does.";
            violations.push(Violation::new(
                path,
                1,
                "a crate that does not say what it is",
                instead,
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(violations: Vec<Violation>) -> Vec<String> {
        violations.into_iter().map(|found| found.path).collect()
    }

    #[test]
    fn drawers_are_found() {
        let tree =
            Tree::of(&[("a/util.rs", ""), ("a/types/b.rs", ""), ("c/utilities_of_b.rs", "")]);
        assert_eq!(paths(check_names(&tree)), ["a/types/b.rs", "a/util.rs"]);
    }

    #[test]
    fn logic_in_mod_rs_is_found() {
        let logic = "mod a;\npub use a::A;\n\nfn b() {}\n";
        let tree = Tree::of(&[
            ("a/src/b/mod.rs", logic),
            ("a/src/c/mod.rs", "//! Says.\n\nmod a;\npub use a::A;\n"),
            ("a/tests/b/mod.rs", logic),
        ]);
        assert_eq!(check_mod_rs(&tree).len(), 1);
        assert_eq!(check_mod_rs(&tree)[0].line, 4);
    }

    #[test]
    fn a_crate_without_a_sentence_is_found() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "//! Does this\n//! and that.\n//!\n//! Never\n\nmod a;"),
            ("b/src/lib.rs", "//! syncline-b\n"),
            ("c/src/lib.rs", "mod a;\n"),
        ]);
        assert_eq!(paths(check_crate_docs(&tree)), ["b/src/lib.rs", "c/src/lib.rs"]);
    }
}
