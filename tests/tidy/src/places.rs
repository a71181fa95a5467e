//! The repository builds on any machine: it names no folder of one, and no registry or mirror.

use crate::tree::Tree;
use crate::violation::Violation;

/// Folders that stand at the root of somebody's machine. In pieces, so that this file does not hold
/// them.
const FOLDERS: [&str; 8] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("/t", "mp/"),
    concat!("/m", "nt/"),
    concat!("/o", "pt/"),
    concat!("C:", "\\"),
];

/// Parts of the names of hosts that packages are fetched from.
const REGISTRIES: [&str; 8] = [
    concat!("reg", "istry"),
    concat!("crates", ".io"),
    concat!("npm", "js"),
    concat!("py", "pi."),
    concat!("artif", "actory"),
    concat!("ne", "xus"),
    concat!("mir", "ror"),
    concat!("goprox", "y"),
];

/// Cargo's name for the public registry, in every lock file. It is a name, not an address: a
/// machine's own configuration says where it is.
const PUBLIC: &str = concat!("\"reg", "istry+https://github.com/rust-lang/crates", ".io-index\"");

/// Absolute paths and hosts of registries, in all files.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.iter() {
        for (at, line) in text.lines().enumerate() {
            if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(line, folder)) {
                let what = format!("`{folder}` is a folder of one machine");
                let instead = "Name it relative to the repository, or make a temporary folder.";
                violations.push(Violation::new(path, at + 1, what, instead));
            }
            if let Some(host) = registry(line) {
                let what = format!("`{host}` is a host that packages come from");
                let instead = "Leave it to each machine's own configuration.";
                violations.push(Violation::new(path, at + 1, what, instead));
            }
        }
    }
    violations
}

/// True if a path begins so; not where the folder is in the middle of one.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.}/)>*~".contains(c))
    })
}

/// The host of the line's first URL that is a registry's.
fn registry(line: &str) -> Option<&str> {
    let line = line.trim_end();
    if line.ends_with(PUBLIC) {
        return None;
    }
    line.match_indices("://").find_map(|(at, _)| {
        let rest = &line[at + 3..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || ".-:@".contains(c)));
        let host = &rest[..end.unwrap_or(rest.len())];
        REGISTRIES.iter().any(|part| host.contains(part)).then_some(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(line: &str) -> usize {
        check(&Tree::of(&[("a", line)])).len()
    }

    #[test]
    fn machines_and_registries_are_found() {
        for folder in FOLDERS {
            assert_eq!(count(&format!("data = \"{folder}a\"")), 1, "{folder}");
            assert_eq!(count(&format!("file://{folder}a")), 0, "{folder}");
        }
        for part in REGISTRIES {
            assert_eq!(count(&format!("index = \"https://a.{part}.b/c\"")), 1, "{part}");
        }
    }

    #[test]
    fn relative_paths_and_the_public_name_are_not() {
        assert_eq!(count(&format!("target{}debug", FOLDERS[3])), 0);
        assert_eq!(count(&format!("source = {PUBLIC}")), 0);
        assert_eq!(count("http://127.0.0.1:8080/v1/tables"), 0);
        assert_eq!(count("a registry of something, http://a/registry"), 0);
    }
}
