//! What a region's log says of itself.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use syncline_core::RegionId;

use super::io_error;
use crate::BusError;

const FILE: &str = "log";
const FORMAT: &str = "syncline-log";
const FORMAT_VERSION: &str = "1";

/// What a region's log says of itself, in a file of three lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// Into how many partitions it is cut.
    pub(super) partitions: u32,
    /// How many publishers it had before this one. Each writes at positions of its own.
    pub(super) generation: u64,
}

impl Meta {
    /// None where there is no log yet. A file that was damaged counts as none: the generation can
    /// be told from the segments as well.
    pub(super) fn read(region: &RegionId, dir: &Path) -> Result<Option<Self>, BusError> {
        let path = dir.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read file", &path)(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let mut value = |name: &str| {
            let (found, value) = lines.next()?.split_once(' ')?;
            (found == name).then_some(value)
        };
        match value(FORMAT) {
            Some(FORMAT_VERSION) => {}
            Some(version) => {
                let version: String = version.chars().take(40).collect();
                let reason =
                    format!("its format is {version:?}, this software knows {FORMAT_VERSION}");
                return Err(BusError::Format { region: region.clone(), reason });
            }
            None => return Ok(damaged(&path)),
        }
        let partitions = value("partitions").and_then(|n| n.parse().ok());
        let generation = value("generation").and_then(|n| n.parse().ok());
        match (partitions, generation) {
            (Some(partitions), Some(generation)) => Ok(Some(Self { partitions, generation })),
            _ => Ok(damaged(&path)),
        }
    }

    /// Replaces the file, and syncs it: a generation that was forgotten in a power cut would be
    /// used twice, for other records at the same positions.
    pub(super) fn write(self, dir: &Path) -> Result<(), BusError> {
        let Self { partitions, generation } = self;
        let text = format!(
            "{FORMAT} {FORMAT_VERSION}\npartitions {partitions}\ngeneration {generation}\n"
        );
        let (path, fresh) = (dir.join(FILE), dir.join("log.new"));
        let written = || -> io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
        };
        written().map_err(io_error("write file", &path))
    }
}

fn damaged(path: &Path) -> Option<Meta> {
    tracing::warn!(path = %path.display(), "the description of a log is damaged, and ignored");
    None
}
