//! A store in memory, which can lose what was not synced and fail on request.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::check_keys;
use crate::{Batch, Pair, Scan, Store, StoreError};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A key and the value that it had before a write.
type Undo = (Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, Default)]
struct Inner {
    now: Map,
    /// What was done since the last sync, newest last.
    undo: Vec<Undo>,
    /// Where in `undo` each commit since the last sync begins, oldest first.
    begins: Vec<usize>,
    /// One commit is to find no space; it takes the flag away.
    no_space: bool,
    /// No commit finds space until the test says otherwise.
    full: bool,
    sync_fails: bool,
    failed: bool,
}

impl Inner {
    /// What is in `now` is what is on disk, and the store is as newly opened. A full disk stays
    /// full.
    fn open(&mut self) {
        self.undo.clear();
        self.begins.clear();
        (self.no_space, self.sync_fails, self.failed) = (false, false, false);
    }
}

fn undo_one(map: &mut Map, (key, before): Undo) {
    match before {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

/// A store for tests and for the simulator: deterministic, and with faults on request.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Inner>);

/// What a [`MemoryStore`] had on disk at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemorySnapshot(Map);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// As a loss of power: everything since the last sync is gone, and the store is open again.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// As [`MemoryStore::crash`], but of the commits since the last sync the first `commits` had
    /// reached the disk; all of them, where there are fewer. They are as durable as if synced.
    pub fn crash_keeping(&self, commits: usize) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        if let Some(begin) = inner.begins.get(commits) {
            let lost = inner.undo.drain(*begin..).rev();
            lost.for_each(|undo| undo_one(&mut inner.now, undo));
        }
        inner.open();
    }

    /// How many commits were done since the last sync, empty ones included.
    pub fn unsynced(&self) -> usize {
        self.inner().begins.len()
    }

    /// What is on disk: what a crash would leave now.
    pub fn snapshot(&self) -> MemorySnapshot {
        let inner = self.inner();
        let mut durable = inner.now.clone();
        inner.undo.iter().rev().for_each(|undo| undo_one(&mut durable, undo.clone()));
        MemorySnapshot(durable)
    }

    /// As an old disk put back: what the store holds, synced or not, is replaced by the snapshot,
    /// and the store is open again.
    pub fn restore(&self, snapshot: &MemorySnapshot) {
        let mut inner = self.inner();
        inner.now.clone_from(&snapshot.0);
        inner.open();
    }

    /// While the disk is full, which a crash does not change, every commit that is not empty finds
    /// no space.
    pub fn set_full(&self, full: bool) {
        self.inner().full = full;
    }

    /// The next commit finds no space.
    pub fn fail_next_commit(&self) {
        self.inner().no_space = true;
    }

    /// The next sync fails, and with it the store, until it crashes.
    pub fn fail_next_sync(&self) {
        self.inner().sync_fails = true;
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.inner().now.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every operation leaves the maps whole, so a panic of another thread is no reason to stop.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, scan: &Scan, item: impl Fn(&Vec<u8>, &Vec<u8>) -> (T, usize)) -> Vec<T> {
        if scan.is_void() {
            return Vec::new();
        }
        let inner = self.inner();
        let to = if scan.to.is_empty() { Bound::Unbounded } else { Bound::Excluded(&scan.to) };
        let mut range = inner.now.range::<Vec<u8>, _>((Bound::Included(&scan.from), to));
        let mut found = Vec::new();
        let mut bytes = 0usize;
        while found.len() < scan.limit && bytes < scan.bytes {
            let next = if scan.reverse { range.next_back() } else { range.next() };
            let Some((key, value)) = next else { break };
            let (item, size) = item(key, value);
            bytes = bytes.saturating_add(size);
            found.push(item);
        }
        found
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.inner().now.get(key).cloned())
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        Ok(self.read(scan, |key, value| ((key.clone(), value.clone()), value.len())))
    }

    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.read(scan, |key, _| (key.clone(), 0)))
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        check_keys(&batch)?;
        let mut inner = self.inner();
        if inner.failed {
            return Err(failed());
        }
        let full = inner.full && !batch.is_empty();
        if std::mem::take(&mut inner.no_space) || full {
            return Err(StoreError::NoSpace { bytes: batch.bytes() });
        }
        let begin = inner.undo.len();
        inner.begins.push(begin);
        for (key, value) in batch.iter() {
            let before = match value {
                Some(value) => inner.now.insert(key.to_vec(), value.to_vec()),
                None => inner.now.remove(key),
            };
            inner.undo.push((key.to_vec(), before));
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut inner = self.inner();
        inner.failed |= std::mem::take(&mut inner.sync_fails);
        if inner.failed {
            return Err(failed());
        }
        inner.undo.clear();
        inner.begins.clear();
        Ok(())
    }
}

fn failed() -> StoreError {
    StoreError::Sync { reason: "a sync failed, as the test asked".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        conformance::check(MemoryStore::new);
    }

    fn put(store: &MemoryStore, key: &str, value: &str) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(key, value);
        store.commit(batch)
    }

    #[test]
    fn a_crash_goes_back_to_the_last_sync() {
        let store = MemoryStore::new();
        put(&store, "a", "1").unwrap();
        store.sync().unwrap();
        put(&store, "a", "2").unwrap();
        put(&store, "a", "3").unwrap();
        put(&store, "b", "1").unwrap();
        let mut batch = Batch::new();
        batch.delete("a");
        store.commit(batch).unwrap();
        store.crash();
        assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_crash_keeps_as_many_commits_as_asked() {
        let values = |store: &MemoryStore| {
            let get = |key: &[u8]| store.get(key).unwrap().map(|v| String::from_utf8(v).unwrap());
            (get(b"a"), get(b"b"))
        };
        let some = |value: &str| Some(value.to_owned());
        let left = [
            (some("1"), None),
            (some("2"), None),
            (some("2"), None),
            (None, some("1")),
            (None, some("2")),
            (None, some("2")),
        ];
        for (keep, left) in left.into_iter().enumerate() {
            let store = MemoryStore::new();
            put(&store, "a", "1").unwrap();
            store.sync().unwrap();
            assert_eq!(store.unsynced(), 0);
            put(&store, "a", "2").unwrap();
            store.commit(Batch::new()).unwrap();
            let mut batch = Batch::new();
            batch.delete("a");
            batch.put("b", "0");
            batch.put("b", "1");
            store.commit(batch).unwrap();
            put(&store, "b", "2").unwrap();
            assert_eq!(store.unsynced(), 4);
            store.crash_keeping(keep);
            assert_eq!(values(&store), left, "keeping {keep}");
            // What has outlived one crash outlives the next.
            assert_eq!(store.unsynced(), 0);
            put(&store, "a", "9").unwrap();
            store.crash();
            assert_eq!(values(&store), left, "keeping {keep}");
        }
    }

    #[test]
    fn a_snapshot_is_what_a_crash_leaves() {
        let store = MemoryStore::new();
        put(&store, "a", "1").unwrap();
        put(&store, "b", "1").unwrap();
        store.sync().unwrap();
        put(&store, "a", "2").unwrap();
        let mut batch = Batch::new();
        batch.delete("a");
        batch.delete("b");
        batch.put("c", "1");
        store.commit(batch).unwrap();
        let snapshot = store.snapshot();
        assert_eq!((store.unsynced(), store.len()), (2, 1));
        store.crash();
        assert_eq!(store.snapshot(), snapshot);
        assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
    }

    #[test]
    fn an_old_disk_is_put_back() {
        let store = MemoryStore::new();
        put(&store, "a", "1").unwrap();
        store.sync().unwrap();
        let old = store.snapshot();
        put(&store, "a", "2").unwrap();
        put(&store, "b", "2").unwrap();
        store.sync().unwrap();
        put(&store, "b", "3").unwrap();
        store.fail_next_sync();
        assert!(store.sync().is_err());
        store.restore(&old);
        assert_eq!(store.unsynced(), 0);
        store.crash();
        assert_eq!((store.get(b"a").unwrap(), store.len()), (Some(b"1".to_vec()), 1));
        put(&store, "b", "4").unwrap();
        store.sync().unwrap();
        store.crash();
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn a_full_disk_takes_nothing_until_there_is_space() {
        let store = MemoryStore::new();
        put(&store, "a", "1").unwrap();
        store.set_full(true);
        for _ in 0..2 {
            assert_eq!(put(&store, "a", "2"), Err(StoreError::NoSpace { bytes: 3 }));
        }
        assert_eq!((store.commit(Batch::new()), store.sync()), (Ok(()), Ok(())));
        store.crash();
        assert!(put(&store, "a", "2").is_err());
        assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
        store.set_full(false);
        put(&store, "a", "2").unwrap();
    }

    #[test]
    fn faults_come_on_request() {
        let store = MemoryStore::new();
        store.fail_next_commit();
        assert_eq!(put(&store, "a", "1"), Err(StoreError::NoSpace { bytes: 3 }));
        put(&store, "a", "1").unwrap();
        store.fail_next_sync();
        assert!(matches!(store.sync(), Err(StoreError::Sync { .. })));
        assert!(matches!(put(&store, "b", "1"), Err(StoreError::Sync { .. })));
        assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
        store.crash();
        assert!(store.is_empty());
        put(&store, "a", "1").unwrap();
    }
}
