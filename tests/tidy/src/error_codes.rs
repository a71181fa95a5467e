//! The page of error codes lists what the node answers with, and nothing else.

use crate::tree::Tree;
use crate::violation::Violation;

/// The page; its table is generated from the node's source.
pub const PAGE: &str = "docs/src/reference/errors.md";
const SOURCE: &str = "runtime/node/src/problem.rs";
const HEAD: &str = "| code | status | meaning |";

/// The names of the statuses that the node may use.
const STATUSES: [(&str, u16); 18] = [
    ("BAD_REQUEST", 400),
    ("UNAUTHORIZED", 401),
    ("FORBIDDEN", 403),
    ("NOT_FOUND", 404),
    ("METHOD_NOT_ALLOWED", 405),
    ("NOT_ACCEPTABLE", 406),
    ("REQUEST_TIMEOUT", 408),
    ("CONFLICT", 409),
    ("LENGTH_REQUIRED", 411),
    ("PRECONDITION_FAILED", 412),
    ("PAYLOAD_TOO_LARGE", 413),
    ("UNSUPPORTED_MEDIA_TYPE", 415),
    ("UNPROCESSABLE_ENTITY", 422),
    ("PRECONDITION_REQUIRED", 428),
    ("TOO_MANY_REQUESTS", 429),
    ("INTERNAL_SERVER_ERROR", 500),
    ("SERVICE_UNAVAILABLE", 503),
    ("LOOP_DETECTED", 508),
];

/// Where the page is not as it would be generated.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let source = tree.get(SOURCE).unwrap_or_default();
    let page = tree.get(PAGE).unwrap_or_default();
    let expected = match generate(source, page) {
        Ok(expected) => expected,
        Err(what) => {
            let instead = "Keep the match of Code::parts: a code, S::STATUS, a title, in each arm.";
            return vec![Violation::new(SOURCE, 1, what, instead)];
        }
    };
    if page == expected {
        return Vec::new();
    }
    let differs = page.lines().zip(expected.lines()).position(|(is, should)| is != should);
    let line = differs.unwrap_or(page.lines().count().min(expected.lines().count())) + 1;
    let should = expected.lines().nth(line - 1).unwrap_or("nothing");
    let what = format!("the table of codes is not what the node answers with; here: {should}");
    let instead = "Run `UPDATE_DOCS=1 cargo test -p syncline-tidy` and commit the page.";
    vec![Violation::new(PAGE, line, what, instead)]
}

/// The page with the table that the source asks for.
///
/// # Errors
/// What cannot be understood.
pub fn generate(source: &str, page: &str) -> Result<String, String> {
    let mut codes = codes(source)?;
    codes.sort_by_key(|(code, status, _)| (*status, *code));
    let rows =
        codes.iter().map(|(code, status, title)| format!("| `{code}` | {status} | {title} |"));
    let head = [HEAD.to_owned(), "|---|---|---|".to_owned()];
    let start = page.lines().position(|line| line == HEAD);
    let start = start.ok_or_else(|| format!("{PAGE} has no table that begins with {HEAD}"))?;
    let before = page.lines().take(start).map(str::to_owned);
    let after =
        page.lines().skip(start).skip_while(|line| line.starts_with('|')).map(str::to_owned);
    let lines: Vec<String> = before.chain(head).chain(rows).chain(after).collect();
    Ok(lines.join("\n") + "\n")
}

/// Code, status and title of each arm of `fn parts`.
fn codes(source: &str) -> Result<Vec<(&str, u16, &str)>, String> {
    let (_, body) = source.split_once("fn parts(").ok_or("there is no `fn parts(`")?;
    let body = body.split_once("\n    }\n").map_or(body, |(body, _)| body);
    let mut codes = Vec::new();
    for arm in body.split("Self::").skip(1).filter(|arm| arm.contains("=>")) {
        let mut texts = arm.split('"').skip(1).step_by(2);
        let status = STATUSES.iter().find(|(name, _)| {
            let at = arm.find(&format!("S::{name}")).map(|at| &arm[at + 3 + name.len()..]);
            at.is_some_and(|rest| !rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()))
        });
        match (texts.next(), status, texts.next()) {
            (Some(code), Some((_, status)), Some(title)) => codes.push((code, *status, title)),
            _ => return Err(format!("an arm that is no code, status and title: {}", arm.trim())),
        }
    }
    if codes.is_empty() { Err("there are no codes".into()) } else { Ok(codes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "impl Code {\n    pub fn parts(self) -> (A, B, C) {\n        match self {\n\
        Self::B => (\"b-c\", S::NOT_FOUND, \"There is no b\"),\n            Self::A => {\n\
        (\n\"a\",\nS::BAD_REQUEST,\n\"Not an a\",\n)\n}\n        }\n    }\n}\n";

    #[test]
    fn the_table_is_generated_and_the_rest_stays() {
        let page =
            format!("# Codes\n\n{HEAD}\n|---|---|---|\n| `old` | 400 | Old |\n\nAnd more.\n");
        let expected = format!(
            "# Codes\n\n{HEAD}\n|---|---|---|\n| `a` | 400 | Not an a |\n| `b-c` | 404 | There is \
             no b |\n\nAnd more.\n"
        );
        assert_eq!(generate(CODE, &page), Ok(expected.clone()));
        let found = check(&Tree::of(&[(SOURCE, CODE), (PAGE, &page)]));
        assert_eq!((found.len(), found[0].line), (1, 5));
        assert!(check(&Tree::of(&[(SOURCE, CODE), (PAGE, &expected)])).is_empty());
    }

    #[test]
    fn what_cannot_be_understood_is_found() {
        for source in ["", "fn parts(self) { match self { Self::A => (\"a\", 400) } }"] {
            let found = check(&Tree::of(&[(SOURCE, source), (PAGE, HEAD)]));
            assert_eq!((found.len(), found[0].path.as_str()), (1, SOURCE), "{source}");
        }
        assert!(
            check(&Tree::of(&[(SOURCE, CODE), (PAGE, "# Codes")]))[0].what.contains("no table")
        );
    }
}
