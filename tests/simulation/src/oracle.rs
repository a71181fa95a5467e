//! The naive model: it keeps every change of every row for ever, and folds from scratch.
//!
//! It shares nothing with the product but the types of its input: no floors, no watermarks, no
//! heads kept up to date, no cache by heads. What a set of changes comes to is written down here a
//! second time, from the design's text.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use syncline_core::{
    Change, ChangeId, Hlc, Image, MergeInput, MergeSide, Operation, RegionId, RowKey, Stamp,
    VersionVector,
};

use crate::functions::function_of;

/// A change, with all that it builds on.
struct Known {
    id: ChangeId,
    seen: VersionVector,
    operation: Operation,
    after: Option<Image>,
    stamp: Stamp,
}

#[derive(Default)]
struct KnownRow {
    changes: BTreeMap<RegionId, BTreeMap<Hlc, Known>>,
    /// What was folded already; only for speed.
    folded: RefCell<HashMap<Vec<ChangeId>, Option<Image>>>,
}

/// All changes that were ever made.
#[derive(Default)]
pub struct Oracle {
    rows: BTreeMap<RowKey, KnownRow>,
    count: usize,
}

impl KnownRow {
    fn latest(&self, region: &RegionId, hlc: Hlc) -> Option<&Known> {
        self.changes.get(region)?.range(..=hlc).next_back().map(|(_, known)| known)
    }

    /// Everything that the changes up to `vector` have seen, and they themselves.
    fn closure(&self, vector: &VersionVector) -> VersionVector {
        let mut seen = VersionVector::new();
        for known in vector.iter().filter_map(|(region, hlc)| self.latest(region, hlc)) {
            seen.join(&known.seen);
        }
        seen
    }

    /// The changes within `vector` that no change within it has seen, oldest first.
    fn heads(&self, vector: &VersionVector) -> Vec<&Known> {
        let last = |(region, hlc)| self.latest(region, hlc);
        let lasts: Vec<&Known> = vector.iter().filter_map(last).collect();
        let superseded = |known: &Known| {
            lasts.iter().any(|other| other.id != known.id && other.seen.has(&known.id))
        };
        let mut heads: Vec<&Known> = lasts.iter().filter(|k| !superseded(k)).copied().collect();
        heads.sort_by(|a, b| a.id.cmp(&b.id));
        heads
    }

    fn image(&self, row: &RowKey, vector: &VersionVector) -> Option<Image> {
        let heads = self.heads(vector);
        let key: Vec<ChangeId> = heads.iter().map(|head| head.id.clone()).collect();
        if let Some(known) = self.folded.borrow().get(&key) {
            return known.clone();
        }
        let image = self.fold(row, &heads);
        self.folded.borrow_mut().insert(key, image.clone());
        image
    }

    fn fold(&self, row: &RowKey, heads: &[&Known]) -> Option<Image> {
        let (oldest, newest) = (heads.first()?, heads.last()?);
        let Stamp::Function(version) = newest.stamp else { return newest.after.clone() };
        let function = function_of(&version)?;
        let (mut image, mut seen) = (oldest.after.clone(), oldest.seen.clone());
        for pair in heads.windows(2) {
            let [before, head] = pair else { continue };
            let ancestor = self.image(row, &seen.meet(&head.seen));
            let operation = match (&image, before.operation) {
                (None, _) => Operation::Delete,
                (Some(_), Operation::Delete) => Operation::Update,
                (Some(_), operation) => operation,
            };
            let side = |known: &'_ Known, operation| (known.id.clone(), operation);
            let (older, newer) = (side(before, operation), side(head, head.operation));
            let merged = function.merge(&MergeInput {
                row,
                ancestor: ancestor.as_ref(),
                older: MergeSide {
                    region: &older.0.region,
                    hlc: older.0.hlc,
                    operation: older.1,
                    image: image.as_ref(),
                },
                newer: MergeSide {
                    region: &newer.0.region,
                    hlc: newer.0.hlc,
                    operation: newer.1,
                    image: head.after.as_ref(),
                },
            });
            match merged {
                Ok(merged) => image = merged,
                Err(_) => return newest.after.clone(),
            }
            seen.join(&head.seen);
        }
        image
    }
}

impl Oracle {
    /// Takes in a change that a region has made, in the order in which each region makes them.
    pub fn made(&mut self, row: &RowKey, change: &Change) {
        let known = self.rows.entry(row.clone()).or_default();
        let mut upto = change.context.clone();
        // A region has seen what it did itself.
        upto.raise(&change.id.region, change.id.hlc.before());
        let mut seen = known.closure(&upto);
        seen.raise(&change.id.region, change.id.hlc);
        let entry = Known {
            id: change.id.clone(),
            seen,
            operation: change.operation,
            after: change.after.clone(),
            stamp: change.stamp,
        };
        let of_region = known.changes.entry(change.id.region.clone()).or_default();
        of_region.insert(change.id.hlc, entry);
        self.count += 1;
    }

    /// Forgets a change that went with its region's unsynced memory, or with the region.
    pub fn lost(&mut self, row: &RowKey, change: &ChangeId) {
        let Some(known) = self.rows.get_mut(row) else { return };
        let of_region = known.changes.get_mut(&change.region);
        if of_region.is_some_and(|changes| changes.remove(&change.hlc).is_some()) {
            self.count -= 1;
        }
        known.folded.borrow_mut().clear();
    }

    /// True if the change was made.
    pub fn knows(&self, row: &RowKey, change: &ChangeId) -> bool {
        let of_region = self.rows.get(row).and_then(|known| known.changes.get(&change.region));
        of_region.is_some_and(|changes| changes.contains_key(&change.hlc))
    }

    /// What the changes of a row up to `vector` come to.
    pub fn image(&self, row: &RowKey, vector: &VersionVector) -> Option<Image> {
        self.rows.get(row)?.image(row, vector)
    }

    /// The heads of the changes of a row up to `vector`, oldest first.
    pub fn heads(&self, row: &RowKey, vector: &VersionVector) -> Vec<ChangeId> {
        let Some(known) = self.rows.get(row) else { return Vec::new() };
        known.heads(vector).into_iter().map(|head| head.id.clone()).collect()
    }

    /// All changes of a row.
    pub fn all_of(&self, row: &RowKey) -> VersionVector {
        let Some(known) = self.rows.get(row) else { return VersionVector::new() };
        let last = |(region, changes): (&RegionId, &BTreeMap<Hlc, Known>)| {
            changes.last_key_value().map(|(hlc, _)| (region.clone(), *hlc))
        };
        known.changes.iter().filter_map(last).collect()
    }

    /// The stamps and operations of a row's changes.
    pub fn changes_of(&self, row: &RowKey) -> impl Iterator<Item = (&ChangeId, Stamp, Operation)> {
        let regions = self.rows.get(row).into_iter().flat_map(|known| known.changes.values());
        let changes = regions.flat_map(BTreeMap::values);
        changes.map(|known| (&known.id, known.stamp, known.operation))
    }

    /// Every row that was ever written.
    pub fn rows(&self) -> impl Iterator<Item = &RowKey> {
        self.rows.keys()
    }

    /// How many changes were made.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if no change was made.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
