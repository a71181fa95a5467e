//! Everything heals; then all regions must come to rest, equal, and keep nothing that they need not.

use std::collections::BTreeMap;

use syncline_bus::Lane;
use syncline_core::{
    Cut, FeedStep, MembershipChange, MembershipState, RegionId, Stamp, TableDigest, TableName,
};
use syncline_store::kv::{history, outbox, row};

use super::World;
use crate::functions::{Function, numbers};

/// So many rounds, of a second each, healing may take. Being sent again what was missed takes up
/// to 48 heartbeats, once a region has found out that sending does not help, and some regions miss
/// what others only then can send.
const ROUNDS_MAX: u64 = 240;

/// So many rounds people wait before they propose again what came to nothing: who is fenced by an
/// eviction that is open cannot be heard through others either.
const PATIENCE: usize = 8;

/// So many rounds a join that waits for a region that is gone may take, as what it lacks may still be
/// passed on. Then it is taken back.
const PATIENCE_WITH_JOINS: usize = 10 * PATIENCE;

impl World {
    pub(super) fn heal(&mut self) {
        self.tell(|| "everything heals".into());
        self.bus.mend_all();
        for region in 0..self.regions.len() {
            self.regions[region].store.set_full(false);
            self.regions[region].engine_fails = false;
            if self.running(region).is_some_and(|running| running.lacks_functions) {
                self.crash(region, 100);
            }
        }
        self.set_clocks();
        self.pass_all_tests();
        for round in 1..=ROUNDS_MAX {
            self.now_ms += 1000;
            self.stats.events += 1;
            for region in 0..self.regions.len() {
                self.start(region);
                self.pump(region);
            }
            for region in 0..self.regions.len() {
                self.pull(region);
                // What is to be passed on: heartbeats never end.
                self.produce_all(region);
            }
            self.finish_members(round as usize);
            if self.failure.is_some() {
                return;
            }
            if self.unrest().is_none() && !self.mend() {
                self.stats.rounds_max = round;
                self.check_end();
                return;
            }
        }
        let unrest = self.unrest();
        self.fail("rest", || format!("no rest after {ROUNDS_MAX} rounds: {unrest:?}"));
    }

    /// The dead are evicted, and who is to join gets its snapshot.
    fn finish_members(&mut self, round: usize) {
        let survivors = self.survivors();
        // Where two disagree, people act now in one and now in the other.
        let turn = round / PATIENCE;
        let in_turn = (0..survivors.len()).map(|n| survivors[(n + turn) % survivors.len()]);
        for region in in_turn {
            let Some(running) = &self.regions[region].running else { continue };
            let membership = running.control.control().membership();
            if !membership.may_write() {
                continue;
            }
            let members = membership.members();
            let mourned = |id: &RegionId| {
                members.contains(id)
                    && self.regions.iter().any(|region| region.id == *id && region.dead)
            };
            let dead = members.iter().any(mourned);
            let open = membership.current().map(|view| view.state);
            let open = open.is_some_and(|state| state != MembershipState::Complete);
            if dead && round % PATIENCE == 1 {
                self.evict(region, None, round > PATIENCE_WITH_JOINS);
            }
            if open {
                self.snapshot(region);
            }
            return;
        }
    }

    /// Those who are members in the eyes of a member that nobody says is gone: a region that was
    /// evicted while it could not be reached may never hear of that.
    fn survivors(&self) -> Vec<usize> {
        let views: Vec<_> = self
            .regions
            .iter()
            .filter_map(|region| {
                let membership = region.running.as_ref()?.control.control().membership();
                membership.may_write().then_some((&region.id, membership))
            })
            .collect();
        let is_gone = |id: &RegionId| views.iter().any(|(_, membership)| membership.is_evicted(id));
        let Some((_, seen)) = views.iter().find(|(id, _)| !is_gone(id)) else { return Vec::new() };
        let members = seen.members();
        let is_member = |region: &usize| members.contains(&self.regions[*region].id);
        (0..self.regions.len()).filter(is_member).collect()
    }

    /// What is not at rest yet.
    fn unrest(&self) -> Option<String> {
        let survivors = self.survivors();
        if survivors.is_empty() {
            return Some("there is no member".into());
        }
        for number in survivors {
            let region = &self.regions[number];
            let name = &region.id;
            let Some(running) = &region.running else { return Some(format!("{name} is down")) };
            let control = running.control.control();
            let membership = control.membership();
            if let Some(duty) = membership.duty() {
                return Some(format!("{name} has to do {duty:?}"));
            }
            let under_way = membership.current().is_some_and(|view| {
                !matches!(view.state, MembershipState::Complete | MembershipState::Dead)
            });
            if under_way {
                return Some(format!("{name} knows of {:?}", membership.current()));
            }
            if let Some(open) = self.open_without_reason(number) {
                return Some(format!("{name}: {open}"));
            }
            if let Some(kept) = self.kept_without_reason(number) {
                return Some(format!("{name}: {kept}"));
            }
            if self.doubts_its_clock(number) {
                return Some(format!("{name} takes no writes, though all clocks are right"));
            }
            if control.outstanding() > 0 {
                return Some(format!("{name} has unconfirmed control records"));
            }
            for lane in running.lanes() {
                let step = running.feeds.next_in(lane);
                if step != FeedStep::Idle {
                    return Some(format!("{name} {lane} has to produce {step:?}"));
                }
            }
            for applier in &running.partitions {
                let partition = applier.partition();
                let number = partition.number();
                let counts = [
                    ("changes wait", partition.waiting()),
                    ("changes are not confirmed", partition.outstanding()),
                    ("rows keep history", partition.rows_with_history()),
                ];
                if let Some((what, count)) = counts.into_iter().find(|(_, count)| *count > 0) {
                    return Some(format!("{name} p{number}: {count} {what}"));
                }
            }
        }
        None
    }

    fn check_end(&mut self) {
        let survivors = self.survivors();
        let Some(first) = survivors.first().copied() else { return };
        let Some(running) = &self.regions[first].running else { return };
        let membership = running.control.control().membership().clone();
        let mut cuts: BTreeMap<RegionId, Vec<Cut>> = BTreeMap::new();
        for view in membership.iter() {
            let evicts = matches!(view.change, MembershipChange::Evict { .. });
            if evicts && matches!(view.state, MembershipState::Agreed | MembershipState::Complete) {
                cuts.extend(membership.cuts(&view.id));
            }
        }
        for region in &survivors {
            self.check_same_members(*region, first);
            self.check_same_rollouts(*region, first);
            self.check_same_versions(*region, first);
            self.check_rows_at_rest(*region, &cuts);
        }
        if self.setup.broken.is_none() {
            self.check_counters(&cuts, first);
        }
        self.check_agreed();
        self.check_what_was_said(&cuts);
        self.check_acknowledged(&cuts);
    }

    fn check_same_members(&mut self, region: usize, first: usize) {
        let members = |region: usize| {
            let running = self.regions[region].running.as_ref()?;
            Some(running.control.control().membership().members())
        };
        let stamps = |region: usize, table: &TableName| {
            self.regions[region].running.as_ref().map(|running| running.site.stamp(table))
        };
        let (mine, theirs) = (members(region), members(first));
        // Under a rollout that waits they differ for a reason.
        let is_open = |table: &TableName| {
            let running = self.regions[first].running.as_ref();
            let mut open = running.into_iter().flat_map(|r| r.control.control().rollouts().open());
            open.any(|rollout| rollout.table == *table)
        };
        let table = (0..self.setup.tables.len())
            .map(crate::founding::table)
            .find(|table| !is_open(table) && stamps(region, table) != stamps(first, table));
        let name = self.regions[region].id.clone();
        if mine != theirs {
            self.fail("members", || format!("{name} counts {mine:?}, others {theirs:?}"));
        } else if let Some(table) = table {
            self.fail("stamps", || format!("{name} stamps {table} unlike the others"));
        }
    }

    fn check_rows_at_rest(&mut self, region: usize, cuts: &BTreeMap<RegionId, Vec<Cut>>) {
        let name = self.regions[region].id.clone();
        let mut digests: BTreeMap<TableName, TableDigest> = BTreeMap::new();
        let keys: Vec<_> = self.oracle.rows().cloned().collect();
        for key in keys {
            let number = self.partition_of(&key);
            let expected = self.oracle.image(&key, &self.surviving(&key, cuts));
            let state = match row::get(&*self.regions[region].store, number, &key) {
                Ok(state) => state,
                Err(error) => {
                    self.fail("store", || format!("{name} {key}: {error}"));
                    return;
                }
            };
            let image = state.as_ref().and_then(|state| state.image.clone());
            if image != expected {
                self.fail("converged", || {
                    format!("{name} holds {image:?} of {key}, all changes come to {expected:?}")
                });
                return;
            }
            if let Some(state) = &state {
                if state.image.is_none() {
                    self.fail("forgotten", || {
                        format!("{name} keeps {key}, which is deleted everywhere")
                    });
                    return;
                }
                if state.vv != state.floor || state.image != state.floor_image {
                    let (vv, floor) = (state.vv.clone(), state.floor.clone());
                    self.fail("floor", || {
                        format!("{name} {key}: at {vv:?}, the floor at {floor:?}")
                    });
                    return;
                }
                let digest = digests.entry(key.table.clone()).or_default();
                digest.replace(&key, None, state.image.as_ref());
            }
        }
        self.check_disk_at_rest(region, cuts);
        let Some(running) = &self.regions[region].running else { return };
        let mut held: BTreeMap<TableName, TableDigest> = BTreeMap::new();
        for applier in &running.partitions {
            for (table, digest) in applier.partition().digests() {
                held.entry(table.clone()).or_default().merge(digest);
            }
        }
        if held != digests {
            self.fail("digest", || format!("{name} says {held:?}, its rows come to {digests:?}"));
        }
    }

    /// Nothing stands on the disk that the partitions do not know of.
    fn check_disk_at_rest(&mut self, region: usize, cuts: &BTreeMap<RegionId, Vec<Cut>>) {
        let name = self.regions[region].id.clone();
        let alone = self
            .regions
            .iter()
            .all(|other| other.id == name || other.dead || cuts.contains_key(&other.id));
        let store = &*self.regions[region].store;
        let mut left = None;
        for number in 0..self.setup.partitions {
            let history = history::firsts(store, number).map(|rows| rows.len());
            if history != Ok(0) {
                left = Some(format!("p{number}: history of {history:?} rows"));
            }
            // A region alone confirms what it has yet to produce, and drops it the next time.
            let outbox = outbox::hlcs(store, number).map(|hlcs| hlcs.len());
            if outbox != Ok(0) && !alone {
                left = Some(format!("p{number}: {outbox:?} changes in the outbox"));
            }
        }
        if let Some(left) = left {
            self.fail("disk", || format!("{name} keeps on disk {left}"));
        }
    }

    /// A counter has counted everything once.
    fn check_counters(&mut self, cuts: &BTreeMap<RegionId, Vec<Cut>>, region: usize) {
        let keys: Vec<_> = self.oracle.rows().cloned().collect();
        let counts = Stamp::Function(Function::Counter.version());
        for key in keys {
            let counted = self.oracle.changes_of(&key).all(|(_, stamp, _)| stamp == counts);
            let given_up = self.given_up.iter().any(|(row, _)| *row == key);
            if given_up || !counted {
                continue;
            }
            let survives = self.surviving(&key, cuts);
            let ids = self.oracle.changes_of(&key).filter(|(id, ..)| survives.has(id));
            let total: i64 = ids.filter_map(|(id, ..)| self.added.get(id)).sum();
            let number = self.partition_of(&key);
            let state = row::get(&*self.regions[region].store, number, &key).ok().flatten();
            let image = state.and_then(|state| state.image);
            let counted = numbers(image.as_ref()).get("n").copied().unwrap_or_default();
            if counted != total {
                self.fail("counter", || format!("{key} counts {counted}, all writes add {total}"));
            }
        }
    }

    /// Nothing that one who stays said it had taken of a region that is gone lies beyond the cut.
    fn check_what_was_said(&mut self, cuts: &BTreeMap<RegionId, Vec<Cut>>) {
        let said: Vec<_> =
            self.said.iter().map(|(at, said)| (at.clone(), said.taken.clone())).collect();
        for ((region, lane), taken) in said {
            if cuts.contains_key(&region) {
                continue;
            }
            let number = Self::number_of(lane) as usize;
            for (gone, cuts) in cuts {
                let cut = match lane {
                    Lane::Changes(_) => cuts.get(number),
                    Lane::Control => cuts.last(),
                };
                let cut = cut.copied().unwrap_or_default();
                if taken.get(gone) > cut.taken {
                    self.fail("cut", || {
                        format!(
                            "{region} had taken {:?} of {gone}, the cut is {cut:?}",
                            taken.get(gone)
                        )
                    });
                }
            }
        }
    }

    /// What was acknowledged is there, unless it went with its region.
    fn check_acknowledged(&mut self, cuts: &BTreeMap<RegionId, Vec<Cut>>) {
        let lost = self
            .acknowledged
            .iter()
            .find(|(id, row)| !cuts.contains_key(&id.region) && !self.surviving(row, cuts).has(id));
        if let Some((id, row)) = lost {
            let (id, row) = (id.clone(), row.clone());
            self.fail("acknowledged", || format!("{id} of {row} was acknowledged, and is lost"));
        }
    }
}
