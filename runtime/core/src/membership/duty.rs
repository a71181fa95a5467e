//! What a region must do next, from what it knows.

use std::collections::{BTreeMap, BTreeSet};

use super::fold::{Ground, Node};
use super::{
    Cut, Membership, MembershipAnswer, MembershipChange, MembershipId, MembershipRecord,
    MembershipState,
};
use crate::{RegionId, VersionVector};

/// The next thing that a region must do. Each may be repeated, and ends with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Say this.
    Say(MembershipRecord),
    /// Count the new region in every partition, then accept with [`MembershipAnswer::Counted`].
    Count {
        /// The join.
        change: MembershipId,
        /// The new region.
        region: RegionId,
    },
    /// Stop reading the regions that are gone, in every partition, and fetching what others have of
    /// them; then accept with [`MembershipAnswer::Fenced`]. Also where an earlier cut is not reached
    /// yet.
    Fence {
        /// The eviction.
        change: MembershipId,
        /// The regions.
        gone: BTreeSet<RegionId>,
    },
    /// Take all up to the cut in every partition, fetching it from the other survivors, and nothing
    /// beyond it; stop counting the regions that are gone; then say [`MembershipRecord::Done`].
    Cut {
        /// The eviction.
        change: MembershipId,
        /// The cut, by partition, the control partition last. A list that is too short has zeros
        /// for the rest.
        cuts: BTreeMap<RegionId, Vec<Cut>>,
    },
    /// This region is the new one: when it has applied all that these vectors cover, by row
    /// partition, say [`MembershipRecord::Done`].
    Admit {
        /// The join.
        change: MembershipId,
        /// The join of what was stable in each region when it began to count this one. A list that
        /// is too short has empty vectors for the rest.
        stable: Vec<VersionVector>,
    },
}

impl Membership {
    /// The one next thing that this region must do; none also while it waits for others. It follows
    /// from the records alone, so it survives restarts.
    pub fn duty(&self) -> Option<Duty> {
        if self.is_evicted(&self.me) {
            return None;
        }
        let refusal = self.refusal().or_else(|| self.blind_refusal());
        refusal.map(Duty::Say).or_else(|| self.answer()).or_else(|| self.rest())
    }

    /// True if the region takes part in the change and has not answered it.
    fn is_asked(&self, node: &Node) -> bool {
        node.ground == Ground::Firm
            && node.view.participants.contains(&self.me)
            && !node.answers.contains_key(&self.me)
    }

    fn refusal(&self) -> Option<MembershipRecord> {
        for node in self.nodes().filter(|node| self.is_asked(node)) {
            let change = &node.view.id;
            let bound = self.nodes().find(|other| {
                let bound_to = &other.view.id;
                let holds = other.view.state.holds();
                let earlier = other.is_open() && node.is_open() && bound_to < change;
                (holds || earlier)
                    && self.is_bound_to(other)
                    && self.folded.compete(bound_to, change)
            });
            if let Some(bound) = bound {
                let bound_to = bound.view.id.clone();
                return Some(MembershipRecord::Refuse { change: change.clone(), bound_to });
            }
        }
        None
    }

    /// True if this region has accepted the change. Also if it is the one that others want to evict,
    /// so that two regions that want to evict each other do not both do so; but not if it holds to
    /// what competes with that eviction, as then it may be unable to read that the eviction died.
    fn is_bound_to(&self, node: &Node) -> bool {
        let evicts_me = node.ground == Ground::Firm && node.view.change.evicts(&self.me);
        self.accepted(node)
            || (evicts_me
                && self.held().all(|held| !self.folded.compete(&held.view.id, &node.view.id)))
    }

    /// The changes that this region has accepted and that are not dead.
    pub(super) fn held(&self) -> impl Iterator<Item = &Node> {
        let live = self.nodes().filter(|node| node.view.state != MembershipState::Dead);
        live.filter(|node| self.accepted(node))
    }

    /// Refuses what cannot be read here, as it was proposed, or stands on what was proposed, by a
    /// region that this one has promised to read no more. It competes with that promise, as nothing
    /// by a region that is gone stands on its eviction. Whichever is earlier, others may wait for
    /// this answer while this region waits for theirs, and neither can read why.
    fn blind_refusal(&self) -> Option<MembershipRecord> {
        let known = self.nodes().filter(|node| node.is_open());
        let known = known.filter_map(|node| {
            let asked = !node.answers.contains_key(&self.me);
            Some((&node.view.id, node.unknown.as_ref().filter(|_| asked)?))
        });
        let mine = self.records.iter().filter(|(id, _)| id.region == self.me);
        let answered: BTreeSet<&MembershipId> = mine.filter_map(|(_, r)| r.about()).collect();
        let unheard = self.folded.unknown.keys().filter(|id| !answered.contains(*id));
        for (change, unknown) in unheard.map(|id| (id, id)).chain(known) {
            let promise = self.nodes().find(|node| {
                node.is_open() && self.accepted(node) && node.view.change.evicts(&unknown.0.region)
            });
            if let Some(promise) = promise {
                let (change, bound_to) = (change.clone(), promise.view.id.clone());
                return Some(MembershipRecord::Refuse { change, bound_to });
            }
        }
        None
    }

    fn answer(&self) -> Option<Duty> {
        let asked = self.nodes().filter(|node| node.is_open() && self.is_asked(node));
        let held: Vec<&MembershipId> = self.held().map(|node| &node.view.id).collect();
        // What this region has accepted, and does not stand below, must be dead first. That is also
        // true of an eviction on top of the change, which takes the change back. And a new region
        // begins with the state of one that has accepted it, which must be up to every cut.
        let due = asked.filter(|node| {
            let change = &node.view.id;
            let free =
                held.iter().all(|held| *held < change && self.folded.stands_on(change, held));
            free && (node.gone().is_some() || self.unfinished().is_none())
        });
        due.map(|node| {
            let change = node.view.id.clone();
            match &node.view.change {
                MembershipChange::Join { region } => Duty::Count { change, region: region.clone() },
                MembershipChange::Evict { gone } => Duty::Fence { change, gone: gone.clone() },
            }
        })
        .next()
    }

    /// What follows from the changes that are agreed on, the last first.
    fn rest(&self) -> Option<Duty> {
        self.folded.agreed().find_map(|node| {
            let change = node.view.id.clone();
            if node.view.state == MembershipState::Complete || node.view.done.contains(&self.me) {
                return None;
            }
            match &node.view.change {
                MembershipChange::Join { region } => {
                    (*region == self.me).then(|| Duty::Admit { change, stable: self.stable(node) })
                }
                MembershipChange::Evict { .. } => {
                    // Once the gone are fenced again, how far they were read stands still until
                    // there is a new cut.
                    let fenced_again = self.held().any(|later| {
                        later.view.id > change && later.view.change.undoes(&node.view.change)
                    });
                    let mine = node.view.participants.contains(&self.me) && !fenced_again;
                    mine.then(|| Duty::Cut { cuts: self.cuts(&change), change })
                }
            }
        })
    }

    /// By row partition the join of what the participants of a join had as stable.
    fn stable(&self, node: &Node) -> Vec<VersionVector> {
        let mut joined: Vec<VersionVector> = Vec::new();
        for answer in node.accepts(&self.records) {
            let MembershipAnswer::Counted { stable } = answer else { continue };
            joined.resize(joined.len().max(stable.len()), VersionVector::new());
            joined.iter_mut().zip(stable).for_each(|(joined, stable)| joined.join(stable));
        }
        joined
    }
}
