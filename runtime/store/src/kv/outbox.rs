//! The outbox: (partition, HLC) -> this region's record, as it is produced.
//!
//! What stands there is opaque here: the bus knows its form.

use syncline_core::Hlc;

use super::by_hlc;
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Store, StoreError};

/// The key of a record.
pub fn key(partition: u32, hlc: Hlc) -> Vec<u8> {
    prefix(partition).hlc(hlc).done()
}

/// Keeps a record.
pub fn put(batch: &mut Batch, partition: u32, hlc: Hlc, record: &[u8]) {
    by_hlc::put(batch, prefix(partition), hlc, record);
}

/// The records above `after`, up to and with `upto`, in order: at most `limit`, and about `bytes`,
/// but at least one if there is any.
pub fn page(
    store: &(impl Store + ?Sized),
    partition: u32,
    after: Hlc,
    upto: Hlc,
    limit: usize,
    bytes: usize,
) -> Result<Vec<(Hlc, Vec<u8>)>, StoreError> {
    by_hlc::page(store, prefix(partition), after, upto, limit, bytes)
}

/// The HLCs of all records of a partition, in order.
pub fn hlcs(store: &(impl Store + ?Sized), partition: u32) -> Result<Vec<Hlc>, StoreError> {
    by_hlc::hlcs(store, prefix(partition))
}

/// Drops the records that the store holds up to and with `upto`. One that the same batch adds stays
/// until the next time.
pub fn delete_upto(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    partition: u32,
    upto: Hlc,
) -> Result<(), StoreError> {
    by_hlc::delete_upto(batch, store, prefix(partition), upto)
}

/// The partition, the HLC and the record of a pair.
pub(crate) fn parse<'a>(key: &[u8], value: &'a [u8]) -> Result<(u32, Hlc, &'a [u8]), StoreError> {
    let mut reader = KeyReader::new(key);
    let (partition, hlc) = (reader.u32()?, reader.hlc()?);
    reader.end()?;
    Ok((partition, hlc, by_hlc::record_in(key, value)?))
}

fn prefix(partition: u32) -> Key {
    Key::of(Family::Outbox).u32(partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::golden;
    use crate::{MemoryStore, Scan};
    use proptest::prelude::*;

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    proptest! {
        #[test]
        fn reads_back(at in 1..=Hlc::MAX.bits(), record in prop::collection::vec(any::<u8>(), 0..99)) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            put(&mut batch, u32::MAX, hlc(at), &record);
            store.commit(batch).unwrap();
            let page = page(&store, u32::MAX, Hlc::ZERO, Hlc::MAX, 9, 9).unwrap();
            prop_assert_eq!(&page, &vec![(hlc(at), record)]);
            prop_assert_eq!(hlcs(&store, u32::MAX).unwrap(), vec![hlc(at)]);
            let (key, value) = &store.scan(&Scan::prefix(b"")).unwrap()[0];
            let parsed = parse(key, value).unwrap();
            prop_assert_eq!(parsed, (u32::MAX, hlc(at), &page[0].1[..]));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            behind in prop::collection::vec(any::<u8>(), 0..16),
            value in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let key = Key::of(Family::Outbox).fixed(&behind).done();
            let _ = parse(&key, &[&[1], &value[..]].concat());
            let _ = parse(&value, &value);
        }
    }

    #[test]
    fn pages_and_deletions_keep_to_their_bounds() {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        for n in 1..=9 {
            put(&mut batch, 1, hlc(n), &[n as u8; 10]);
            put(&mut batch, 2, hlc(n), &[0]);
        }
        store.commit(batch).unwrap();
        let of = |after, upto, limit, bytes| {
            let page = page(&store, 1, hlc(after), hlc(upto), limit, bytes).unwrap();
            page.iter().map(|(hlc, _)| hlc.bits()).collect::<Vec<_>>()
        };
        assert_eq!(of(3, 6, 99, 999), [4, 5, 6]);
        assert_eq!(of(3, 6, 2, 999), [4, 5]);
        assert_eq!(of(3, 6, 99, 1), [4]);
        assert!(of(6, 6, 99, 999).is_empty() && of(9, 3, 99, 999).is_empty());
        let mut batch = Batch::new();
        delete_upto(&mut batch, &store, 1, hlc(7)).unwrap();
        store.commit(batch).unwrap();
        assert_eq!(hlcs(&store, 1).unwrap(), [hlc(8), hlc(9)]);
        assert_eq!(hlcs(&store, 2).unwrap().len(), 9);
    }

    #[test]
    fn the_form_stays() {
        let mut batch = Batch::new();
        put(&mut batch, 5, golden::id(1_795_203_212_955 << 16, "a").hlc, b"record");
        golden::check("outbox", &batch);
    }
}
