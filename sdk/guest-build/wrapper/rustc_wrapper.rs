//! Stands between cargo and rustc and gives the packages of this machine a name that doesn't depend
//! on their folder.
//!
//! Cargo tells packages apart by `-C metadata=<hash>`, which goes into every symbol and so decides
//! the order of functions. For a package outside of the workspace's folder (an SDK that is used by
//! path, and whatever depends on it) the hash is over the absolute path. Here it becomes the
//! package's name and version, which are unique among the packages of one build.
//!
//! Compiled by rustc alone, on the first build into a target folder: std only.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Folders of the packages to rename, separated by U+001F.
const FOLDERS: &str = "SYNCLINE_GUEST_FOLDERS";

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(rustc) = arguments.next() else {
        eprintln!("called by cargo as RUSTC_WRAPPER, with rustc and its arguments");
        return ExitCode::from(2);
    };
    let mut arguments: Vec<OsString> = arguments.collect();
    if let Some(name) = stable_name() {
        for argument in &mut arguments {
            if argument.to_str().is_some_and(|text| text.starts_with("metadata=")) {
                *argument = format!("metadata={name}").into();
            }
        }
    }
    match Command::new(&rustc).args(arguments).status() {
        Ok(status) => status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(code as u8)),
        Err(error) => {
            eprintln!("run {}: {error}", Path::new(&rustc).display());
            ExitCode::FAILURE
        }
    }
}

/// The new name, if cargo is compiling one of the packages that get one.
fn stable_name() -> Option<String> {
    let folders = env::var(FOLDERS).ok()?;
    let folder = env::var("CARGO_MANIFEST_DIR").ok()?;
    let listed = folders.split('\u{1f}').any(|listed| Path::new(listed) == Path::new(&folder));
    let (name, version) = (env::var("CARGO_PKG_NAME").ok()?, env::var("CARGO_PKG_VERSION").ok()?);
    listed.then(|| format!("{name}-{version}"))
}
