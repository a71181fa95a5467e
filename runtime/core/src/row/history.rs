//! The changes of a row above its floor, found by region and HLC, and by version vector.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::planted::{self, Bug};
use crate::{ChangeId, Hlc, Image, Operation, RegionId, Stamp, VersionVector};

/// A change that is applied, and what a fold needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who made it, and when.
    pub id: ChangeId,
    /// Its resolved context and itself: the row's state right after it, as its author had it.
    pub vv: VersionVector,
    /// What it did.
    pub operation: Operation,
    /// The image that it left.
    pub after: Option<Image>,
    /// The function of its origin at that time.
    pub stamp: Stamp,
}

impl Held {
    /// True if this change's author had seen the other.
    pub(crate) fn supersedes(&self, other: &ChangeId) -> bool {
        if planted::is(Bug::ClocksForVectors) && self.id.hlc > other.hlc {
            return true;
        }
        self.id != *other && self.vv.has(other)
    }
}

/// A vector is looked up through its heads: the changes that are within it and that none within it
/// has seen. They are among the last within it of each region, so a look-up costs no more than
/// there are regions, squared, however long the history.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    by_region: BTreeMap<RegionId, BTreeMap<Hlc, Arc<Held>>>,
    len: usize,
}

impl History {
    pub(super) fn insert(&mut self, held: Held) {
        let region = self.by_region.entry(held.id.region.clone()).or_default();
        if region.insert(held.id.hlc, Arc::new(held)).is_none() {
            self.len += 1;
        }
    }

    pub(super) fn remove(&mut self, change: &ChangeId) {
        if let Some(region) = self.by_region.get_mut(&change.region) {
            if region.remove(&change.hlc).is_some() {
                self.len -= 1;
            }
            if region.is_empty() {
                self.by_region.remove(&change.region);
            }
        }
    }

    pub(super) fn get(&self, change: &ChangeId) -> Option<&Arc<Held>> {
        self.by_region.get(&change.region)?.get(&change.hlc)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The last change of a region up to an HLC.
    pub(super) fn latest(&self, region: &RegionId, hlc: Hlc) -> Option<&Arc<Held>> {
        self.by_region.get(region)?.range(..=hlc).next_back().map(|(_, held)| held)
    }

    /// The first change of each region.
    pub(super) fn firsts(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.by_region.values().filter_map(|region| region.values().next())
    }

    /// The first change of each region that is not within the vector.
    pub(super) fn firsts_beyond(&self, vv: &VersionVector) -> impl Iterator<Item = &Arc<Held>> {
        self.by_region.iter().filter_map(|(region, changes)| {
            let from = (std::ops::Bound::Excluded(vv.get(region)), std::ops::Bound::Unbounded);
            changes.range(from).next().map(|(_, held)| held)
        })
    }

    /// The last change of each region whose own vector is within `stable`.
    pub(super) fn last_covered(&self, stable: &VersionVector) -> impl Iterator<Item = &Arc<Held>> {
        self.by_region.keys().filter_map(|region| self.last_covered_of(region, stable))
    }

    /// Along a region's changes the vectors only grow, so this can halve the span of HLCs.
    fn last_covered_of(&self, region: &RegionId, stable: &VersionVector) -> Option<&Arc<Held>> {
        let mut found = None;
        let (mut low, mut high) = (0, stable.get(region).bits());
        while low <= high {
            let middle = low + (high - low) / 2;
            match Hlc::from_bits(middle).ok().and_then(|hlc| self.latest(region, hlc)) {
                Some(held) if !stable.covers(&held.vv) => high = held.id.hlc.before().bits(),
                covered => {
                    found = covered.or(found);
                    low = middle + 1;
                }
            }
        }
        found
    }

    /// The heads of a vector, in order.
    pub(super) fn heads(&self, vv: &VersionVector) -> Vec<Arc<Held>> {
        let lasts: Vec<&Arc<Held>> =
            vv.iter().filter_map(|(region, hlc)| self.latest(region, hlc)).collect();
        let seen = |held: &Held| lasts.iter().any(|other| other.supersedes(&held.id));
        let mut heads: Vec<Arc<Held>> =
            lasts.iter().filter(|held| !seen(held)).map(|held| Arc::clone(held)).collect();
        heads.sort_by(|a, b| a.id.cmp(&b.id));
        heads
    }

    /// Takes out what is within the floor.
    pub(super) fn drop_within(&mut self, floor: &VersionVector) -> Vec<ChangeId> {
        let mut dropped = Vec::new();
        for (region, upto) in floor.iter() {
            let Some(changes) = self.by_region.get_mut(region) else { continue };
            let kept = changes.split_off(&upto);
            let below = std::mem::replace(changes, kept);
            dropped.extend(below.into_values().map(|held| held.id.clone()));
            if let Some(last) = changes.remove(&upto) {
                dropped.push(last.id.clone());
            }
        }
        self.by_region.retain(|_, changes| !changes.is_empty());
        self.len -= dropped.len();
        dropped
    }
}

impl FromIterator<Held> for History {
    fn from_iter<I: IntoIterator<Item = Held>>(past: I) -> Self {
        let mut history = Self::default();
        for held in past {
            history.insert(held);
        }
        history
    }
}
