//! What goes wrong, as the scenario says.

use std::sync::Arc;

use syncline_applier::ControlApplier;
use syncline_bus::{Envelope, HEARTBEAT_KEY, Lane};
use syncline_core::{ChangeId, MembershipChange, RolloutPlan, RowKey};

use super::World;
use crate::region::{SimRegion, whole_parts};
use crate::scenario::{Garbage, Step};
use crate::topology::Topology;

impl World {
    pub(super) fn go_wrong(&mut self, step: Step) {
        if self.setup.calm {
            return;
        }
        match step {
            Step::Crash { region, keeps_percent } => {
                let region = self.pick(region);
                self.crash(region, keeps_percent);
            }
            Step::Start { region } => self.start(self.pick(region)),
            Step::Clock { region, skew_ms } => {
                let region = self.pick(region);
                self.stats.fault("a clock that jumped");
                self.tell_of(region, || format!("has a clock that is off by {skew_ms} ms"));
                self.regions[region].skew_ms = skew_ms;
            }
            Step::DiskFull { region, full } => {
                let region = self.pick(region);
                self.stats.fault("a full disk");
                self.tell_of(region, || format!("disk full: {full}"));
                self.regions[region].store.set_full(full);
            }
            Step::SyncFails { region } => {
                let region = self.pick(region);
                self.stats.fault("a sync that failed");
                self.regions[region].store.fail_next_sync();
            }
            Step::EngineFails { region, fails } => {
                let region = self.pick(region);
                self.stats.fault("an engine that fails");
                self.tell_of(region, || format!("engine fails: {fails}"));
                self.regions[region].engine_fails = fails;
            }
            Step::Deploy { region, table, function } => {
                let region = self.pick(region);
                self.roll_out(region, table.into(), Some(function), RolloutPlan::default());
            }
            Step::Die { .. }
            | Step::LastWords { .. }
            | Step::Evict { .. }
            | Step::Join { .. }
            | Step::Snapshot { .. }
            | Step::Backup { .. }
            | Step::OldDisk { .. } => self.come_and_go(step),
            Step::Version { region, function, asked } => {
                self.ask_version(self.pick(region), function, asked);
            }
            Step::RollOut { .. } | Step::Ask { .. } | Step::Report { .. } | Step::Odd { .. } => {
                self.roll(step);
            }
            on_the_bus => self.bus_goes_wrong(on_the_bus),
        }
    }

    fn bus_goes_wrong(&mut self, step: Step) {
        match step {
            Step::ReadAgain { region, source, lane, back } => {
                self.seek(region, source, lane, -i64::from(back));
                self.stats.fault("records read again");
            }
            Step::SkipAhead { region, source, lane, ahead } => {
                self.seek(region, source, lane, i64::from(ahead));
                self.stats.fault("records skipped");
            }
            Step::LoseTail { region, lane, count } => {
                let (region, lane) = (self.pick(region), self.pick_lane(lane));
                let name = self.regions[region].id.clone();
                let lost = self.bus.log(&name, lane).lose_tail(count.into());
                self.stats.fault("a log that lost its tail");
                self.tell_of(region, || format!("{lane}: the log loses its last {lost} records"));
            }
            Step::Retention { region, lane, keeps } => {
                let (region, lane) = (self.pick(region), self.pick_lane(lane));
                let name = self.regions[region].id.clone();
                let dropped = self.bus.log(&name, lane).retain(keeps.into());
                self.stats.fault("a log that dropped its head");
                self.tell_of(region, || {
                    format!("{lane}: the log drops its first {dropped} records")
                });
            }
            Step::Garbage { region, lane, garbage } => {
                let (region, lane) = (self.pick(region), self.pick_lane(lane));
                self.spoil(region, lane, garbage);
            }
            network => self.network_goes_wrong(network),
        }
    }

    fn network_goes_wrong(&mut self, step: Step) {
        match step {
            Step::Cut { region, source, both_ways } => {
                let region = self.pick(region);
                let Some(source) = self.pick_other(source, region) else { return };
                let ends = [self.regions[region].id.clone(), self.regions[source].id.clone()];
                self.bus.set_cut(&ends[0], &ends[1], true);
                if both_ways {
                    self.bus.set_cut(&ends[1], &ends[0], true);
                }
                self.stats.fault("a link that was cut");
                self.tell(|| {
                    format!("{} reads {} no more, both ways: {both_ways}", ends[0], ends[1])
                });
            }
            Step::Isolate { region } => {
                let region = self.pick(region);
                let name = self.regions[region].id.clone();
                for other in 0..self.regions.len() {
                    let other = self.regions[other].id.clone();
                    self.bus.set_cut(&name, &other, true);
                    self.bus.set_cut(&other, &name, true);
                }
                self.stats.fault("a region that was cut off");
                self.tell(|| format!("{name} is cut off"));
            }
            Step::Split { group } => {
                let is_in = |region: usize| group >> (region % 8) & 1 == 1;
                let names: Vec<_> = self.regions.iter().map(|region| region.id.clone()).collect();
                for (a, reader) in names.iter().enumerate() {
                    for (b, source) in names.iter().enumerate() {
                        if is_in(a) != is_in(b) {
                            self.bus.set_cut(reader, source, true);
                        }
                    }
                }
                self.stats.fault("a network that was split");
                let some: Vec<_> = names.iter().enumerate().filter(|(n, _)| is_in(*n)).collect();
                self.tell(|| format!("the network is split: {some:?} on one side"));
            }
            Step::Mend { region, source } => {
                let region = self.pick(region);
                let Some(source) = self.pick_other(source, region) else { return };
                let ends = [self.regions[region].id.clone(), self.regions[source].id.clone()];
                self.bus.set_cut(&ends[0], &ends[1], false);
                self.bus.set_cut(&ends[1], &ends[0], false);
            }
            Step::MendAll => self.bus.mend_all(),
            _ => {}
        }
    }

    fn seek(&mut self, region: u8, source: u8, lane: u8, by: i64) {
        let (region, lane) = (self.pick(region), self.pick_lane(lane));
        let Some(source) = self.pick_other(source, region) else { return };
        let from = self.regions[source].id.clone();
        let end = self.bus.log(&from, lane).end();
        let Some(running) = self.running(region) else { return };
        let position = running.position(&from, lane).saturating_add_signed(by).min(end);
        running.positions.insert((from, lane), position);
    }

    /// Puts garbage into a log.
    fn spoil(&mut self, region: usize, lane: Lane, garbage: Garbage) {
        let name = self.regions[region].id.clone();
        let other = self.regions[(region + 1) % self.regions.len()].id.clone();
        let lane_of_other = if lane == Lane::Control { Lane::Changes(0) } else { Lane::Control };
        let log = self.bus.log(&name, lane);
        let last = log.records().last().cloned();
        // Where regions come and go, or are heard in others' logs, records of one may stand in
        // another's log.
        let garbage = match garbage {
            Garbage::Forged if self.comes_and_goes || self.topology != Topology::Direct => {
                Garbage::Noise
            }
            garbage => garbage,
        };
        let noise = || Envelope { key: "noise".into(), headers: vec![], payload: b"{".to_vec() };
        let record = match (garbage, last) {
            (Garbage::Noise, _) | (_, None) => noise(),
            (Garbage::CutShort, Some(mut last)) => {
                last.payload.truncate(last.payload.len() / 2);
                last
            }
            (Garbage::Forged, Some(mut last)) => {
                let text = String::from_utf8_lossy(&last.payload).into_owned();
                let (said, forged) = (format!("\"{name}\""), format!("\"{other}\""));
                last.payload = text.replacen(&said, &forged, 1).into_bytes();
                for (header, value) in &mut last.headers {
                    if header == "originating_region" {
                        *value = other.to_string();
                    }
                }
                last
            }
            (Garbage::Misplaced, Some(last)) => {
                // A heartbeat does not say in which lane it belongs.
                let is_heartbeat = |record: &&Envelope| record.key == HEARTBEAT_KEY;
                let others = self.bus.log(&name, lane_of_other).records().iter().rev();
                others.clone().find(|record| !is_heartbeat(record)).cloned().unwrap_or(last)
            }
            (Garbage::Instead, Some(mut last)) => {
                log.pop();
                last.payload.truncate(last.payload.len() / 3);
                last
            }
        };
        self.bus.log(&name, lane).append(record);
        self.stats.fault("garbage in a log");
        self.tell_of(region, || format!("{lane}: garbage in the log, {garbage:?}"));
    }

    /// The region is gone from one moment to the next; of what was not synced a part survives.
    pub(super) fn crash(&mut self, region: usize, keeps_percent: u8) {
        if self.regions[region].running.is_none() {
            return;
        }
        let unsynced = self.regions[region].store.unsynced();
        let keeps = unsynced * usize::from(keeps_percent) / 100;
        self.stats.fault(if keeps == unsynced { "a kill" } else { "a loss of power" });
        self.tell_of(region, || format!("crashes, {keeps} of {unsynced} commits survive"));
        self.stop_keeping(region, keeps);
    }

    /// The region stops by itself, as its store has failed.
    pub(super) fn stop(&mut self, region: usize) {
        self.stop_keeping(region, 0);
    }

    fn stop_keeping(&mut self, region: usize, keeps: usize) {
        self.forget_said(region);
        let SimRegion { id, store, running, unsynced, .. } = &mut self.regions[region];
        *running = None;
        let id = id.clone();
        // Commits and what is noted of them end at the same one.
        let count = store.unsynced();
        let noted = unsynced.len();
        store.crash_keeping(keeps);
        let kept = noted.saturating_sub(count - keeps);
        let lost: Vec<_> = unsynced.drain(kept..).flat_map(|commit| commit.made).collect();
        unsynced.clear();
        for (row, change) in lost {
            self.lose(&row, &change);
            if self.acknowledged.contains_key(&change) {
                self.fail("acknowledged", || format!("{id} acknowledged {change}, and lost it"));
            }
        }
        self.held.retain(|(of, _), _| *of != id);
        self.held_rows.retain(|(of, _), _| *of != id);
        self.stable.retain(|(of, _), _| *of != id);
        self.note(5);
    }

    /// A change that nobody was told of is gone, and its HLC may come again.
    pub(super) fn lose(&mut self, row: &RowKey, change: &ChangeId) {
        self.oracle.lost(row, change);
        self.added.remove(change);
        let lane = (change.region.clone(), self.partition_of(row));
        self.made.entry(lane).or_default().remove(&change.hlc);
        self.outcomes.retain(|_, resolved| !resolved.heads.contains(change));
    }

    /// Starts a region that is down.
    pub(super) fn start(&mut self, region: usize) {
        if self.regions[region].running.is_some() || self.regions[region].dead {
            return;
        }
        let founders = self.founders.clone();
        let (setup, topology) = (self.setup.clone(), self.topology);
        if let Err(error) = self.regions[region].start(&founders, topology, &setup) {
            self.fail("start", || format!("a region does not start: {error}"));
            return;
        }
        self.tell_of(region, || "starts".into());
        self.check_start(region);
    }

    /// Proposes a change of the regions.
    pub(super) fn propose(&mut self, region: usize, change: MembershipChange) -> bool {
        let now = self.moment(region);
        let steady = self.steady_ms();
        let Some(running) = self.running(region) else { return false };
        let proposed = running.control.propose(&running.site, change.clone(), now.now_ms);
        let done = running.control.end(&running.site, false, now, steady);
        self.control_done(region, done, vec![]);
        self.tell_of(region, || match &proposed {
            Ok(id) => format!("proposes {change:?} as {id:?}"),
            Err(error) => format!("may not propose {change:?}: {error}"),
        });
        proposed.is_ok()
    }

    /// After a commit that found no space: back to the last one.
    pub(super) fn restore_control(&mut self, region: usize) {
        let Some(running) = self.running(region) else { return };
        let here = running.here.clone();
        let restored = ControlApplier::restore(&running.site, |version, _| here.contains(version));
        let restored = restored.and_then(|control| {
            running.assembled = whole_parts(&running.site.store, &control)?;
            running.control = control;
            Ok(())
        });
        if let Err(error) = restored {
            self.fail("restore", || error.to_string());
        }
    }

    /// A new disk for a region.
    pub(super) fn blank_disk() -> Arc<syncline_store::MemoryStore> {
        Arc::new(syncline_store::MemoryStore::new())
    }
}
