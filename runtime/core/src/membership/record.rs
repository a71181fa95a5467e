//! What regions tell each other about who is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::change::check_size;
use crate::planted::{self, Bug};
use crate::{ChangeId, Hlc, Malformed, RegionId, VersionVector};

/// So many regions may be counted at once. Every version vector has an entry for each of them, and
/// for earlier incarnations.
pub const REGIONS_MAX: usize = 64;

/// The row partitions, of which there are 1,024 at most.
const ROW_PARTITIONS_MAX: usize = 1024;

/// The row partitions and the control partition.
const PARTITIONS_MAX: usize = ROW_PARTITIONS_MAX + 1;

/// A membership change's identity: that of the record that proposes it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MembershipId(pub ChangeId);

impl fmt::Display for MembershipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.event_id())
    }
}

/// How far a region that is gone was read in one partition. Zero where nothing was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cut {
    /// Its last change taken.
    pub taken: Hlc,
    /// Its last heartbeat taken.
    pub heartbeat: Hlc,
}

impl Cut {
    /// Up to where its changes are all taken.
    pub fn reached(&self) -> Hlc {
        self.taken.max(self.heartbeat)
    }

    /// Becomes the later of both, in changes and in heartbeats.
    pub fn join(&mut self, other: &Self) {
        if planted::is(Bug::CutIsMinimum) && !self.taken.is_zero() {
            self.taken = self.taken.min(other.taken);
            return;
        }
        self.taken = self.taken.max(other.taken);
        self.heartbeat = self.heartbeat.max(other.heartbeat);
    }
}

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// A region is to be counted.
    Join {
        /// The region, in an incarnation that was never counted.
        region: RegionId,
    },
    /// Regions are gone: they are read only up to a cut, and then no longer counted.
    Evict {
        /// All that are gone; the other members are the survivors.
        gone: BTreeSet<RegionId>,
    },
}

impl MembershipChange {
    /// True if this takes back all that `below` brings, so that it makes no difference to who is
    /// left whether `below` is agreed on or not.
    pub(super) fn undoes(&self, below: &Self) -> bool {
        match (self, below) {
            (Self::Join { .. }, _) => false,
            (Self::Evict { gone }, Self::Join { region }) => gone.contains(region),
            (Self::Evict { gone }, Self::Evict { gone: earlier }) => gone.is_superset(earlier),
        }
    }

    /// True if it says that the region is gone.
    pub(super) fn evicts(&self, region: &RegionId) -> bool {
        matches!(self, Self::Evict { gone } if gone.contains(region))
    }

    /// True if it is about the region.
    pub(super) fn names(&self, region: &RegionId) -> bool {
        match self {
            Self::Join { region: joiner } => joiner == region,
            Self::Evict { gone } => gone.contains(region),
        }
    }
}

/// What a participant did before it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipAnswer {
    /// To a join: the region counts the new one.
    Counted {
        /// Its stable vector of that moment, by row partition.
        stable: Vec<VersionVector>,
    },
    /// To an eviction: the region reads those that are gone no more.
    Fenced {
        /// What it had of each of them, by row partition, the control partition last.
        last: BTreeMap<RegionId, Vec<Cut>>,
    },
}

impl MembershipAnswer {
    pub(super) fn answers(&self, change: &MembershipChange) -> bool {
        matches!(
            (self, change),
            (Self::Counted { .. }, MembershipChange::Join { .. })
                | (Self::Fenced { .. }, MembershipChange::Evict { .. })
        )
    }
}

/// What a region says of who is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipRecord {
    /// A change is proposed. Its identity is this record's.
    Propose {
        /// The change that this one stands on; none for the regions configured at the start.
        previous: Option<MembershipId>,
        /// The change.
        change: MembershipChange,
    },
    /// The region has done its part, and holds to it unless the change dies.
    Accept {
        /// The change that is answered.
        change: MembershipId,
        /// What the region did.
        answer: MembershipAnswer,
    },
    /// The region holds to another change.
    Refuse {
        /// The change that is answered.
        change: MembershipId,
        /// The other change.
        bound_to: MembershipId,
    },
    /// Of an eviction: all up to the cut is taken here, and the gone are no longer counted. Of a
    /// join, by the new region: it has applied all that it must have before it writes.
    Done {
        /// The change.
        change: MembershipId,
    },
}

impl MembershipRecord {
    /// The change that is answered; none of a proposal.
    pub(super) fn about(&self) -> Option<&MembershipId> {
        match self {
            Self::Propose { .. } => None,
            Self::Accept { change, .. } | Self::Refuse { change, .. } | Self::Done { change } => {
                Some(change)
            }
        }
    }

    /// The change that whoever said this has the proposal of. A refusal may be blind.
    pub(super) fn knows(&self) -> Option<&MembershipId> {
        match self {
            Self::Propose { previous, .. } => previous.as_ref(),
            Self::Refuse { bound_to, .. } => Some(bound_to),
            Self::Accept { change, .. } | Self::Done { change } => Some(change),
        }
    }

    /// Checks what can be checked without any state.
    ///
    /// # Errors
    ///
    /// Where a list is longer than that of any region that follows the rules.
    pub fn check(&self) -> Result<(), Malformed> {
        match self {
            Self::Propose { change: MembershipChange::Evict { gone }, .. } => {
                limit("regions", gone.len(), REGIONS_MAX)
            }
            Self::Accept { answer: MembershipAnswer::Counted { stable }, .. } => {
                limit("row partitions", stable.len(), ROW_PARTITIONS_MAX)?;
                stable.iter().try_for_each(check_size)
            }
            Self::Accept { answer: MembershipAnswer::Fenced { last }, .. } => {
                limit("regions", last.len(), REGIONS_MAX)?;
                let mut lists = last.values();
                lists.try_for_each(|cuts| limit("partitions", cuts.len(), PARTITIONS_MAX))
            }
            Self::Propose { change: MembershipChange::Join { .. }, .. }
            | Self::Refuse { .. }
            | Self::Done { .. } => Ok(()),
        }
    }
}

fn limit(what: &'static str, found: usize, max: usize) -> Result<(), Malformed> {
    if found > max { Err(Malformed::Membership { what, found, max }) } else { Ok(()) }
}
