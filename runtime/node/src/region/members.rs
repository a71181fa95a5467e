//! Which regions there are, for those who ask; and what they ask for.

use std::collections::BTreeSet;

use syncline_core::{
    Membership, MembershipChange, MembershipState, MembershipView, ProposeRefused, RegionId,
};
use thiserror::Error;

use super::startup::Awaited;

/// Which regions there are, as of the control partition's last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// All that have agreed on each other.
    pub members: BTreeSet<RegionId>,
    /// Those that are waited for before anything is dropped: members, and those that come or go.
    pub counted: BTreeSet<RegionId>,
    /// Every change that was proposed, the earliest first.
    pub changes: Vec<MembershipView>,
    /// This region takes writes.
    pub may_write: bool,
    /// Others say that this region is gone.
    pub me_gone: bool,
    /// The region that may take over what this one has.
    pub admits: Option<RegionId>,
}

impl Members {
    pub(super) fn of(membership: &Membership) -> Self {
        Self {
            members: membership.members(),
            counted: membership.counted(),
            changes: membership.iter().cloned().collect(),
            may_write: membership.may_write(),
            me_gone: membership.me_gone(),
            admits: membership.to_admit().cloned(),
        }
    }

    /// The changes that are not carried out yet.
    pub fn under_way(&self) -> impl Iterator<Item = &MembershipView> {
        self.changes
            .iter()
            .filter(|view| matches!(view.state, MembershipState::Open | MembershipState::Agreed))
    }
}

/// Whom a change waits for: those who have to answer it, and then those who have to carry it out.
pub fn waits_for(view: &MembershipView) -> BTreeSet<RegionId> {
    let asked = match (view.state, &view.change) {
        (MembershipState::Open, _) => {
            return view.participants.difference(&view.accepted).cloned().collect();
        }
        (MembershipState::Agreed, MembershipChange::Join { region }) => {
            BTreeSet::from([region.clone()])
        }
        (MembershipState::Agreed, MembershipChange::Evict { .. }) => view.participants.clone(),
        (MembershipState::Complete | MembershipState::Dead, _) => BTreeSet::new(),
    };
    asked.difference(&view.done).cloned().collect()
}

/// A change that was asked for.
#[derive(Clone, Debug)]
pub struct Proposed {
    /// The change.
    pub view: MembershipView,
    /// It was under way already.
    pub known: bool,
}

/// What would happen if a change was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The change.
    pub change: MembershipChange,
    /// Who would have to accept it.
    pub participants: BTreeSet<RegionId>,
    /// The members after it.
    pub members: BTreeSet<RegionId>,
}

impl Plan {
    pub(super) fn of(membership: &Membership, change: MembershipChange) -> Self {
        let mut members = membership.members();
        let participants = match &change {
            MembershipChange::Join { region } => {
                let participants = members.clone();
                members.insert(region.clone());
                participants
            }
            MembershipChange::Evict { gone } => {
                members.retain(|region| !gone.contains(region));
                members.clone()
            }
        };
        Self { change, participants, members }
    }
}

/// Why a change was not proposed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// It makes no sense here, or not now.
    #[error(transparent)]
    Refused(#[from] ProposeRefused),
    /// The region could not be read.
    #[error(
        "this region's configuration has no cluster for {region}: add [regions.{name}] with \
         bootstrap_servers and joins = true to the configuration of every member, and start them \
         again", name = region.name()
    )]
    NoCluster {
        /// The region that was to join.
        region: RegionId,
    },
    /// The region that proposes a join gives the new one its data.
    #[error(
        "this region has several nodes, none of which has all that {region} would have to take over: \
         propose the join in a region of one node"
    )]
    SeveralNodes {
        /// The region that was to join.
        region: RegionId,
    },
    /// The clock gives no more timestamps.
    #[error("the clock has reached its end")]
    ClockExhausted,
    /// The store failed.
    #[error("{0}")]
    Store(String),
    /// The region has just started.
    #[error("the region is starting, and waits to hear: {awaited}")]
    Starting {
        /// What it waits for.
        awaited: Awaited,
    },
    /// The region stops.
    #[error("the region is stopping")]
    Stopping,
}
