//! Every package takes what is the same for all from its workspace.

use crate::tree::Tree;
use crate::violation::Violation;

const INHERITED: [&str; 4] = ["edition", "license", "publish", "rust-version"];

/// Packages that go their own way in edition, licence or lints.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.within("", "Cargo.toml") {
        let settings = settings(text);
        let has = |section: &str, setting: &str| {
            settings.iter().any(|(of, line)| of == section && line == setting)
        };
        if !settings.iter().any(|(section, _)| section == "package") {
            continue;
        }
        let dotted = |key: &str| has("package", &format!("{key}.workspace=true"));
        for key in INHERITED.into_iter().filter(|key| !dotted(key)) {
            let what = format!("the package does not inherit `{key}`");
            let instead = format!("Write `{key}.workspace = true` below [package].");
            violations.push(Violation::new(path, 1, what, instead));
        }
        if !has("lints", "workspace=true") {
            let instead = "Write `[lints]` and below it `workspace = true`.";
            violations.push(Violation::new(path, 1, "the package does not inherit lints", instead));
        }
    }
    violations
}

/// Each setting without blanks, with its section.
fn settings(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut settings = Vec::new();
    for line in text.lines() {
        let line: String = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) if !name.contains('"') => name.clone_into(&mut section),
            _ if line.is_empty() => {}
            _ => settings.push((section.clone(), line)),
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_goes_its_own_way_is_found() {
        let good = "[package]\nname = \"a\"\nedition.workspace = true\nlicense.workspace=true\n\
                    publish.workspace = true\nrust-version.workspace = true\n\n[lints]\n\
                    workspace = true # all\n";
        let own_edition = good.replace("edition.workspace = true", "edition = \"2021\"");
        let no_lints = good.replace("[lints]", "[features]");
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = []\n"),
            ("a/Cargo.toml", good),
            ("b/Cargo.toml", &own_edition),
            ("c/Cargo.toml", &no_lints),
        ]);
        let found: Vec<String> =
            check(&tree).into_iter().map(|v| format!("{}: {}", v.path, v.what)).collect();
        let expected = [
            "b/Cargo.toml: the package does not inherit `edition`",
            "c/Cargo.toml: the package does not inherit lints",
        ];
        assert_eq!(found, expected);
    }
}
