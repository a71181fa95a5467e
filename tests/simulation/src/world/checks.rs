//! What is promised at every moment.

use syncline_bus::Lane;
use syncline_core::{
    CONTROL_PARTITION, ChangeRecord, ConflictOutcome, ConflictRecord, FunctionVersion, Heartbeat,
    Hlc, HostFault, LinkState, MergeInput, RegionId, Replayed, RowKey, VersionVector,
};
use syncline_store::kv::row;

use super::{Resolved, World};
use crate::functions::function_of;
use crate::region::SimRegion;

impl World {
    /// A change builds on all that its region holds of the row.
    pub(super) fn check_made(&mut self, region: usize, record: &ChangeRecord) {
        let name = self.regions[region].id.clone();
        let key = (name.clone(), record.row.clone());
        let change = &record.change;
        if let Some(held) = self.held_rows.get(&key) {
            let unseen = held.first_missing(&change.context);
            if !change.context.covers(held) {
                let context = change.context.clone();
                let held = held.clone();
                self.fail("context", || {
                    format!(
                        "{} builds on {context:?}, its region held {held:?} ({unseen:?})",
                        change.id
                    )
                });
            }
        }
        let number = self.partition_of(&record.row);
        self.check_writer(region, number);
        if self.oracle.knows(&record.row, &change.id) {
            self.fail("clock", || format!("{} is made a second time", change.id));
        }
        // Where nothing is rolled out, every region stamps what all began with.
        let table = self.tables.get(&record.row.table).copied().unwrap_or(change.stamp);
        if !self.rolls_out && change.stamp != table {
            let stamp = change.stamp;
            self.fail("stamp", || format!("{} is stamped {stamp}, not {table}", change.id));
        }
        if let Err(error) = record.check() {
            self.fail("record", || format!("{} is malformed: {error}", change.id));
        }
    }

    /// What a row has become is what its changes come to.
    pub(super) fn check_row(&mut self, region: usize, number: u32, key: &RowKey) {
        if self.broken.is(region) {
            return;
        }
        let name = self.regions[region].id.clone();
        let store = &self.regions[region].store;
        let state = match row::get(&**store, number, key) {
            Ok(state) => state,
            Err(error) => {
                self.fail("store", || format!("{name} {key}: {error}"));
                return;
            }
        };
        let Some(running) = &self.regions[region].running else { return };
        let partition = running.partitions[number as usize].partition();
        let watermarks = partition.watermarks();
        let mut holds = watermarks.clone();
        let at = (name.clone(), key.clone());
        if let Some(state) = &state {
            holds.join(&state.vv);
            let expected = self.oracle.image(key, &state.vv);
            if state.image != expected {
                let state = state.clone();
                self.fail("image", || {
                    format!(
                        "{name} holds {:?} of {key} at {:?}, its changes come to {expected:?}",
                        state.image, state.vv
                    )
                });
                return;
            }
            let heads = self.oracle.heads(key, &state.vv);
            if heads != state.heads {
                let held = state.heads.clone();
                self.fail("heads", || format!("{name} {key}: heads {held:?}, should be {heads:?}"));
                return;
            }
            let unknown = heads.iter().find(|head| !self.oracle.knows(key, head));
            if let Some(unknown) = unknown {
                self.fail("unmade", || format!("{name} holds {unknown} of {key}, which was lost"));
                return;
            }
            self.held_rows.insert(at.clone(), state.vv.clone());
        } else {
            self.check_forgotten(region, number, key);
            self.held_rows.remove(&at);
        }
        let before = self.held.get(&at);
        if before.is_some_and(|before| !holds.covers(before)) {
            let before = before.cloned();
            self.fail("grows", || format!("{name} {key}: held {before:?}, now {holds:?}"));
        }
        self.held.insert(at, holds);
        let image = state.and_then(|state| state.image);
        let digest = image.map_or(1, |image| fnv(image.as_bytes()));
        self.note(digest);
    }

    /// Only a row that is deleted everywhere is forgotten.
    fn check_forgotten(&mut self, region: usize, number: u32, key: &RowKey) {
        self.stats.state("a deleted row was forgotten");
        let name = self.regions[region].id.clone();
        let Some(running) = &self.regions[region].running else { return };
        let partition = running.partitions[number as usize].partition();
        let (watermarks, stable) = (partition.watermarks().clone(), partition.stable().clone());
        let applied: VersionVector = self
            .oracle
            .changes_of(key)
            .filter(|(id, ..)| {
                watermarks.has(id) && !self.given_up.contains(&(key.clone(), (*id).clone()))
            })
            .map(|(id, ..)| (id.region.clone(), id.hlc))
            .collect();
        if !stable.covers(&applied) {
            self.fail("forgotten", || {
                format!("{name} forgot {key} with {applied:?}, of which only {stable:?} is stable")
            });
        } else if let Some(image) = self.oracle.image(key, &applied) {
            self.fail("forgotten", || format!("{name} forgot {key}, which should be {image:?}"));
        }
    }

    /// A conflict has one outcome, whoever resolves it, and it is what its heads come to.
    pub(super) fn resolved(&mut self, region: usize, record: ConflictRecord) {
        let name = self.regions[region].id.clone();
        *self.stats.conflicts.entry(record.sides.len()).or_default() += 1;
        match &record.outcome {
            ConflictOutcome::Merged(_) => self.stats.state("a conflict was merged"),
            ConflictOutcome::Fallback { .. } => {
                self.stats.state("a conflict fell back to its newest head");
            }
            ConflictOutcome::Waiting { .. } => {
                self.fail("conflict", || format!("{name} calls a conflict resolved that waits"));
            }
        }
        self.tell_of(region, || {
            let heads: Vec<_> = record.sides.iter().map(|side| side.change.to_string()).collect();
            format!("resolves {} of {}: {:?}", heads.join(" "), record.row, record.outcome)
        });
        self.note_resolved(region, &record);
        if self.broken.is(region) {
            return;
        }
        let vector: VersionVector =
            record.sides.iter().map(|side| (side.change.region.clone(), side.change.hlc)).collect();
        let expected = self.oracle.image(&record.row, &vector);
        if record.result() != expected.as_ref() {
            let row = record.row.clone();
            let result = record.result().cloned();
            self.fail("conflict", || {
                format!("{name} resolved a conflict of {row} to {result:?}, not {expected:?}")
            });
        }
        self.check_replay(&name, &record);
        let known = self.outcomes.get(&record.id);
        if let Some(known) = known.filter(|known| known.outcome != record.outcome) {
            let (by, known, now) =
                (known.by.clone(), known.outcome.clone(), record.outcome.clone());
            self.fail("one outcome", || {
                format!("{} came to {known:?} in {by}, to {now:?} in {name}", record.id)
            });
        }
        let heads = record.sides.into_iter().map(|side| side.change).collect();
        let resolved = Resolved { by: name, heads, outcome: record.outcome };
        self.outcomes.entry(record.id).or_insert(resolved);
    }

    /// What is recorded of a conflict is all that its function was given.
    fn check_replay(&mut self, by: &RegionId, record: &ConflictRecord) {
        let functions = |version: &FunctionVersion, input: &MergeInput<'_>| {
            let function = function_of(version).ok_or(HostFault::NotHere(*version))?;
            Ok(function.merge(input))
        };
        match record.replay(record.stamp, true, &functions) {
            Ok(Replayed::Outcome(outcome)) if outcome == record.outcome => {}
            replayed => {
                let (id, outcome) = (record.id, record.outcome.clone());
                self.fail("recorded", || {
                    format!("{id} came to {outcome:?} in {by}, and when replayed to {replayed:?}")
                });
            }
        }
    }

    /// What a partition says of itself is true, and never less than what was said before.
    pub(super) fn check_partition(&mut self, region: usize, number: u32) {
        let name = self.regions[region].id.clone();
        let Some(running) = &self.regions[region].running else { return };
        let partition = running.partitions[number as usize].partition();
        let mut wrong = None;
        for (of, link, waiting) in partition.links() {
            let c = link.counters;
            let sum = c.applied + c.duplicate + c.gap + c.quarantined + c.dropped + waiting as u64;
            if c.consumed != sum {
                wrong = Some((
                    "account",
                    format!("{name} p{number} of {of}: {c:?} and {waiting} wait"),
                ));
            }
            // All of the region's changes up to the watermark were taken.
            let upto = partition.watermarks().get(of);
            let made = self.made.get(&(of.clone(), number));
            let last = made.and_then(|made| made.range(..=upto).next_back());
            if last.is_some_and(|last| *last > link.taken) {
                wrong = Some((
                    "watermark",
                    format!(
                        "{name} p{number} says all of {of} up to {upto}, and took {}",
                        link.taken
                    ),
                ));
            }
        }
        let (own, outstanding) = (partition.own_counters(), partition.outstanding());
        if own.produced != own.confirmed + outstanding as u64 {
            wrong = Some(("account", format!("{name} p{number}: {own:?}, {outstanding} left")));
        }
        let (watermarks, taken) = (partition.watermarks().clone(), partition.taken());
        let stable = partition.stable().clone();
        let said = self.said.entry((name.clone(), Lane::Changes(number))).or_default();
        if !watermarks.covers(&said.watermarks) || !taken.covers(&said.taken) {
            let said = said.clone();
            wrong = Some(("forgot", format!("{name} p{number} said {said:?}, now {watermarks:?}")));
        }
        let before = self.stable.entry((name.clone(), number)).or_default();
        if !stable.covers(before) {
            wrong = Some(("stable", format!("{name} p{number} had {before:?}, now {stable:?}")));
        }
        let fact = taken.iter().fold(0, |sum: u64, (_, hlc)| sum.wrapping_add(hlc.bits()));
        let moved = *before != stable;
        *before = stable;
        if moved {
            self.check_stable(region, number);
        }
        self.note(fact);
        if let Some((check, what)) = wrong {
            self.fail(check, || what);
        }
    }

    /// What is stable here is applied by every region that counts.
    fn check_stable(&mut self, region: usize, number: u32) {
        let Some(running) = &self.regions[region].running else { return };
        let partition = running.partitions[number as usize].partition();
        let lags = self.regions.iter().find_map(|peer| {
            let counts = partition.links().any(|(id, link, _)| *id == peer.id && link.is_counted());
            let theirs = peer.running.as_ref().filter(|_| counts)?;
            let theirs = theirs.partitions[number as usize].partition().watermarks();
            let missing = theirs.first_missing(partition.stable());
            missing.map(|missing| format!("{} has not applied {missing:?}", peer.id))
        });
        if let Some(lags) = lags {
            let name = self.regions[region].id.clone();
            self.fail("stable", || format!("{name} p{number}: {lags}"));
        }
    }

    /// Who writes has applied all that is stable in any region that counts it.
    fn check_writer(&mut self, region: usize, number: u32) {
        let name = self.regions[region].id.clone();
        let Some(running) = &self.regions[region].running else { return };
        let watermarks = running.partitions[number as usize].partition().watermarks();
        let ahead = self.regions.iter().filter(|peer| peer.id != name).find_map(|peer| {
            let partition = peer.running.as_ref()?.partitions[number as usize].partition();
            let mut links = partition.links();
            links.find(|(id, link, _)| **id == name && link.is_counted())?;
            let missing = watermarks.first_missing(partition.stable());
            missing.map(|missing| format!("in {} {missing:?} is stable", peer.id))
        });
        if let Some(ahead) = ahead {
            self.fail("writer", || format!("{name} p{number} writes, but {ahead}"));
        }
    }

    /// As above, of the control partition.
    pub(super) fn check_control(&mut self, region: usize) {
        let name = self.regions[region].id.clone();
        let Some(running) = &self.regions[region].running else { return };
        let control = running.control.control();
        let mut wrong = None;
        let mut taken = VersionVector::new();
        for (of, link) in control.links() {
            let c = link.counters;
            let sum = c.applied + c.duplicate + c.gap + c.quarantined + c.dropped;
            if c.consumed != sum {
                wrong = Some(("account", format!("{name} control of {of}: {c:?}")));
            }
            taken.raise(of, link.taken);
        }
        let (own, outstanding) = (control.own_counters(), control.outstanding());
        if own.produced != own.confirmed + outstanding as u64 {
            wrong = Some(("account", format!("{name} control: {own:?}, {outstanding} left")));
        }
        taken.raise(&name, control.own_change());
        let said = self.said.get(&(name.clone(), Lane::Control));
        if let Some(said) = said.filter(|said| !taken.covers(&said.taken)) {
            wrong =
                Some(("forgot", format!("{name} control said {:?}, now {taken:?}", said.taken)));
        }
        let fact = taken.iter().fold(7, |sum: u64, (_, hlc)| sum.wrapping_add(hlc.bits()));
        self.note(fact);
        if let Some((check, what)) = wrong {
            self.fail(check, || what);
        }
    }

    /// Who passes on what it takes has passed it all on once it has produced all that is due.
    pub(super) fn check_forwarded(&mut self, region: usize) {
        let SimRegion { id, running: Some(running), .. } = &self.regions[region] else { return };
        if !running.site.routes.forwards() {
            return;
        }
        let lags = running.partitions.iter().find_map(|applier| {
            let partition = applier.partition();
            let number = partition.number();
            partition.links().find_map(|(of, link, _)| {
                let lags = link.state == LinkState::Live
                    && self.keeps_from_others(id, number, of, link.taken);
                lags.then(|| format!("{id} p{number}: took {} of {of}, and keeps it", link.taken))
            })
        });
        if let Some(lags) = lags {
            self.fail("forwarded", || lags);
        }
        self.stats.state("a region had passed on all it knew");
    }

    /// A heartbeat is passed on behind the changes that it stands behind.
    pub(super) fn check_forwarded_beat(&mut self, name: &RegionId, lane: Lane, beat: &Heartbeat) {
        let Lane::Changes(number) = lane else { return };
        let region = self.regions.iter().find(|region| region.id == *name);
        let Some(running) = region.and_then(|region| region.running.as_ref()) else { return };
        let taken = running.partitions[number as usize].partition().taken().get(&beat.region);
        let (of, upto) = (&beat.region, beat.prev.min(taken));
        if self.keeps_from_others(name, number, of, upto) {
            self.fail("forwarded", || {
                format!("{name} p{number}: a heartbeat of {of} overtakes its change {upto}")
            });
        }
    }

    /// True if a change of `of` was never brought into the log of `name`, though someone lacks it.
    fn keeps_from_others(&self, name: &RegionId, number: u32, of: &RegionId, upto: Hlc) -> bool {
        let at = (name.clone(), Lane::Changes(number), of.clone());
        let forwarded = self.forwarded.get(&at).copied().unwrap_or_default();
        let forwarder = self.regions.iter().find(|region| region.id == *name);
        let Some(forwarder) = forwarder.and_then(|region| region.running.as_ref()) else {
            return false;
        };
        let links = || forwarder.partitions[number as usize].partition().links();
        let counts = |id: &RegionId| links().any(|(of, link, _)| of == id && link.is_counted());
        let lacks = |region: &SimRegion| {
            let Some(running) = &region.running else { return false };
            let taken = running.partitions[number as usize].partition().taken();
            region.id != *of && counts(&region.id) && taken.get(of) < upto
        };
        // What everyone has need not be passed on any more.
        forwarded < upto && self.regions.iter().any(lacks)
    }

    /// For the end: the surviving changes of a row, as those who stay have agreed.
    pub(super) fn surviving(
        &self,
        key: &RowKey,
        cuts: &std::collections::BTreeMap<RegionId, Vec<syncline_core::Cut>>,
    ) -> VersionVector {
        let number = self.partition_of(key);
        debug_assert_ne!(number, CONTROL_PARTITION);
        let limit = |region: &RegionId| {
            let cut = cuts.get(region)?;
            Some(cut.get(number as usize).copied().unwrap_or_default().taken)
        };
        let survives = |id: &syncline_core::ChangeId| {
            limit(&id.region).is_none_or(|upto: Hlc| id.hlc <= upto)
                && !self.given_up.contains(&(key.clone(), id.clone()))
        };
        let changes = self.oracle.changes_of(key).filter(|(id, ..)| survives(id));
        changes.map(|(id, ..)| (id.region.clone(), id.hlc)).collect()
    }
}

pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
