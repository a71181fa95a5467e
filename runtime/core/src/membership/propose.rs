//! Whether a change may be proposed here, and if not, what to do.

use std::collections::BTreeSet;

use thiserror::Error;

use super::record::REGIONS_MAX;
use super::{
    Membership, MembershipChange, MembershipId, MembershipRecord, MembershipState, MembershipView,
};
use crate::RegionId;

/// Why a change cannot be proposed here, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProposeRefused {
    /// One change at a time.
    #[error(
        "membership change {id} is {}: wait until it is complete or dead; if a region that it \
         waits for is gone, evict that{}", state.as_str(), with(must)
    )]
    UnderWay {
        /// The other change.
        id: MembershipId,
        /// How far it is.
        state: MembershipState,
        /// An eviction on top of it must name these.
        must: BTreeSet<RegionId>,
    },
    /// A change is under way that this region has only heard of.
    #[error(
        "membership change {id} of {} is under way and not here yet: try again when it has \
         arrived; if that region is gone, see that it can be fetched from another", id.0.region
    )]
    NotHereYet {
        /// The other change.
        id: MembershipId,
    },
    /// An incarnation never comes back.
    #[error("{region} is or was counted already: join it as another incarnation, e.g. {next}")]
    Used {
        /// The region that was to join.
        region: RegionId,
        /// An incarnation that is free.
        next: RegionId,
    },
    /// A return evicts the old incarnation first.
    #[error("{old} is still a member: evict it first, then join {region}")]
    OldIncarnation {
        /// The region that was to join.
        region: RegionId,
        /// The incarnation that is a member.
        old: RegionId,
    },
    /// No more regions fit.
    #[error("there are {REGIONS_MAX} members, no more can be: evict one that is gone first")]
    Full,
    /// An eviction of nobody.
    #[error("the eviction names no region: name all that are gone")]
    Nobody,
    /// An eviction of a region that is none of ours.
    #[error("{region} is no member, so it cannot be evicted: look up the list of members")]
    NotMember {
        /// The region.
        region: RegionId,
    },
    /// An eviction of the region where it is proposed; so also one of all regions.
    #[error("the eviction names this region, which is here: propose it in one that stays")]
    Myself,
    /// Others say that this region is gone.
    #[error("this region is evicted: propose the change in another, where it may join anew")]
    MeGone,
    /// This region has not joined.
    #[error("this region is no member: propose the change in one that is")]
    MeNotMember,
}

fn with(must: &BTreeSet<RegionId>) -> String {
    let names: Vec<&str> = must.iter().map(RegionId::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" together with {}", names.join(", ")) }
}

impl Membership {
    /// The record that would propose a change here.
    ///
    /// # Errors
    ///
    /// While another change is under way, unless this is an eviction that takes that one back and
    /// names a region that it waits for; and where the change makes no sense.
    pub fn propose(&self, change: MembershipChange) -> Result<MembershipRecord, ProposeRefused> {
        if self.me_gone() {
            return Err(ProposeRefused::MeGone);
        }
        if !self.members().contains(&self.me) {
            return Err(ProposeRefused::MeNotMember);
        }
        let tip = self.current();
        match &change {
            MembershipChange::Join { region } => self.check_join(region)?,
            MembershipChange::Evict { gone } => self.check_evict(gone, tip)?,
        }
        self.check_unknown(&change)?;
        let unfinished =
            self.unfinished().filter(|_| matches!(change, MembershipChange::Join { .. }));
        for under_way in tip.into_iter().chain(unfinished) {
            check_under_way(under_way, &change)?;
        }
        Ok(MembershipRecord::Propose { previous: tip.map(|tip| tip.id.clone()), change })
    }

    fn check_join(&self, region: &RegionId) -> Result<(), ProposeRefused> {
        let members = self.members();
        let region = region.clone();
        if self.is_used(&region) {
            let next = self.next_incarnation(&region);
            return Err(ProposeRefused::Used { region, next });
        }
        if let Some(old) = members.iter().find(|member| member.name() == region.name()) {
            return Err(ProposeRefused::OldIncarnation { region, old: old.clone() });
        }
        if members.len() >= REGIONS_MAX { Err(ProposeRefused::Full) } else { Ok(()) }
    }

    fn check_evict(
        &self,
        gone: &BTreeSet<RegionId>,
        tip: Option<&MembershipView>,
    ) -> Result<(), ProposeRefused> {
        if gone.is_empty() {
            return Err(ProposeRefused::Nobody);
        }
        if gone.contains(&self.me) {
            return Err(ProposeRefused::Myself);
        }
        let members = self.members();
        let unfinished = tip.filter(|tip| tip.state != MembershipState::Complete);
        let known = |region: &RegionId| {
            members.contains(region) || unfinished.is_some_and(|tip| tip.change.names(region))
        };
        match gone.iter().find(|region| !known(region)) {
            Some(region) => Err(ProposeRefused::NotMember { region: region.clone() }),
            None => Ok(()),
        }
    }

    /// What is spoken of but not here would win against a change that is proposed in ignorance of
    /// it. It is waited for, unless all that have it are to be evicted.
    fn check_unknown(&self, change: &MembershipChange) -> Result<(), ProposeRefused> {
        let fenced = self.fenced();
        let under_way = self.folded.unknown.iter().find(|(id, by)| {
            let source = &id.0.region;
            let unreadable = fenced.contains(source) || self.is_evicted(source);
            let evicted = change.evicts(source) && by.iter().all(|by| change.evicts(by));
            !unreadable && !evicted
        });
        match under_way {
            Some((id, _)) => Err(ProposeRefused::NotHereYet { id: id.clone() }),
            None => Ok(()),
        }
    }

    fn is_used(&self, region: &RegionId) -> bool {
        let won = self.folded.won.as_ref().and_then(|won| self.folded.nodes.get(won));
        won.map_or(&self.configured, |won| &won.used).contains(region)
    }

    /// The incarnation after the last one that anyone ever spoke of.
    fn next_incarnation(&self, region: &RegionId) -> RegionId {
        let joined = self.nodes().filter_map(|node| match &node.view.change {
            MembershipChange::Join { region } => Some(region),
            MembershipChange::Evict { .. } => None,
        });
        let known = self.configured.iter().chain(joined).chain([region]);
        let last = known.filter(|r| r.name() == region.name()).map(RegionId::incarnation).max();
        let next = last.unwrap_or(1).saturating_add(1);
        RegionId::with_incarnation(region.name(), next).unwrap_or_else(|_| region.clone())
    }
}

fn check_under_way(tip: &MembershipView, change: &MembershipChange) -> Result<(), ProposeRefused> {
    let waits_for = |region| tip.participants.contains(region) && !tip.accepted.contains(region);
    let allowed = match (tip.state, change) {
        (MembershipState::Complete, _) => true,
        (MembershipState::Agreed, _) => change.undoes(&tip.change),
        (_, MembershipChange::Join { .. }) => false,
        (_, MembershipChange::Evict { gone }) => {
            change.undoes(&tip.change) && gone.iter().any(waits_for)
        }
    };
    if allowed {
        return Ok(());
    }
    let must = match &tip.change {
        MembershipChange::Join { region } => BTreeSet::from([region.clone()]),
        MembershipChange::Evict { gone } => gone.clone(),
    };
    Err(ProposeRefused::UnderWay { id: tip.id.clone(), state: tip.state, must })
}
