//! One partition in one region: takes what others send and what clients write, applies it, and says
//! what must be written, synced and sent.
//!
//! A partition belongs to one thread. Work comes in batches: records, writes, at last perhaps a
//! heartbeat, and the [`Commit`] that they come to.

mod advance;
mod batch;
mod commit;
mod repair;
mod settle;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

pub use batch::{Batch, Precondition, WriteRefused, Written};
pub use commit::{
    Alarm, Commit, ConflictWrite, HistoryWrite, LoadError, PartitionMeta, PartitionStanding,
    RowWrite, Rows, WaitingWrite,
};
pub use repair::{Recounted, RowRepair, Suspect};

use crate::chain::Chains;
use crate::divergence::Comparing;
use crate::planted::{self, Bug};
use crate::{
    Behind, ChangeId, ChangeRecord, Divergence, EngineName, Hlc, HostFault, Link, LinkState,
    MergeFunctions, OwnCounters, RegionId, Routes, RowKey, StateDigest, TableDigest, TableName,
    VersionVector,
};
use repair::Recount;
use waiting::WaitingChanges;

/// What a partition is told when it starts, and its limits.
#[derive(Clone, Debug)]
pub struct PartitionSetup {
    /// Which partition.
    pub partition: u32,
    /// This region.
    pub region: RegionId,
    /// All regions, this one included, of a partition that was never committed.
    pub regions: Vec<RegionId>,
    /// Local writes are refused while this many changes are not confirmed by every region.
    pub outstanding_max: usize,
    /// A link with this many waiting changes is not read.
    pub waiting_per_link_max: usize,
}

/// What a partition was when it was last committed.
#[derive(Clone, Debug, Default)]
pub struct PartitionSnapshot {
    /// As committed.
    pub meta: PartitionMeta,
    /// The HLCs of the changes in the outbox, in order.
    pub outbox: Vec<Hlc>,
    /// The waiting changes.
    pub waiting: Vec<ChangeRecord>,
    /// For each row with history the first change of each region.
    pub unsettled: Vec<(RowKey, Vec<ChangeId>)>,
    /// The digests of this partition's part of the tables.
    pub digests: Vec<(TableName, TableDigest)>,
    /// What was found to differ elsewhere.
    pub divergences: Vec<Divergence>,
}

/// One partition in one region.
#[derive(Clone, Debug)]
pub struct Partition {
    setup: PartitionSetup,
    chains: Chains,
    /// Local writes are taken; as the control records had it when the partition was last aligned.
    may_write: bool,
    watermarks: VersionVector,
    stable: VersionVector,
    positions: BTreeMap<RegionId, u64>,
    waiting: WaitingChanges,
    /// For each row with history the first change of each region.
    unsettled: BTreeMap<RowKey, Vec<ChangeId>>,
    /// Rows that stable has reached something of since they were last settled.
    to_settle: BTreeSet<RowKey>,
    digests: BTreeMap<TableName, TableDigest>,
    comparing: Comparing,
    /// A table whose rows are being counted.
    recount: Option<Recount>,
}

impl Partition {
    /// A partition as it was last committed; of a new one the snapshot is empty.
    pub fn restore(setup: PartitionSetup, snapshot: PartitionSnapshot) -> Self {
        let PartitionSnapshot { meta, outbox, waiting, unsettled, digests, divergences } = snapshot;
        let known = divergences.into_iter().filter(|_| !planted::is(Bug::DivergenceInMemory));
        let comparing = Comparing::restore(setup.region.clone(), setup.partition, known.collect());
        let chains = Chains::restore(setup.region.clone(), &setup.regions, &meta, outbox);
        let mut partition = Self {
            setup,
            chains,
            may_write: true,
            watermarks: meta.watermarks,
            stable: meta.stable,
            positions: meta.positions.into_iter().collect(),
            waiting: WaitingChanges::default(),
            to_settle: unsettled.iter().map(|(row, _)| row.clone()).collect(),
            unsettled: unsettled
                .into_iter()
                .filter(|_| !planted::is(Bug::UnsettledForgotten))
                .collect(),
            digests: digests.into_iter().filter(|(_, d)| *d != TableDigest::default()).collect(),
            comparing,
            recount: None,
        };
        for record in waiting {
            partition.waiting.restore(record);
        }
        partition
    }

    /// The same, where not every region is heard in its own log.
    #[must_use]
    pub fn with_routes(mut self, routes: Routes) -> Self {
        self.chains.routes = routes;
        self
    }

    /// The same, where merge functions run on this engine.
    #[must_use]
    pub fn with_engine(mut self, engine: Option<EngineName>) -> Self {
        self.comparing.set_engine(engine);
        self
    }

    /// Starts a batch. `rows` and `functions` are asked as needed; `now_ms`, milliseconds since
    /// 1970, goes into the conflict log and nowhere else.
    pub fn batch<'a>(
        &'a mut self,
        rows: &'a mut dyn Rows,
        functions: &'a dyn MergeFunctions,
        now_ms: u64,
    ) -> Batch<'a> {
        Batch::new(self, rows, functions, now_ms)
    }

    /// Which partition.
    pub fn number(&self) -> u32 {
        self.setup.partition
    }

    /// The highest HLC in the partition, of any region: a clock must start above it.
    pub fn highest_hlc(&self) -> Hlc {
        let marks = self.watermarks.iter().map(|(_, hlc)| hlc).max().unwrap_or_default();
        self.chains.highest().max(marks)
    }

    /// Where to go on reading a region's log.
    pub fn position(&self, source: &RegionId) -> Option<u64> {
        self.positions.get(source).copied()
    }

    /// False while a region's log is not to be read: so much of its changes waits, or it is being
    /// evicted. A log that others are heard through is read all the same, and all logs are while
    /// changes of a region that is gone are still to come; of a full link nothing is taken then.
    pub fn takes_from(&self, region: &RegionId) -> bool {
        let link = self.chains.links.get(region);
        link.is_some_and(|link| link.state == LinkState::Live)
            && (!self.is_full(region) || self.chains.reads_full(region))
    }

    /// True while a change of a region is missing that what was read last of it stands behind. It is
    /// sent again.
    pub fn lacks_of(&self, region: &RegionId) -> bool {
        self.chains.lacks_of(region)
    }

    fn is_full(&self, region: &RegionId) -> bool {
        self.waiting.count_of(region) >= self.setup.waiting_per_link_max
    }

    /// For each region up to where all its changes are applied here.
    pub fn watermarks(&self) -> &VersionVector {
        &self.watermarks
    }

    /// For each region up to where all its changes are applied everywhere.
    pub fn stable(&self) -> &VersionVector {
        &self.stable
    }

    /// For each region the last change taken of it.
    pub fn taken(&self) -> VersionVector {
        self.chains.taken()
    }

    /// What is known of each other region's chain, and how many of its changes wait.
    pub fn links(&self) -> impl Iterator<Item = (&RegionId, &Link, usize)> {
        self.chains.links.iter().map(|(region, link)| (region, link, self.waiting.count_of(region)))
    }

    /// How many changes wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many changes of one row wait.
    pub fn waiting_of_row(&self, row: &RowKey) -> usize {
        self.waiting.of_row(row).count()
    }

    /// True while this change waits.
    pub fn waits(&self, row: &RowKey, change: &ChangeId) -> bool {
        self.waiting.of_row(row).any(|waiting| waiting.id == *change)
    }

    /// Changes of this region that some region has not confirmed.
    pub fn outstanding(&self) -> usize {
        self.chains.outstanding()
    }

    /// How many changes of this region there were in the partition.
    pub fn own_counters(&self) -> OwnCounters {
        self.chains.outstanding.counters()
    }

    /// The regions that nothing more is confirmed without.
    pub fn behind(&self) -> Vec<Behind> {
        self.chains.behind()
    }

    /// This region's last change in the partition.
    pub fn last_change(&self) -> Hlc {
        self.chains.own_change
    }

    /// Every region has taken this region's changes up to here.
    pub fn confirmed(&self) -> Hlc {
        self.chains.confirmed
    }

    /// True while changes wait only because no function could be asked: worth a retry.
    pub fn has_stalled(&self) -> bool {
        !self.waiting.stalled.is_empty()
    }

    /// True while some of them wait only because other tables come first.
    pub fn has_put_off(&self) -> bool {
        self.waiting.stalled.values().any(|fault| *fault == HostFault::Deferred)
    }

    /// How many rows keep history.
    pub fn rows_with_history(&self) -> usize {
        self.unsettled.len()
    }

    /// The digests of this partition's part of the tables.
    pub fn digests(&self) -> &BTreeMap<TableName, TableDigest> {
        &self.digests
    }

    /// What was found to differ elsewhere.
    pub fn divergences(&self) -> impl Iterator<Item = &Divergence> {
        self.comparing.known()
    }

    /// How many outcomes of conflicts this region did not tell the others since it started, as
    /// there were too many for its heartbeats.
    pub fn outcomes_left_out(&self) -> u64 {
        self.comparing.left_out()
    }

    /// What the rows come to; none while changes wait.
    fn state(&self) -> Option<StateDigest> {
        let is_at_rest = self.waiting.len() == 0 || planted::is(Bug::StateWhileWaiting);
        is_at_rest.then(|| StateDigest::of(&self.digests))
    }

    /// For those who count the regions.
    pub fn standing(&self) -> PartitionStanding {
        PartitionStanding {
            links: self.chains.links.clone(),
            watermarks: self.watermarks.clone(),
            stable: self.stable.clone(),
        }
    }

    /// Has a record use the names that are here already: what is the same is found to be so at once.
    fn share_names(&self, record: &mut ChangeRecord) {
        if let Some((table, _)) = self.digests.get_key_value(&record.row.table) {
            record.row.table = table.clone();
        }
        if let Some((region, _)) = self.chains.links.get_key_value(&record.change.id.region) {
            record.change.id.region = region.clone();
        }
    }

    fn meta(&self) -> PartitionMeta {
        PartitionMeta {
            own_change: self.chains.own_change,
            own_heartbeat: self.chains.own_heartbeat,
            confirmed: self.chains.confirmed,
            own: self.chains.outstanding.counters(),
            watermarks: self.watermarks.clone(),
            stable: self.stable.clone(),
            links: self.chains.links.iter().map(|(r, link)| (r.clone(), *link)).collect(),
            positions: self.positions.iter().map(|(r, at)| (r.clone(), *at)).collect(),
        }
    }
}
