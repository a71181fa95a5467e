//! Changes that are taken but not applied: what they build on is not here, or no function answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::{Change, ChangeId, ChangeRecord, Hlc, HostFault, RegionId, RowKey, VersionVector};

#[derive(Clone, Debug)]
struct Waiting {
    record: Arc<ChangeRecord>,
    on_disk: bool,
}

/// Found by row, by region, and by what they wait for.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitingChanges {
    by_row: BTreeMap<RowKey, BTreeMap<ChangeId, Waiting>>,
    by_region: BTreeMap<RegionId, BTreeSet<Hlc>>,
    /// Rows with a change that misses (region, HLC). An entry may outlive its change.
    missing: BTreeMap<RegionId, BTreeMap<Hlc, BTreeSet<RowKey>>>,
    /// Rows with changes that have all they build on, but that no function could be asked about.
    pub(super) stalled: BTreeMap<RowKey, HostFault>,
    /// Rows with changes that waited at the start. Why they wait is not kept.
    restored: BTreeSet<RowKey>,
    /// Those of them that were not looked at since.
    unexamined: BTreeSet<RowKey>,
    /// The stalled row that was tried again last.
    retried: Option<RowKey>,
}

impl WaitingChanges {
    pub(super) fn insert(&mut self, record: ChangeRecord, on_disk: bool) {
        let id = record.change.id.clone();
        self.by_region.entry(id.region.clone()).or_default().insert(id.hlc);
        let row = self.by_row.entry(record.row.clone()).or_default();
        row.insert(id, Waiting { record: Arc::new(record), on_disk });
    }

    /// A change that waited when the partition was last committed.
    pub(super) fn restore(&mut self, record: ChangeRecord) {
        self.restored.insert(record.row.clone());
        self.unexamined.insert(record.row.clone());
        self.insert(record, true);
    }

    /// The rows to look at with the first batch after the start.
    pub(super) fn take_unexamined(&mut self) -> BTreeSet<RowKey> {
        std::mem::take(&mut self.unexamined)
    }

    /// Some of the stalled rows, in turn: those after the last that were answered.
    pub(super) fn next_stalled(&mut self, limit: usize) -> Vec<RowKey> {
        let from = match self.retried.take() {
            Some(last) => Bound::Excluded(last),
            None => Bound::Unbounded,
        };
        let rest = self.stalled.range((from, Bound::Unbounded));
        let keys: Vec<RowKey> = rest.take(limit).map(|(key, _)| key.clone()).collect();
        // At the end it begins anew the next time.
        self.retried = if keys.len() == limit { keys.last().cloned() } else { None };
        keys
    }

    /// The row waits for no function any more; answers true if a note of that may stand on disk.
    pub(super) fn clear_stalled(&mut self, row: &RowKey) -> bool {
        self.stalled.remove(row).is_some() | self.restored.remove(row)
    }

    /// Takes a change out; answers true if it stands on disk.
    pub(super) fn remove(&mut self, row: &RowKey, id: &ChangeId) -> bool {
        if let Some(hlcs) = self.by_region.get_mut(&id.region) {
            hlcs.remove(&id.hlc);
        }
        let Some(changes) = self.by_row.get_mut(row) else { return false };
        let on_disk = changes.remove(id).is_some_and(|waiting| waiting.on_disk);
        if changes.is_empty() {
            self.by_row.remove(row);
        }
        on_disk
    }

    /// The rows with waiting changes.
    pub(super) fn rows(&self) -> impl Iterator<Item = RowKey> {
        self.by_row.keys().cloned()
    }

    /// A row's waiting changes, oldest first.
    pub(super) fn of_row(&self, row: &RowKey) -> impl Iterator<Item = &Change> {
        let changes = self.by_row.get(row).into_iter().flat_map(BTreeMap::values);
        changes.map(|waiting| &waiting.record.change)
    }

    /// As [`WaitingChanges::of_row`], for whoever is to take them out.
    pub(super) fn shared_of_row(&self, row: &RowKey) -> Vec<Arc<ChangeRecord>> {
        let changes = self.by_row.get(row).into_iter().flat_map(BTreeMap::values);
        changes.map(|waiting| Arc::clone(&waiting.record)).collect()
    }

    /// The first waiting change of a region.
    pub(super) fn first_of(&self, region: &RegionId) -> Option<Hlc> {
        self.by_region.get(region)?.first().copied()
    }

    pub(super) fn count_of(&self, region: &RegionId) -> usize {
        self.by_region.get(region).map_or(0, BTreeSet::len)
    }

    pub(super) fn len(&self) -> usize {
        self.by_region.values().map(BTreeSet::len).sum()
    }

    /// Notes what the row's early changes miss.
    pub(super) fn note_missing(&mut self, row: &RowKey, seen: &VersionVector) {
        let Some(changes) = self.by_row.get(row) else { return };
        for waiting in changes.values() {
            if let Some((region, hlc)) = seen.first_missing(&waiting.record.change.context) {
                let region = self.missing.entry(region.clone()).or_default();
                region.entry(hlc).or_default().insert(row.clone());
            }
        }
    }

    /// The rows that wait for something of this region up to this HLC.
    pub(super) fn released_by(&mut self, region: &RegionId, upto: Hlc) -> BTreeSet<RowKey> {
        let Some(missing) = self.missing.get_mut(region) else { return BTreeSet::new() };
        let mut released = BTreeSet::new();
        while let Some(entry) = missing.first_entry() {
            if *entry.key() > upto {
                break;
            }
            released.append(&mut entry.remove());
        }
        released
    }

    /// The changes that must be written to disk, as they wait beyond this batch.
    pub(super) fn unwritten(&mut self, rows: &[RowKey]) -> Vec<ChangeRecord> {
        let mut unwritten = Vec::new();
        for row in rows {
            for waiting in self.by_row.get_mut(row).into_iter().flat_map(BTreeMap::values_mut) {
                if !waiting.on_disk {
                    waiting.on_disk = true;
                    unwritten.push(ChangeRecord::clone(&waiting.record));
                }
            }
        }
        unwritten
    }
}
