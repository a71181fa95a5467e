//! What a rule found.

use std::fmt;

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Relative to the repository's root.
    pub path: String,
    /// From 1; 0 where it is about the file as a whole.
    pub line: usize,
    /// What is there, against which rule.
    pub what: String,
    /// What to do about it.
    pub instead: String,
}

impl Violation {
    /// A violation in a line.
    pub fn new(
        path: impl Into<String>,
        line: usize,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), line, what: what.into(), instead: instead.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, instead } = self;
        write!(f, "{path}:{}: {what}. {instead}", (*line).max(1))
    }
}

/// Fails with every violation on a line of its own.
///
/// # Panics
/// If there is one.
pub fn assert_none(mut violations: Vec<Violation>) {
    violations.sort();
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{} violation(s):\n{}", lines.len(), lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(
        expected = "1 violation(s):\na.rs:3: no clock in the core. Take the time as a value."
    )]
    fn a_violation_says_where_what_and_what_instead() {
        assert_none(vec![Violation::new(
            "a.rs",
            3,
            "no clock in the core",
            "Take the time as a value.",
        )]);
    }
}
