//! Records in quarantine, when somebody comes back to them: read once more, or dropped.
//!
//! A record that is replayed goes the way of one that is read now: the same intake, the same
//! partition's turn, the same chain; and it is counted as one that is read now. It moves no reading
//! position, and where it stands in its log is not asked again.

use syncline_bus::{BadFrame, Envelope, Item, Lane};
use syncline_core::{CONTROL_PARTITION, ChangeId, ChangeVerdict, Received, RowKey};
use syncline_store::Batch;
use syncline_store::kv::quarantine::{self, QuarantineId, Quarantined};
use thiserror::Error;

use crate::{Site, Sorted};

/// What is asked for a record in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptWork {
    /// The record.
    pub id: QuarantineId,
    /// What is to be done.
    pub action: KeptAction,
}

/// What can be done with a record in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptAction {
    /// Read it once more.
    Replay,
    /// Drop what is kept of it. What it may have stood for keeps its place in the chain.
    Drop,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptDone {
    /// No such record is kept.
    NotKept,
    /// What was kept of it is gone.
    Dropped,
    /// It was read once more.
    Replayed(Replayed),
    /// It cannot be read once more; nothing is changed by having tried.
    Refused(ReplayRefused),
}

/// What reading a record once more came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is applied.
    Applied,
    /// It is taken, and waits for what it builds on, or for a merge function.
    Waiting,
    /// It was known already.
    Duplicate,
    /// It is beyond the end of a region that is gone, or builds on what is lost with one: it is
    /// applied nowhere.
    Dropped,
    /// One before it is missing: it is not taken, and will be sent again by its region.
    Gap,
    /// It still cannot be read.
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a record cannot be read once more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplayRefused {
    /// Not all of it is kept.
    #[error("only the first {kept} of its {bytes} bytes are kept")]
    Truncated {
        /// How many are.
        kept: usize,
        /// How many it has.
        bytes: u64,
    },
    /// It was damaged in the log.
    #[error("it was damaged in the log, so what it said is not known")]
    Damaged,
    /// Its key or a header is no text.
    #[error("its key or a header is not UTF-8, so no region has made it")]
    NoText,
    /// Only newer software understands it.
    #[error("it speaks version {version} of the format, which this software does not")]
    NewerVersion {
        /// The version.
        version: u64,
    },
    /// Taking it would stop the link.
    #[error("it contradicts what its region said later")]
    Contradicts,
    /// Nothing is taken from this log.
    #[error("the region in whose log it stands is being evicted, or is gone")]
    SourceGone,
}

impl Replayed {
    /// True if nothing is to be kept of the record any more.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Applied | Self::Waiting | Self::Duplicate => true,
            Self::Dropped | Self::Gap | Self::Unreadable { .. } => false,
        }
    }
}

impl KeptDone {
    pub(crate) fn of(replayed: Result<Replayed, ReplayRefused>) -> Self {
        replayed.map_or_else(Self::Refused, Self::Replayed)
    }
}

/// A record in quarantine that a turn is about, until the turn is committed.
pub(crate) struct Handled {
    kept: Option<Quarantined>,
    /// The change that was taken.
    change: Option<(RowKey, ChangeId)>,
    pub(crate) done: KeptDone,
}

impl Handled {
    pub(crate) fn none() -> Self {
        Self { kept: None, change: None, done: KeptDone::NotKept }
    }

    pub(crate) fn new(kept: Quarantined, done: KeptDone) -> Self {
        Self { kept: Some(kept), change: None, done }
    }

    /// It stood for this change, which is taken.
    pub(crate) fn of_change(mut self, row: RowKey, change: ChangeId) -> Self {
        self.change = Some((row, change));
        self
    }

    pub(crate) fn is_of(&self, change: &ChangeId) -> bool {
        self.change.as_ref().is_some_and(|(_, own)| own == change)
    }

    /// With the turn's commit nothing is kept of the record with this id any more.
    pub(crate) fn lets_go_of(&self, id: &QuarantineId) -> bool {
        let settled = match &self.done {
            KeptDone::Dropped => true,
            KeptDone::Replayed(replayed) => replayed.is_settled(),
            KeptDone::NotKept | KeptDone::Refused(_) => false,
        };
        settled && self.kept.as_ref().is_some_and(|kept| kept.id == *id)
    }

    /// With the turn's commit, the copy goes or stays. `lost`: the change was given up in this turn.
    pub(crate) fn end(
        &mut self,
        disk: &mut Batch,
        lost: bool,
        waits: impl FnOnce(&RowKey, &ChangeId) -> bool,
    ) {
        if let Some((row, change)) = &self.change {
            self.done = KeptDone::Replayed(match (lost, waits(row, change)) {
                (true, _) => Replayed::Dropped,
                (false, true) => Replayed::Waiting,
                (false, false) => Replayed::Applied,
            });
        }
        let Some(kept) = &mut self.kept else { return };
        match &self.done {
            KeptDone::Dropped => quarantine::delete(disk, &kept.id),
            KeptDone::Replayed(replayed) if replayed.is_settled() => {
                quarantine::delete(disk, &kept.id);
            }
            KeptDone::Replayed(Replayed::Unreadable { reason }) => {
                kept.reason.clone_from(reason);
                quarantine::put(disk, kept);
            }
            KeptDone::Replayed(_) | KeptDone::NotKept | KeptDone::Refused(_) => {}
        }
    }
}

/// What a kept record says, read as if it stood in its log now.
pub(crate) fn read_again<S>(site: &Site<S>, kept: &Quarantined) -> Result<Sorted, ReplayRefused> {
    if kept.is_truncated() {
        return Err(ReplayRefused::Truncated { kept: kept.raw.len(), bytes: kept.raw_bytes });
    }
    if !kept.whole {
        return Err(ReplayRefused::Damaged);
    }
    let envelope = Envelope::from_bytes(&kept.raw).map_err(|bad| match bad {
        BadFrame::NotUtf8(_) => ReplayRefused::NoText,
        _ => ReplayRefused::Damaged,
    })?;
    let lane = match kept.id.partition {
        CONTROL_PARTITION => Lane::Control,
        partition => Lane::Changes(partition),
    };
    let sorted = site.intake(&kept.id.source).sort(lane, Item::Record(envelope));
    sorted.map_err(|version| ReplayRefused::NewerVersion { version })
}

/// What a change that is replayed came to, by its place in the chain before, and how it was
/// received. Whether one that is taken waits shows at the end of the turn.
pub(crate) fn outcome(
    judged: Option<ChangeVerdict>,
    received: Received,
) -> Result<Replayed, ReplayRefused> {
    match received {
        Received::Taken | Received::Heartbeat => Ok(Replayed::Applied),
        Received::Known if judged == Some(ChangeVerdict::Duplicate) => Ok(Replayed::Duplicate),
        Received::Known => Ok(Replayed::Dropped),
        Received::Gap => Ok(Replayed::Gap),
        Received::Fork => Err(ReplayRefused::Contradicts),
        Received::Stopped => Err(ReplayRefused::SourceGone),
        Received::Foreign => Ok(Replayed::Unreadable { reason: crate::intake::FOREIGN.into() }),
    }
}
