//! The function that a command is about, and its cases.

use std::fs;
use std::path::{Path, PathBuf};

use syncline_core::{COMPONENT_BYTES_MAX, FunctionVersion};
use syncline_guest_build::{BuiltGuest, cases_dir, cases_files};
use syncline_verifier::Case;

use super::args::{CasesArgs, Source};
use super::failed;
use crate::cases::given;
use crate::cli::failure::Failure;
use crate::cli::output::note;

/// Where a function is built, in its own folder.
const TARGET: &str = "target/syncline";

/// A component, and where it comes from.
pub(in crate::cli) struct Loaded {
    pub(in crate::cli) bytes: Vec<u8>,
    pub(in crate::cli) version: FunctionVersion,
    /// The component's file.
    pub(in crate::cli) file: PathBuf,
}

impl Source {
    /// What `path` names.
    pub(in crate::cli) fn of(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the component; a function's folder is built first.
    pub(in crate::cli) fn load(&self) -> Result<Loaded, Failure> {
        let file = if self.path.is_dir() { build(&self.path)?.path } else { self.path.clone() };
        let cannot = |what: &str| Failure::Failed(format!("{}: {what}", file.display()));
        let size = fs::metadata(&file).map_err(|error| cannot(&error.to_string()))?.len();
        if size > COMPONENT_BYTES_MAX as u64 {
            return Err(cannot(&format!(
                "{size} bytes, the limit is {COMPONENT_BYTES_MAX}: build it for release and strip it"
            )));
        }
        let bytes = fs::read(&file).map_err(|error| cannot(&error.to_string()))?;
        Ok(Loaded { version: FunctionVersion::of(&bytes), bytes, file })
    }
}

/// Builds the function in a folder.
pub(super) fn build(folder: &Path) -> Result<BuiltGuest, Failure> {
    if !["Cargo.toml", "package.json"].iter().any(|manifest| folder.join(manifest).is_file()) {
        return Err(Failure::Failed(format!(
            "{}: no function is here, neither a Cargo.toml nor a package.json; `syncline function new` \
             makes one",
            folder.display()
        )));
    }
    note(&format!("building {}", folder.display()));
    let built = syncline_guest_build::build(folder, &folder.join(TARGET));
    built.map_err(|error| failed(&error))
}

impl CasesArgs {
    /// All cases: of the place that was named, or of `cases` where the function is, or those that the
    /// component brings with it.
    pub(super) fn read(&self, source: &Source) -> Result<Vec<Case>, Failure> {
        let folder =
            if source.path.is_dir() { Some(source.path.as_path()) } else { source.path.parent() };
        let place = self.cases.clone().or_else(|| cases_dir(folder?));
        if let Some(place) = place {
            return read_cases(&place);
        }
        let given = given(&source.load()?.bytes);
        let given = given.map_err(|error| Failure::Failed(error.to_string()))?;
        if given.is_empty() {
            let source = source.path.display();
            return Err(Failure::Failed(format!(
                "{source} brings no cases with it, and there is no folder `cases` beside it; say with \
                 --cases where they are"
            )));
        }
        Ok(given)
    }
}

/// The cases of a folder, or of one file. A file that can't be read as cases is an error, and so is a
/// place without any.
pub(in crate::cli) fn read_cases(place: &Path) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    for file in files(place)? {
        cases.extend(read(&file)?);
    }
    if cases.is_empty() {
        let place = place.display();
        return Err(Failure::Failed(format!("{place}: no file of cases, which end in .json")));
    }
    Ok(cases)
}

fn files(place: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let cannot = |error: std::io::Error| Failure::Failed(format!("{}: {error}", place.display()));
    cases_files(place).map_err(cannot)
}

/// The cases of one file.
pub(super) fn read(file: &Path) -> Result<Vec<Case>, Failure> {
    let cannot =
        |what: &dyn std::fmt::Display| Failure::Failed(format!("{}: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| cannot(&error))?;
    crate::cases::read(&text).map_err(|error| cannot(&error))
}
