use super::*;
use crate::conformance;
use std::cell::RefCell;
use tempfile::TempDir;

#[test]
fn conforms() {
    let folders = RefCell::new(Vec::new());
    conformance::check(|| {
        let dir = TempDir::new().unwrap();
        let store = FjallStore::open(dir.path()).unwrap();
        folders.borrow_mut().push(dir);
        store
    });
}

fn put(store: &FjallStore, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    batch.put(key, value);
    store.commit(batch)
}

fn opened(path: &Path) -> Result<(), StoreError> {
    FjallStore::open(path).map(|_| ())
}

#[test]
fn keeps_what_was_synced_over_a_restart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a/b/store");
    let big: Vec<u8> = (0..3 << 20).map(|i| (i % 253) as u8).collect();
    {
        let store = FjallStore::open(&path).unwrap();
        put(&store, "small", b"1".to_vec()).unwrap();
        put(&store, "big", big.clone()).unwrap();
        store.sync().unwrap();
        put(&store, "after", b"2".to_vec()).unwrap();
    }
    let store = FjallStore::open(&path).unwrap();
    assert_eq!(store.get(b"small").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.get(b"big").unwrap(), Some(big));
    assert_eq!(store.get(b"after").unwrap(), Some(b"2".to_vec()));
    assert_eq!(*store.commits.lock().unwrap(), 3);
}

#[test]
fn a_key_that_is_written_twice_in_a_batch_keeps_the_later() {
    let dir = TempDir::new().unwrap();
    for round in 0..2 {
        let store = FjallStore::open(dir.path()).unwrap();
        if round == 0 {
            let mut batch = Batch::new();
            (0..9u8).for_each(|n| batch.put("put", [n]));
            batch.put("deleted", [1]);
            batch.delete("deleted");
            batch.delete("made");
            batch.put("made", [7]);
            store.commit(batch).unwrap();
        } else {
            // From the journal the same comes out, and from a table too.
            store.keys.rotate_memtable_and_wait().unwrap();
        }
        assert_eq!(store.get(b"put").unwrap(), Some(vec![8]));
        assert_eq!(store.get(b"deleted").unwrap(), None);
        assert_eq!(store.get(b"made").unwrap(), Some(vec![7]));
        assert_eq!(store.scan(&Scan::prefix(b"")).unwrap().len(), 2);
    }
}

#[test]
fn a_second_opening_is_refused() {
    let dir = TempDir::new().unwrap();
    let store = FjallStore::open(dir.path()).unwrap();
    assert_eq!(opened(dir.path()), Err(StoreError::Locked { path: dir.path().to_path_buf() }));
    drop(store);
    opened(dir.path()).unwrap();
}

#[test]
fn a_database_that_was_not_made_to_its_end_is_made_again() {
    let dir = TempDir::new().unwrap();
    let unfinished = dir.path().join(UNFINISHED);
    fs::create_dir_all(unfinished.join("keyspaces/0")).unwrap();
    fs::write(unfinished.join("0.jnl"), b"").unwrap();
    opened(dir.path()).unwrap();
    assert!(!unfinished.exists());
    opened(dir.path()).unwrap();
}

#[test]
fn long_keys_are_refused() {
    let dir = TempDir::new().unwrap();
    let store = FjallStore::open(dir.path()).unwrap();
    put(&store, &"k".repeat(KEY_BYTES_MAX), vec![1]).unwrap();
    let refused = put(&store, &"k".repeat(KEY_BYTES_MAX + 1), vec![1]);
    assert_eq!(refused, Err(StoreError::ReservedKey));
}

#[test]
fn no_space_is_recoverable() {
    let dir = TempDir::new().unwrap();
    let full = FjallOptions { free_bytes_min: u64::MAX, ..FjallOptions::default() };
    let store = FjallStore::open_with(dir.path(), full).unwrap();
    assert_eq!(put(&store, "a", b"1".to_vec()), Err(StoreError::NoSpace { bytes: 3 }));
    assert_eq!(store.get(b"a").unwrap(), None);
    store.sync().unwrap();
}

#[test]
fn after_a_failed_sync_nothing_is_taken() {
    let dir = TempDir::new().unwrap();
    let store = FjallStore::open(dir.path()).unwrap();
    put(&store, "a", b"1".to_vec()).unwrap();
    store.synced().journal.lose_disk();
    assert!(matches!(store.sync(), Err(StoreError::Sync { .. })));
    assert!(matches!(put(&store, "b", b"1".to_vec()), Err(StoreError::Sync { .. })));
    assert!(matches!(store.sync(), Err(StoreError::Sync { .. })));
    assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
}

const SYNCED: u64 = 12;
const COMMITS: u64 = 20;

/// A closed store of some commits, of which the first are synced; its journal, and where in it what
/// is synced ends.
fn closed_store() -> (TempDir, PathBuf, Vec<u8>, usize) {
    let dir = TempDir::new().unwrap();
    let journal = dir.path().join("fjall/0.jnl");
    let store = FjallStore::open(dir.path()).unwrap();
    let used = || {
        let bytes = fs::read(&journal).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    };
    let mut synced = 0;
    for n in 1..=COMMITS {
        let mut batch = Batch::new();
        batch.put("last", n.to_be_bytes());
        batch.put(format!("key {n:02}"), vec![n as u8; 50 * (n as usize % 4)]);
        store.commit(batch).unwrap();
        if n == SYNCED {
            store.sync().unwrap();
            synced = used();
        }
    }
    let end = used();
    drop(store);
    let mut bytes = fs::read(&journal).unwrap();
    bytes.truncate(end);
    (dir, journal, bytes, synced)
}

/// How many commits a store has; it must have all of each.
fn commits_of(path: &Path) -> Result<u64, StoreError> {
    let store = FjallStore::open(path)?;
    let last = store.get(b"last")?.unwrap_or_default();
    let last = last.try_into().map_or(0, u64::from_be_bytes);
    assert_eq!(*store.commits.lock().unwrap(), last);
    let pairs = store.scan(&Scan::prefix(b"key "))?;
    assert_eq!(pairs.len() as u64, last);
    for (n, (_, value)) in (1u8..).zip(pairs) {
        assert_eq!(value, vec![n; 50 * (usize::from(n) % 4)]);
    }
    Ok(last)
}

/// A journal with zeros from somewhere to somewhere: what the disk has not got yet.
fn with_hole(bytes: &[u8], from: usize, to: usize) -> Vec<u8> {
    let mut holed = bytes.to_vec();
    holed[from..to].fill(0);
    holed
}

#[test]
fn a_torn_end_is_cut_back_to_a_prefix_of_commits() {
    let (dir, journal, bytes, synced) = closed_store();
    let mut seen = std::collections::BTreeSet::new();
    for from in (synced..bytes.len()).step_by(31) {
        let cut_short = bytes[..from].to_vec();
        let hole = with_hole(&bytes, from, (from + 60).min(bytes.len()));
        let garbage = [&bytes[..from], &[0xff; 90]].concat();
        for torn in [cut_short, hole, garbage] {
            fs::write(&journal, &torn).unwrap();
            let commits = commits_of(dir.path()).unwrap();
            assert!((SYNCED..COMMITS).contains(&commits), "{commits}, torn at {from}");
            seen.insert(commits);
            // What is written after the cut is found again.
            let store = FjallStore::open(dir.path()).unwrap();
            put(&store, "after", b"1".to_vec()).unwrap();
            drop(store);
            let store = FjallStore::open(dir.path()).unwrap();
            assert_eq!(store.get(b"after").unwrap(), Some(b"1".to_vec()));
            assert_eq!(*store.commits.lock().unwrap(), commits + 1);
        }
    }
    assert_eq!(seen.len() as u64, COMMITS - SYNCED);
    fs::write(&journal, &bytes).unwrap();
    assert_eq!(commits_of(dir.path()), Ok(COMMITS));
}

#[test]
fn a_journal_that_lost_what_was_synced_is_corrupt_and_left_as_it_is() {
    let (dir, journal, bytes, synced) = closed_store();
    for from in (0..synced).step_by(61) {
        let cut_short = bytes[..from].to_vec();
        let hole = with_hole(&bytes, from, synced);
        let garbage = [&bytes[..from], &[0xff; 90], &bytes[from + 1..]].concat();
        for (n, damaged) in [cut_short, hole, garbage].into_iter().enumerate() {
            fs::write(&journal, &damaged).unwrap();
            let opened = opened(dir.path());
            assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{n} at {from}: {opened:?}");
            assert_eq!(fs::read(&journal).unwrap(), damaged);
        }
    }
}

#[test]
fn a_store_without_its_database_is_corrupt() {
    let (dir, journal, ..) = closed_store();
    fs::remove_file(&journal).unwrap();
    fs::remove_file(dir.path().join("synced")).unwrap();
    assert!(matches!(opened(dir.path()), Err(StoreError::Corrupt { .. })));
    let (dir, ..) = closed_store();
    fs::remove_dir_all(dir.path().join("fjall")).unwrap();
    assert!(matches!(opened(dir.path()), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_database_with_other_folders_than_its_own_is_corrupt() {
    for gone in MARKERS {
        let (dir, ..) = closed_store();
        fs::remove_file(dir.path().join("fjall").join(gone)).unwrap();
        assert!(matches!(opened(dir.path()), Err(StoreError::Corrupt { .. })), "{gone}");
        assert!(dir.path().join("fjall/keyspaces/1").is_dir());
    }
    let (dir, ..) = closed_store();
    fs::create_dir(dir.path().join("fjall/keyspaces/lost+found")).unwrap();
    assert!(matches!(opened(dir.path()), Err(StoreError::Corrupt { .. })));
}

fn tables(path: &Path) -> Vec<PathBuf> {
    let folder = path.join("fjall/keyspaces/1/tables");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_got_into_tables_is_found_again_or_missed_aloud() {
    const VALUE: usize = 64 << 10;
    // More than a journal holds, so that there is a second one.
    const VALUES: usize = 1600;
    let dir = TempDir::new().unwrap();
    let store = FjallStore::open(dir.path()).unwrap();
    for n in 0..VALUES {
        put(&store, &format!("key {n:04}"), vec![n as u8; VALUE]).unwrap();
    }
    store.sync().unwrap();
    store.keys.rotate_memtable_and_wait().unwrap();
    put(&store, "key", b"1".to_vec()).unwrap();
    drop(store);
    assert!(!tables(dir.path()).is_empty() && !dir.path().join("fjall/0.jnl").exists());
    {
        let store = FjallStore::open(dir.path()).unwrap();
        assert_eq!(store.keys(&Scan::prefix(b"key")).unwrap().len(), VALUES + 1);
        let last = store.get(format!("key {:04}", VALUES - 1).as_bytes()).unwrap();
        assert_eq!(last, Some(vec![(VALUES - 1) as u8; VALUE]));
    }
    let table = tables(dir.path()).remove(0);
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 9000].fill(0x5a);
    fs::write(&table, &bytes).unwrap();
    // Either the opening says it, or a read; what is answered must be what was written.
    if let Ok(store) = FjallStore::open(dir.path()) {
        let scanned = store.scan(&Scan::prefix(b"key "));
        assert!(matches!(scanned, Err(StoreError::Corrupt { .. })), "{:?}", scanned.map(|_| ()));
    }
    fs::remove_file(&table).unwrap();
    assert!(matches!(opened(dir.path()), Err(StoreError::Corrupt { .. })));
}

fn copy_within(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_within(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// A closed store with all that it holds, some of it in two tables, and all of it synced.
fn store_with_tables() -> (TempDir, Vec<Pair>) {
    let dir = TempDir::new().unwrap();
    let store = FjallStore::open(dir.path()).unwrap();
    for round in 0..3u8 {
        for n in 0..40u8 {
            let mut batch = Batch::new();
            batch.put([b'k', n % 30, round % 2], vec![n ^ round; 30 * usize::from(n % 7)]);
            batch.delete([b'k', n / 2, round % 2]);
            store.commit(batch).unwrap();
        }
        if round < 2 {
            store.keys.rotate_memtable_and_wait().unwrap();
        }
    }
    store.sync().unwrap();
    let pairs = store.scan(&Scan::prefix(b"")).unwrap();
    drop(store);
    let journal = dir.path().join("fjall/0.jnl");
    let bytes = fs::read(&journal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    File::options().write(true).open(&journal).unwrap().set_len(used as u64).unwrap();
    (dir, pairs)
}

/// The number of a key space's newest list of tables: how far fjall's threads have come by the end.
fn newest_list(keyspace: &Path) -> u64 {
    let current = fs::read(keyspace.join("current")).unwrap();
    u64::from_le_bytes(current[..8].try_into().unwrap())
}

/// Damages one file of a store at so many places, in three ways each. `newest` stands for the
/// newest list of tables.
fn check_damaged(name: &str, places: usize) {
    let (dir, pairs) = store_with_tables();
    let name = match name.strip_suffix("/newest") {
        Some(keyspace) => format!("{keyspace}/v{}", newest_list(&dir.path().join(keyspace))),
        None => name.to_owned(),
    };
    let name = name.as_str();
    let whole = fs::read(dir.path().join(name)).unwrap();
    for place in 0..places {
        let at = (whole.len() - 1) * place / (places - 1);
        let mut flipped = whole.clone();
        flipped[at] ^= 0x41;
        let mut filled = whole.clone();
        filled[at..].iter_mut().take(40).for_each(|byte| *byte = 0xff);
        for damaged in [flipped, filled, whole[..at].to_vec()] {
            let copy = TempDir::new().unwrap();
            copy_within(dir.path(), copy.path());
            fs::write(copy.path().join(name), &damaged).unwrap();
            let opened = FjallStore::open(copy.path());
            match opened.and_then(|store| store.scan(&Scan::prefix(b""))) {
                Err(StoreError::Corrupt { .. }) => {}
                // What lies there is not needed any more.
                Ok(found) => assert_eq!(found, pairs, "{name} at {at}"),
                Err(error) => panic!("{name} at {at}: {error}"),
            }
        }
    }
}

#[test]
fn whatever_is_damaged_all_that_was_written_is_answered_or_the_damage_is_told() {
    check_damaged("fjall/version", 4);
    check_damaged("fjall/0.jnl", 60);
    for keyspace in ["fjall/keyspaces/0", "fjall/keyspaces/1"] {
        check_damaged(&format!("{keyspace}/current"), 9);
    }
    check_damaged("fjall/keyspaces/0/newest", 40);
    check_damaged("fjall/keyspaces/1/newest", 40);
    check_damaged("fjall/keyspaces/1/tables/1", 60);
}

/// As `check_damaged`, but what describes the list of tables is made to agree with it.
#[test]
fn a_list_of_tables_that_is_none_is_told() {
    let (dir, _) = store_with_tables();
    let keyspace = dir.path().join("fjall/keyspaces/1");
    let number = newest_list(&keyspace);
    let list = keyspace.join(format!("v{number}"));
    let whole = fs::read(&list).unwrap();
    tables::check(&keyspace).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let checksum = xxhash_rust::xxh3::xxh3_128(&bytes);
        fs::write(&list, &bytes).unwrap();
        let current = [&number.to_le_bytes()[..], &checksum.to_le_bytes(), &[0]].concat();
        fs::write(keyspace.join("current"), current).unwrap();
        // Without a panic, and without asking for memory that is not there.
        let checked = tables::check(&keyspace);
        assert!(matches!(checked, Ok(()) | Err(StoreError::Corrupt { .. })), "{at}: {checked:?}");
    }
}
