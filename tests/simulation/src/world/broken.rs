//! A region whose engine gives other bytes: who must notice, and how all come to the same again.

use std::collections::{BTreeMap, BTreeSet};

use syncline_applier::{MendDone, MendWork, PartitionTurn, RepairWork, WriteRequest};
use syncline_bus::Lane;
use syncline_core::{
    ConflictId, ConflictRecord, Diverged, Divergence, DivergenceId, Image, Outcome, Precondition,
    RegionId, RolloutText, RowKey, RowPk, ShortDigest,
};
use syncline_store::kv::row;

use super::World;
use crate::functions::image_of;

/// What the run knows of the region whose engine is broken.
#[derive(Default)]
pub(super) struct Broken {
    /// Which.
    region: Option<usize>,
    /// Its engine is mended.
    mended: bool,
    /// What each region's last fold of a conflict came to.
    resolved: BTreeMap<ConflictId, BTreeMap<RegionId, (u32, ShortDigest)>>,
}

impl Broken {
    /// True for the region, whose folds are no measure: also a repair may build on an ancestor that
    /// the broken engine folded. At rest it is checked like any other.
    pub(super) fn is(&self, region: usize) -> bool {
        self.region == Some(region)
    }
}

impl World {
    /// As the scenario says.
    pub(super) fn break_engine(&mut self) {
        let Some(region) = self.setup.broken.map(|pick| self.pick(pick)) else { return };
        self.broken.region = Some(region);
        self.regions[region].engine_lies = true;
        self.stats.fault("an engine that gives other bytes");
        self.tell_of(region, || "has an engine that gives other bytes".into());
    }

    /// Notes how a conflict ended, where somebody must notice if that differs.
    pub(super) fn note_resolved(&mut self, region: usize, record: &ConflictRecord) {
        if self.broken.region.is_none() {
            return;
        }
        let Some(outcome) = Outcome::of(record) else { return };
        let number = self.partition_of(&record.row);
        let name = self.regions[region].id.clone();
        let of_conflict = self.broken.resolved.entry(record.id).or_default();
        of_conflict.insert(name, (number, outcome.result));
    }

    /// Where no engine is broken, or not that of one of the two, nothing diverges.
    pub(super) fn diverged(&mut self, region: usize, found: Divergence) {
        let name = self.regions[region].id.clone();
        let broken = self.broken.region.map(|broken| self.regions[broken].id.clone());
        let is_of = |broken: RegionId| [&found.here.region, &found.there.region].contains(&&broken);
        if !broken.is_some_and(is_of) {
            self.fail("divergence", || format!("{name} finds that {found}"));
            return;
        }
        self.stats.state(match found.what {
            Diverged::Outcome { .. } => "another outcome was found",
            Diverged::State { .. } => "another state was found",
            Diverged::Before { .. } => "another image before a change was found",
        });
        self.tell_of(region, || format!("finds that {found}"));
        self.regions[region].unpaused.push(found);
    }

    /// After a turn of the control partition: what was found before it has paused the rollouts.
    pub(super) fn check_pauses(&mut self, region: usize) {
        let found = std::mem::take(&mut self.regions[region].unpaused);
        let Some(running) = &self.regions[region].running else { return };
        let rollouts = running.control.control().rollouts();
        let mut paused = 0;
        let mut goes_on = None;
        for rollout in rollouts.open() {
            let named = |divergence: &&Divergence| divergence.tables().contains(&rollout.table);
            let has_paused = |divergence: &&Divergence| {
                let why = RolloutText::cut(&divergence.to_string());
                rollout.history.iter().any(|line| line.why == why)
            };
            let of_table: Vec<&Divergence> = found.iter().filter(named).collect();
            let count = of_table.iter().copied().filter(has_paused).count();
            paused += count;
            // One pauses for all that were found by then, and may have been resumed since.
            if let (Some(divergence), 0, None) = (of_table.first(), count, &rollout.paused) {
                goes_on = Some(format!("rollout {} goes on though {divergence}", rollout.id));
            }
        }
        for _ in 0..paused {
            self.stats.state("a divergence paused a rollout");
        }
        if let Some(goes_on) = goes_on {
            let name = self.regions[region].id.clone();
            self.fail("pause", || format!("{name}: {goes_on}"));
        }
    }

    /// Once all are at rest: who had to notice has, a restart forgets nothing, and then the engine is
    /// mended and the rows are put right. Answers true if that was to be done.
    pub(super) fn mend(&mut self) -> bool {
        let Some(broken) = self.broken.region.filter(|_| !self.broken.mended) else { return false };
        self.check_outcomes_found(broken);
        self.check_states_found(broken);
        self.check_found_is_kept(broken);
        if self.failure.is_some() {
            return true;
        }
        self.regions[broken].engine_lies = false;
        self.tell_of(broken, || "has its engine mended".into());
        self.repair_all(broken);
        self.broken.mended = true;
        self.write_again(broken);
        true
    }

    /// As an operator does: first it is asked what would change.
    fn repair_all(&mut self, region: usize) {
        for number in 0..self.setup.partitions {
            for table in 0..self.setup.tables.len() {
                let planned = self.repair(region, number, table, false);
                let repaired = self.repair(region, number, table, true);
                let again = self.repair(region, number, table, true);
                if planned != repaired || !again.is_empty() {
                    self.fail("repair", || {
                        format!("planned {planned:?}, repaired {repaired:?}, again {again:?}")
                    });
                }
                for _ in &repaired {
                    self.stats.state("a row was repaired");
                }
            }
        }
    }

    /// The rows of a table that were not what they fold to.
    fn repair(&mut self, region: usize, partition: u32, table: usize, applies: bool) -> Vec<RowPk> {
        let (table, mut after) = (self.table(table), None);
        let mut changed = Vec::new();
        loop {
            let work = RepairWork { partition, table: table.clone(), after, limit: 2, applies };
            let turn = PartitionTurn { mend: Some(MendWork::Repair(work)), ..Default::default() };
            let Some(MendDone::Repaired(page)) = self.take_turn(region, partition, turn) else {
                self.fail("repair", || "a turn was not taken".into());
                return changed;
            };
            changed.extend(page.changed);
            after = page.next;
            if after.is_some() {
                continue;
            }
            let name = self.regions[region].id.clone();
            match page.recounted {
                Some(counted) if counted.kept == counted.counted => {}
                counted => self.fail("digest", || format!("{name}: {table} is {counted:?}")),
            }
            return changed;
        }
    }

    fn known(&self, region: usize, number: u32) -> Vec<Divergence> {
        let running = self.regions[region].running.as_ref();
        let partition = running.map(|running| running.partitions[number as usize].partition());
        partition.into_iter().flat_map(|partition| partition.divergences().cloned()).collect()
    }

    /// Where the broken region and another folded one conflict to other bytes, both know.
    fn check_outcomes_found(&mut self, broken: usize) {
        let name = self.regions[broken].id.clone();
        let mut missed = None;
        for (conflict, by) in &self.broken.resolved {
            let Some((number, lie)) = by.get(&name) else { continue };
            for (other, (_, truth)) in by.iter().filter(|(_, (_, truth))| truth != lie) {
                let ends = [(&name, other), (other, &name)];
                for (here, there) in ends {
                    let Some(region) = self.regions.iter().position(|r| r.id == *here) else {
                        continue;
                    };
                    let knows = self.known(region, *number).iter().any(|known| {
                        known.conflict() == Some(*conflict) && known.there.region == *there
                    });
                    if !knows {
                        missed = Some(format!(
                            "{here} does not know that {conflict} came to {lie} in {name}, to \
                             {truth} in {other}"
                        ));
                    }
                }
            }
        }
        if let Some(missed) = missed {
            self.fail("outcomes compared", || missed);
        }
    }

    /// Where two regions hold other rows of a partition, both know; and only there.
    fn check_states_found(&mut self, broken: usize) {
        let mut wrong = None;
        for number in 0..self.setup.partitions {
            let digests = |region: usize| {
                let running = self.regions[region].running.as_ref()?;
                Some(running.partitions[number as usize].partition().digests().clone())
            };
            for other in (0..self.regions.len()).filter(|other| *other != broken) {
                let differ = digests(broken) != digests(other);
                for (here, there) in [(broken, other), (other, broken)] {
                    let peer = &self.regions[there].id;
                    let known = self.known(here, number).into_iter().any(|known| {
                        matches!(known.what, Diverged::State { .. }) && known.there.region == *peer
                    });
                    if known != differ {
                        let name = &self.regions[here].id;
                        wrong = Some(format!(
                            "{name} p{number} and {peer} differ: {differ}, it knows: {known}"
                        ));
                    }
                }
            }
        }
        if let Some(wrong) = wrong {
            self.fail("states compared", || wrong);
        }
    }

    fn check_found_is_kept(&mut self, broken: usize) {
        let all = |world: &Self| -> BTreeSet<DivergenceId> {
            let numbers = 0..world.setup.partitions;
            let known = numbers.flat_map(|number| world.known(broken, number));
            known.map(|divergence| divergence.id()).collect()
        };
        let before = all(self);
        self.crash(broken, 100);
        self.start(broken);
        let after = all(self);
        if before != after {
            self.fail("divergences kept", || format!("{before:?}, after a start {after:?}"));
        }
    }

    /// What a region holds that is right is written again wherever the broken one holds something
    /// else: a new change supersedes whatever was folded.
    fn write_again(&mut self, broken: usize) {
        let Some(right) = (0..self.regions.len()).find(|region| *region != broken) else { return };
        let keys: Vec<RowKey> = self.oracle.rows().cloned().collect();
        for key in keys {
            let number = self.partition_of(&key);
            let state =
                |region: usize| row::get(&*self.regions[region].store, number, &key).ok().flatten();
            let (ours, theirs) = (state(right), state(broken));
            let images = |state: &Option<syncline_core::RowState>| {
                state.as_ref().map(|state| (state.image.clone(), state.floor_image.clone()))
            };
            if images(&ours) == images(&theirs) {
                continue;
            }
            self.stats.state("a row was written again after a divergence");
            let image = ours.and_then(|state| state.image).unwrap_or_else(Self::some_image);
            let request = WriteRequest {
                row: key,
                precondition: Precondition::None,
                image: Some(image),
                reply: None,
            };
            self.turn(right, Lane::Changes(number), false, false, vec![request]);
        }
    }

    fn some_image() -> Image {
        image_of(&BTreeMap::from([("again".to_owned(), 1)]))
    }

    /// In the end all agree again.
    pub(super) fn check_agreed(&mut self) {
        let regions = 0..self.regions.len();
        let partitions = 0..self.setup.partitions;
        let all = regions.flat_map(|region| partitions.clone().map(move |n| (region, n)));
        let left = all.flat_map(|(region, number)| self.known(region, number));
        let left = left.into_iter().find(|known| matches!(known.what, Diverged::State { .. }));
        if let Some(left) = left {
            self.fail("agreed", || format!("it is still known that {left}"));
        }
    }
}
