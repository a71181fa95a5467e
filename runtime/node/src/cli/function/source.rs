//! The function that a command is about, and its cases.

use std::fs;
use std::path::{Path, PathBuf};

use syncline_core::{COMPONENT_BYTES_MAX, FunctionVersion};
use syncline_guest_build::BuiltGuest;
use syncline_verifier::Case;

use super::args::{CasesArgs, Source};
use super::failed;
use crate::cli::failure::Failure;
use crate::cli::output::note;
use crate::cli::recorded::Recorded;
use crate::component::case_of;

/// Where a function is built, in its own folder.
const TARGET: &str = "target/syncline";
/// Where its cases are.
const CASES: &str = "cases";

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
    /// The cases that go with an upload: those that were named, or those of a function's folder, or none.
    pub(in crate::cli) fn read_any(&self, source: &Source) -> Result<Vec<Case>, Failure> {
        if self.cases.is_none() && (!source.path.is_dir() || found(&source.path).is_none()) {
            return Ok(Vec::new());
        }
        self.read(source)
    }

    /// All cases: of the place that was named, or of `cases` where the function is. A file that can't
    /// be read as cases is an error, and so is a place without any.
    pub(super) fn read(&self, source: &Source) -> Result<Vec<Case>, Failure> {
        let place = match &self.cases {
            Some(place) => place.clone(),
            None => found(&source.path).ok_or_else(|| {
                Failure::Failed(format!(
                    "there is no folder `{CASES}` beside {}; say with --cases where the cases are",
                    source.path.display()
                ))
            })?,
        };
        let mut cases = Vec::new();
        for file in files(&place)? {
            cases.extend(read(&file)?);
        }
        if cases.is_empty() {
            let place = place.display();
            return Err(Failure::Failed(format!("{place}: no file of cases, which end in .json")));
        }
        Ok(cases)
    }
}

/// The folder of cases of a function: in its folder, or beside that where a function has it in
/// common with another language's.
fn found(path: &Path) -> Option<PathBuf> {
    let here = path.canonicalize().ok()?;
    let folder = if here.is_dir() { here.as_path() } else { here.parent()? };
    let beside = folder.parent().map(|parent| parent.join(CASES));
    std::iter::once(folder.join(CASES)).chain(beside).find(|place| place.is_dir())
}

fn files(place: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let cannot = |error: std::io::Error| Failure::Failed(format!("{}: {error}", place.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(place).map_err(cannot)? {
        let file = entry.map_err(cannot)?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The cases of one file. A conflict as `syncline conflicts show` prints it is a case without an
/// expectation.
pub(super) fn read(file: &Path) -> Result<Vec<Case>, Failure> {
    let cannot =
        |what: &dyn std::fmt::Display| Failure::Failed(format!("{}: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| cannot(&error))?;
    match serde_json::from_str::<Recorded>(&text) {
        Ok(recorded) => {
            let record = recorded.record().map_err(|what| cannot(&what))?;
            let case = case_of(&record).ok_or_else(|| cannot(&"the conflict has no two sides"))?;
            Ok(vec![case])
        }
        Err(_) => Case::read(&text).map_err(|error| cannot(&error)),
    }
}
