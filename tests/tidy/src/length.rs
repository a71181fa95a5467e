//! A file stays readable in one sitting.

use crate::source::Source;
use crate::tree::Tree;
use crate::violation::Violation;

/// So many lines, without the tests at the end.
pub const LINES_MAX: usize = 600;

/// Files that are too long.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let rust =
        tree.within("", ".rs").map(|(path, text)| (path, Source::parse(text).lines_without_tests));
    let typescript = tree.within("", ".ts").map(|(path, text)| (path, text.lines().count()));
    let too_long = rust.chain(typescript).filter(|(_, lines)| *lines > LINES_MAX);
    let violation = |(path, lines): (&str, usize)| {
        let what = format!("{lines} lines without tests, the limit is {LINES_MAX}");
        Violation::new(
            path,
            LINES_MAX + 1,
            what,
            "Move a part that has a name of its own into a module.",
        )
    };
    too_long.map(violation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_test_counts() {
        let long = "fn a() {}\n".repeat(LINES_MAX);
        let with_tests = format!("{long}#[cfg(test)]\nmod tests {{\n}}\n");
        let too_long = format!("fn b() {{}}\n{with_tests}");
        let script = "let a;\n".repeat(LINES_MAX + 1);
        let tree = Tree::of(&[("a.rs", &with_tests), ("b.rs", &too_long), ("c.ts", &script)]);
        let found: Vec<String> = check(&tree).into_iter().map(|found| found.path).collect();
        assert_eq!(found, ["b.rs", "c.ts"]);
    }
}
