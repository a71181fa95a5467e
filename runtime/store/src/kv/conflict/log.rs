//! Writing and trimming the conflict log.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use syncline_core::{ConflictId, ConflictRecord, ConflictWrite, RowKey, TableName};

use super::{
    PLACE_VERSION, PlaceV2, VERSION, count_key, decode_count, decode_id, decode_place, form_of,
    log_key, parse_log_key, place_key, waits_key,
};
use crate::kv::key::{Family, Key};
use crate::kv::{codec, divergence};
use crate::{Batch, ConflictLimit, Scan, Store, StoreError};

/// So many of the oldest notes are looked at, beyond those that are to go, for some that do not
/// tell of waiting.
pub(super) const LOOKED_BEYOND: usize = 64;

/// What stands beside the log, by family.
const BESIDE: [u8; 6] = [
    Family::ConflictById as u8,
    Family::ConflictOfRow as u8,
    Family::ConflictCount as u8,
    Family::ConflictPinned as u8,
    Family::ConflictImages as u8,
    Family::ConflictBytes as u8,
];

/// The store as it will be once the batch is committed.
pub(super) struct Ahead<'a, S: ?Sized> {
    pub(super) store: &'a S,
    pub(super) batch: &'a mut Batch,
    /// What the batch does to that which stands beside the log.
    pub(super) beside: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(super) partition: u32,
    count: u64,
    /// Tables of which there are new notes.
    pub(super) tables: BTreeSet<TableName>,
}

/// Adds notes to the log, in order, and trims the partition's part of it to about the limit.
pub fn write(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    partition: u32,
    writes: &[ConflictWrite],
    limit: ConflictLimit,
) -> Result<(), StoreError> {
    if writes.is_empty() {
        return Ok(());
    }
    let earlier = batch.iter().filter(|(key, _)| key.first().is_some_and(|f| BESIDE.contains(f)));
    let beside = earlier.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
    let tables = BTreeSet::new();
    let mut ahead = Ahead { store, batch, beside, partition, count: 0, tables };
    let key = count_key(partition);
    ahead.count = ahead.get(&key)?.map_or(Ok(0), |value| decode_count(&key, &value))?;
    for write in writes {
        match write {
            ConflictWrite::Resolved(record) => ahead.put(record, false)?,
            ConflictWrite::Waits(record) => {
                ahead.waits_no_longer(&record.row)?;
                ahead.put(record, true)?;
                ahead.set(waits_key(partition, &record.row), &record.id.0);
            }
            ConflictWrite::WaitsNoLonger(row) => ahead.waits_no_longer(row)?,
        }
    }
    ahead.trim(limit.notes)?;
    for table in std::mem::take(&mut ahead.tables) {
        ahead.strip(&table, limit.table_bytes)?;
    }
    let count = ahead.count;
    ahead.set(key, &count);
    Ok(())
}

impl<S: Store + ?Sized> Ahead<'_, S> {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.beside.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.store.get(key),
        }
    }

    pub(super) fn set(&mut self, key: Vec<u8>, value: &impl Serialize) {
        self.set_form(key, VERSION, value);
    }

    fn set_form(&mut self, key: Vec<u8>, version: u8, value: &impl Serialize) {
        let value = codec::encode(version, value);
        self.batch.put(&key, &value);
        self.beside.insert(key, Some(value));
    }

    pub(super) fn unset(&mut self, key: Vec<u8>) {
        self.batch.delete(&key);
        self.beside.insert(key, None);
    }

    pub(super) fn place(&self, id: &ConflictId) -> Result<Option<PlaceV2>, StoreError> {
        let key = place_key(id);
        self.get(&key)?.map(|value| decode_place(&key, &value)).transpose()
    }

    pub(super) fn set_place(&mut self, id: &ConflictId, place: &PlaceV2) {
        self.set_form(place_key(id), PLACE_VERSION, place);
    }

    /// A conflict stands in the log once: met again, it moves to the newest.
    fn put(&mut self, record: &ConflictRecord, waits: bool) -> Result<(), StoreError> {
        self.remove(&record.id)?;
        let (partition, at_ms) = (self.partition, record.resolved_at_ms);
        let value = codec::encode(VERSION, &form_of(record));
        self.batch.put(log_key(partition, at_ms, &record.id), &value);
        // What waits is needed, and is soon replaced by how it ended.
        let bytes = (!waits).then_some(value.len() as u64);
        let images = bytes.map(|bytes| (record.row.table.as_str().to_owned(), bytes));
        if let Some(bytes) = bytes {
            self.add_images(record, bytes)?;
        }
        self.set_place(&record.id, &PlaceV2 { partition, at_ms, waits, images });
        self.count += 1;
        Ok(())
    }

    fn remove(&mut self, id: &ConflictId) -> Result<(), StoreError> {
        if let Some(place) = self.place(id)? {
            self.remove_images(id, &place, false)?;
            self.batch.delete(log_key(place.partition, place.at_ms, id));
            self.unset(place_key(id));
            self.count = self.count.saturating_sub(1);
        }
        Ok(())
    }

    fn waits_no_longer(&mut self, row: &RowKey) -> Result<(), StoreError> {
        let key = waits_key(self.partition, row);
        let Some(value) = self.get(&key)? else { return Ok(()) };
        let id = decode_id(&key, &value)?;
        // The note may have become one of how the conflict was resolved.
        if self.place(&id)?.is_some_and(|place| place.waits) {
            self.remove(&id)?;
        }
        self.unset(key);
        Ok(())
    }

    /// A divergence is about it: its inputs are kept.
    pub(super) fn is_pinned(&self, id: &ConflictId) -> Result<bool, StoreError> {
        let pins = divergence::pins(id);
        let ahead = self.beside.range(pins.clone()..);
        let mut ahead = ahead.take_while(|(key, _)| key.starts_with(&pins));
        if ahead.any(|(_, value)| value.is_some()) {
            return Ok(true);
        }
        let kept = self.store.keys(&Scan::prefix(&pins))?;
        Ok(kept.iter().any(|key| !self.beside.contains_key(key)))
    }

    fn trim(&mut self, max: u64) -> Result<(), StoreError> {
        let excess = usize::try_from(self.count.saturating_sub(max)).unwrap_or(usize::MAX);
        if excess == 0 {
            return Ok(());
        }
        let all = Key::of(Family::Conflict).u32(self.partition).done();
        let looked_at = excess.saturating_add(LOOKED_BEYOND);
        let oldest = self.store.keys(&Scan::prefix(&all).limit(looked_at))?;
        let mut removed = 0;
        for key in oldest {
            if removed == excess {
                break;
            }
            let (_, at_ms, id) = parse_log_key(&key)?;
            // The batch may have moved it to the newest.
            let here = self.place(&id)?.filter(|place| place.at_ms == at_ms && !place.waits);
            if self.is_pinned(&id)? {
                continue;
            }
            if here.is_some() {
                self.remove(&id)?;
                removed += 1;
            }
        }
        Ok(())
    }
}
