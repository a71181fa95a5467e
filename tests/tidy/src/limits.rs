//! The page of limits says what the code says.

use crate::source::Source;
use crate::tree::Tree;
use crate::violation::Violation;

const PAGE: &str = "docs/src/reference/limits.md";
const RUNTIME: &str = "runtime/";

/// A named limit in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    path: String,
    line: usize,
    /// `core::IMAGE_BYTES_MAX`
    name: String,
    is_public: bool,
    /// As the page should write it; none where the value is no plain number.
    value: Option<String>,
}

/// Public limits that the page does not name, and rows of the page that are not as the code is.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let limits: Vec<Limit> =
        tree.within(RUNTIME, ".rs").flat_map(|(path, text)| limits(path, text)).collect();
    let rows = rows(tree.get(PAGE).unwrap_or_default());
    let mut violations = Vec::new();
    for limit in limits.iter().filter(|limit| limit.is_public) {
        if !rows.iter().any(|(_, name, _)| *name == limit.name) {
            let what = format!("`{}` is not on the page of limits", limit.name);
            let value = limit.value.as_deref().unwrap_or_default();
            let instead = format!("Add a row to {PAGE}: what is limited, {value}, the constant.");
            violations.push(Violation::new(&limit.path, limit.line, what, instead));
        }
    }
    for (line, name, cells) in rows {
        let named: Vec<&Limit> = limits.iter().filter(|limit| limit.name == name).collect();
        let says = |limit: &&Limit| limit.value.as_ref().is_none_or(|value| cells.contains(value));
        if named.is_empty() {
            let what = format!("there is no constant `{name}`");
            violations.push(Violation::new(PAGE, line, what, "Name the one that there is."));
        } else if !named.iter().any(says) {
            let values: Vec<&str> =
                named.iter().filter_map(|limit| limit.value.as_deref()).collect();
            let what = format!("`{name}` is not what its row says");
            let instead = format!("Write {} into a cell of the row.", values.join(" or "));
            violations.push(Violation::new(PAGE, line, what, instead));
        }
    }
    violations
}

fn limits(path: &str, text: &str) -> Vec<Limit> {
    let Some(part) = path.strip_prefix(RUNTIME).and_then(|rest| rest.split('/').next()) else {
        return Vec::new();
    };
    let source = Source::parse(text);
    let constants = source.code_without_tests().filter_map(|(line, code)| {
        let code = code.trim();
        let is_public = code.starts_with("pub const ");
        let at = code.find("const ")?;
        let (name, rest) = code[at + 6..].split_once(": ")?;
        if !name.ends_with("MAX") {
            return None;
        }
        // What stands on a line of its own is no plain number.
        let expression = rest.split_once(" =")?.1.trim().trim_end_matches(';');
        let value = number(expression).map(|number| shown(number, name.contains("BYTES")));
        let name = format!("{part}::{name}");
        Some(Limit { path: path.to_owned(), line, name, is_public, value })
    });
    constants.collect()
}

/// A literal, or one that is shifted or multiplied by another.
fn number(expression: &str) -> Option<u64> {
    let literal = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    if let Some((number, by)) = expression.split_once("<<") {
        return literal(number)?.checked_shl(u32::try_from(literal(by)?).ok()?);
    }
    if let Some((number, by)) = expression.split_once('*') {
        return literal(number)?.checked_mul(literal(by)?);
    }
    literal(expression)
}

fn shown(number: u64, is_bytes: bool) -> String {
    if is_bytes && number != 0 {
        for (unit, size) in [("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if number.is_multiple_of(size) {
                return format!("{} {unit}", number / size);
            }
        }
    }
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// The rows of the page's tables that name a constant: line, constant, cells.
fn rows(page: &str) -> Vec<(usize, String, Vec<String>)> {
    let mut rows = Vec::new();
    for (at, line) in page.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        let names = cells.iter().filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'));
        if let Some(name) = names.clone().find(|name| name.contains("::")) {
            rows.push((at + 1, name.to_owned(), cells.clone()));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_the_code_must_agree() {
        let code = "pub const A_BYTES_MAX: usize = 16 << 20;\n    pub const B_MAX: u64 = \
                    50_000_000;\nconst C_MAX: u8 = 3;\npub const D_MAX: Hlc = Hlc(5);\n";
        let page = "| a | 15 MiB | `core::A_BYTES_MAX` |\n| c | 3 | `core::C_MAX` |\n\
                    | d | late | `core::D_MAX` |\n| e | 1 | `core::E_MAX` |\n| `x` | y |\n";
        let tree = Tree::of(&[("runtime/core/src/a.rs", code), (PAGE, page)]);
        let found: Vec<(usize, String)> =
            check(&tree).into_iter().map(|found| (found.line, found.what)).collect();
        let expected = [
            (2, "`core::B_MAX` is not on the page of limits"),
            (1, "`core::A_BYTES_MAX` is not what its row says"),
            (4, "there is no constant `core::E_MAX`"),
        ];
        assert_eq!(found, expected.map(|(line, what)| (line, what.to_owned())));
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(shown(16 << 20, true), "16 MiB");
        assert_eq!(shown(1024, true), "1 KiB");
        assert_eq!(shown(1024, false), "1,024");
        assert_eq!(shown(50_000_000, false), "50,000,000");
        assert_eq!(shown(999, false), "999");
    }
}
