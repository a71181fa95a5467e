//! What the stores on disk have in common: their folder, the space they leave, the mark of what is
//! synced, and the end after a failure.

use std::any::Any;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;

use crate::StoreError;

/// In this file stands the number of the last commit that was synced.
const MARK_FILE: &str = "synced";

/// Makes a folder, and all above it that are missing, so that they survive a loss of power.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make_folder(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}

/// How much whoever runs this process may still write to the disk that a folder is on, in bytes.
pub fn free_space(folder: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(folder)
        .map_err(|error| io_error("ask for free space".to_owned(), &error.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Refuses a batch while less than `free_bytes_min` would be free on the disk after it.
pub(crate) fn check_space(
    folder: &Path,
    free_bytes_min: u64,
    batch_bytes: usize,
) -> Result<(), StoreError> {
    let free = free_space(folder)?;
    let needed = free_bytes_min.saturating_add(4 * batch_bytes as u64);
    if free < needed { Err(StoreError::NoSpace { bytes: batch_bytes }) } else { Ok(()) }
}

pub(crate) fn io_error(action: String, error: &io::Error) -> StoreError {
    StoreError::Io { action, reason: error.to_string() }
}

pub(crate) fn not_a_value(key: &[u8]) -> StoreError {
    let shown: String = key.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
    StoreError::corrupt(format!("the value of key {shown}"), "it is not all there")
}

/// What an engine said when it panicked.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the engine panicked")
}

/// The number of the last commit that was synced, beside the engine's own files.
///
/// It is written after each sync, and not synced itself: it may only be older than the log, never
/// newer. It shows at the next start if the log has lost its end, which engines take in silence.
#[derive(Debug)]
pub(crate) struct Mark(File);

impl Mark {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        options.open(folder.join(MARK_FILE)).map(Self)
    }

    /// The number stands twice, the second time inverted: a mark that is half written counts for
    /// nothing.
    pub(crate) fn write(&self, synced: u64) -> Result<(), StoreError> {
        let bytes = [synced.to_be_bytes(), (!synced).to_be_bytes()].concat();
        self.0
            .write_all_at(&bytes, 0)
            .map_err(|error| io_error("note what is synced".to_owned(), &error))
    }

    pub(crate) fn read(&self) -> io::Result<u64> {
        let mut bytes = [[0; 8]; 2];
        match self.0.read_exact_at(bytes.as_flattened_mut(), 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            read => read?,
        }
        let [synced, inverted] = bytes.map(u64::from_be_bytes);
        Ok(if synced == !inverted { synced } else { 0 })
    }
}

/// A log that ends before what was synced has lost its end.
pub(crate) fn check_end(path: &Path, commits: u64, synced: u64) -> Result<(), StoreError> {
    if synced <= commits {
        return Ok(());
    }
    let reason = format!("it ends at commit {commits}, but {synced} was synced");
    Err(StoreError::corrupt(path.display().to_string(), reason))
}

/// Why a store takes no more commits, once that is so.
#[derive(Debug, Default)]
pub(crate) struct Failure(OnceLock<String>);

impl Failure {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            Some(reason) => Err(StoreError::Sync { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// From here on nobody can say what is on disk.
    pub(crate) fn set(&self, error: StoreError) -> StoreError {
        // The first failure is the one to be told.
        let _ = self.0.set(error.to_string());
        error
    }
}
