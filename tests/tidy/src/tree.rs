//! The repository's files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that hold no source, for checkouts without git.
const NO_SOURCE: [&str; 5] = [".git", "target", "node_modules", "book", "syncline-data"];

/// The repository's files by their path from its root, with `/` between folders. Those that are not
/// UTF-8 are left out, as no rule is about them.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<String, String>);

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Tree {
    /// All files that git tracks or would, if they were added; without git, all but what is built.
    pub fn read() -> Self {
        let root = root();
        let paths = listed_by_git(&root).unwrap_or_else(|| walked(&root));
        let read =
            |path: String| Some((path.clone(), std::fs::read_to_string(root.join(path)).ok()?));
        Self(paths.into_iter().filter_map(read).collect())
    }

    /// A tree for a test.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect())
    }

    /// Path and text of every file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Those in a folder, with an ending.
    pub fn within<'a>(
        &'a self,
        folder: &'a str,
        ending: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter(move |(path, _)| path.starts_with(folder) && path.ends_with(ending))
    }

    /// A file's text.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// True if there is such a file, or a folder with a file.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.0.contains_key(path) || self.0.keys().any(|key| key.starts_with(&folder))
    }
}

/// None where git is not to be had.
pub fn git(arguments: &[&str]) -> Option<Vec<String>> {
    let output = Command::new("git").args(arguments).current_dir(root()).output().ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    Some(String::from_utf8_lossy(&text).split('\0').map(str::to_owned).collect())
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let paths = git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    Some(paths.into_iter().filter(|path| root.join(path).is_file()).collect())
}

fn walked(root: &Path) -> Vec<String> {
    let (mut folders, mut paths) = (vec![root.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !NO_SOURCE.contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file()
                && let Ok(path) = path.strip_prefix(root)
            {
                paths.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_git_the_sources_are_found() {
        for paths in [Tree::read().0.into_keys().collect(), walked(&root())] {
            for path in ["Cargo.toml", "tests/tidy/src/tree.rs", ".cargo/config.toml"] {
                assert!(paths.iter().any(|found: &String| found == path), "{path}");
            }
            assert!(paths.iter().all(|path| !path.starts_with("target/")));
        }
    }

    #[test]
    fn a_folder_is_there_if_a_file_is_in_it() {
        let tree = Tree::of(&[("a/b.rs", "")]);
        assert!(tree.has("a") && tree.has("a/") && tree.has("a/b.rs"));
        assert!(!tree.has("b") && !tree.has("a/b"));
    }
}
