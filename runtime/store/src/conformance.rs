//! What every store must do, to be run over each implementation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Batch, Pair, Scan, Store, StoreError};

/// Checks a kind of store; `make` gives an empty one.
///
/// # Panics
///
/// If the store does not do what [`Store`] says.
pub fn check<S: Store>(make: impl Fn() -> S) {
    reads_what_was_written(&make());
    scans_in_order(&make());
    scans_within_limits(&make());
    keeps_values_of_any_size(&make());
    refuses_reserved_keys(&make());
    agrees_with_a_map(&make());
    shows_whole_commits(&make());
}

fn put(store: &impl Store, pairs: &[(&str, &str)]) {
    let mut batch = Batch::new();
    for (key, value) in pairs {
        batch.put(key.as_bytes(), value.as_bytes());
    }
    assert_eq!(store.commit(batch), Ok(()));
}

fn keys(pairs: &[Pair]) -> Vec<&str> {
    pairs.iter().map(|(key, _)| std::str::from_utf8(key).unwrap_or("?")).collect()
}

fn reads_what_was_written(store: &impl Store) {
    assert_eq!(store.get(b"a"), Ok(None));
    put(store, &[("a", "1"), ("b", "")]);
    let mut batch = Batch::new();
    batch.put(b"a", b"2");
    batch.delete(b"b");
    batch.delete(b"never there");
    batch.put(b"c", b"x");
    batch.delete(b"c");
    assert_eq!(store.commit(batch), Ok(()));
    assert_eq!(store.get(b"a"), Ok(Some(b"2".to_vec())));
    assert_eq!((store.get(b"b"), store.get(b"c")), (Ok(None), Ok(None)));
    put(store, &[("b", "")]);
    assert_eq!(store.get(b"b"), Ok(Some(Vec::new())));
    assert_eq!(store.commit(Batch::new()), Ok(()));
    assert_eq!((store.sync(), store.sync()), (Ok(()), Ok(())));
}

fn scans_in_order(store: &impl Store) {
    put(store, &[("b", "2"), ("a", "1"), ("ba", "3"), ("c", "5"), ("b\u{7f}", "4")]);
    let all = store.scan(&Scan::prefix(b"")).unwrap_or_default();
    assert_eq!(keys(&all), ["a", "b", "ba", "b\u{7f}", "c"]);
    assert_eq!(all[2].1, b"3");
    let of = |scan: Scan| store.scan(&scan).unwrap_or_default();
    assert_eq!(keys(&of(Scan::prefix(b"b"))), ["b", "ba", "b\u{7f}"]);
    assert_eq!(keys(&of(Scan::prefix(b"b").after(b"b"))), ["ba", "b\u{7f}"]);
    assert_eq!(keys(&of(Scan::prefix(b"b").after(b"a"))), ["b", "ba", "b\u{7f}"]);
    assert_eq!(keys(&of(Scan::range(b"b".to_vec(), b"c".to_vec()))), ["b", "ba", "b\u{7f}"]);
    assert_eq!(keys(&of(Scan::range(b"c".to_vec(), Vec::new()))), ["c"]);
    assert!(of(Scan::range(b"c".to_vec(), b"b".to_vec())).is_empty());
    assert_eq!(keys(&of(Scan::prefix(b"b").reverse())), ["b\u{7f}", "ba", "b"]);
    assert_eq!(keys(&of(Scan::prefix(b"").reverse().limit(1))), ["c"]);
    let only = store.keys(&Scan::prefix(b"b").limit(2));
    assert_eq!(only, Ok(vec![b"b".to_vec(), b"ba".to_vec()]));
}

fn scans_within_limits(store: &impl Store) {
    put(store, &[("a", "12345"), ("b", "12345"), ("c", "12345")]);
    let of = |scan: Scan| store.scan(&scan).unwrap_or_default().len();
    assert_eq!((of(Scan::prefix(b"").limit(2)), of(Scan::prefix(b"").limit(0))), (2, 0));
    // At least one, and no further one once the bytes are reached.
    assert_eq!(of(Scan::prefix(b"").bytes(1)), 1);
    assert_eq!((of(Scan::prefix(b"").bytes(5)), of(Scan::prefix(b"").bytes(6))), (1, 2));
}

fn keeps_values_of_any_size(store: &impl Store) {
    for len in [0, 1, 4095, 4096, 8191, 8192, 8193, 16_384, 65_536, (2 << 20) + 3, 100, 9000] {
        let value: Vec<u8> = (0..len).map(|i: usize| (i % 251) as u8).collect();
        let mut batch = Batch::new();
        batch.put(b"value", value.clone());
        batch.put(b"value beside", value.clone());
        assert_eq!(store.commit(batch), Ok(()));
        assert_eq!(store.get(b"value"), Ok(Some(value.clone())), "{len} bytes");
        let pairs = store.scan(&Scan::prefix(b"v")).unwrap_or_default();
        assert_eq!(pairs.len(), 2);
        assert!(pairs.iter().all(|(_, kept)| *kept == value), "{len} bytes");
    }
    let long_key = vec![b'k'; 1500];
    let mut batch = Batch::new();
    batch.put(long_key.clone(), vec![1; 10]);
    batch.delete(b"value");
    assert_eq!(store.commit(batch), Ok(()));
    assert_eq!(store.get(&long_key), Ok(Some(vec![1; 10])));
    assert_eq!(store.keys(&Scan::prefix(b"")).map(|keys| keys.len()), Ok(2));
}

fn refuses_reserved_keys(store: &impl Store) {
    for key in [vec![], vec![0xf0], vec![0xff, 1]] {
        let mut batch = Batch::new();
        batch.put(b"beside", b"1");
        batch.put(key, b"1");
        assert_eq!(store.commit(batch), Err(StoreError::ReservedKey));
    }
    assert_eq!(store.get(b"beside"), Ok(None));
}

/// Plays the same random commits on the store and on a map.
fn agrees_with_a_map(store: &impl Store) {
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut draw = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..200 {
        let mut batch = Batch::new();
        for _ in 0..draw(8) {
            let key = format!("{:03}", draw(120)).into_bytes();
            if draw(4) == 0 {
                model.remove(&key);
                batch.delete(key);
            } else {
                let len = if draw(9) == 0 { draw(40_000) } else { draw(300) };
                let value = vec![draw(256) as u8; len as usize];
                model.insert(key.clone(), value.clone());
                batch.put(key, value);
            }
        }
        assert_eq!(store.commit(batch), Ok(()));
        let (from, to) = (format!("{:03}", draw(120)), format!("{:03}", draw(120)));
        let range = Scan::range(from.clone().into_bytes(), to.clone().into_bytes());
        let kept = store.scan(&range);
        let mut expected: Vec<Pair> = Vec::new();
        if from < to {
            let within = model.range(from.into_bytes()..to.into_bytes());
            expected.extend(within.map(|(key, value)| (key.clone(), value.clone())));
        }
        assert_eq!(kept.as_ref(), Ok(&expected));
        expected.reverse();
        assert_eq!(store.scan(&range.reverse()), Ok(expected));
    }
    assert_eq!(store.scan(&Scan::prefix(b"")), Ok(model.into_iter().collect()));
}

/// A reader beside a writer never sees a part of a commit.
fn shows_whole_commits(store: &impl Store) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..300u32 {
                let mut batch = Batch::new();
                for key in 0..20u8 {
                    // One value is large, so that a store that cuts values is caught too.
                    let times = if key == 3 { 9000 } else { 1 };
                    batch.put(vec![b'k', key], n.to_be_bytes().repeat(times));
                }
                assert_eq!(store.commit(batch), Ok(()));
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            let pairs = store.scan(&Scan::prefix(b"k")).unwrap_or_default();
            assert!(pairs.is_empty() || pairs.len() == 20);
            let mut words = pairs.iter().flat_map(|(_, value)| value.as_chunks::<4>().0);
            if let Some(first) = words.next() {
                assert!(words.all(|word| word == first), "a part of a commit was seen");
            }
        }
    });
}
