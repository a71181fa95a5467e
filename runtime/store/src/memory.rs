//! A store in memory, which can lose what was not synced and fail on request.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::check_keys;
use crate::{Batch, Pair, Scan, Store, StoreError};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Default)]
struct Inner {
    now: Map,
    /// What was done since the last sync, newest last: for each key the value before.
    undo: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    no_space: bool,
    sync_fails: bool,
    failed: bool,
}

/// A store for tests and for the simulator: deterministic, and with faults on request.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Inner>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// As a loss of power: everything since the last sync is gone, and the store is open again.
    pub fn crash(&self) {
        let mut inner = self.inner();
        while let Some((key, before)) = inner.undo.pop() {
            match before {
                Some(value) => inner.now.insert(key, value),
                None => inner.now.remove(&key),
            };
        }
        (inner.no_space, inner.sync_fails, inner.failed) = (false, false, false);
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
        if std::mem::take(&mut inner.no_space) {
            return Err(StoreError::NoSpace { bytes: batch.bytes() });
        }
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
