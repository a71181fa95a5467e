//! Compiles the program that stands between cargo and rustc; its source says what it is for.

use std::env::consts::EXE_SUFFIX;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use sha2::{Digest, Sha256};

use crate::cargo;
use crate::error::BuildError;
use crate::package::Package;

const SOURCE: &str = include_str!("../wrapper/rustc_wrapper.rs");

/// The program in `target_dir`, compiled if this version of it isn't there yet.
pub(crate) fn program(target_dir: &Path) -> Result<PathBuf, BuildError> {
    let version = version();
    let program = target_dir.join(format!("rustc-wrapper-{version}{EXE_SUFFIX}"));
    if program.is_file() {
        return Ok(program);
    }
    let draft = target_dir.join(format!("rustc-wrapper-{version}.{}.tmp", process::id()));
    let source = target_dir.join(format!("rustc-wrapper-{version}.rs"));
    fs::write(&source, SOURCE).map_err(BuildError::file("write", &source))?;
    let mut command = cargo::rustc_command(target_dir);
    command.args(["--edition", "2024", "--crate-name", "rustc_wrapper", "-C", "opt-level=1"]);
    let output = cargo::run(command.arg("-o").arg(&draft).arg(&source))?;
    if !output.status.success() {
        let stderr = cargo::stderr(&output);
        return Err(BuildError::Cargo { package: "rustc wrapper".into(), stderr });
    }
    fs::rename(&draft, &program).map_err(BuildError::file("put in place", &program))?;
    Ok(program)
}

/// A flag without meaning to the compiler, so that cargo builds anew what another version of the
/// program has named: it takes no notice of the program itself.
pub(crate) fn version_flag() -> OsString {
    format!("--cfg=syncline_rustc_wrapper=\"{}\"", version()).into()
}

fn version() -> String {
    hex::encode(&Sha256::digest(SOURCE)[..8])
}

/// The variable that tells the program which packages to rename, and its value.
pub(crate) fn folders(package: &Package) -> (&'static str, OsString) {
    let folders: Vec<_> = package.local.iter().map(|dir| dir.as_os_str()).collect();
    ("SYNCLINE_GUEST_FOLDERS", folders.join(OsStr::new("\u{1f}")))
}
