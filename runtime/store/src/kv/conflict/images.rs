//! The images in the conflict log, within a budget by table.
//!
//! (partition, table, when, id) -> how many bytes a note has whose images are kept, and (partition,
//! table) -> how many they all have, and of how many notes the images had to go. What goes are the
//! images of the table's oldest notes; that there was a conflict, between which changes, and how it
//! ended stays.

use serde::{Deserialize, Serialize};
use syncline_core::{ConflictId, ConflictRecord, TableName};

use super::log::{Ahead, LOOKED_BEYOND};
use super::{PlaceV2, WITHOUT_IMAGES, decode_record, form_of, log_key};
use crate::kv::codec::{self, decode};
use crate::kv::key::{Family, Key, KeyReader};
use crate::{Scan, Store, StoreError};

const VERSION: u8 = 1;
/// So many notes lose their images with one commit, so that none takes long.
const STRIPPED_MAX: usize = 256;

/// What the images of a table's notes come to, in one partition or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictImages {
    /// Bytes of the notes whose images are kept.
    pub bytes: u64,
    /// Notes that have lost their images since the store was made.
    pub dropped: u64,
}

pub(super) fn totals_key(partition: u32, table: &str) -> Vec<u8> {
    Key::of(Family::ConflictBytes).u32(partition).text(table).done()
}

fn index_key(partition: u32, table: &str, at_ms: u64, id: &ConflictId) -> Vec<u8> {
    Key::of(Family::ConflictImages).u32(partition).text(table).u64(at_ms).fixed(&id.0).done()
}

/// (when, id) of a key of the index.
fn parse_index_key(key: &[u8]) -> Result<(u64, ConflictId), StoreError> {
    let mut reader = KeyReader::new(key);
    reader.u32()?;
    reader.table()?;
    let parsed = (reader.u64()?, ConflictId(reader.fixed()?));
    reader.end()?;
    Ok(parsed)
}

fn decode_bytes(key: &[u8], value: &[u8]) -> Result<u64, StoreError> {
    decode(key, VERSION, value, Ok)
}

fn decode_totals(key: &[u8], value: &[u8]) -> Result<ConflictImages, StoreError> {
    decode(key, VERSION, value, Ok)
}

/// What all images in the conflict log come to.
pub fn images(store: &(impl Store + ?Sized)) -> Result<ConflictImages, StoreError> {
    let mut all = ConflictImages::default();
    for (key, value) in store.scan(&Scan::prefix(&Key::of(Family::ConflictBytes).done()))? {
        let ConflictImages { bytes, dropped } = decode_totals(&key, &value)?;
        all.bytes = all.bytes.saturating_add(bytes);
        all.dropped = all.dropped.saturating_add(dropped);
    }
    Ok(all)
}

impl<S: Store + ?Sized> Ahead<'_, S> {
    fn totals(&self, table: &str) -> Result<ConflictImages, StoreError> {
        let key = totals_key(self.partition, table);
        self.get(&key)?.map_or(Ok(ConflictImages::default()), |value| decode_totals(&key, &value))
    }

    /// The note's images are kept.
    pub(super) fn add_images(
        &mut self,
        record: &ConflictRecord,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let table = record.row.table.as_str();
        let mut totals = self.totals(table)?;
        totals.bytes = totals.bytes.saturating_add(bytes);
        self.set(index_key(self.partition, table, record.resolved_at_ms, &record.id), &bytes);
        self.set(totals_key(self.partition, table), &totals);
        self.tables.insert(record.row.table.clone());
        Ok(())
    }

    /// They are not any more, as the note goes or loses them.
    pub(super) fn remove_images(
        &mut self,
        id: &ConflictId,
        place: &PlaceV2,
        stripped: bool,
    ) -> Result<(), StoreError> {
        let Some((table, bytes)) = &place.images else { return Ok(()) };
        let mut totals = self.totals(table)?;
        totals.bytes = totals.bytes.saturating_sub(*bytes);
        totals.dropped = totals.dropped.saturating_add(u64::from(stripped));
        self.unset(index_key(place.partition, table, place.at_ms, id));
        self.set(totals_key(self.partition, table), &totals);
        Ok(())
    }

    /// Takes the images out of a table's oldest notes until the others are within the budget. What a
    /// divergence is about keeps them.
    pub(super) fn strip(&mut self, table: &TableName, budget: u64) -> Result<(), StoreError> {
        let excess = self.totals(table.as_str())?.bytes.saturating_sub(budget);
        if excess == 0 {
            return Ok(());
        }
        let all = Key::of(Family::ConflictImages).u32(self.partition).text(table.as_str()).done();
        let oldest = Scan::prefix(&all).limit(STRIPPED_MAX + LOOKED_BEYOND);
        let mut stripped = 0;
        let mut freed = 0u64;
        for (key, value) in self.store.scan(&oldest)? {
            if freed >= excess || stripped == STRIPPED_MAX {
                break;
            }
            // The batch may have removed the note, or moved it to the newest.
            if self.beside.contains_key(&key) {
                continue;
            }
            let (at_ms, id) = parse_index_key(&key)?;
            if self.is_pinned(&id)? {
                continue;
            }
            self.strip_one(at_ms, &id)?;
            freed = freed.saturating_add(decode_bytes(&key, &value)?);
            stripped += 1;
        }
        Ok(())
    }

    fn strip_one(&mut self, at_ms: u64, id: &ConflictId) -> Result<(), StoreError> {
        let key = log_key(self.partition, at_ms, id);
        let Some(value) = self.store.get(&key)? else { return Ok(()) };
        let Some(place) = self.place(id)? else { return Ok(()) };
        self.remove_images(id, &place, true)?;
        let mut record = decode_record(&key, &value)?;
        record.drop_images();
        codec::put(self.batch, &key, WITHOUT_IMAGES, &form_of(&record));
        self.set_place(id, &PlaceV2 { images: None, ..place });
        Ok(())
    }
}
