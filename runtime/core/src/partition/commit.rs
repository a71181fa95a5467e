//! What a batch leaves to be done, as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::repair::Recounted;
use crate::{
    ChangeId, ChangeRecord, ConflictRecord, Divergence, DivergenceWrite, Heartbeat, Held, Hlc,
    HostFault, Link, LinkCounters, OwnCounters, PassOn, RegionId, Row, RowKey, RowState,
    TableDigest, TableName, VersionVector,
};

/// Gives a partition its rows: from a cache, else from the store as of the last commit.
pub trait Rows {
    /// The row; an empty one where nothing is kept of it. What is changed in it stays changed until
    /// the partition is restored.
    fn row(&mut self, key: &RowKey) -> Result<&mut Row, LoadError>;
}

/// The store could not give what it holds. The partition must be restored before it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("read row {row}: {reason}")]
pub struct LoadError {
    /// The row.
    pub row: RowKey,
    /// Why, in the store's words.
    pub reason: String,
}

/// A row's state to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowWrite {
    /// Write it.
    Put(RowState),
    /// Nothing is kept of the row any more.
    Forget,
}

/// A change of a row's history to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryWrite {
    /// Keep it.
    Put(Arc<Held>),
    /// It fell below the floor.
    Drop(ChangeId),
}

/// A waiting change to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingWrite {
    /// It waits.
    Put(ChangeRecord),
    /// It waits no longer.
    Drop(RowKey, ChangeId),
}

/// A note in the conflict log to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConflictWrite {
    /// It is resolved.
    Resolved(ConflictRecord),
    /// The row waits in this conflict; the note replaces an earlier one of the row.
    Waits(ConflictRecord),
    /// The row waits no longer.
    WaitsNoLonger(RowKey),
}

/// What a partition keeps besides rows, history, waiting changes, outbox and conflicts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PartitionMeta {
    /// This region's last change here.
    pub own_change: Hlc,
    /// This region's last heartbeat here.
    pub own_heartbeat: Hlc,
    /// Every region has taken this region's changes up to here.
    pub confirmed: Hlc,
    /// How many there were.
    pub own: OwnCounters,
    /// For each region up to where all its changes are applied here.
    pub watermarks: VersionVector,
    /// For each region up to where all its changes are applied everywhere. Never goes back.
    pub stable: VersionVector,
    /// The others' chains.
    pub links: Vec<(RegionId, Link)>,
    /// For each region whose log is read, where to go on reading.
    pub positions: Vec<(RegionId, u64)>,
}

impl PartitionMeta {
    /// What a region that joins as `me` begins with, taken over from `donor`, which has this: the
    /// donor's own chain becomes one that is read, and its own is empty. Counters begin anew.
    pub fn for_joiner(&self, donor: &RegionId, me: &RegionId) -> Self {
        let of_donor =
            Link { taken: self.own_change, heartbeat: self.own_heartbeat, ..Link::default() };
        let others = self.links.iter().filter(|(region, _)| region != me);
        let others = others.map(|(region, link)| {
            (region.clone(), Link { counters: LinkCounters::default(), ..*link })
        });
        let mut watermarks = self.watermarks.clone();
        watermarks.raise(donor, self.own_change.max(self.own_heartbeat));
        Self {
            watermarks,
            stable: self.stable.clone(),
            links: others.chain([(donor.clone(), of_donor)]).collect(),
            positions: self.positions.clone(),
            ..Self::default()
        }
    }
}

/// How a partition stands, for those who count the regions.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PartitionStanding {
    /// The others' chains.
    pub links: BTreeMap<RegionId, Link>,
    /// For each region up to where all its changes are applied here.
    pub watermarks: VersionVector,
    /// For each region up to where all its changes are applied everywhere.
    pub stable: VersionVector,
}

/// Something that people should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A region contradicts what it said before; its link has stopped.
    Fork {
        /// The region.
        region: RegionId,
        /// The record.
        hlc: Hlc,
    },
    /// A merge function could not be asked; the row's newest changes wait.
    MergeWaits {
        /// The row.
        row: RowKey,
        /// Why.
        fault: HostFault,
    },
    /// A change is given up, here and everywhere, as it builds on one that went with a region.
    BuildsOnTheLost {
        /// The row.
        row: RowKey,
        /// The change.
        change: ChangeId,
    },
    /// This region and another hold what cannot be both right.
    Divergence(Box<Divergence>),
}

/// All that a batch changed. The crate's documentation says what must be durable before what.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The partition.
    pub partition: u32,
    /// Rows, each once.
    pub rows: Vec<(RowKey, RowWrite)>,
    /// History, by row.
    pub history: Vec<(RowKey, HistoryWrite)>,
    /// Waiting changes.
    pub waiting: Vec<WaitingWrite>,
    /// This region's new changes, to be kept in the outbox and produced once synced.
    pub outbox: Vec<ChangeRecord>,
    /// The outbox may forget this region's changes up to here.
    pub confirmed: Option<Hlc>,
    /// The conflict log.
    pub conflicts: Vec<ConflictWrite>,
    /// Digests of the tables whose rows in this partition changed; of none, nothing is to be kept.
    pub digests: Vec<(TableName, TableDigest)>,
    /// Divergences to be kept, or kept no longer.
    pub divergences: Vec<DivergenceWrite>,
    /// What a table's rows come to, once all were counted.
    pub recounted: Option<Recounted>,
    /// All else that is kept.
    pub meta: PartitionMeta,
    /// To be produced once synced, after the changes up to its `prev`.
    pub heartbeat: Option<Heartbeat>,
    /// What is in the outbox above this is to be produced again.
    pub resend_after: Option<Hlc>,
    /// Raw changes of regions that are gone, to be produced for those who lack them.
    pub pass_on: Vec<PassOn>,
    /// For each region up to where the raw changes that were kept of it are needed no more.
    pub needless: Vec<(RegionId, Hlc)>,
    /// What people should know.
    pub alarms: Vec<Alarm>,
}

impl Commit {
    /// True if a sync must come before anything is produced or acknowledged.
    pub fn needs_sync(&self) -> bool {
        !self.outbox.is_empty() || self.heartbeat.is_some()
    }
}
