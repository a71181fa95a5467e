//! A run: regions, their logs and the network between them, moved step by step.
//!
//! Everything that the product decides, the product's own code decides here: this file carries its
//! effects from one part to the next, in the order that the scenario says, and loses what the
//! scenario loses.

mod broken;
mod checks;
mod clocks;
mod end;
mod faults;
mod members;
mod rollouts;
mod steps;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use syncline_bus::Lane;
use syncline_core::{
    ChangeId, ConflictId, ConflictOutcome, Hlc, RegionId, RowKey, Stamp, TableName, VersionVector,
};
use syncline_store::{Batch, MemoryStore, Store as _};

use crate::bus::Bus;
use crate::functions::Function;
use crate::oracle::Oracle;
use crate::region::{SimRegion, partition_count};
use crate::scenario::{Pick, Scenario, Setup, Step};
use crate::stats::Stats;
use crate::topology::Topology;

pub use clocks::Heard;

/// What went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which check failed, in a word: a shrunk run must fail the same check.
    pub check: &'static str,
    /// What it found.
    pub what: String,
    /// The step of the scenario; none while everything heals.
    pub step: Option<usize>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// None if everything is as promised.
    pub failure: Option<Failure>,
    /// What happened in it.
    pub stats: Stats,
    /// A hash of all that happened: equal if the run is played again.
    pub trace: u64,
    /// What happened, in words, if that was asked for.
    pub story: Vec<String>,
}

/// The world of one run.
pub struct World {
    setup: Setup,
    founders: Vec<RegionId>,
    regions: Vec<SimRegion>,
    bus: Bus,
    /// Who reads whose log now.
    topology: Topology,
    now_ms: u64,
    started_ms: u64,
    oracle: Oracle,
    stats: Stats,
    trace: u64,
    story: Option<Vec<String>>,
    failure: Option<Failure>,
    step: Option<usize>,
    /// Writes that were acknowledged.
    acknowledged: BTreeMap<ChangeId, RowKey>,
    /// What counters should come to: what every write that exists has added.
    added: BTreeMap<ChangeId, i64>,
    /// Changes that are given up, as they build on what went with a region.
    given_up: BTreeSet<(RowKey, ChangeId)>,
    /// The outcome of each conflict, whoever resolved it.
    outcomes: BTreeMap<ConflictId, Resolved>,
    /// What each region has said in heartbeats that stand in its log: it may never fall behind.
    said: BTreeMap<(RegionId, Lane), Said>,
    /// The last change of each other region that a region has brought into its log.
    forwarded: BTreeMap<(RegionId, Lane, RegionId), Hlc>,
    /// What each region held of each row, together with its watermarks: only grows while it runs.
    held: BTreeMap<(RegionId, RowKey), VersionVector>,
    /// As above, without the watermarks.
    held_rows: BTreeMap<(RegionId, RowKey), VersionVector>,
    /// What was stable in each partition of each region.
    stable: BTreeMap<(RegionId, u32), VersionVector>,
    /// The changes that each region made in each partition.
    made: BTreeMap<(RegionId, u32), BTreeSet<Hlc>>,
    /// What changes of each table are stamped with at the start.
    tables: BTreeMap<TableName, Stamp>,
    /// Functions are deployed in this run.
    rolls_out: bool,
    /// What regions have said of rollouts.
    rollouts: rollouts::Told,
    /// The region whose engine gives other bytes.
    broken: broken::Broken,
    /// The furthest HLC that any region's clock has come to.
    furthest: Hlc,
    /// Whether the row is as the write asks that is under way, if that is sure.
    expected: Option<bool>,
    /// A region that lives was proposed to be evicted.
    evicts_the_living: bool,
    /// Regions join and leave in this run.
    comes_and_goes: bool,
    /// Regions that must not be trusted any more: their disk was old.
    old_disks: BTreeSet<RegionId>,
}

/// How a conflict was resolved.
struct Resolved {
    by: RegionId,
    heads: Vec<ChangeId>,
    outcome: ConflictOutcome,
}

/// The most that a region has said in one lane.
#[derive(Clone, Debug, Default)]
struct Said {
    watermarks: VersionVector,
    taken: VersionVector,
    highest: Hlc,
}

/// The simulation's first moment: 2026-01-01.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// Plays a scenario to its end. With `story` it also says in words what happens.
pub fn play(scenario: &Scenario, story: bool) -> Outcome {
    let mut world = World::new(&scenario.setup, story);
    let comes_or_goes = |step: &Step| {
        matches!(
            step,
            Step::Join { .. }
                | Step::Evict { .. }
                | Step::Die { .. }
                | Step::LastWords { .. }
                | Step::OldDisk { .. }
        )
    };
    let deploys = |step: &Step| matches!(step, Step::Deploy { .. } | Step::RollOut { .. });
    world.rolls_out = scenario.steps.iter().any(deploys);
    world.comes_and_goes = scenario.steps.iter().any(comes_or_goes);
    for (number, step) in scenario.steps.iter().enumerate() {
        world.step = Some(number);
        world.carry_out(*step);
        if world.failure.is_some() {
            return world.outcome();
        }
    }
    world.step = None;
    world.heal();
    world.outcome()
}

impl World {
    fn new(setup: &Setup, story: bool) -> Self {
        let name = |i: usize| {
            let letter = char::from(b'a' + i as u8);
            letter.to_string().parse().unwrap_or_else(|error| panic!("{error}"))
        };
        let founders: Vec<RegionId> = (0..setup.regions).map(name).collect();
        let stamp = |(number, function): (usize, &Option<Function>)| {
            let version = function.map(|function| Stamp::Function(function.version()));
            (crate::founding::table(number), version.unwrap_or(Stamp::Lww))
        };
        let mut world = Self {
            setup: setup.clone(),
            regions: Vec::new(),
            bus: Bus::default(),
            topology: setup.topology,
            now_ms: EPOCH_MS,
            started_ms: EPOCH_MS,
            oracle: Oracle::default(),
            stats: Stats::default(),
            trace: 0xcbf2_9ce4_8422_2325,
            story: story.then(Vec::new),
            failure: None,
            step: None,
            acknowledged: BTreeMap::new(),
            added: BTreeMap::new(),
            given_up: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            said: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            held: BTreeMap::new(),
            held_rows: BTreeMap::new(),
            stable: BTreeMap::new(),
            made: BTreeMap::new(),
            old_disks: BTreeSet::new(),
            rollouts: rollouts::Told::default(),
            broken: broken::Broken::default(),
            furthest: Hlc::ZERO,
            expected: None,
            evicts_the_living: false,
            comes_and_goes: false,
            rolls_out: false,
            tables: setup.tables.iter().enumerate().map(stamp).collect(),
            founders,
        };
        world.tell(|| format!("{setup}"));
        for (number, id) in world.founders.clone().into_iter().enumerate() {
            let store = Arc::new(MemoryStore::new());
            world.found(&store);
            let skew = setup.skews_ms.get(number).copied().unwrap_or_default();
            world.regions.push(SimRegion::new(id, store, skew));
            world.start(number);
        }
        world.break_engine();
        world
    }

    /// Every region begins with the functions of the tables: rolled out before the story begins.
    fn found(&mut self, store: &MemoryStore) {
        let mut batch = Batch::new();
        for (table, function) in self.setup.tables.iter().enumerate() {
            let Some(function) = function else { continue };
            let founders = &self.founders;
            let id = crate::founding::roll_out(&mut batch, store, founders, table, *function);
            self.rollouts.found(id, founders, *function);
        }
        store.commit(batch).and_then(|()| store.sync()).unwrap_or_else(|error| panic!("{error}"));
    }

    fn outcome(mut self) -> Outcome {
        self.stats.simulated_ms = (self.now_ms - self.started_ms) * self.regions.len() as u64;
        self.stats.changes = self.oracle.len() as u64;
        Outcome {
            failure: self.failure,
            stats: self.stats,
            trace: self.trace,
            story: self.story.unwrap_or_default(),
        }
    }

    /// Says in words what happens, if anyone listens.
    fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let at = self.now_ms - self.started_ms;
            story.push(format!("{:>8}.{:03} s  {}", at / 1000, at % 1000, what()));
        }
    }

    /// What a clock shows that nobody sets: the same in every region.
    fn steady_ms(&self) -> u64 {
        self.now_ms - self.started_ms
    }

    /// Adds to the trace.
    fn note(&mut self, fact: u64) {
        self.trace = (self.trace ^ fact).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    fn fail(&mut self, check: &'static str, what: impl FnOnce() -> String) {
        if self.failure.is_none() {
            let what = what();
            self.tell(|| format!("FAILED {check}: {what}"));
            self.failure = Some(Failure { check, what, step: self.step });
        }
    }

    /// The region that a number stands for.
    fn pick(&self, pick: Pick) -> usize {
        pick as usize % self.regions.len()
    }

    /// Another one than `not`, if there is one.
    fn pick_other(&self, pick: Pick, not: usize) -> Option<usize> {
        let others = self.regions.len() - 1;
        (others > 0).then(|| (not + 1 + pick as usize % others) % self.regions.len())
    }

    /// The one in whose log another one is heard.
    fn pick_source(&self, pick: Pick, reader: usize) -> Option<usize> {
        let (topology, regions) = (self.topology, &self.regions);
        let (reader, other) = (&regions[reader].id, &regions[self.pick_other(pick, reader)?].id);
        // Of several incarnations the last.
        regions.iter().rposition(|region| topology.stands_for(reader, other, &region.id))
    }

    fn pick_lane(&self, pick: Pick) -> Lane {
        let partitions = self.setup.partitions;
        match u32::from(pick) % (partitions + 1) {
            lane if lane == partitions => Lane::Control,
            partition => Lane::Changes(partition),
        }
    }

    fn table(&self, pick: usize) -> syncline_core::TableName {
        crate::founding::table(pick % self.setup.tables.len())
    }

    fn row_key(&self, table: Pick, row: Pick) -> RowKey {
        let number = row as usize % self.setup.rows;
        let pk = format!("r{number}").parse().unwrap_or_else(|error| panic!("{error}"));
        RowKey { table: self.table(table as usize), pk }
    }

    fn partition_of(&self, row: &RowKey) -> u32 {
        syncline_core::partition_of(row, partition_count(&self.setup))
    }
}
