//! A row in one region: the changes it knows of it, and the image that they stand for.
//!
//! The rules are those of `model/convergence.py` in the project's design, and the golden vectors
//! that it prints are replayed by a test. What differs is the cost: nothing here looks at the whole
//! history, so that a row with 180,000 unsettled changes stays usable.

mod cache;
mod fold;
mod history;
mod settle;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use fold::{Fold, FoldStep};
pub use history::Held;
pub use settle::Settled;

use crate::conflict::heads_tag;
use crate::planted::{self, Bug};
use crate::{Ancestor, Change, ChangeId, Hlc, Image, VersionVector};
use cache::StateCache;
use history::History;

/// What is kept of a row besides its history.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RowState {
    /// All that this region has seen of the row.
    pub vv: VersionVector,
    /// The changes that no known change has seen, in order. More than one: a conflict.
    pub heads: Vec<ChangeId>,
    /// The fold of the heads; none where there is no row.
    pub image: Option<Image>,
    /// Every later change builds on this. History is kept above it only.
    pub floor: VersionVector,
    /// The row at the floor.
    pub floor_image: Option<Image>,
}

impl RowState {
    /// Equal in every region that holds the same changes of the row.
    pub fn tag(&self) -> [u8; 16] {
        heads_tag(&self.heads)
    }

    /// The HLC of the newest head.
    pub fn hlc(&self) -> Hlc {
        self.heads.last().map_or(Hlc::ZERO, |head| head.hlc)
    }
}

/// What became of a change that was shown to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absorbed {
    /// It is among the row's heads now; the image is to be folded anew.
    Yes {
        /// Its author saw exactly this region's state of the row, but as another image.
        diverged: bool,
    },
    /// It was there already.
    Duplicate,
    /// It builds on a change that is still on its way.
    Early,
}

/// What one region keeps of one row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    state: RowState,
    /// The changes above the floor: where ancestors are looked up.
    past: History,
    /// States above the floor that were folded here.
    cache: StateCache,
}

/// A row as it was before changes were absorbed, for the case that they cannot be folded.
#[derive(Debug)]
pub(crate) struct Mark {
    vv: VersionVector,
    heads: Vec<ChangeId>,
    image: Option<Image>,
    absorbed: Vec<ChangeId>,
}

impl Row {
    /// A row as it was kept on disk; `past` in any order.
    pub fn restore(state: RowState, past: impl IntoIterator<Item = Held>) -> Self {
        Self { state, past: past.into_iter().collect(), cache: StateCache::default() }
    }

    /// What is kept of it besides its history.
    pub fn state(&self) -> &RowState {
        &self.state
    }

    /// The row's content.
    pub fn image(&self) -> Option<&Image> {
        self.state.image.as_ref()
    }

    /// A change above the floor.
    pub fn held(&self, change: &ChangeId) -> Option<&Arc<Held>> {
        self.past.get(change)
    }

    /// How many changes are above the floor.
    pub fn history_len(&self) -> usize {
        self.past.len()
    }

    /// For each region the first of its changes above the floor.
    pub(crate) fn unsettled(&self) -> Vec<ChangeId> {
        self.past.firsts().map(|held| held.id.clone()).collect()
    }

    /// Takes in a change, without folding. `watermarks` says, for each region, up to where all its
    /// changes to whatever row are applied here.
    pub fn absorb(&mut self, change: &Change, watermarks: &VersionVector) -> Absorbed {
        let seen = |region| watermarks.get(region).max(self.state.vv.get(region));
        if seen(&change.id.region) >= change.id.hlc {
            return Absorbed::Duplicate;
        }
        if change.context.iter().any(|(region, hlc)| seen(region) < hlc) {
            return Absorbed::Early;
        }
        let context = self.resolve(change);
        let diverged = context == self.state.vv && change.before != self.state.image;
        let mut vv = context;
        vv.set(&change.id.region, change.id.hlc);
        let held = Held {
            id: change.id.clone(),
            vv,
            operation: change.operation,
            after: change.after.clone(),
            stamp: change.stamp,
        };
        self.state.heads.retain(|head| !held.supersedes(head));
        let at = if planted::is(Bug::ArrivalOrder) {
            self.state.heads.len()
        } else if planted::is(Bug::TiesByArrival) {
            self.state.heads.partition_point(|head| head.hlc <= held.id.hlc)
        } else {
            self.state.heads.partition_point(|head| *head < held.id)
        };
        self.state.heads.insert(at, held.id.clone());
        self.state.vv.join(&held.vv);
        self.past.insert(held);
        Absorbed::Yes { diverged }
    }

    /// A change's context in terms of what is held. Entries for what is long dropped fall away;
    /// whoever has seen a change has seen what that change's author had; a region has seen its own
    /// earlier changes; and everybody has seen the floor.
    fn resolve(&self, change: &Change) -> VersionVector {
        let mut resolved = self.state.floor.clone();
        if planted::is(Bug::ContextWithoutFloor) {
            resolved = VersionVector::new();
        }
        let own = (&change.id.region, change.id.hlc.before());
        for (region, hlc) in change.context.iter().chain([own]) {
            if let Some(held) = self.past.latest(region, hlc) {
                resolved.join(&held.vv);
            }
        }
        resolved
    }

    /// After a local write: it has seen all that is here, so it is the one head, and the image.
    pub(crate) fn take_newest(&mut self) {
        if let Some(held) = self.state.heads.last().and_then(|head| self.past.get(head)) {
            self.state.image = held.after.clone();
        }
    }

    /// The heads, for a log, before they are folded.
    pub(crate) fn heads_as_steps(&self) -> Vec<FoldStep> {
        let heads = self.state.heads.iter().filter_map(|head| self.past.get(head));
        heads.map(|head| FoldStep { head: Arc::clone(head), ancestor: Ancestor::Unknown }).collect()
    }

    /// A row whose heads are all within the floor becomes this.
    pub(crate) fn settle_as(&mut self, image: Option<Image>) {
        self.cache = StateCache::default();
        self.state.floor_image = image.clone();
        self.state.image = image;
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            vv: self.state.vv.clone(),
            heads: self.state.heads.clone(),
            image: self.state.image.clone(),
            absorbed: Vec::new(),
        }
    }

    /// Undoes what was absorbed since the mark.
    pub(crate) fn roll_back(&mut self, mark: Mark) {
        for change in &mark.absorbed {
            self.past.remove(change);
        }
        self.cache.drop_unheld(&self.past);
        if !planted::is(Bug::RollBackKeepsVector) {
            self.state.vv = mark.vv;
        }
        self.state.heads = mark.heads;
        self.state.image = mark.image;
    }
}

impl Mark {
    pub(crate) fn note(&mut self, absorbed: ChangeId) {
        self.absorbed.push(absorbed);
    }

    pub(crate) fn absorbed(&self) -> &[ChangeId] {
        &self.absorbed
    }
}
