//! The page of the HTTP API has a heading for each route, and for nothing else.

use crate::tree::Tree;
use crate::violation::Violation;

const PAGE: &str = "docs/src/reference/http.md";
const SOURCE: &str = "runtime/node/src/api.rs";

/// Routes without a heading, and headings without a route.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let source = tree.get(SOURCE).unwrap_or_default();
    let page = tree.get(PAGE).unwrap_or_default();
    let routes: Vec<(usize, &str)> = source.lines().zip(1..).filter_map(route).collect();
    let headings: Vec<(usize, &str)> = page.lines().zip(1..).filter_map(heading).collect();
    let has = |list: &[(usize, &str)], path: &str| list.iter().any(|(_, other)| *other == path);
    let mut violations = Vec::new();
    if routes.is_empty() {
        let instead = "Keep them as `const NAME: &str = \"/…\";`, so that they can be compared.";
        violations.push(Violation::new(SOURCE, 1, "no routes are found", instead));
    }
    for (line, path) in routes.iter().filter(|(_, path)| !has(&headings, path)) {
        let what = format!("the route `{path}` is not in {PAGE}");
        let instead = "Describe it there, below a heading ### with the path in backticks.";
        violations.push(Violation::new(SOURCE, *line, what, instead));
    }
    for (line, path) in headings.iter().filter(|(_, path)| !has(&routes, path)) {
        let what = format!("there is no route `{path}`");
        violations.push(Violation::new(PAGE, *line, what, "Leave it out, or correct the path."));
    }
    violations
}

fn route((line, number): (&str, usize)) -> Option<(usize, &str)> {
    let (_, rest) = line.split_once("const ")?;
    let (_, path) = rest.split_once(": &str = \"")?;
    let path = path.strip_suffix("\";")?;
    path.starts_with('/').then_some((number, path))
}

fn heading((line, number): (&str, usize)) -> Option<(usize, &str)> {
    let path = line.strip_prefix("### `")?.strip_suffix('`')?;
    Some((number, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_the_routes_must_agree() {
        let source = "pub const A: &str = \"/v1/a\";\nconst B: &str = \"/v1/b/{c}\";\n";
        let page = "# HTTP\n### `/v1/a`\n### `/v1/b`\n";
        let found: Vec<(usize, String)> = check(&Tree::of(&[(SOURCE, source), (PAGE, page)]))
            .into_iter()
            .map(|found| (found.line, found.what))
            .collect();
        let expected = [
            (2, "the route `/v1/b/{c}` is not in docs/src/reference/http.md"),
            (3, "there is no route `/v1/b`"),
        ];
        assert_eq!(found, expected.map(|(line, what)| (line, what.to_owned())));
        assert_eq!(check(&Tree::default()).len(), 1);
    }
}
