//! Received records: (partition, region, HLC) -> a record of another region, as it was received.
//!
//! They are kept until every region has taken them: what only some regions have received of a
//! region that is lost can then be passed on to the others. What stands there is opaque here: the
//! bus knows its form.

use syncline_core::{Hlc, RegionId};

use super::by_hlc;
use super::key::{Family, Key};
use crate::{Batch, Store, StoreError};

/// The key of a record.
pub fn key(partition: u32, region: &RegionId, hlc: Hlc) -> Vec<u8> {
    prefix(partition, region).hlc(hlc).done()
}

/// Keeps a record. One that is there already is replaced.
pub fn put(batch: &mut Batch, partition: u32, region: &RegionId, hlc: Hlc, record: &[u8]) {
    by_hlc::put(batch, prefix(partition, region), hlc, record);
}

/// The records of a region above `after`, up to and with `upto`, in order: at most `limit`, and
/// about `bytes`, but at least one if there is any.
pub fn page(
    store: &(impl Store + ?Sized),
    partition: u32,
    region: &RegionId,
    after: Hlc,
    upto: Hlc,
    limit: usize,
    bytes: usize,
) -> Result<Vec<(Hlc, Vec<u8>)>, StoreError> {
    by_hlc::page(store, prefix(partition, region), after, upto, limit, bytes)
}

/// How many records of a region are kept. Reads all their keys.
pub fn count(
    store: &(impl Store + ?Sized),
    partition: u32,
    region: &RegionId,
) -> Result<usize, StoreError> {
    Ok(by_hlc::hlcs(store, prefix(partition, region))?.len())
}

/// Drops the records of a region that the store holds up to and with `upto`. One that the same
/// batch adds stays until the next time.
pub fn delete_upto(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    partition: u32,
    region: &RegionId,
    upto: Hlc,
) -> Result<(), StoreError> {
    by_hlc::delete_upto(batch, store, prefix(partition, region), upto)
}

fn prefix(partition: u32, region: &RegionId) -> Key {
    Key::of(Family::Received).u32(partition).text(region.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    proptest! {
        #[test]
        fn reads_back(
            partition: u32,
            region in arbitrary::region(),
            at in 1..=Hlc::MAX.bits(),
            record in prop::collection::vec(any::<u8>(), 0..99),
        ) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            put(&mut batch, partition, &region, hlc(at), &record);
            store.commit(batch).unwrap();
            prop_assert_eq!(store.len(), 1);
            prop_assert!(store.get(&key(partition, &region, hlc(at))).unwrap().is_some());
            let page = page(&store, partition, &region, Hlc::ZERO, Hlc::MAX, 9, 9).unwrap();
            prop_assert_eq!(page, vec![(hlc(at), record)]);
            prop_assert_eq!(count(&store, partition, &region).unwrap(), 1);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            behind in prop::collection::vec(any::<u8>(), 0..12),
            value in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            batch.put([prefix(1, &region("a")).done(), behind].concat(), &value);
            batch.put(key(1, &region("a"), hlc(5)), value);
            store.commit(batch).unwrap();
            let _ = page(&store, 1, &region("a"), Hlc::ZERO, Hlc::MAX, 9, 999);
            let _ = count(&store, 1, &region("a"));
            let mut batch = Batch::new();
            delete_upto(&mut batch, &store, 1, &region("a"), Hlc::MAX).unwrap();
        }
    }

    #[test]
    fn pages_and_deletions_keep_to_their_bounds() {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        let others = [(1, "a"), (1, "a-b"), (1, "a#2"), (2, "b"), (1, "c")];
        for n in 1..=9 {
            put(&mut batch, 1, &region("b"), hlc(n), &[n as u8; 10]);
            others.iter().for_each(|(p, r)| put(&mut batch, *p, &region(r), hlc(n), &[0]));
        }
        store.commit(batch).unwrap();
        let of = |after, upto, limit, bytes| {
            let page = page(&store, 1, &region("b"), hlc(after), hlc(upto), limit, bytes).unwrap();
            page.iter().map(|(hlc, _)| hlc.bits()).collect::<Vec<_>>()
        };
        assert_eq!(of(3, 6, 99, 999), [4, 5, 6]);
        assert_eq!(of(3, 6, 2, 999), [4, 5]);
        assert_eq!(of(3, 6, 99, 1), [4]);
        assert!(of(6, 6, 99, 999).is_empty() && of(9, 3, 99, 999).is_empty());
        let mut batch = Batch::new();
        delete_upto(&mut batch, &store, 1, &region("b"), hlc(7)).unwrap();
        store.commit(batch).unwrap();
        assert_eq!(of(0, 99, 99, 999), [8, 9]);
        for (partition, name) in others {
            assert_eq!(count(&store, partition, &region(name)).unwrap(), 9, "{partition} {name}");
        }
    }

    #[test]
    fn the_form_stays() {
        let mut batch = Batch::new();
        let id = golden::id(1_795_203_212_955 << 16, "us-east-1#2");
        put(&mut batch, 5, &id.region, id.hlc, b"record");
        golden::check("received", &batch);
    }
}
