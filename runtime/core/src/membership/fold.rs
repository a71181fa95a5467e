//! What becomes of each change, from all records.
//!
//! Changes form a tree: each stands on a previous one. Two of which neither stands on the other
//! compete. A region accepts no two that compete unless the first is dead, so those that are agreed
//! on are on one path from the root: any two evictions leave a common survivor, who accepted one of
//! them only. (Evictions that together name every member can both be agreed on, each by those whom
//! the other names; then the lower counts wherever both are known.)
//!
//! Records of a region that is gone reach some survivors late, when the cut is known. What is agreed
//! on stays so whatever arrives; what is dead because an eviction above it is agreed on may turn out
//! to have been agreed on before, which changes nothing about who is left.

use std::collections::{BTreeMap, BTreeSet};

use super::record::REGIONS_MAX;
use super::{
    MembershipAnswer, MembershipChange, MembershipId, MembershipRecord, MembershipState,
    MembershipView,
};
use crate::{ChangeId, RegionId};

pub(super) type Records = BTreeMap<ChangeId, MembershipRecord>;

/// Whether what a change stands on is known well enough to say who takes part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// It is.
    Firm,
    /// What it stands on is unknown here, or not agreed on here yet.
    Waits,
    /// The proposal breaks a rule, by what is the same in every region.
    Broken,
}

/// A change in the tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub view: MembershipView,
    pub ground: Ground,
    /// All participants accepted, wherever it stands.
    pub agreed: bool,
    /// What it stands on; none also where that is no earlier change, as then it is broken.
    pub parent: Option<MembershipId>,
    /// The change below it that is not known here.
    pub unknown: Option<MembershipId>,
    /// Each region's answer, the first of the right kind; also of those that do not take part.
    pub answers: BTreeMap<RegionId, ChangeId>,
    /// The members, once it is decided. Those before it, unless it is agreed on.
    pub after: BTreeSet<RegionId>,
    /// All that ever were members or were named gone, once it is decided.
    pub used: BTreeSet<RegionId>,
}

/// The tree of changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Folded {
    pub nodes: BTreeMap<MembershipId, Node>,
    /// The last change that is agreed on.
    pub won: Option<MembershipId>,
    /// Changes whose proposals others have, and those others.
    pub unknown: BTreeMap<MembershipId, BTreeSet<RegionId>>,
}

/// By change, what was said of it, in (HLC, region) order.
type Said<'a> = BTreeMap<&'a MembershipId, Vec<(&'a ChangeId, &'a MembershipRecord)>>;

impl Folded {
    pub(super) fn of(configured: &BTreeSet<RegionId>, records: &Records) -> Self {
        let mut said = Said::new();
        for (id, record) in records {
            if let Some(change) = record.about() {
                said.entry(change).or_default().push((id, record));
            }
        }
        let mut folded = Self::default();
        for (id, record) in records {
            let MembershipRecord::Propose { previous, change } = record else { continue };
            let id = MembershipId(id.clone());
            let about = said.get(&id).map(Vec::as_slice).unwrap_or_default();
            let node = folded.plant(configured, &id, previous.as_ref(), change, about);
            folded.nodes.insert(id, node);
        }
        folded.decide();
        folded.complete();
        for (id, record) in records {
            let known = record.knows();
            if let Some(unknown) = known.filter(|known| !folded.nodes.contains_key(*known)) {
                let by = folded.unknown.entry(unknown.clone()).or_default();
                by.insert(id.region.clone());
            }
        }
        folded
    }

    /// A change with its answers. All earlier changes are in the tree.
    fn plant(
        &self,
        configured: &BTreeSet<RegionId>,
        id: &MembershipId,
        previous: Option<&MembershipId>,
        change: &MembershipChange,
        said: &[(&ChangeId, &MembershipRecord)],
    ) -> Node {
        let mut node = Node {
            view: MembershipView {
                id: id.clone(),
                previous: previous.cloned(),
                change: change.clone(),
                state: MembershipState::Open,
                participants: BTreeSet::new(),
                accepted: BTreeSet::new(),
                refused: BTreeMap::new(),
                done: BTreeSet::new(),
            },
            ground: Ground::Waits,
            agreed: false,
            parent: previous.filter(|previous| *previous < id).cloned(),
            unknown: None,
            answers: BTreeMap::new(),
            after: BTreeSet::new(),
            used: BTreeSet::new(),
        };
        match previous {
            None => node.stand_on(configured, configured, None),
            Some(previous) if previous >= id => node.ground = Ground::Broken,
            Some(previous) => match self.nodes.get(previous) {
                None => node.unknown = Some(previous.clone()),
                Some(below) => node.stand_on_change(below),
            },
        }
        node.hear(said);
        node
    }

    /// True if `upper` is `lower`, or stands on it, at whatever distance.
    pub(super) fn stands_on(&self, upper: &MembershipId, lower: &MembershipId) -> bool {
        // Whatever a change stands on is earlier, so this ends.
        let mut at = Some(upper);
        while let Some(id) = at.filter(|id| *id > lower) {
            at = self.nodes.get(id).and_then(|node| node.parent.as_ref());
        }
        at == Some(lower)
    }

    /// True if at most one of the two may be agreed on.
    pub(super) fn compete(&self, a: &MembershipId, b: &MembershipId) -> bool {
        !self.stands_on(a.max(b), a.min(b))
    }

    /// The changes that are agreed on, the last first.
    pub(super) fn agreed(&self) -> impl Iterator<Item = &Node> {
        let mut at = self.won.as_ref();
        std::iter::from_fn(move || {
            let node = self.nodes.get(at?)?;
            at = node.parent.as_ref();
            Some(node)
        })
        .filter(|node| node.agreed)
    }

    /// True if an eviction of the region is agreed on.
    pub(super) fn is_evicted(&self, region: &RegionId) -> bool {
        self.agreed().any(|node| node.view.change.evicts(region))
    }

    fn decide(&mut self) {
        for (id, node) in &self.nodes {
            let above = self.won.as_ref().is_none_or(|won| self.stands_on(id, won));
            if node.agreed && above {
                self.won = Some(id.clone());
            }
        }
        let ids: Vec<MembershipId> = self.nodes.keys().cloned().collect();
        for id in ids {
            let state = self.nodes.get(&id).map(|node| self.state(node));
            if let (Some(node), Some(state)) = (self.nodes.get_mut(&id), state) {
                node.view.state = state;
            }
        }
    }

    /// The state of a change, once all below it have theirs.
    fn state(&self, node: &Node) -> MembershipState {
        if node.ground == Ground::Broken {
            return MembershipState::Dead;
        }
        if let Some(won) = &self.won {
            let id = &node.view.id;
            if self.stands_on(won, id) {
                let agreed = node.agreed;
                return if agreed { MembershipState::Agreed } else { MembershipState::Dead };
            }
            let lost = match &node.unknown {
                Some(unknown) => unknown < won || self.is_evicted(&unknown.0.region),
                None => !self.stands_on(id, won),
            };
            if lost {
                return MembershipState::Dead;
            }
        }
        let below = node.parent.as_ref().and_then(|parent| self.nodes.get(parent));
        let below_dead = below.is_some_and(|below| below.view.state == MembershipState::Dead);
        if !node.view.refused.is_empty() || (node.ground == Ground::Waits && below_dead) {
            MembershipState::Dead
        } else {
            MembershipState::Open
        }
    }

    fn complete(&mut self) {
        let mut complete: Vec<MembershipId> = Vec::new();
        let mut over: Vec<&MembershipChange> = Vec::new();
        let mut gone_since: BTreeSet<&RegionId> = BTreeSet::new();
        for node in self.agreed() {
            let view = &node.view;
            let has = |region: &RegionId| view.done.contains(region) || gone_since.contains(region);
            let done = match &view.change {
                // A new region that is gone was never let in.
                MembershipChange::Join { region } => view.done.contains(region),
                MembershipChange::Evict { .. } => view.participants.iter().all(has),
            };
            // Nobody carries out what a later eviction has taken back.
            if done || over.iter().any(|later| later.undoes(&view.change)) {
                complete.push(view.id.clone());
                over.push(&view.change);
            }
            gone_since.extend(node.gone().into_iter().flatten());
        }
        for id in complete {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.view.state = MembershipState::Complete;
            }
        }
    }
}

impl Node {
    pub(super) fn gone(&self) -> Option<&BTreeSet<RegionId>> {
        match &self.view.change {
            MembershipChange::Join { .. } => None,
            MembershipChange::Evict { gone } => Some(gone),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.view.state == MembershipState::Open
    }

    /// What the participants answered, where they accepted.
    pub(super) fn accepts<'a>(
        &'a self,
        records: &'a Records,
    ) -> impl Iterator<Item = &'a MembershipAnswer> {
        let answers = self.answers.iter().filter(|(r, _)| self.view.accepted.contains(*r));
        answers.filter_map(|(_, id)| match records.get(id) {
            Some(MembershipRecord::Accept { answer, .. }) => Some(answer),
            _ => None,
        })
    }

    fn stand_on_change(&mut self, below: &Self) {
        let undone = self.view.change.undoes(&below.view.change);
        self.unknown.clone_from(&below.unknown);
        if below.ground == Ground::Broken {
            self.ground = Ground::Broken;
        } else if below.agreed || (undone && below.ground == Ground::Firm) {
            // Where the one below is taken back, the survivors are the same either way.
            let undone = undone.then_some(&below.view.change);
            self.stand_on(&below.after, &below.used, undone);
        }
    }

    fn stand_on(
        &mut self,
        members: &BTreeSet<RegionId>,
        used: &BTreeSet<RegionId>,
        undone: Option<&MembershipChange>,
    ) {
        let proposer = &self.view.id.0.region;
        let keeps_the_rules = members.contains(proposer)
            && match &self.view.change {
                MembershipChange::Join { region } => {
                    !used.contains(region) && members.len() < REGIONS_MAX
                }
                MembershipChange::Evict { gone } => {
                    let known = |r| members.contains(r) || undone.is_some_and(|u| u.names(r));
                    !gone.is_empty() && !gone.contains(proposer) && gone.iter().all(known)
                }
            };
        self.ground = if keeps_the_rules { Ground::Firm } else { Ground::Broken };
        let stay = members.iter().filter(|region| !self.view.change.evicts(region));
        self.view.participants = stay.cloned().collect();
        self.after = members.clone();
        self.used = used.clone();
    }

    fn hear(&mut self, said: &[(&ChangeId, &MembershipRecord)]) {
        let view = &mut self.view;
        for (id, record) in said {
            let by = &id.region;
            let takes_part = view.participants.contains(by);
            let first = !self.answers.contains_key(by);
            match record {
                MembershipRecord::Accept { answer, .. }
                    if first && answer.answers(&view.change) =>
                {
                    self.answers.insert(by.clone(), (*id).clone());
                    if takes_part {
                        view.accepted.insert(by.clone());
                    }
                }
                MembershipRecord::Refuse { bound_to, .. } if first => {
                    self.answers.insert(by.clone(), (*id).clone());
                    if takes_part {
                        view.refused.insert(by.clone(), bound_to.clone());
                    }
                }
                MembershipRecord::Done { .. } if view.carried_out_by().contains(by) => {
                    view.done.insert(by.clone());
                }
                _ => {}
            }
        }
        self.agreed = self.ground == Ground::Firm && view.accepted == view.participants;
        if !self.agreed {
            return;
        }
        match &self.view.change {
            MembershipChange::Join { region } => {
                self.after.insert(region.clone());
                self.used.insert(region.clone());
            }
            MembershipChange::Evict { gone } => {
                self.after.retain(|region| !gone.contains(region));
                self.used.extend(gone.iter().cloned());
            }
        }
    }
}
