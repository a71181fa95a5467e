use super::*;
use crate::conformance;
use std::fs;
use std::os::unix::fs::FileExt as _;
use tempfile::TempDir;

/// A store with the folder that it lives in.
struct Kept(SledStore, #[allow(dead_code, reason = "removed when dropped")] TempDir);

impl Store for Kept {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }
    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        self.0.scan(scan)
    }
    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        self.0.keys(scan)
    }
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.0.commit(batch)
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.0.sync()
    }
}

#[test]
fn conforms() {
    conformance::check(|| {
        let dir = TempDir::new().unwrap();
        Kept(SledStore::open(dir.path()).unwrap(), dir)
    });
}

fn put(store: &SledStore, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    batch.put(key, value);
    store.commit(batch)
}

#[test]
fn keeps_what_was_synced_over_a_restart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a/b/store");
    let big: Vec<u8> = (0..3 << 20).map(|i| (i % 253) as u8).collect();
    {
        let store = SledStore::open(&path).unwrap();
        put(&store, "small", b"1".to_vec()).unwrap();
        put(&store, "big", big.clone()).unwrap();
        store.sync().unwrap();
    }
    let store = SledStore::open(&path).unwrap();
    assert_eq!(store.get(b"small").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.get(b"big").unwrap(), Some(big));
    // A cut value leaves nothing behind, also where the count of them was read from disk.
    put(&store, "big", b"2".to_vec()).unwrap();
    let pieces = store.db.range([RESERVED_FROM]..[RESERVED_FROM + 1]).count();
    assert_eq!(pieces, 0);
}

#[test]
fn a_key_that_is_written_twice_in_a_batch_leaves_no_pieces() {
    let dir = TempDir::new().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    let pieces = || store.db.range([RESERVED_FROM]..[RESERVED_FROM + 1]).count();
    for (sizes, expected) in [
        (&[90_000, 9_000, 10][..], 0),
        (&[90_000, 40_000], 4),
        (&[10, 10], 0),
        (&[50_000], 6),
        (&[], 0),
        (&[20_000, 50_000], 6),
    ] {
        let mut batch = Batch::new();
        sizes.iter().for_each(|size| batch.put("k", vec![7; *size]));
        if sizes.is_empty() {
            batch.delete("k");
            batch.delete("k");
        }
        store.commit(batch).unwrap();
        assert_eq!(pieces(), expected, "{sizes:?}");
        let counts = store.state.read().unwrap().cut_counts;
        assert_eq!(counts[usize::from(b'k')], u64::from(expected > 0));
        let value = store.get(b"k").unwrap();
        assert_eq!(value.map(|value| value.len()), sizes.last().copied());
    }
}

#[test]
fn a_second_opening_is_refused() {
    let dir = TempDir::new().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    let second = SledStore::open(dir.path()).unwrap_err();
    assert_eq!(second, StoreError::Locked { path: dir.path().to_path_buf() });
    drop(store);
    SledStore::open(dir.path()).unwrap();
}

#[test]
fn sled_never_makes_a_blob() {
    let dir = TempDir::new().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    // Long keys that differ early make the largest index pages; values in the worst sizes.
    for round in 0..3usize {
        for n in 0..700usize {
            let key = format!("{:04}{}{}", n / 2 * 37 % 991, "k".repeat(1400), n % 2);
            let len = [chunks::PIECE_BYTES, 100, 3 * chunks::PIECE_BYTES][(n + round) % 3];
            put(&store, &key, vec![n as u8; len]).unwrap();
        }
        store.sync().unwrap();
    }
    put(&store, "image", vec![7; 5 << 20]).unwrap();
    store.sync().unwrap();
    assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
}

#[test]
fn no_space_is_recoverable() {
    let dir = TempDir::new().unwrap();
    let full = SledOptions { free_bytes_min: u64::MAX, ..SledOptions::default() };
    let store = SledStore::open_with(dir.path(), full).unwrap();
    assert_eq!(put(&store, "a", b"1".to_vec()), Err(StoreError::NoSpace { bytes: 3 }));
    assert_eq!(store.get(b"a").unwrap(), None);
    store.sync().unwrap();
}

#[test]
fn after_a_failed_sync_nothing_is_taken() {
    let dir = TempDir::new().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    put(&store, "a", b"1".to_vec()).unwrap();
    let error = store.failure.set(StoreError::Sync { reason: "the disk is gone".to_owned() });
    assert_eq!(error.to_string(), "sync the store: the disk is gone");
    assert!(matches!(put(&store, "b", b"1".to_vec()), Err(StoreError::Sync { .. })));
    assert!(matches!(store.sync(), Err(StoreError::Sync { .. })));
    assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
}

/// A store of some commits, synced, in a folder that is closed again.
fn closed_store() -> TempDir {
    let dir = TempDir::new().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    for n in 0..400 {
        put(&store, &format!("key {n}"), vec![n as u8; 9000]).unwrap();
        if n % 50 == 0 {
            store.sync().unwrap();
        }
    }
    store.sync().unwrap();
    dir
}

#[test]
fn a_log_that_lost_its_end_is_corrupt() {
    let dir = closed_store();
    let log = File::options().write(true).open(dir.path().join("db")).unwrap();
    log.set_len(SEGMENT_BYTES as u64).unwrap();
    let opened = SledStore::open(dir.path()).map(|_| ());
    assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{opened:?}");
}

#[test]
fn a_corrupt_log_is_an_error_and_no_panic() {
    for (n, at) in [0usize, 30, 1 << 20, SEGMENT_BYTES, SEGMENT_BYTES + 50].into_iter().enumerate()
    {
        let dir = closed_store();
        let log = File::options().write(true).open(dir.path().join("db")).unwrap();
        log.write_all_at(&vec![0xa5 + n as u8; 70_000], at as u64).unwrap();
        drop(log);
        // Either the opening says it, or a read; what is answered must be what was written.
        let Ok(store) = SledStore::open(dir.path()) else { continue };
        let Ok(pairs) = store.scan(&Scan::prefix(b"key ")) else { continue };
        assert_eq!(pairs.len(), 400, "lost in silence, damaged at {at}");
        assert!(pairs.iter().all(|(_, value)| value.len() == 9000));
    }
}
