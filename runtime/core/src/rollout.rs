//! Which version of which table's function each region stamps its changes with.
//!
//! Uploading and activating are two things. A rollout is folded from records that travel through
//! the control topics, in (HLC, region) order, so that it is the same in every region, whatever
//! order they arrive in. Its way is distributing, then the shadow if the plan has one, then stage
//! after stage, then complete; on it can be paused, and aborted until it is complete.
//!
//! Whoever runs a region calls, through [`crate::ControlPartition`], and says what comes back:
//!
//! 1. [`Rollouts::create`] when a rollout is asked for, and [`Rollouts::ask`] when something is
//!    asked of one. A refusal changes nothing.
//! 2. [`Rollouts::to_test`] after each turn: these versions are to be tested, aside, and the result
//!    given with [`crate::ControlPartition::self_tested`].
//! 3. [`Rollouts::due`] in each turn: that this region has a version, and what it stamps from here
//!    on. The stamps hold for writes once the turn is committed.
//! 4. [`Rollouts::report`] once a heartbeat, with what was counted since the last one, and then
//!    [`Rollouts::decide`]: what the owner decides, by gates and time.
//!
//! **Stamps.** A region stamps what its own last `Active` or `Inactive` says, and nothing else, so
//! that its stamp never changes by what others say before it has answered. It says `Active` only
//! while it knows that every counted region has the version. A record that comes late can take back
//! a stage (a claim, an abort before it in the order); then the region goes back, and as the
//! stamp travels with each change, no conflict has two outcomes by that.

mod ask;
mod decide;
mod due;
mod fold;
mod gates;
mod plan;
mod record;
mod report;
#[cfg(test)]
mod tests;
mod usage;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use crate::planted::{self, Bug};
use crate::{ChangeId, FunctionVersion, RegionId, Stamp, TableName, VersionRecord, Versions};
use decide::Settled;
use fold::Folded;

pub use ask::{AskRefused, CreateRefused, NewRollout, RolloutAsk};
pub use fold::ROLLOUT_HISTORY_MAX;
pub use gates::{GateKind, GateReading, GateVerdict};
pub use plan::{
    Gate, PlanRefused, ROLLOUT_WAIT_MS_MAX, RolloutGates, RolloutPlan, RolloutStage, STAGES_MAX,
};
pub use record::{
    CreateRollout, InvalidPlace, InvalidText, PreviousRollout, ROLLOUT_TEXT_BYTES_MAX,
    RolloutCommand, RolloutDecision, RolloutEnd, RolloutId, RolloutPlace, RolloutRecord,
    RolloutText, SelfTest,
};
pub use report::{CallCounters, FAULT_KINDS, FUEL_BUCKETS, LATENCY_BUCKETS, RolloutCounters};
pub use usage::{LATE_STAMP_MS, VersionUse};
pub use view::{RegionProgress, Rollout, RolloutEvent, RolloutHistory, RolloutState};

/// All rollouts that this region knows of.
#[derive(Clone, Debug)]
pub struct Rollouts {
    me: RegionId,
    regions: BTreeSet<RegionId>,
    /// The creations, by table.
    creations: BTreeMap<TableName, BTreeMap<RolloutId, RolloutRecord>>,
    /// What is said of a rollout, also of one whose creation is not here yet.
    sayings: BTreeMap<RolloutId, BTreeMap<ChangeId, RolloutRecord>>,
    /// The last report of each region, and which record that is.
    reports: BTreeMap<RolloutId, BTreeMap<RegionId, (ChangeId, RolloutCounters)>>,
    /// Which table a rollout is of.
    table_of: BTreeMap<RolloutId, TableName>,
    tables: BTreeMap<TableName, Folded>,
    settled: BTreeMap<RolloutId, Settled>,
    versions: Versions,
}

impl Rollouts {
    /// None yet, in the eyes of `me`, one of `regions`.
    pub fn new(me: RegionId, regions: impl IntoIterator<Item = RegionId>) -> Self {
        Self {
            me,
            regions: regions.into_iter().collect(),
            creations: BTreeMap::new(),
            sayings: BTreeMap::new(),
            reports: BTreeMap::new(),
            table_of: BTreeMap::new(),
            tables: BTreeMap::new(),
            settled: BTreeMap::new(),
            versions: Versions::default(),
        }
    }

    /// As [`Rollouts::new`], with records that were kept.
    pub fn restore(
        me: RegionId,
        regions: impl IntoIterator<Item = RegionId>,
        records: impl IntoIterator<Item = (ChangeId, RolloutRecord)>,
    ) -> Self {
        let mut rollouts = Self::new(me, regions);
        for (id, record) in records {
            rollouts.keep(id, record);
        }
        rollouts.fold_all();
        rollouts
    }

    /// The regions are these now. A rollout waits no longer for one that is gone, and does for one
    /// that has come.
    pub fn set_regions(&mut self, regions: BTreeSet<RegionId>) {
        if regions != self.regions {
            self.regions = regions;
            self.fold_all();
        }
    }

    /// Takes in a record, of any region, in any order.
    pub fn insert(&mut self, id: ChangeId, record: RolloutRecord) {
        if let Some(table) = self.keep(id, record) {
            self.fold(&table);
        }
    }

    /// Takes in a record of a version, of any region, in any order.
    pub fn insert_version(&mut self, id: ChangeId, record: VersionRecord) {
        let version = record.version();
        self.versions.insert(id, record);
        for table in self.tables_of(&version) {
            self.fold(&table);
        }
    }

    /// What was said of versions apart from their rollouts.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Every rollout, in the order of creation.
    pub fn iter(&self) -> impl Iterator<Item = &Rollout> {
        self.table_of.keys().filter_map(|id| self.get(id))
    }

    /// One rollout.
    pub fn get(&self, id: &RolloutId) -> Option<&Rollout> {
        self.tables.get(self.table_of.get(id)?)?.rollouts.get(id)
    }

    /// The table's rollout that counts: the last that was not superseded.
    pub fn current(&self, table: &TableName) -> Option<&Rollout> {
        let won = |rollout: &&Rollout| rollout.state != RolloutState::Superseded;
        self.of_table(table).rfind(won)
    }

    /// The rollouts that have not ended.
    pub fn open(&self) -> impl Iterator<Item = &Rollout> {
        self.iter().filter(|rollout| rollout.state.is_open())
    }

    /// The tables that had a rollout, each with what this region stamps it with.
    pub fn stamps(&self) -> BTreeMap<TableName, Stamp> {
        self.tables().map(|table| (table.clone(), self.stamp(table))).collect()
    }

    /// The record that reports what this region has counted of a rollout's version since it last
    /// reported; none if that is nothing, or the rollout is over. What it reported before is taken
    /// from that report: a restart loses only what was not reported yet.
    pub fn report(&self, id: &RolloutId, since: &RolloutCounters) -> Option<RolloutRecord> {
        let is_open = self.get(id).is_some_and(|rollout| rollout.state.is_open());
        if !is_open || *since == RolloutCounters::default() {
            return None;
        }
        let reported = self.reports.get(id).and_then(|reports| reports.get(&self.me));
        let mut counters = reported.map(|(_, counters)| *counters).unwrap_or_default();
        counters.add(since);
        Some(RolloutRecord::Report { rollout: id.clone(), counters: Box::new(counters) })
    }

    /// What all regions have reported of a rollout's version.
    pub fn reported(&self, id: &RolloutId) -> RolloutCounters {
        let mut all = RolloutCounters::default();
        for (region, counters) in self.reports(id) {
            if planted::is(Bug::GateOfOneRegion) && *region != self.me {
                continue;
            }
            all.add(counters);
        }
        all
    }

    /// What each region has reported of a rollout's version.
    pub fn reports(&self, id: &RolloutId) -> impl Iterator<Item = (&RegionId, &RolloutCounters)> {
        let reports = self.reports.get(id).into_iter().flatten();
        reports.map(|(region, (_, counters))| (region, counters))
    }

    /// The tables that ever had a rollout to the version, whatever became of it.
    fn tables_of(&self, version: &FunctionVersion) -> Vec<TableName> {
        let names = |record: &RolloutRecord| match record {
            RolloutRecord::Create(create) => create.version == Stamp::Function(*version),
            _ => false,
        };
        let of_version = self.creations.iter().filter(|(_, all)| all.values().any(names));
        of_version.map(|(table, _)| table.clone()).collect()
    }

    fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.tables.keys()
    }

    fn of_table(&self, table: &TableName) -> impl DoubleEndedIterator<Item = &Rollout> {
        self.tables.get(table).into_iter().flat_map(|folded| folded.rollouts.values())
    }

    /// Keeps a record, and answers the table whose rollouts are to be folded again.
    fn keep(&mut self, id: ChangeId, record: RolloutRecord) -> Option<TableName> {
        match record {
            RolloutRecord::Create(ref create) => {
                let (table, rollout) = (create.table.clone(), RolloutId(id));
                self.table_of.insert(rollout.clone(), table.clone());
                self.creations.entry(table.clone()).or_default().insert(rollout, record);
                Some(table)
            }
            RolloutRecord::Report { rollout, counters } => {
                let reports = self.reports.entry(rollout).or_default();
                if reports.get(&id.region).is_none_or(|(last, _)| *last < id) {
                    reports.insert(id.region.clone(), (id, *counters));
                }
                None
            }
            RolloutRecord::Ready { ref rollout, .. }
            | RolloutRecord::Unready { ref rollout, .. }
            | RolloutRecord::Command { ref rollout, .. }
            | RolloutRecord::Decision { ref rollout, .. }
            | RolloutRecord::Active { ref rollout }
            | RolloutRecord::Inactive { ref rollout } => {
                let rollout = rollout.clone();
                let table = self.table_of.get(&rollout).cloned();
                self.sayings.entry(rollout).or_default().insert(id, record);
                table
            }
        }
    }

    fn fold_all(&mut self) {
        for table in self.creations.keys().cloned().collect::<Vec<_>>() {
            self.fold(&table);
        }
    }

    fn fold(&mut self, table: &TableName) {
        let Some(creations) = self.creations.get(table) else { return };
        let mut records: Vec<(&ChangeId, &RolloutRecord)> = Vec::new();
        for (rollout, creation) in creations {
            records.push((&rollout.0, creation));
            records.extend(self.sayings.get(rollout).into_iter().flatten());
        }
        records.sort_by_key(|(id, _)| *id);
        if planted::is(Bug::RolloutByRegion) {
            records.sort_by_key(|(id, _)| &id.region);
        }
        let folded = fold::fold(records, &self.regions, &self.versions);
        self.tables.insert(table.clone(), folded);
    }
}
