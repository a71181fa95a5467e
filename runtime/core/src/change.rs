//! Changes and heartbeats: what a region tells the others about a partition.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::id::InvalidId;
use crate::{ChangeId, Evidence, FunctionVersion, Hlc, Image, RegionId, RowKey, VersionVector};

/// A context or a list of watermarks may name this many regions: 64 regions, and room for earlier
/// incarnations of each.
const VECTOR_ENTRIES_MAX: usize = 256;

/// What a write did to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// There was no row.
    Insert,
    /// There was a row, and still is.
    Update,
    /// There is no row any more.
    Delete,
}

impl Operation {
    /// Of a write that found `before` and left `after`.
    pub fn of(before: Option<&Image>, after: Option<&Image>) -> Self {
        match (before, after) {
            (_, None) => Self::Delete,
            (None, Some(_)) => Self::Insert,
            (Some(_), Some(_)) => Self::Update,
        }
    }
}

/// How conflicts that a change is the newest head of are resolved: the function that its origin
/// used for the table when the change was made. It travels with the change, so that a conflict has
/// one outcome everywhere at every moment of a rollout.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stamp {
    /// Built in, and the default: the newest head wins.
    Lww,
    /// A merge function.
    Function(FunctionVersion),
}

impl Stamp {
    /// The function's version; none where the newest head wins.
    pub fn function(self) -> Option<FunctionVersion> {
        match self {
            Self::Lww => None,
            Self::Function(version) => Some(version),
        }
    }
}

impl From<FunctionVersion> for Stamp {
    fn from(version: FunctionVersion) -> Self {
        Self::Function(version)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lww => f.write_str("lww"),
            Self::Function(version) => write!(f, "{version}"),
        }
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Stamp {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == "lww" { Ok(Self::Lww) } else { text.parse().map(Self::Function) }
    }
}

/// One local write of one region to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who made it, and when.
    pub id: ChangeId,
    /// What its author had seen of the row.
    pub context: VersionVector,
    /// What it did.
    pub operation: Operation,
    /// The image that its author saw. For readers, never an input of a fold.
    pub before: Option<Image>,
    /// The image that it left.
    pub after: Option<Image>,
    /// The function of its origin at that time.
    pub stamp: Stamp,
}

/// A change as it travels: with its row and its place in its region's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The row.
    pub row: RowKey,
    /// The change.
    pub change: Change,
    /// The HLC of its region's previous change in the partition; zero before the first.
    pub prev: Hlc,
}

/// What no region that follows the rules would send, whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum Malformed {
    #[error("the HLC is zero")]
    ZeroHlc,
    #[error("prev {prev} is not before the HLC {hlc}")]
    Prev { prev: Hlc, hlc: Hlc },
    #[error("the context names {region}@{hlc}, which is not before the change itself")]
    ContextAhead { region: RegionId, hlc: Hlc },
    #[error("the operation does not fit the images")]
    Operation,
    #[error("{entries} regions in one vector, the limit is {VECTOR_ENTRIES_MAX}")]
    VectorTooLarge { entries: usize },
    #[error("the part of a component does not fit its whole")]
    Chunk,
    #[error("a membership record names {found} {what}, the limit is {max}")]
    Membership { what: &'static str, found: usize, max: usize },
    #[error("a rollout record has {0}")]
    Rollout(&'static str),
    #[error("a heartbeat tells of more than {max} {what}")]
    Evidence { what: &'static str, max: usize },
}

impl ChangeRecord {
    /// Checks what can be checked without any state. A record that fails is quarantined, in every
    /// region alike.
    pub fn check(&self) -> Result<(), Malformed> {
        let Change { id, context, operation, after, .. } = &self.change;
        check_chain(id.hlc, self.prev)?;
        check_size(context)?;
        // A clock runs ahead of all that its region has seen.
        if let Some((region, hlc)) = context.iter().find(|(_, hlc)| *hlc >= id.hlc) {
            return Err(Malformed::ContextAhead { region: region.clone(), hlc });
        }
        if (*operation == Operation::Delete) != after.is_none() {
            return Err(Malformed::Operation);
        }
        Ok(())
    }
}

/// What a region says of itself once a second, to each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The region that speaks.
    pub region: RegionId,
    /// An HLC of its own: all the region's changes up to here stand before this heartbeat.
    pub hlc: Hlc,
    /// The HLC of the region's last change in the partition.
    pub prev: Hlc,
    /// For each region up to which HLC all its changes are applied there.
    pub watermarks: VersionVector,
    /// For each region the last change of it that is applied or waits on disk there.
    pub taken: VersionVector,
    /// What others compare with what they have; nothing in the control partition.
    pub evidence: Evidence,
    /// What the region's wall clock showed, in milliseconds since 1970. `hlc` is later where the region
    /// has heard of later ones, and earlier where it does not believe its clock.
    pub wall_ms: u64,
}

impl Heartbeat {
    /// As [`ChangeRecord::check`].
    pub fn check(&self) -> Result<(), Malformed> {
        check_chain(self.hlc, self.prev)?;
        check_size(&self.watermarks)?;
        check_size(&self.taken)?;
        self.evidence.check()
    }
}

pub(crate) fn check_chain(hlc: Hlc, prev: Hlc) -> Result<(), Malformed> {
    if hlc.is_zero() {
        Err(Malformed::ZeroHlc)
    } else if prev >= hlc {
        Err(Malformed::Prev { prev, hlc })
    } else {
        Ok(())
    }
}

pub(crate) fn check_size(vector: &VersionVector) -> Result<(), Malformed> {
    match vector.len() {
        entries if entries > VECTOR_ENTRIES_MAX => Err(Malformed::VectorTooLarge { entries }),
        _ => Ok(()),
    }
}
