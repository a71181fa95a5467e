//! A snapshot on its way to a region that joins: a file beside the donor's log, with pages one behind
//! the other, each behind its length in four bytes, and again with all bits inverted.
//!
//! Another attempt is written behind what earlier ones have left, so that a position that a reader
//! keeps never stands for something else. Nothing is synced: the reader tells by a checksum whether
//! it has all.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::io_error;
use crate::{BusError, SNAPSHOT_PAGE_BYTES_MAX, SnapshotPage, SnapshotReader, SnapshotWriter};

/// How often a reader looks for more.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A page's length stands in so many bytes, twice.
const HEAD_BYTES: usize = 8;

/// Deletes the file, if it is there.
pub(super) fn delete(path: &Path) -> Result<(), BusError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(io_error("delete file", path)(error))
        }
        _ => Ok(()),
    }
}

pub(super) struct Writer {
    path: PathBuf,
    file: File,
    /// Behind the last page that was written to its end.
    end: u64,
}

impl Writer {
    pub(super) fn open(path: PathBuf) -> Result<Self, BusError> {
        let opened = || -> io::Result<(File, u64)> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut options = File::options();
            let file = options.create(true).truncate(false).read(true).write(true).open(&path)?;
            let mut end = 0;
            // A writer that was killed has left a part of a page.
            while let Found::Page(_, next) = page_at(&file, end)? {
                end = next;
            }
            file.set_len(end)?;
            Ok((file, end))
        };
        let (file, end) = opened().map_err(io_error("open file", &path))?;
        Ok(Self { path, file, end })
    }
}

impl SnapshotWriter for Writer {
    fn append(&mut self, pages: &[Vec<u8>]) -> Result<(), BusError> {
        let mut bytes = Vec::new();
        for page in pages {
            if page.len() > SNAPSHOT_PAGE_BYTES_MAX {
                let (bytes, limit) = (page.len(), SNAPSHOT_PAGE_BYTES_MAX);
                let place = self.path.display().to_string();
                return Err(BusError::TooLarge { place, bytes, limit });
            }
            let length = page.len() as u32;
            bytes.extend_from_slice([length, !length].map(u32::to_be_bytes).as_flattened());
            bytes.extend_from_slice(page);
        }
        let end = self.end;
        let mut written = || -> io::Result<()> {
            self.file.seek(SeekFrom::Start(end))?;
            self.file.write_all(&bytes)
        };
        written().map_err(io_error("write file", &self.path))?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

enum Found {
    /// A page, and where the next one begins.
    Page(Vec<u8>, u64),
    /// It is not all there yet.
    Nothing,
    /// No page begins here.
    NoPage,
}

fn page_at(mut file: &File, at: u64) -> io::Result<Found> {
    file.seek(SeekFrom::Start(at))?;
    let mut reader = BufReader::new(file);
    let mut head = [[0; 4]; 2];
    let whole = |read: io::Result<()>| match read {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    };
    if !whole(reader.read_exact(head.as_flattened_mut()))? {
        return Ok(Found::Nothing);
    }
    let [length, inverted] = head.map(u32::from_be_bytes);
    if length != !inverted || length as usize > SNAPSHOT_PAGE_BYTES_MAX {
        return Ok(Found::NoPage);
    }
    let mut bytes = vec![0; length as usize];
    if !whole(reader.read_exact(&mut bytes))? {
        return Ok(Found::Nothing);
    }
    Ok(Found::Page(bytes, at + HEAD_BYTES as u64 + u64::from(length)))
}

pub(super) struct Reader {
    path: PathBuf,
    next: u64,
}

impl Reader {
    pub(super) fn new(path: PathBuf, from: u64) -> Self {
        Self { path, next: from }
    }

    fn read(&mut self, max_pages: usize) -> io::Result<Vec<SnapshotPage>> {
        // It may be another file by now.
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if self.next > file.metadata()?.len() {
            self.next = 0;
        }
        let mut pages = Vec::new();
        while pages.len() < max_pages {
            match page_at(&file, self.next)? {
                Found::Page(bytes, next_position) => {
                    self.next = next_position;
                    pages.push(SnapshotPage { next_position, bytes });
                }
                Found::Nothing => break,
                Found::NoPage => {
                    // The position was one of another file.
                    self.next = 0;
                    break;
                }
            }
        }
        Ok(pages)
    }
}

impl SnapshotReader for Reader {
    fn poll(&mut self, max_pages: usize, timeout: Duration) -> Result<Vec<SnapshotPage>, BusError> {
        let until = Instant::now() + timeout;
        loop {
            let path = self.path.clone();
            let pages = self.read(max_pages).map_err(io_error("read file", &path))?;
            let left = until.saturating_duration_since(Instant::now());
            if !pages.is_empty() || max_pages == 0 || left.is_zero() {
                return Ok(pages);
            }
            thread::sleep(left.min(LOOK_AGAIN));
        }
    }
}
