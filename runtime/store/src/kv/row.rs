//! Rows: (partition, table, key) -> what is kept of the row besides its history.

use serde::{Deserialize, Serialize};
use syncline_core::{RowKey, RowPk, RowState, TableName};

use super::codec::{self, decode};
use super::dto::{ChangeIdV1, ImageV1, Made, VectorV1};
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

/// Where a row's floor stands. Once all regions have all of a row, which is how most rows stay, it
/// stands where the row does.
#[derive(Serialize, Deserialize)]
struct RowV1<'a> {
    #[serde(borrow)]
    vv: VectorV1<'a>,
    heads: Vec<ChangeIdV1<'a>>,
    image: ImageV1<'a>,
    /// None: the floor is `vv`.
    floor: Option<VectorV1<'a>>,
    /// None: the floor's image is `image`.
    floor_image: Option<ImageV1<'a>>,
}

/// The key of a row.
pub fn key(partition: u32, row: &RowKey) -> Vec<u8> {
    Key::of(Family::Row).u32(partition).row(row).done()
}

/// What all keys of a table's rows begin with, in one partition; narrowed to the rows whose own key
/// begins with `pk_prefix`.
pub fn prefix(partition: u32, table: &TableName, pk_prefix: &str) -> Vec<u8> {
    let key = Key::of(Family::Row).u32(partition).text(table.as_str());
    key.fixed(pk_prefix.as_bytes()).done()
}

/// The row that a key is of.
pub fn row_of(key: &[u8]) -> Result<RowKey, StoreError> {
    let mut reader = KeyReader::new(key);
    reader.u32()?;
    let row = reader.row()?;
    reader.end()?;
    Ok(row)
}

/// Only the row's own key, of a key that is known to begin with (partition, table).
pub(crate) fn pk_of(key: &[u8]) -> Result<RowPk, StoreError> {
    row_of(key).map(|row| row.pk)
}

/// Writes a row's state.
pub fn put(batch: &mut Batch, partition: u32, row: &RowKey, state: &RowState) {
    let RowState { vv, heads, image, floor, floor_image } = state;
    let form = RowV1 {
        vv: VectorV1::of(vv),
        heads: heads.iter().map(ChangeIdV1::of).collect(),
        image: ImageV1::of(image.as_ref()),
        floor: (floor != vv).then(|| VectorV1::of(floor)),
        floor_image: (floor_image != image).then(|| ImageV1::of(floor_image.as_ref())),
    };
    codec::put(batch, &key(partition, row), VERSION, &form);
}

/// Forgets a row.
pub fn delete(batch: &mut Batch, partition: u32, row: &RowKey) {
    batch.delete(key(partition, row));
}

/// Reads a row's state.
pub fn get(
    store: &(impl Store + ?Sized),
    partition: u32,
    row: &RowKey,
) -> Result<Option<RowState>, StoreError> {
    let key = key(partition, row);
    store.get(&key)?.map(|value| decode_state(&key, &value)).transpose()
}

/// Up to `limit` rows of a table in one partition, deleted ones that are not forgotten included, in
/// the order of their keys, behind `after`.
pub fn page(
    store: &(impl Store + ?Sized),
    partition: u32,
    table: &TableName,
    after: Option<&RowPk>,
    limit: usize,
) -> Result<Vec<(RowPk, RowState)>, StoreError> {
    let mut scan = Scan::prefix(&prefix(partition, table, "")).limit(limit);
    if let Some(after) = after {
        scan = scan.after(&key(partition, &RowKey { table: table.clone(), pk: after.clone() }));
    }
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| Ok((pk_of(key)?, decode_state(key, value)?));
    store.scan(&scan)?.iter().map(read).collect()
}

pub(crate) fn decode_state(key: &[u8], value: &[u8]) -> Result<RowState, StoreError> {
    decode(key, VERSION, value, |form: RowV1<'_>| {
        let vv = form.vv.make()?;
        let image = form.image.make();
        Ok(RowState {
            heads: form.heads.into_iter().map(ChangeIdV1::make).collect::<Made<_>>()?,
            floor: form.floor.map_or_else(|| Ok(vv.clone()), VectorV1::make)?,
            floor_image: match form.floor_image {
                Some(other) => other.make(),
                None => image.clone(),
            },
            vv,
            image,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;
    use syncline_core::Image;

    proptest! {
        #[test]
        fn reads_back(row in arbitrary::row(), state in arbitrary::row_state()) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            put(&mut batch, 3, &row, &state);
            store.commit(batch).unwrap();
            prop_assert_eq!(get(&store, 3, &row).unwrap(), Some(state));
            prop_assert_eq!(get(&store, 2, &row).unwrap(), None);
            prop_assert_eq!(row_of(&key(3, &row)).unwrap(), row);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_state(b"k", &[&[VERSION], &value[..]].concat());
        }
    }

    #[test]
    fn an_image_that_is_the_floors_too_stands_once() {
        let mut state = golden::row_state();
        state.image = Some(Image::opaque(vec![b'x'; 5000]));
        state.floor_image = state.image.clone();
        let mut batch = Batch::new();
        put(&mut batch, 0, &golden::row("k"), &state);
        assert!((5000..5400).contains(&batch.bytes()), "{}", batch.bytes());
    }

    #[test]
    fn the_form_stays() {
        let mut settled = golden::row_state();
        settled.floor = settled.vv.clone();
        settled.floor_image = settled.image.clone();
        let mut batch = Batch::new();
        put(&mut batch, 5, &golden::row("c-17"), &golden::row_state());
        put(&mut batch, 5, &golden::row("c-18"), &settled);
        golden::check("row", &batch);
    }

    #[test]
    fn a_newer_form_is_not_taken_for_corrupt() {
        let error = decode_state(b"k", &[9, 1, 2]).unwrap_err();
        assert!(matches!(error, StoreError::NewerVersion { version: 9, .. }));
        assert!(matches!(decode_state(b"k", &[]), Err(StoreError::Corrupt { .. })));
        let mut batch = Batch::new();
        put(&mut batch, 0, &golden::row("k"), &golden::row_state());
        let value = batch.iter().next().unwrap().1.unwrap();
        assert!(decode_state(b"k", value).is_ok());
        let longer = decode_state(b"k", &[value, &[0]].concat());
        assert!(matches!(longer, Err(StoreError::Corrupt { .. })));
    }
}
