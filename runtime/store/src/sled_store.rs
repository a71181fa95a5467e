//! The store of a node: sled, in one folder.
//!
//! sled's own flush hands its log to the disk with `sync_file_range`, which neither commits the
//! file's size nor empties the disk's cache; [`Store::sync`] here therefore also syncs the file.
//! Of sled's other files `conf` and the folders are synced when they are made, snapshots are synced
//! by sled and only spare it work, and blobs never come to be: see `sled_chunks`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use sled::IVec;

use crate::disk::{
    Failure, Mark, check_end, check_space, io_error, make_folder, not_a_value, panic_text,
};
use crate::engine::{Engine, check_no_other};
use crate::sled_chunks::{self as chunks, Head, SEGMENT_BYTES};
use crate::store::{COMMITS_KEY, KEY_BYTES_MAX, RESERVED_FROM, check_keys};
use crate::{Batch, Pair, Scan, Store, StoreError};

/// For each first byte of keys, how many values with it are cut into pieces.
const CUT_COUNTS_KEY: &[u8] = &[RESERVED_FROM + 1, b'c'];
/// A store that was just closed in this process is let go by sled's threads a moment later.
const LOCK_TRIES: u32 = 25;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// What can be set of a [`SledStore`].
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// How much of the data is kept in memory, in bytes.
    pub cache_bytes: u64,
    /// Commits are refused while less than this is free on the disk: sled cannot go on after it
    /// has run out of space in the middle of its log.
    pub free_bytes_min: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 128 << 20, free_bytes_min: 64 << 20 }
    }
}

/// What changes with each commit.
#[derive(Debug)]
struct State {
    commits: u64,
    cut_counts: CutCounts,
}

/// While no value of a kind is cut, none of that kind needs to be looked at before it is replaced.
type CutCounts = [u64; RESERVED_FROM as usize];

/// A store on disk. The folder is locked while it is open.
#[derive(Debug)]
pub struct SledStore {
    db: sled::Db,
    path: PathBuf,
    options: SledOptions,
    /// For syncing what sled has written. A file of its own, so that sled's threads cannot see, and
    /// swallow, an error of the disk before this store does.
    log: File,
    mark: Mark,
    /// Written by commits; readers hold it so that they see whole commits.
    state: RwLock<State>,
    /// As in `state`.
    commits: AtomicU64,
    /// The last commit that is synced.
    synced: Mutex<u64>,
    /// Why the store takes no more commits.
    failure: Failure,
}

impl SledStore {
    /// Opens the store in a folder, which is made if need be.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, SledOptions::default())
    }

    /// As [`SledStore::open`].
    pub fn open_with(path: impl AsRef<Path>, options: SledOptions) -> Result<Self, StoreError> {
        let path = path.as_ref().to_path_buf();
        let opening = |error| io_error(format!("open store {}", path.display()), &error);
        make_folder(&path).map_err(opening)?;
        check_no_other(Engine::Sled, &path)?;
        let db = open_sled(&path, &options)?;
        sync_new_files(&path).map_err(opening)?;
        let log = File::open(path.join("db")).map_err(opening)?;
        let mark = Mark::open(&path).map_err(opening)?;

        let commits = load_number(&db, COMMITS_KEY)?;
        check_end(&path, commits, mark.read().map_err(opening)?)?;
        let state = State { commits, cut_counts: load_cut_counts(&db)? };
        Ok(Self {
            db,
            path,
            options,
            log,
            mark,
            state: RwLock::new(state),
            commits: AtomicU64::new(commits),
            synced: Mutex::new(commits),
            failure: Failure::default(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits are refused while less than this is free on its disk, in bytes.
    pub fn free_bytes_min(&self) -> u64 {
        self.options.free_bytes_min
    }

    /// How much the store takes on disk, in bytes.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        guarded("measure the store", || self.db.size_on_disk())
    }

    /// The further pieces of the value that stands at a key.
    fn pieces_at(&self, key: &[u8]) -> Result<u32, StoreError> {
        let raw = guarded("read a value to be replaced", || self.db.get(key))?;
        match raw.as_deref().map(chunks::head) {
            Some(Some(Head::First(_, more))) => Ok(more),
            Some(None) => Err(not_a_value(key)),
            Some(Some(Head::Whole(_))) | None => Ok(0),
        }
    }

    /// Turns a batch into one of sled's. Answers how the counts of cut values are after it.
    fn prepare(
        &self,
        batch: &Batch,
        state: &State,
    ) -> Result<(sled::Batch, CutCounts), StoreError> {
        let mut writes = sled::Batch::default();
        let mut counts = state.cut_counts;
        // The further pieces of what this batch has written so far, where there may be any.
        let mut pieces_here: HashMap<&[u8], u32> = HashMap::new();
        for (key, value) in batch.iter_with_zero() {
            if key.len() > KEY_BYTES_MAX {
                return Err(StoreError::ReservedKey);
            }
            let kind = usize::from(key[0]);
            let before = match pieces_here.get(key) {
                Some(pieces) => *pieces,
                None if state.cut_counts[kind] > 0 => self.pieces_at(key)?,
                None => 0,
            };
            (0..before).for_each(|piece| writes.remove(chunks::piece_key(key, piece)));
            let after = match value {
                Some(value) => chunks::cut(key, value, |key, piece| writes.insert(key, piece)),
                None => {
                    writes.remove(key);
                    0
                }
            };
            counts[kind] = counts[kind].saturating_sub(u64::from(before > 0));
            counts[kind] += u64::from(after > 0);
            if state.cut_counts[kind] > 0 || after > 0 {
                pieces_here.insert(key, after);
            }
        }
        if counts != state.cut_counts {
            let bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_be_bytes()).collect();
            writes.insert(CUT_COUNTS_KEY, bytes);
        }
        writes.insert(COMMITS_KEY, &(state.commits + 1).to_be_bytes());
        Ok((writes, counts))
    }

    fn whole(&self, key: &[u8], raw: &IVec) -> Result<Vec<u8>, StoreError> {
        match chunks::head(raw) {
            None => Err(not_a_value(key)),
            Some(Head::Whole(value)) => Ok(value.to_vec()),
            Some(Head::First(first, more)) => {
                let mut whole = first.to_vec();
                for piece in 0..more {
                    let piece_key = chunks::piece_key(key, piece);
                    let piece = guarded("read a part of a value", || self.db.get(&piece_key))?;
                    whole.extend_from_slice(&piece.ok_or_else(|| not_a_value(key))?);
                }
                Ok(whole)
            }
        }
    }

    fn each(
        &self,
        scan: &Scan,
        mut take: impl FnMut(IVec, IVec) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        if scan.is_void() {
            return Ok(());
        }
        let _whole_commits = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let end = [RESERVED_FROM];
        let to = if scan.to.is_empty() { &end[..] } else { &scan.to };
        let range = (Bound::Included(scan.from.as_slice()), Bound::Excluded(to.min(&end[..])));
        let mut pairs = self.db.range::<&[u8], _>(range);
        for _ in 0..scan.limit {
            let mut next = || if scan.reverse { pairs.next_back() } else { pairs.next() };
            let Some((key, value)) = guarded("read a range", || next().transpose())? else { break };
            if !take(key, value)? {
                break;
            }
        }
        Ok(())
    }

    fn synced(&self) -> MutexGuard<'_, u64> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush_and_sync(&self) -> Result<(), StoreError> {
        let sync_error = |reason: String| StoreError::Sync { reason };
        guarded("flush the log", || self.db.flush()).map_err(|e| sync_error(e.to_string()))?;
        self.log.sync_data().map_err(|error| sync_error(error.to_string()))
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let _whole_commits = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let raw = guarded("read a value", || self.db.get(key))?;
        raw.map(|raw| self.whole(key, &raw)).transpose()
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        let mut pairs = Vec::new();
        let mut bytes = 0usize;
        self.each(scan, |key, raw| {
            let value = self.whole(&key, &raw)?;
            bytes = bytes.saturating_add(value.len());
            pairs.push((key.to_vec(), value));
            Ok(bytes < scan.bytes)
        })?;
        Ok(pairs)
    }

    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        self.each(scan, |key, _| {
            keys.push(key.to_vec());
            Ok(true)
        })?;
        Ok(keys)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        check_keys(&batch)?;
        self.failure.check()?;
        check_space(&self.path, self.options.free_bytes_min, batch.bytes())?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let (writes, cut_counts) = self.prepare(&batch, &state)?;
        // What failed half way is in sled's memory, but may never be on its disk.
        guarded("commit", || self.db.apply_batch(writes))
            .map_err(|error| self.failure.set(error))?;
        state.cut_counts = cut_counts;
        state.commits += 1;
        self.commits.store(state.commits, Ordering::SeqCst);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let wanted = self.commits.load(Ordering::SeqCst);
        let mut synced = self.synced();
        self.failure.check()?;
        // Whoever held the lock before may have synced this caller's commits with its own.
        if *synced >= wanted {
            return Ok(());
        }
        let reached = self.commits.load(Ordering::SeqCst);
        self.flush_and_sync().map_err(|error| self.failure.set(error))?;
        *synced = reached;
        self.mark.write(reached)
    }
}

fn open_sled(path: &Path, options: &SledOptions) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(options.cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None);
    let place = format!("open store {}", path.display());
    for tries in 1.. {
        match guarded(&place, || config.open()) {
            Err(StoreError::Io { reason, .. }) if reason.contains("could not acquire lock") => {
                if tries == LOCK_TRIES {
                    break;
                }
                std::thread::sleep(LOCK_WAIT);
            }
            opened => return opened,
        }
    }
    Err(StoreError::Locked { path: path.to_path_buf() })
}

/// What sled makes when it opens a folder, and does not sync.
fn sync_new_files(path: &Path) -> io::Result<()> {
    for name in ["conf", "db", "blobs"] {
        File::open(path.join(name))?.sync_all()?;
    }
    File::open(path)?.sync_all()
}

/// Runs a part of sled. It panics on some corruptions; nothing of it is used again after that but
/// by readers, whose every look is guarded too.
fn guarded<T>(action: &str, work: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(sled::Error::Io(error))) => Err(io_error(action.to_owned(), &error)),
        Ok(Err(error @ (sled::Error::Corruption { .. } | sled::Error::Unsupported(_)))) => {
            Err(StoreError::corrupt(action, error))
        }
        Ok(Err(error)) => {
            Err(StoreError::Io { action: action.to_owned(), reason: error.to_string() })
        }
        Err(panic) => Err(StoreError::panicked(action, panic_text(&*panic))),
    }
}

fn load_number(db: &sled::Db, key: &[u8]) -> Result<u64, StoreError> {
    let Some(raw) = guarded("read the number of commits", || db.get(key))? else { return Ok(0) };
    let bytes = raw.as_ref().try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| not_a_value(key))
}

fn load_cut_counts(db: &sled::Db) -> Result<CutCounts, StoreError> {
    let mut counts: CutCounts = [0; RESERVED_FROM as usize];
    let Some(raw) = guarded("read the counts of values", || db.get(CUT_COUNTS_KEY))? else {
        return Ok(counts);
    };
    let (kept, rest) = raw.as_chunks::<8>();
    if kept.len() != counts.len() || !rest.is_empty() {
        return Err(not_a_value(CUT_COUNTS_KEY));
    }
    for (count, kept) in counts.iter_mut().zip(kept) {
        *count = u64::from_be_bytes(*kept);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests;
