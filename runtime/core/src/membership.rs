//! Which regions are counted.
//!
//! Folded from records that travel through the control topics. Each region's records arrive in its
//! order, those of different regions in any; what becomes of each change is the same everywhere.
//!
//! A change is proposed, and each region that takes part answers once, after it has done its part:
//! it accepts, or refuses as it holds to another change. A change is agreed on when all have
//! accepted, and dead when one has refused. Of changes made apart the earlier wins, unless the later
//! is agreed on by then. An eviction may stand on a change that is not agreed on yet, as whoever is
//! gone may never answer that one: it takes back what that one brings, and the survivors are the
//! same either way.
//!
//! What the caller owes:
//!
//! 1. Carry out [`Membership::duty`], again and again. Each step may be repeated; the record that
//!    ends it is said only when all of it is on disk, in every partition.
//! 2. Read none of [`Membership::fenced`], in no partition, except up to a cut that it is told.
//!    Those whose eviction died are no longer in there, and are read on.
//! 3. Keep, also of regions that are evicted, how far they were read: a later eviction that stands
//!    on the first may ask again.
//! 4. Count [`Membership::counted`], no others.
//! 5. Fetch control records of [`Membership::missing`], if they do not come by themselves, from any
//!    region that has them.
//! 6. Take no local writes unless [`Membership::may_write`].
//! 7. Give a new region the state of one that has accepted its very join, and not yet
//!    [`Membership::me_gone`]; where that join dies, start it over from another's.
//!
//! Two evictions that together name every member are beyond any agreement: each may be agreed on by
//! those that the other names. Only people can know better.

mod duty;
mod fold;
#[cfg(test)]
mod play;
mod propose;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use duty::Duty;
pub use propose::ProposeRefused;
pub use record::{
    Cut, MembershipAnswer, MembershipChange, MembershipId, MembershipRecord, REGIONS_MAX,
};

use crate::planted::{self, Bug};
use crate::{ChangeId, RegionId};
use fold::{Folded, Ground, Node, Records};

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipState {
    /// Not every participant has answered.
    Open,
    /// All have accepted. It holds from here on.
    Agreed,
    /// All that follows from it is carried out.
    Complete,
    /// It lost against another, breaks a rule, or was taken back by an eviction. It never held.
    Dead,
}

impl MembershipState {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Agreed => "agreed",
            Self::Complete => "complete",
            Self::Dead => "dead",
        }
    }

    pub(crate) fn holds(self) -> bool {
        matches!(self, Self::Agreed | Self::Complete)
    }
}

/// A change, as far as this region knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipView {
    /// Its identity; also says who proposed it, and when.
    pub id: MembershipId,
    /// The change that it stands on; none for the regions configured at the start.
    pub previous: Option<MembershipId>,
    /// The change.
    pub change: MembershipChange,
    /// How far it is.
    pub state: MembershipState,
    /// Who must answer. Empty while what it stands on is not known well enough.
    pub participants: BTreeSet<RegionId>,
    /// Who accepted.
    pub accepted: BTreeSet<RegionId>,
    /// Who refused, and which change each of them holds to.
    pub refused: BTreeMap<RegionId, MembershipId>,
    /// Who said that it is done: participants of an eviction, or the new region of a join.
    pub done: BTreeSet<RegionId>,
}

impl MembershipView {
    /// Who must say that it is done.
    fn carried_out_by(&self) -> BTreeSet<RegionId> {
        match &self.change {
            MembershipChange::Join { region } => BTreeSet::from([region.clone()]),
            MembershipChange::Evict { .. } => self.participants.clone(),
        }
    }
}

/// Which regions are counted, as far as this region knows.
#[derive(Clone, Debug)]
pub struct Membership {
    me: RegionId,
    configured: BTreeSet<RegionId>,
    records: Records,
    folded: Folded,
}

impl Membership {
    /// The regions configured at the start, all of them members, in the eyes of `me`. They must be
    /// the same in every region, also in one that joins.
    pub fn new(me: RegionId, regions: impl IntoIterator<Item = RegionId>) -> Self {
        let configured = regions.into_iter().collect();
        Self { me, configured, records: Records::new(), folded: Folded::default() }
    }

    /// Takes in a record, of any region, each region's in its order. One that is known is ignored.
    pub fn insert(&mut self, id: ChangeId, record: MembershipRecord) {
        self.records.entry(id).or_insert(record);
        self.folded = Folded::of(&self.configured, &self.records);
    }

    /// Every change that was proposed, in the order of proposal.
    pub fn iter(&self) -> impl Iterator<Item = &MembershipView> {
        self.nodes().map(|node| &node.view)
    }

    /// One change.
    pub fn get(&self, id: &MembershipId) -> Option<&MembershipView> {
        self.folded.nodes.get(id).map(|node| &node.view)
    }

    /// The change that a next one would stand on: the last that is not dead. Of several that are
    /// open, the one that this region has accepted or will answer first.
    pub fn current(&self) -> Option<&MembershipView> {
        let accepted = self.nodes().rev().find(|node| node.is_open() && self.accepted(node));
        let accepted = accepted.map(|node| &node.view.id);
        let mut tip = accepted.or(self.folded.won.as_ref());
        loop {
            let next = self.nodes().map(|node| (&node.view.id, node)).find(|(id, node)| {
                let above = |tip| *id != tip && self.folded.stands_on(id, tip);
                node.is_open() && node.ground == Ground::Firm && tip.is_none_or(above)
            });
            match next {
                Some((id, _)) => tip = Some(id),
                None => return tip.and_then(|tip| self.get(tip)),
            }
        }
    }

    /// The members: the regions configured at the start and all that joined, without those that were
    /// evicted. Only what is agreed on counts.
    pub fn members(&self) -> BTreeSet<RegionId> {
        let won = self.folded.won.as_ref().and_then(|won| self.folded.nodes.get(won));
        won.map_or(&self.configured, |won| &won.after).clone()
    }

    /// True if it is agreed that the region is gone. It never comes back as the same incarnation.
    pub fn is_evicted(&self, region: &RegionId) -> bool {
        self.folded.is_evicted(region)
    }

    /// True if others say that this region is gone, and may be right: as soon as one of them has
    /// proposed it, until that died.
    pub fn me_gone(&self) -> bool {
        let mut evictions = self.nodes().filter(|node| node.view.state != MembershipState::Dead);
        evictions.any(|node| node.view.change.evicts(&self.me))
    }

    /// False unless this region is a member: a new one is once it has said that its join is done,
    /// and no region is that others say is gone.
    pub fn may_write(&self) -> bool {
        let ready = self.folded.agreed().all(|node| {
            let MembershipChange::Join { region } = &node.view.change else { return true };
            *region != self.me || node.view.state == MembershipState::Complete
        });
        ready && self.members().contains(&self.me) && !self.me_gone()
    }

    /// The region that may take over what this one has, as all have agreed that it joins, and count
    /// it by now.
    pub fn to_admit(&self) -> Option<&RegionId> {
        let admits = |state| {
            state == MembershipState::Agreed
                || (state == MembershipState::Open && planted::is(Bug::SnapshotBeforeCounted))
        };
        let mut views = self.iter().filter(|view| admits(view.state) && self.may_write());
        views.find_map(|view| match &view.change {
            MembershipChange::Join { region } if view.accepted.contains(&self.me) => Some(region),
            _ => None,
        })
    }

    /// The regions that this region has promised to read no more, by evictions that are not dead.
    pub fn fenced(&self) -> BTreeSet<RegionId> {
        self.held().filter_map(Node::gone).flatten().cloned().collect()
    }

    /// The regions that this region counts: the members, those whose join it has accepted unless
    /// that died, and those that are evicted until it has said that it is done with them.
    pub fn counted(&self) -> BTreeSet<RegionId> {
        let mut counted = self.configured.clone();
        for node in self.nodes() {
            let MembershipChange::Join { region } = &node.view.change else { continue };
            let id = &node.view.id;
            // The new region of a join that an eviction took back was named there, and has a cut.
            let taken_back =
                self.folded.won.as_ref().is_some_and(|won| self.folded.stands_on(won, id));
            let held = node.view.state != MembershipState::Dead || taken_back;
            if node.view.state.holds() || (held && self.accepted(node)) {
                counted.insert(region.clone());
            }
        }
        for node in self.folded.agreed() {
            let view = &node.view;
            let mine = view.participants.contains(&self.me) && !view.done.contains(&self.me);
            if let Some(gone) = node.gone().filter(|_| !mine) {
                counted.retain(|region| !gone.contains(region));
            }
        }
        counted
    }

    /// The cut of an eviction, for each region that is gone by partition, the control partition
    /// last: the most that any participant had of it. Empty unless the eviction is agreed on.
    pub fn cuts(&self, id: &MembershipId) -> BTreeMap<RegionId, Vec<Cut>> {
        let node = self.folded.nodes.get(id).filter(|node| node.view.state.holds());
        let Some((node, gone)) = node.and_then(|node| Some((node, node.gone()?))) else {
            return BTreeMap::new();
        };
        let mut cuts: BTreeMap<RegionId, Vec<Cut>> =
            gone.iter().map(|region| (region.clone(), Vec::new())).collect();
        for answer in node.accepts(&self.records) {
            let MembershipAnswer::Fenced { last } = answer else { continue };
            for (region, last) in last {
                let Some(cut) = cuts.get_mut(region) else { continue };
                // A list that is too short says nothing of the other partitions.
                cut.resize(cut.len().max(last.len()), Cut::default());
                cut.iter_mut().zip(last).for_each(|(cut, last)| cut.join(last));
            }
        }
        cuts
    }

    /// The regions whose control records are lacking here: of some a proposal is spoken of that has
    /// not arrived, of others an answer to an open change, or that they are done. Where such a region is silent, its
    /// records, in its order, may be had from any region that has more of them. None that this
    /// region has promised to read no more.
    pub fn missing(&self) -> BTreeSet<RegionId> {
        let silent = self.nodes().flat_map(|node| {
            let view = &node.view;
            let (asked, heard) = match view.state {
                MembershipState::Open => (view.participants.clone(), &view.accepted),
                MembershipState::Agreed => (view.carried_out_by(), &view.done),
                MembershipState::Complete | MembershipState::Dead => return Vec::new(),
            };
            asked.difference(heard).cloned().collect()
        });
        let unknown = self.folded.unknown.keys().map(|id| &id.0.region);
        let mut missing: BTreeSet<RegionId> = unknown.cloned().chain(silent).collect();
        let fenced = self.fenced();
        missing.retain(|region| {
            *region != self.me && !fenced.contains(region) && !self.is_evicted(region)
        });
        missing
    }

    fn nodes(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.folded.nodes.values()
    }

    /// The last change that is agreed on and not carried out everywhere.
    fn unfinished(&self) -> Option<&MembershipView> {
        let mut agreed = self.folded.agreed().map(|node| &node.view);
        agreed.find(|view| view.state != MembershipState::Complete)
    }

    fn accepted(&self, node: &Node) -> bool {
        node.view.accepted.contains(&self.me)
    }
}
