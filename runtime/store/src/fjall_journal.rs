//! What fjall's journals hold, looked at before fjall does.
//!
//! A loss of power may leave the end of the last journal torn, with a later part of it on disk and
//! an earlier one not. fjall refuses to open such a journal where the torn batch has an end, cuts
//! it off in silence where it has none, and does the latter in the middle of older journals too,
//! though what comes after then builds on what is gone. It does not miss a journal either that is
//! gone as a whole, and takes the number of a batch as it stands. Here a torn end is told from
//! damage: the commits are numbered too, tables and journals must have them all and in one order,
//! older journals were synced as a whole, and the mark says what else was.
//!
//! A journal is a row of batches. A batch is a start (1, u32 items, u64 number), its items (2,
//! kind, compression, u64 key space, u16 length of the key, u32 length of the value, the same as
//! stored, key, value) and an end (3, u64 XXH3 of the items, `FJL` 3); numbers are little-endian.
//! What follows the last batch is filled with zeros. fjall's version is pinned, and a test holds
//! this description against what it writes.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::StoreError;
use crate::disk::{check_end, io_error};
use crate::store::COMMITS_KEY;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const START_BYTES: usize = 13;
const ITEM_HEAD_BYTES: usize = 21;
const END_BYTES: usize = 13;
const TRAILER: &[u8] = b"FJL\x03";
/// How much is read at a time.
const READ_BYTES: usize = 256 << 10;

/// What tables hold: all commits up to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InTables {
    /// The number of the last one.
    pub(crate) commits: u64,
    /// fjall's number of its batch. What journals have up to it, fjall passes over.
    pub(crate) seqno: Option<u64>,
}

/// A batch as a journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    /// fjall's number of it, in the order of which it counts. No checksum covers it.
    seqno: u64,
    /// None if no store wrote it.
    commit: Option<u64>,
}

/// Checks the journals in a folder, and cuts off what a loss of power left of commits at their end
/// that were never synced. Where more than that is missing it says so, and changes nothing. What
/// comes back is the number of the last commit.
///
/// Journals may miss commits that are in tables.
pub(crate) fn check(folder: &Path, tables: InTables, synced: u64) -> Result<u64, StoreError> {
    let mut last = None;
    // A journal may be followed by empty ones: fjall goes on to a new one after a failed write too.
    let mut torn: Option<(PathBuf, u64)> = None;
    // fjall would begin a new one in silence.
    newest(folder)?;
    for path in list(folder)? {
        let before = last;
        let end = walk(&path, tables, &mut last)?;
        if let Some((torn, _)) = &torn
            && (last != before || end.has_rest)
        {
            return Err(corrupt(torn, "it ends in the middle, and another follows it"));
        }
        if end.has_rest {
            torn = Some((path, end.at));
        }
    }
    let commits = last.and_then(|last| last.commit).unwrap_or_default().max(tables.commits);
    check_end(folder, commits, synced)?;
    if let Some((path, at)) = torn {
        let cut = File::options().write(true).open(&path);
        cut.and_then(|journal| journal.set_len(at).and_then(|()| journal.sync_all()))
            .map_err(|error| io_error(format!("cut the end of {}", path.display()), &error))?;
    }
    Ok(commits)
}

/// The journal that fjall writes to, opened once more.
///
/// The system tells each opening of a file of an error of the disk, and only once: through fjall's
/// own, one of its threads could hear of it, and a sync that comes just then would see nothing.
#[derive(Debug)]
pub(crate) struct NewestJournal {
    folder: PathBuf,
    path: PathBuf,
    file: File,
}

impl NewestJournal {
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = newest(folder)?;
        let failed = |error| io_error(format!("open {}", path.display()), &error);
        let file = File::open(&path).map_err(failed)?;
        Ok(Self { folder: folder.to_path_buf(), path, file })
    }

    /// Makes all durable that fjall has handed to the system. Before it goes on to a new journal it
    /// syncs the one before, so what is between that of the last sync and the newest is durable.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        let newest = newest(&self.folder)?;
        self.sync_file()?;
        if newest != self.path {
            *self = Self::open(&self.folder)?;
            self.sync_file()?;
        }
        Ok(())
    }

    fn sync_file(&self) -> Result<(), StoreError> {
        let failed = |error| io_error(format!("sync {}", self.path.display()), &error);
        self.file.sync_data().map_err(failed)
    }

    /// From here on every sync fails, as on a disk that is gone.
    #[cfg(test)]
    pub(crate) fn lose_disk(&mut self) {
        // A pipe cannot be synced.
        let (reader, _) = io::pipe().unwrap();
        self.file = File::from(std::os::fd::OwnedFd::from(reader));
    }
}

fn newest(folder: &Path) -> Result<PathBuf, StoreError> {
    list(folder)?.pop().ok_or_else(|| corrupt(folder, "it has no journal"))
}

/// The journals from the oldest to the one that is written to.
fn list(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |error: io::Error| io_error(format!("list {}", folder.display()), &error);
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let number = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let Ok(number) = number.parse::<u64>() else {
                return Err(corrupt(&path, "its name is no number"));
            };
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// Where the last whole batch of a journal ends.
struct JournalEnd {
    at: u64,
    /// Whether anything but zeros follows.
    has_rest: bool,
}

/// Goes over the whole batches of a journal. `last` is the last one before it, and then in it.
fn walk(path: &Path, tables: InTables, last: &mut Option<Batch>) -> Result<JournalEnd, StoreError> {
    let failed = |error: io::Error| io_error(format!("read {}", path.display()), &error);
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let reader = BufReader::with_capacity(READ_BYTES, file);
    let mut batches = Batches { reader, left: len };
    let mut at = 0;
    while let Some(batch) = batches.next_whole().map_err(failed)? {
        if !follows(batch, *last, tables) {
            return Err(corrupt(path, format!("{batch:?} follows {last:?}, beside {tables:?}")));
        }
        *last = Some(batch);
        at = len - batches.left;
    }
    let has_rest = batches.has_other_than_zeros(at).map_err(failed)?;
    Ok(JournalEnd { at, has_rest })
}

/// Both numbers of batches grow, no commit is missing, and what is not in tables comes after them.
fn follows(batch: Batch, last: Option<Batch>, tables: InTables) -> bool {
    let Some(commit) = batch.commit else { return false };
    let before = last.and_then(|last| last.commit).unwrap_or_default();
    let first_missing = before.max(tables.commits).saturating_add(1);
    let is_in_tables = tables.seqno.is_some_and(|seqno| batch.seqno <= seqno);
    commit > before
        && commit <= first_missing
        && last.is_none_or(|last| batch.seqno > last.seqno)
        && is_in_tables == (commit <= tables.commits)
}

fn corrupt(path: &Path, reason: impl ToString) -> StoreError {
    StoreError::corrupt(format!("journal {}", path.display()), reason)
}

struct Batches {
    reader: BufReader<File>,
    /// Bytes of the file that were not read yet.
    left: u64,
}

impl Batches {
    /// The next batch; none if what comes is no whole one.
    fn next_whole(&mut self) -> io::Result<Option<Batch>> {
        let Some(start) = self.read(START_BYTES)? else { return Ok(None) };
        let [START, a, b, c, d, ref seqno @ ..] = start[..] else { return Ok(None) };
        let items = u32::from_le_bytes([a, b, c, d]);
        let Ok(seqno) = seqno.try_into().map(u64::from_le_bytes) else { return Ok(None) };
        let mut hash = Xxh3::new();
        let mut commit = None;
        for _ in 0..items {
            let Some(head) = self.read(ITEM_HEAD_BYTES)? else { return Ok(None) };
            if head[0] != ITEM {
                return Ok(None);
            }
            let key_len = usize::from(u16::from_le_bytes([head[11], head[12]]));
            let value_len = u32::from_le_bytes([head[17], head[18], head[19], head[20]]) as usize;
            let Some(pair) = self.read(key_len + value_len)? else { return Ok(None) };
            hash.update(&head);
            hash.update(&pair);
            let (key, value) = pair.split_at(key_len);
            if key == COMMITS_KEY {
                commit = value.try_into().ok().map(u64::from_be_bytes);
            }
        }
        let Some(end) = self.read(END_BYTES)? else { return Ok(None) };
        let (checksum, trailer) = end[1..].split_at(8);
        let is_whole =
            end[0] == END && checksum == hash.digest().to_le_bytes() && trailer == TRAILER;
        Ok(is_whole.then_some(Batch { seqno, commit }))
    }

    /// None if the file is shorter; so no length that is read asks for more memory than it has.
    fn read(&mut self, len: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(left) = self.left.checked_sub(len as u64) else { return Ok(None) };
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes)?;
        self.left = left;
        Ok(Some(bytes))
    }

    fn has_other_than_zeros(mut self, at: u64) -> io::Result<bool> {
        self.reader.seek(SeekFrom::Start(at))?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.reader.read(&mut buffer)? {
                0 => return Ok(false),
                read if buffer[..read].iter().any(|byte| *byte != 0) => return Ok(true),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
