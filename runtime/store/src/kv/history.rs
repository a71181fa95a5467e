//! History: (partition, table, key, region, HLC) -> a change above the row's floor.

use serde::{Deserialize, Serialize};
use syncline_core::{ChangeId, Held, RowKey, Stamp};

use super::codec::{self, decode};
use super::dto::{ImageV1, OperationV1, StampV1, VectorV1};
use super::key::{Family, Key, KeyReader};
use crate::store::prefix_end;
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;
/// So many keys are listed at a time.
const PAGE: usize = 512;

#[derive(Serialize, Deserialize)]
struct HeldV1<'a> {
    #[serde(borrow)]
    vv: VectorV1<'a>,
    operation: OperationV1,
    after: ImageV1<'a>,
    stamp: StampV1,
}

/// The key of a change.
pub fn key(partition: u32, row: &RowKey, id: &ChangeId) -> Vec<u8> {
    let key = Key::of(Family::History).u32(partition).row(row);
    key.text(id.region.as_str()).hlc(id.hlc).done()
}

/// Keeps a change.
pub fn put(batch: &mut Batch, partition: u32, row: &RowKey, held: &Held) {
    let form = HeldV1 {
        vv: VectorV1::of(&held.vv),
        operation: OperationV1::of(held.operation),
        after: ImageV1::of(held.after.as_ref()),
        stamp: StampV1::of(held.stamp),
    };
    codec::put(batch, &key(partition, row, &held.id), VERSION, &form);
}

/// Drops a change.
pub fn delete(batch: &mut Batch, partition: u32, row: &RowKey, id: &ChangeId) {
    batch.delete(key(partition, row, id));
}

/// What all keys of a partition begin with.
pub(crate) fn prefix(partition: u32) -> Vec<u8> {
    Key::of(Family::History).u32(partition).done()
}

/// What a change is of, which one it is, and its stamp.
pub(crate) fn stamp_of(key: &[u8], value: &[u8]) -> Result<(RowKey, ChangeId, Stamp), StoreError> {
    let (row, id, _) = parse(key)?;
    let stamp = decode(key, VERSION, value, |form: HeldV1<'_>| Ok(form.stamp.make()))?;
    Ok((row, id, stamp))
}

/// All that is kept of a row.
pub fn of_row(
    store: &(impl Store + ?Sized),
    partition: u32,
    row: &RowKey,
) -> Result<Vec<Held>, StoreError> {
    let prefix = Key::of(Family::History).u32(partition).row(row).done();
    let pairs = store.scan(&Scan::prefix(&prefix))?;
    pairs.iter().map(|(key, value)| decode_held(key, value)).collect()
}

/// For each row of a partition that has history, the first change of each region, in the order of
/// rows and regions. Reads keys alone, and skips most of a long history.
pub fn firsts(
    store: &(impl Store + ?Sized),
    partition: u32,
) -> Result<Vec<(RowKey, Vec<ChangeId>)>, StoreError> {
    let mut firsts: Vec<(RowKey, Vec<ChangeId>)> = Vec::new();
    let mut scan = Scan::prefix(&prefix(partition)).limit(PAGE);
    loop {
        let keys = store.keys(&scan)?;
        for key in &keys {
            let (row, id, _) = parse(key)?;
            match firsts.last_mut() {
                Some((last, ids)) if *last == row => {
                    if ids.last().is_none_or(|last| last.region != id.region) {
                        ids.push(id);
                    }
                }
                _ => firsts.push((row, vec![id])),
            }
        }
        let Some(last) = keys.last().filter(|_| keys.len() == PAGE) else { return Ok(firsts) };
        // The first change of this row and region is known: on behind all of them.
        let (_, _, region_end) = parse(last)?;
        scan.from = prefix_end(&last[..region_end]);
    }
}

/// The row, the change, and where in the key its region ends.
fn parse(key: &[u8]) -> Result<(RowKey, ChangeId, usize), StoreError> {
    let mut reader = KeyReader::new(key);
    reader.u32()?;
    let (row, region) = (reader.row()?, reader.region()?);
    let region_end = reader.position();
    let hlc = reader.hlc()?;
    reader.end()?;
    Ok((row, ChangeId { hlc, region }, region_end))
}

fn decode_held(key: &[u8], value: &[u8]) -> Result<Held, StoreError> {
    let (_, id, _) = parse(key)?;
    decode(key, VERSION, value, |form: HeldV1<'_>| {
        Ok(Held {
            id,
            vv: form.vv.make()?,
            operation: form.operation.make()?,
            after: form.after.make(),
            stamp: form.stamp.make(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn reads_back(row in arbitrary::row(), held in arbitrary::held()) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            put(&mut batch, 1, &row, &held);
            store.commit(batch).unwrap();
            prop_assert_eq!(of_row(&store, 1, &row).unwrap(), vec![held.clone()]);
            prop_assert!(of_row(&store, 0, &row).unwrap().is_empty());
            let mut batch = Batch::new();
            delete(&mut batch, 1, &row, &held.id);
            store.commit(batch).unwrap();
            prop_assert!(store.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let key = key(0, &golden::row("k"), &golden::id(1, "a"));
            let _ = decode_held(&key, &[&[VERSION], &value[..]].concat());
            let _ = parse(&value);
        }
    }

    #[test]
    fn the_first_of_each_region_are_found_from_keys() {
        let store = MemoryStore::new();
        let mut expected: BTreeMap<RowKey, Vec<ChangeId>> = BTreeMap::new();
        for (pk, changes) in [("k", 3), ("k2", 2000), ("k ", 1), ("l", 600)] {
            let row = golden::row(pk);
            for region in ["a", "a-b", "b#2"] {
                let mut batch = Batch::new();
                for hlc in 1..=changes {
                    let id = golden::id(hlc * 7, region);
                    put(&mut batch, 1, &row, &Held { id, ..golden::held() });
                }
                store.commit(batch).unwrap();
                expected.entry(row.clone()).or_default().push(golden::id(7, region));
            }
        }
        let mut batch = Batch::new();
        put(&mut batch, 2, &golden::row("elsewhere"), &golden::held());
        store.commit(batch).unwrap();
        assert_eq!(firsts(&store, 1).unwrap(), expected.into_iter().collect::<Vec<_>>());
        assert!(firsts(&store, 0).unwrap().is_empty());
    }

    #[test]
    fn the_form_stays() {
        let mut batch = Batch::new();
        put(&mut batch, 5, &golden::row("c-17"), &golden::held());
        golden::check("history", &batch);
    }
}
