//! The cases of a function, and how they get into its component: the custom section `syncline:cases`.
//!
//! The section holds what the files of the folder hold, byte by byte, one after the other in the order
//! of their names, with a line's end behind each. So the checksum covers the cases too, and every region
//! tries the function on them before it goes live.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::BuildError;

/// The section's name.
pub(crate) const SECTION: &str = "syncline:cases";

/// The folder's name.
const FOLDER: &str = "cases";

/// The folder of cases of a function: `cases` in the function's own folder, or beside that where a
/// function has it in common with another language's.
pub fn cases_dir(function: &Path) -> Option<PathBuf> {
    let function = function.canonicalize().ok()?;
    let beside = function.parent().map(|parent| parent.join(FOLDER));
    std::iter::once(function.join(FOLDER)).chain(beside).find(|place| place.is_dir())
}

/// The files of a folder of cases: those whose names end in `.json`, in the order of their names.
///
/// # Errors
/// A folder that can't be read.
pub fn cases_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "json") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// What the section of a function's component holds; none where it has no cases.
pub(crate) fn section(function: &Path) -> Result<Option<Vec<u8>>, BuildError> {
    let Some(folder) = cases_dir(function) else { return Ok(None) };
    let files = cases_files(&folder).map_err(BuildError::file("list", &folder))?;
    let mut section = Vec::new();
    for file in files {
        section.extend(fs::read(&file).map_err(BuildError::file("read", &file))?);
        section.push(b'\n');
    }
    Ok((!section.is_empty()).then_some(section))
}
