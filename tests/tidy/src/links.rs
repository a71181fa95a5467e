//! Links within the documentation lead somewhere, and every page of the book is in its contents.

use std::collections::BTreeSet;

use crate::tree::Tree;
use crate::violation::Violation;

const BOOK: &str = "docs/src/";
const CONTENTS: &str = "docs/src/SUMMARY.md";

/// Links of Markdown files to files and headings that are not there. Links to other sites are not
/// followed, as a test must not depend on them.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.within("", ".md") {
        for (line, target) in links(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { path.to_owned() } else { joined(path, file) };
            if !tree.has(&file) {
                let what = format!("a link to `{target}`, and there is no {file}");
                let instead = "Correct the link; it is relative to its own page.";
                violations.push(Violation::new(path, line, what, instead));
            } else if !anchor.is_empty()
                && !tree.get(&file).is_some_and(|text| anchors(text).contains(anchor))
            {
                let what = format!("a link to `{target}`, and {file} has no such heading");
                let instead = "Correct the part behind the #: the heading in small letters and -.";
                violations.push(Violation::new(path, line, what, instead));
            }
        }
    }
    violations
}

/// Pages of the book that its contents do not name.
pub fn check_contents(tree: &Tree) -> Vec<Violation> {
    let contents = tree.get(CONTENTS).unwrap_or_default();
    let named: BTreeSet<String> =
        links(contents).into_iter().map(|(_, target)| joined(CONTENTS, &target)).collect();
    let pages = tree.within(BOOK, ".md").map(|(path, _)| path);
    let missing = pages.filter(|path| *path != CONTENTS && !named.contains(*path));
    let instead = format!("Add a line for it to {CONTENTS}.");
    missing
        .map(|path| Violation::new(path, 1, "a page that the contents do not name", &instead))
        .collect()
}

/// The targets of links and pictures, with their lines; code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, text) in prose(text) {
        let mut rest = text.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            let target = rest[..end].trim_matches(['<', '>']);
            if !target.is_empty() {
                links.push((line, target.to_owned()));
            }
        }
    }
    links
}

/// Lines that are no code, without the code within them.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let parts = line.split('`').enumerate();
            lines.push((at + 1, parts.filter(|(n, _)| n % 2 == 0).map(|(_, part)| part).collect()));
        }
    }
    lines
}

/// The names that headings can be linked by.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut in_code = false;
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if in_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let heading = heading.trim().to_lowercase();
        let letters = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        let name: String = letters.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|n| format!("{name}-{n}"));
        let free = std::iter::once(name.clone()).chain(again).find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

/// A path that is relative to a page, from the root.
fn joined(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_are_found() {
        let page = "# A page\n\n[a](b/c.md) [b](b/d.md) ![c](e.svg)\n[d](#a-page) [e](#b)\n\
                    [f](b/c.md#the-c-2) [g](b/c.md#the-c-3) [h](https://a.b/c)\n`[i](j)`\n\
                    ```\n[k](l)\n```\n";
        let other = "# The `C`\n# The C\n## The C!\n[up](../README.md)";
        let tree = Tree::of(&[("README.md", page), ("b/c.md", other)]);
        let found: Vec<(usize, String)> =
            check(&tree).into_iter().map(|found| (found.line, found.what)).collect();
        let expected = [
            (3, "a link to `b/d.md`, and there is no b/d.md"),
            (3, "a link to `e.svg`, and there is no e.svg"),
            (4, "a link to `#b`, and README.md has no such heading"),
            (5, "a link to `b/c.md#the-c-3`, and b/c.md has no such heading"),
        ];
        assert_eq!(found, expected.map(|(line, what)| (line, what.to_owned())));
    }

    #[test]
    fn pages_that_are_not_in_the_contents_are_found() {
        let tree = Tree::of(&[
            (CONTENTS, "- [A](a.md)\n  - [B](b/c.md)\n"),
            ("docs/src/a.md", ""),
            ("docs/src/b/c.md", ""),
            ("docs/src/b/d.md", ""),
        ]);
        let found = check_contents(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "docs/src/b/d.md");
    }
}
