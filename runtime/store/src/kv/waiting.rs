//! Waiting changes: (partition, table, key, HLC, region) -> a change that is taken but not applied.

use serde::{Deserialize, Serialize};
use syncline_core::{Change, ChangeId, ChangeRecord, RowKey, Stamp};

use super::codec::{self, decode};
use super::dto::{ImageV1, OperationV1, StampV1, VectorV1, hlc_of};
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct WaitingV1<'a> {
    prev: u64,
    #[serde(borrow)]
    context: VectorV1<'a>,
    operation: OperationV1,
    before: ImageV1<'a>,
    after: ImageV1<'a>,
    stamp: StampV1,
}

/// The key of a change.
pub fn key(partition: u32, row: &RowKey, id: &ChangeId) -> Vec<u8> {
    let key = Key::of(Family::Waiting).u32(partition).row(row);
    key.hlc(id.hlc).text(id.region.as_str()).done()
}

/// Keeps a change.
pub fn put(batch: &mut Batch, partition: u32, record: &ChangeRecord) {
    let Change { id, context, operation, before, after, stamp } = &record.change;
    let form = WaitingV1 {
        prev: record.prev.bits(),
        context: VectorV1::of(context),
        operation: OperationV1::of(*operation),
        before: ImageV1::of(before.as_ref()),
        after: ImageV1::of(after.as_ref()),
        stamp: StampV1::of(*stamp),
    };
    codec::put(batch, &key(partition, &record.row, id), VERSION, &form);
}

/// Drops a change.
pub fn delete(batch: &mut Batch, partition: u32, row: &RowKey, id: &ChangeId) {
    batch.delete(key(partition, row, id));
}

/// What all keys of a partition begin with.
pub(crate) fn prefix(partition: u32) -> Vec<u8> {
    Key::of(Family::Waiting).u32(partition).done()
}

/// What a change is of, which one it is, and its stamp.
pub(crate) fn stamp_of(key: &[u8], value: &[u8]) -> Result<(RowKey, ChangeId, Stamp), StoreError> {
    let ChangeRecord { row, change, .. } = decode_record(key, value)?;
    Ok((row, change.id, change.stamp))
}

/// All that wait in a partition.
pub fn of_partition(
    store: &(impl Store + ?Sized),
    partition: u32,
) -> Result<Vec<ChangeRecord>, StoreError> {
    let pairs = store.scan(&Scan::prefix(&prefix(partition)))?;
    pairs.iter().map(|(key, value)| decode_record(key, value)).collect()
}

/// All that wait of a row, oldest first.
pub fn of_row(
    store: &(impl Store + ?Sized),
    partition: u32,
    row: &RowKey,
) -> Result<Vec<ChangeRecord>, StoreError> {
    let prefix = Key::of(Family::Waiting).u32(partition).row(row).done();
    let pairs = store.scan(&Scan::prefix(&prefix))?;
    pairs.iter().map(|(key, value)| decode_record(key, value)).collect()
}

fn decode_record(key: &[u8], value: &[u8]) -> Result<ChangeRecord, StoreError> {
    let mut reader = KeyReader::new(key);
    reader.u32()?;
    let (row, id) = (reader.row()?, reader.change()?);
    reader.end()?;
    decode(key, VERSION, value, |form: WaitingV1<'_>| {
        let change = Change {
            id,
            context: form.context.make()?,
            operation: form.operation.make()?,
            before: form.before.make(),
            after: form.after.make(),
            stamp: form.stamp.make(),
        };
        Ok(ChangeRecord { row, change, prev: hlc_of(form.prev)? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back(record in arbitrary::record()) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            put(&mut batch, 1, &record);
            store.commit(batch).unwrap();
            prop_assert_eq!(of_partition(&store, 1).unwrap(), vec![record.clone()]);
            prop_assert_eq!(of_row(&store, 1, &record.row).unwrap(), vec![record.clone()]);
            let mut batch = Batch::new();
            delete(&mut batch, 1, &record.row, &record.change.id);
            store.commit(batch).unwrap();
            prop_assert!(store.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let key = key(0, &golden::row("k"), &golden::id(1, "a"));
            let _ = decode_record(&key, &[&[VERSION], &value[..]].concat());
            let _ = decode_record(&value, &value);
        }
    }

    #[test]
    fn the_form_stays() {
        let mut batch = Batch::new();
        put(&mut batch, 5, &golden::record());
        golden::check("waiting", &batch);
    }
}
