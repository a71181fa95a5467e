//! Compiled code on disk: used where it is this region's own and whole, thrown away otherwise.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod guest;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use guest::{Guest, answering, case, merged};
use syncline_core::{FunctionVersion, MergeFunctions as _};
use syncline_host::{Host, HostConfig, StartError};

fn host(dir: &Path) -> Host {
    let cache_dir = Some(dir.to_owned());
    Host::new(HostConfig { cache_dir, slots: 2, functions: 2, ..HostConfig::default() }).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
        .collect();
    files.sort();
    files
}

/// Loads the guest in a new host, as after a restart, and says whether the file was used: one that
/// was made anew is another file.
fn restart_uses_the_file(dir: &Path, guest: &Guest) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let component = guest.component();
    let version = FunctionVersion::of(&component);
    let inode = |path: &PathBuf| fs::metadata(path).unwrap().ino();
    let before = files(dir).iter().map(inode).collect::<Vec<_>>();
    // Held open, so that its number is not given to the file that takes its place.
    let _held: Vec<_> = files(dir).iter().map(|path| fs::File::open(path).unwrap()).collect();
    let host = host(dir);
    host.load(version, &component).unwrap();
    assert_eq!(host.merge(&version, &case().input()).unwrap(), merged(r#"{"n":2}"#));
    before == files(dir).iter().map(inode).collect::<Vec<_>>()
}

#[test]
fn code_is_compiled_once() {
    let dir = tempfile::tempdir().unwrap();
    let guest = Guest::default();
    let first = host(dir.path());
    first.admit(&guest.component()).unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    drop(first);
    assert!(restart_uses_the_file(dir.path(), &guest));
    assert!(restart_uses_the_file(dir.path(), &guest));
    assert_eq!(fs::metadata(dir.path().join("key")).unwrap().permissions().mode() & 0o777, 0o600);
    let mode = fs::metadata(&files(dir.path())[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn a_damaged_file_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let guest = Guest::default();
    restart_uses_the_file(dir.path(), &guest);
    let path = files(dir.path()).remove(0);
    let good = fs::read(&path).unwrap();
    let steps = good.len() / 40;
    let mut damaged: Vec<Vec<u8>> = (0..good.len())
        .step_by(steps)
        .chain([0, 20, 60, 90, 111, 112, good.len() - 1])
        .map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 1;
            bad
        })
        .collect();
    damaged.extend(
        [0, 1, 16, 111, 112, 113, good.len() / 2, good.len() - 1].map(|n| good[..n].to_vec()),
    );
    damaged.push([&good[..], b"x"].concat());
    for bad in damaged {
        fs::write(&path, &bad).unwrap();
        assert!(!restart_uses_the_file(dir.path(), &guest), "{} bytes", bad.len());
        assert_eq!(fs::read(&path).unwrap(), good);
    }
    assert!(restart_uses_the_file(dir.path(), &guest));
}

#[test]
fn a_file_of_another_function_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let (guest, other) = (Guest::default(), answering(b"{\"other\":1}"));
    restart_uses_the_file(dir.path(), &guest);
    let path = files(dir.path()).remove(0);
    host(dir.path()).admit(&other.component()).unwrap();
    let other_path = files(dir.path()).into_iter().find(|file| *file != path).unwrap();
    fs::copy(&other_path, &path).unwrap();
    assert!(!restart_uses_the_file(dir.path(), &guest));
}

#[test]
fn a_file_of_another_region_is_not_used() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let guest = Guest::default();
    restart_uses_the_file(dir.path(), &guest);
    restart_uses_the_file(elsewhere.path(), &guest);
    fs::copy(&files(elsewhere.path())[0], &files(dir.path())[0]).unwrap();
    assert!(!restart_uses_the_file(dir.path(), &guest));
    // A key that others can read, or that is gone, protects nothing any more.
    let key = dir.path().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(!restart_uses_the_file(dir.path(), &guest));
    fs::remove_file(&key).unwrap();
    assert!(!restart_uses_the_file(dir.path(), &guest));
    assert!(restart_uses_the_file(dir.path(), &guest));
}

#[test]
fn files_of_other_engines_and_unfinished_ones_go_and_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    restart_uses_the_file(dir.path(), &Guest::default());
    for name in ["abc-0123.cwasm", ".writing-x", "notes.txt"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    assert_eq!(files(dir.path()).len(), 2);
    host(dir.path());
    assert_eq!(files(dir.path()).len(), 1);
    assert!(dir.path().join("notes.txt").exists() && !dir.path().join(".writing-x").exists());
}

#[test]
fn removing_a_function_removes_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let version = guest::load(&host, &Guest::default());
    assert_eq!(files(dir.path()).len(), 1);
    host.remove(&version);
    host.remove(&version);
    assert!(files(dir.path()).is_empty() && host.manifest(&version).is_none());
}

#[test]
fn a_folder_that_cant_be_used_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let config = HostConfig { cache_dir: Some(file.join("cache")), ..HostConfig::default() };
    let Err(error) = Host::new(config) else { panic!("it started") };
    assert!(matches!(error, StartError::CacheDir { .. }), "{error}");
}

#[test]
fn without_a_place_to_keep_it_the_code_runs_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    fs::remove_dir_all(dir.path()).unwrap();
    let version = guest::load(&host, &Guest::default());
    assert_eq!(host.merge(&version, &case().input()).unwrap(), merged(r#"{"n":2}"#));
}
