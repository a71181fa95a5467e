//! The interface of merge functions is versioned, and its version is a promise.

use crate::tree::Tree;
use crate::violation::Violation;

const PATH: &str = "wit/merge.wit";
const PACKAGE: &str = "package syncline:merge@1.0.0;";

/// The interface under another version than the one that functions out there are built against.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let text = tree.get(PATH).unwrap_or_default();
    if text.lines().any(|line| line == PACKAGE) {
        return Vec::new();
    }
    let at = text.lines().position(|line| line.starts_with("package ")).unwrap_or_default();
    let what = format!("the package is not `{PACKAGE}`");
    let instead = "Put a new version beside it; functions that were built against this one stay.";
    vec![Violation::new(PATH, at + 1, what, instead)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_found() {
        let tree = |text| Tree::of(&[(PATH, text)]);
        assert!(check(&tree("/// A\npackage syncline:merge@1.0.0;\n")).is_empty());
        assert_eq!(check(&tree("/// A\npackage syncline:merge@1.1.0;\n"))[0].line, 2);
        assert_eq!(check(&Tree::default()).len(), 1);
    }
}
