//! A function that npm builds: its dependencies, its build, and when neither is needed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::build::{lock, write_if_changed};
use crate::cargo::{run, stderr};
use crate::cases::cases_dir;
use crate::error::BuildError;

/// The file that says that a folder is a package of npm.
pub(crate) const MANIFEST: &str = "package.json";
const LOCK_FILE: &str = "package-lock.json";
/// What npm writes last when it installs.
const INSTALLED: &str = "node_modules/.package-lock.json";
/// Where a package's own build puts the component, and installing and building take turns.
const OUTPUT: &str = "build";

const PROGRAM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };
/// Exactly the lock file.
const INSTALL: &str = "ci";
/// For a package that has no lock file yet: writes one.
const LOCK: &str = "install";
/// From the downloads that are there; no package runs anything of its own.
const OPTIONS: [&str; 4] = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"];
const BUILD: [&str; 3] = ["run", "--silent", "build"];

/// Folders that are no source.
const NO_SOURCE: [&str; 4] = [".git", "node_modules", OUTPUT, "target"];

#[derive(Deserialize)]
struct PackageJson {
    name: String,
    #[serde(default)]
    dependencies: BTreeMap<String, String>,
}

/// Builds the package in `dir`, an absolute path, into `components`; the component's path.
pub(crate) fn build(dir: &Path, components: &Path) -> Result<PathBuf, BuildError> {
    let package = read(dir)?;
    // A scope is for the registry only: `@team/cart` is cart.
    let name = package.name.rsplit('/').next().unwrap_or_default();
    let linked = linked(dir, &package);
    let built = dir.join(OUTPUT).join(format!("{name}.wasm"));
    let component = components.join(format!("{name}.wasm"));
    let stamp = components.join(format!("{name}.source"));

    let _lock = lock_package(dir)?;
    let cases = cases_dir(dir);
    let folders = linked.iter().chain(&cases).map(PathBuf::as_path).chain([dir]);
    let source = checksum(folders)?;
    if component.is_file() && fs::read_to_string(&stamp).is_ok_and(|old| old == source) {
        return Ok(component);
    }
    for other in &linked {
        let _lock = lock_package(other)?;
        install(other)?;
    }
    install(dir)?;
    npm(PROGRAM, dir, &package.name, &BUILD)?;
    let bytes = fs::read(&built).map_err(BuildError::file("read what npm built", &built))?;
    write_if_changed(&component, &bytes)?;
    fs::write(&stamp, source).map_err(BuildError::file("write", &stamp))?;
    Ok(component)
}

fn read(dir: &Path) -> Result<PackageJson, BuildError> {
    let path = dir.join(MANIFEST);
    let text = fs::read(&path).map_err(BuildError::file("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| BuildError::Package {
        manifest_dir: dir.into(),
        reason: format!("{MANIFEST}: {error}"),
    })
}

/// The packages that it uses by a path outside of its own folder. npm links such a package and leaves
/// its dependencies to it; those of one inside of the folder it installs itself.
fn linked(dir: &Path, package: &PackageJson) -> Vec<PathBuf> {
    let by_path = package.dependencies.values().filter_map(|from| from.strip_prefix("file:"));
    let folders = by_path.filter_map(|path| dir.join(path).canonicalize().ok());
    folders.filter(|folder| folder.is_dir() && !folder.starts_with(dir)).collect()
}

fn lock_package(dir: &Path) -> Result<fs::File, BuildError> {
    let folder = dir.join(OUTPUT);
    fs::create_dir_all(&folder).map_err(BuildError::file("make folder", &folder))?;
    lock(&folder.join(".lock"))
}

/// Installs what the lock file names, unless that was done since the file was written.
fn install(dir: &Path) -> Result<(), BuildError> {
    let written = |file: &str| fs::metadata(dir.join(file)).and_then(|file| file.modified()).ok();
    let locked = written(LOCK_FILE);
    if locked.is_some() && written(INSTALLED) >= locked {
        return Ok(());
    }
    let how = if locked.is_some() { INSTALL } else { LOCK };
    npm(PROGRAM, dir, &read(dir)?.name, &[&[how], &OPTIONS[..]].concat())
}

fn npm(program: &str, dir: &Path, package: &str, arguments: &[&str]) -> Result<(), BuildError> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).stdin(Stdio::null());
    let output = run(&mut command).map_err(|error| match error {
        BuildError::Run { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            BuildError::MissingNpm
        }
        error => error,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let command = format!("npm {}", arguments.join(" "));
    Err(BuildError::Npm { package: package.into(), command, output: stderr(&output) })
}

/// Of the names and bytes of all source files, in hexadecimal.
fn checksum<'a>(dirs: impl Iterator<Item = &'a Path>) -> Result<String, BuildError> {
    let mut all = Sha256::new();
    for dir in dirs {
        let mut files = BTreeMap::new();
        collect(dir, dir, &mut files)?;
        for (name, path) in files {
            let bytes = fs::read(&path).map_err(BuildError::file("read", &path))?;
            all.update((name.len() as u64).to_le_bytes());
            all.update(name);
            all.update((bytes.len() as u64).to_le_bytes());
            all.update(bytes);
        }
    }
    Ok(hex::encode(all.finalize()))
}

/// Files by their names from `root`.
fn collect(
    root: &Path,
    dir: &Path,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), BuildError> {
    for entry in fs::read_dir(dir).map_err(BuildError::file("list", dir))? {
        let entry = entry.map_err(BuildError::file("list", dir))?;
        let path = entry.path();
        if NO_SOURCE.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        // A link to a folder is not followed: it may lead back here.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(root, &path, files)?;
        } else if path.is_file() {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.insert(name, path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_npm_says_what_to_install() {
        let here = Path::new(".");
        let error = npm("no-such-program", here, "cart", &BUILD).unwrap_err().to_string();
        assert!(error.contains("Node.js 20") && error.contains("https://nodejs.org"), "{error}");
    }

    #[test]
    fn only_packages_outside_of_the_folder_are_linked() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let dir = root.join("function");
        for inside in ["sdk", "function/syncline/sdk"] {
            fs::create_dir_all(root.join(inside)).unwrap();
        }
        let linked = |from: &str| {
            let dependencies = BTreeMap::from([("@syncline/sdk".to_owned(), from.to_owned())]);
            linked(&dir, &PackageJson { name: "cart".into(), dependencies })
        };
        assert_eq!(linked("file:../sdk"), [root.join("sdk")]);
        for other in ["file:./syncline/sdk", "file:../absent", "1.2.3"] {
            assert!(linked(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn every_source_file_counts_and_nothing_that_is_built() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            checksum([folder.path()].into_iter()).unwrap()
        };
        let first = write("src/index.ts", "a");
        assert_eq!(first, write("node_modules/x/index.ts", "b"));
        assert_eq!(first, write("build/cart.wasm", "c"));
        let second = write("src/other.ts", "a");
        assert_ne!(first, second);
        assert_ne!(second, write("src/other.ts", "b"));
    }
}
