//! The store of a node: fjall, in one folder.
//!
//! fjall appends every batch to a journal, under one lock, and keeps it in memory until its threads
//! write it to a table, which they sync. So what is on disk is always a prefix of all commits, and
//! a sync of the journal makes it end at the last one. Four things are added here: the folders,
//! tables and journals are checked before fjall opens them, see `fjall_tables` and `fjall_journal`;
//! a new database gets its name when it is on disk as a whole; a sync sees errors of the disk that
//! fjall's threads were told of; and a commit waits for these threads where their errors are seen.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fjall::{
    Database, Guard, Keyspace, KeyspaceCreateOptions, LsmError, OwnedWriteBatch, PersistMode,
    Readable as _,
};
use lsm_tree::{AbstractTree as _, SeqNo, SequenceNumberCounter};

use crate::disk::{
    Failure, Mark, check_end, check_space, io_error, make_folder, not_a_value, panic_text,
};
use crate::engine::{Engine, check_no_other};
use crate::fjall_journal::{self as journal, InTables, NewestJournal};
use crate::fjall_tables as tables;
use crate::store::{COMMITS_KEY, KEY_BYTES_MAX, RESERVED_FROM, check_keys};
use crate::{Batch, Pair, Scan, Store, StoreError};

/// The one key space of the database.
const KEYSPACE: &str = "syncline";
/// Beside the database, while it is made.
const UNFINISHED: &str = "fjall.new";
const KEYSPACES: &str = "keyspaces";
const OUR_KEYSPACE: &str = "keyspaces/1";
/// fjall's own, in which it keeps the name of ours, and ours.
const KEYSPACES_WITHIN: [&str; 2] = ["keyspaces/0", OUR_KEYSPACE];
/// What a database has from when it was made: its version, and the key spaces, fjall's and ours.
const MARKERS: [&str; 3] = ["version", "keyspaces/0/current", "keyspaces/1/current"];
const LOCK_FILE: &str = "lock";
/// What is committed is kept in memory until it comes to this, and then written to a table. There
/// may be up to five of it: the one that is filled, and four that wait.
const MEMTABLE_BYTES: u64 = 32 << 20;
/// At most so much of journals is read at a start.
const JOURNALS_BYTES: u64 = 256 << 20;
/// One thread writes tables and merges them. Of several, fjall keeps the first free for new tables:
/// while another merges, it hands itself the next request to merge again and again, which costs a
/// processor.
const THREADS: usize = 1;
/// Without end fjall waits for its threads at 4 filled memtables, and at 30 runs of tables that are
/// to be merged; so nothing is committed close to that.
const FILLED_MEMTABLES_MAX: usize = 3;
const UNMERGED_RUNS_MAX: usize = 24;
const WAIT: Duration = Duration::from_millis(5);

/// What can be set of a [`FjallStore`].
#[derive(Clone, Debug)]
pub struct FjallOptions {
    /// How much of the tables is kept in memory, in bytes.
    pub cache_bytes: u64,
    /// Commits are refused while less than this is free on the disk: what is in memory is to find
    /// its place in tables, and these are merged into new ones before the old are deleted. fjall
    /// cannot go on after it has run out of space in the middle of a write.
    pub free_bytes_min: u64,
}

impl Default for FjallOptions {
    fn default() -> Self {
        Self { cache_bytes: 128 << 20, free_bytes_min: 512 << 20 }
    }
}

/// A store on disk. The folder is locked while it is open.
pub struct FjallStore {
    keys: Keyspace,
    db: Database,
    path: PathBuf,
    options: FjallOptions,
    mark: Mark,
    /// The number of the last commit. Held during a commit, so that numbers are in the order of the
    /// journal.
    commits: Mutex<u64>,
    /// As in `commits`.
    reached: AtomicU64,
    synced: Mutex<Synced>,
    /// Why the store takes no more commits.
    failure: Failure,
    /// fjall's own lock is not there yet while a database is made.
    #[allow(dead_code, reason = "lets go of the folder when dropped")]
    lock: File,
}

struct Synced {
    /// The last commit that is synced.
    commits: u64,
    journal: NewestJournal,
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FjallStore {
    /// Opens the store in a folder, which is made if need be.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, FjallOptions::default())
    }

    /// As [`FjallStore::open`].
    pub fn open_with(path: impl AsRef<Path>, options: FjallOptions) -> Result<Self, StoreError> {
        let path = path.as_ref().to_path_buf();
        let opening = |error| io_error(format!("open store {}", path.display()), &error);
        make_folder(&path).map_err(opening)?;
        check_no_other(Engine::Fjall, &path)?;
        let lock = take_lock(&path)?;
        let mark = Mark::open(&path).map_err(opening)?;
        let synced = mark.read().map_err(opening)?;
        let folder = path.join(Engine::Fjall.own_entry());
        if !folder.try_exists().map_err(opening)? {
            check_end(&path, 0, synced)?;
            make_database(&path, &folder)?;
        }
        check_folders(&folder)?;
        for keyspace in KEYSPACES_WITHIN {
            tables::check(&folder.join(keyspace))?;
        }
        let expected = journal::check(&folder, look_into_tables(&folder)?, synced)?;
        let (db, keys) = open_database(&folder, options.cache_bytes)?;
        let read = guarded("read the number of commits", || db.snapshot().get(&keys, COMMITS_KEY));
        let commits = number_of(read?.as_deref())?;
        if commits != expected {
            let reason = format!("it ends at commit {expected}, but opens with {commits}");
            return Err(StoreError::corrupt(folder.display().to_string(), reason));
        }
        // fjall has synced the journal, so all that was found is durable.
        let synced = Synced { commits, journal: NewestJournal::open(&folder)? };
        Ok(Self {
            keys,
            db,
            path,
            options,
            mark,
            commits: Mutex::new(commits),
            reached: AtomicU64::new(commits),
            synced: Mutex::new(synced),
            failure: Failure::default(),
            lock,
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
        guarded("measure the store", || self.db.disk_space())
    }

    /// What the store holds now, whatever is committed later.
    pub(crate) fn view(&self) -> FjallView<'_> {
        FjallView { snapshot: self.db.snapshot(), keys: &self.keys }
    }

    /// Waits until fjall has room for a commit; it waits itself, but never finds out that its
    /// threads have ended.
    fn wait_for_room(&self) -> Result<(), StoreError> {
        while self.keys.sealed_memtable_count() >= FILLED_MEMTABLES_MAX
            || self.keys.tree.l0_run_count() >= UNMERGED_RUNS_MAX
        {
            guarded("wait for the store's threads", || self.db.persist(PersistMode::Buffer))?;
            std::thread::sleep(WAIT);
        }
        Ok(())
    }

    fn synced(&self) -> MutexGuard<'_, Synced> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a store held at one moment.
pub(crate) struct FjallView<'a> {
    snapshot: fjall::Snapshot,
    keys: &'a Keyspace,
}

impl FjallView<'_> {
    fn each(
        &self,
        scan: &Scan,
        mut take: impl FnMut(Guard) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let end = [RESERVED_FROM];
        let to = if scan.to.is_empty() { &end[..] } else { &scan.to };
        let (from, to) = (scan.from.as_slice(), to.min(&end[..]));
        if scan.is_void() || from >= to {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let open = || Ok(self.snapshot.range::<&[u8], _>(self.keys, range));
        let mut pairs = guarded("read a range", open)?;
        for _ in 0..scan.limit {
            let mut next = || if scan.reverse { pairs.next_back() } else { pairs.next() };
            let Some(pair) = guarded("read a range", || Ok(next()))? else { break };
            if !take(pair)? {
                break;
            }
        }
        Ok(())
    }
}

impl Store for FjallView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = guarded("read a value", || self.snapshot.get(self.keys, key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        let mut pairs = Vec::new();
        let mut bytes = 0usize;
        self.each(scan, |pair| {
            let (key, value) = guarded("read a range", || pair.into_inner())?;
            bytes = bytes.saturating_add(value.len());
            pairs.push((key.to_vec(), value.to_vec()));
            Ok(bytes < scan.bytes)
        })?;
        Ok(pairs)
    }

    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        self.each(scan, |pair| {
            keys.push(guarded("read a range", || pair.key())?.to_vec());
            Ok(true)
        })?;
        Ok(keys)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let action = format!("commit {} bytes to what is only read", batch.bytes());
        Err(StoreError::Io { action, reason: "it does not change".to_owned() })
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Store for FjallStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.view().get(key)
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        self.view().scan(scan)
    }

    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        self.view().keys(scan)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        check_keys(&batch)?;
        if batch.iter().any(|(key, _)| key.len() > KEY_BYTES_MAX) {
            return Err(StoreError::ReservedKey);
        }
        self.failure.check()?;
        check_space(&self.path, self.options.free_bytes_min, batch.bytes())?;
        let mut writes = OwnedWriteBatch::with_capacity(self.db.clone(), batch.len() + 1);
        for (key, value) in batch.iter() {
            match value {
                Some(value) => writes.insert(&self.keys, key, value),
                None => writes.remove(&self.keys, key),
            }
        }
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        // The commit before this one may have failed meanwhile.
        self.failure.check()?;
        self.wait_for_room().map_err(|error| self.failure.set(error))?;
        writes.insert(&self.keys, COMMITS_KEY, (*commits + 1).to_be_bytes());
        // Handed to the system at once: a process that is killed loses nothing.
        let writes = writes.durability(Some(PersistMode::Buffer));
        guarded("commit", || writes.commit()).map_err(|error| self.failure.set(error))?;
        *commits += 1;
        self.reached.store(*commits, Ordering::SeqCst);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let wanted = self.reached.load(Ordering::SeqCst);
        let mut synced = self.synced();
        self.failure.check()?;
        // Whoever held the lock before may have synced this caller's commits with its own.
        if synced.commits >= wanted {
            return Ok(());
        }
        let reached = self.reached.load(Ordering::SeqCst);
        synced
            .journal
            .sync()
            // Tells if one of fjall's threads has failed.
            .and_then(|()| guarded("sync the journal", || self.db.persist(PersistMode::Buffer)))
            .map_err(|error| self.failure.set(StoreError::Sync { reason: error.to_string() }))?;
        synced.commits = reached;
        self.mark.write(reached)
    }
}

fn take_lock(path: &Path) -> Result<File, StoreError> {
    let opening = |error| io_error(format!("open store {}", path.display()), &error);
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false);
    let lock = options.open(path.join(LOCK_FILE)).map_err(opening)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(opening(error)),
    }
}

/// Makes an empty database. It gets its name once all of it is on disk, as fjall opens nothing that
/// was not made to its end.
fn make_database(path: &Path, folder: &Path) -> Result<(), StoreError> {
    let making = |error| io_error(format!("make store {}", path.display()), &error);
    let unfinished = path.join(UNFINISHED);
    if unfinished.try_exists().map_err(making)? {
        fs::remove_dir_all(&unfinished).map_err(making)?;
    }
    guarded("make the store", || {
        let db = Database::builder(&unfinished).worker_threads(THREADS).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        db.keyspace(KEYSPACE, options)?;
        db.persist(PersistMode::SyncAll)
    })?;
    sync_all_within(&unfinished)
        .and_then(|()| fs::rename(&unfinished, folder))
        .and_then(|()| File::open(path)?.sync_all())
        .map_err(making)
}

fn sync_all_within(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_all_within(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

/// fjall takes a folder without its marker for one that was never filled, and deletes it or begins
/// anew; a folder that it did not make ends the process.
fn check_folders(folder: &Path) -> Result<(), StoreError> {
    let corrupt = |reason: String| StoreError::corrupt(folder.display().to_string(), reason);
    if let Some(gone) = MARKERS.iter().find(|marker| !folder.join(marker).is_file()) {
        return Err(corrupt(format!("{gone} is gone")));
    }
    let keyspaces = folder.join(KEYSPACES);
    let failed = |error| io_error(format!("list {}", keyspaces.display()), &error);
    for entry in fs::read_dir(&keyspaces).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name != "0" && name != "1" {
            return Err(corrupt(format!("{} does not belong there", name.display())));
        }
    }
    Ok(())
}

fn open_database(folder: &Path, cache_bytes: u64) -> Result<(Database, Keyspace), StoreError> {
    let place = format!("open store {}", folder.display());
    let builder = Database::builder(folder)
        .cache_size(cache_bytes)
        .max_journaling_size(JOURNALS_BYTES)
        .worker_threads(THREADS);
    let db = guarded(&place, || builder.open())?;
    if !db.keyspace_exists(KEYSPACE) {
        return Err(StoreError::corrupt(place, "its key space is gone"));
    }
    let keys = guarded(&place, || db.keyspace(KEYSPACE, KeyspaceCreateOptions::default))?;
    Ok((db, keys))
}

/// What comes after what is in tables is in journals only, and must be there. It is looked for
/// before fjall opens the database, as its threads then write tables at once.
fn look_into_tables(folder: &Path) -> Result<InTables, StoreError> {
    let [seqno, visible] = [(); 2].map(|()| SequenceNumberCounter::default());
    let config = lsm_tree::Config::new(folder.join(OUR_KEYSPACE), seqno, visible);
    let place = format!("open the tables of {}", folder.display());
    let (commits, seqno) = guarded(&place, || {
        let tables = config.open()?;
        Ok((tables.get(COMMITS_KEY, SeqNo::MAX)?, tables.get_highest_persisted_seqno()))
    })?;
    Ok(InTables { commits: number_of(commits.as_deref())?, seqno })
}

fn number_of(raw: Option<&[u8]>) -> Result<u64, StoreError> {
    let Some(raw) = raw else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(raw);
    bytes.map(u64::from_be_bytes).map_err(|_| not_a_value(COMMITS_KEY))
}

/// Runs a part of fjall. It panics on some corruptions; nothing of it is used again after that but
/// by readers, whose every look is guarded too.
fn guarded<T>(action: &str, work: impl FnOnce() -> fjall::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| told(action, error)),
        Err(panic) => Err(StoreError::panicked(action, panic_text(&*panic))),
    }
}

fn told(action: &str, error: fjall::Error) -> StoreError {
    use io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => {
            match error.kind() {
                // A file that fjall had written is shorter now, or gone.
                InvalidData | InvalidInput | NotFound | UnexpectedEof => {
                    StoreError::corrupt(action, error)
                }
                _ => io_error(action.to_owned(), &error),
            }
        }
        fjall::Error::Poisoned => {
            StoreError::Io { action: action.to_owned(), reason: "a write failed before".to_owned() }
        }
        fjall::Error::InvalidVersion(Some(_)) | fjall::Error::Locked => {
            StoreError::Io { action: action.to_owned(), reason: error.to_string() }
        }
        error => StoreError::corrupt(action, error),
    }
}

#[cfg(test)]
mod tests;
