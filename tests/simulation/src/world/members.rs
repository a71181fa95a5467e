//! Regions that come and go.

use std::collections::BTreeSet;

use syncline_applier::join_from;
use syncline_bus::{Decoded, decode};
use syncline_core::{
    CONTROL_PARTITION, ChangeRecord, Hlc, MembershipChange, MembershipState, RegionId, StartCheck,
    StartVerdict,
};
use syncline_store::MemoryStore;

use super::World;
use crate::region::{SimRegion, partition_count};
use crate::scenario::{Pick, Step, Verb};
use crate::topology::Topology;

/// More regions are not let in.
const REGIONS_MAX: usize = 7;

impl World {
    pub(super) fn come_and_go(&mut self, step: Step) {
        match step {
            Step::Die { region } => self.die(self.pick(region)),
            Step::LastWords { region, hears, table } => {
                let region = self.pick(region);
                let Some(hears) = self.pick_other(hears, region) else { return };
                self.last_words(region, hears, table);
            }
            Step::Evict { by, also } => {
                let by = self.pick(by);
                let also = also.and_then(|also| self.pick_other(also, by));
                self.evict(by, also, false);
            }
            Step::Join { by } => self.join(self.pick(by)),
            Step::Snapshot { donor } => self.snapshot(self.pick(donor)),
            Step::Backup { region } => {
                let region = self.pick(region);
                self.regions[region].backup = Some(self.regions[region].store.snapshot());
            }
            Step::OldDisk { region } => self.old_disk(self.pick(region)),
            _ => {}
        }
    }

    /// A region is gone for good, unless too few would be left.
    fn die(&mut self, region: usize) {
        let alive = self.regions.iter().filter(|region| !region.dead).count();
        if alive < 3 || self.regions[region].dead {
            return;
        }
        self.stats.fault("a region that died");
        self.crash(region, 0);
        self.regions[region].dead = true;
        self.tell_of(region, || "is gone for good".into());
        self.read_past([self.regions[region].id.clone()]);
    }

    /// What one that is gone wrote, another one that is gone has built on, and only that is told.
    fn last_words(&mut self, region: usize, hears: usize, table: Pick) {
        let up = self.regions.iter().filter(|region| region.running.is_some()).count();
        let both = [region, hears];
        if up < 4 || both.iter().any(|region| self.regions[*region].running.is_none()) {
            return;
        }
        self.stats.fault("two regions that died with what only they knew");
        let name = self.regions[region].id.clone();
        for other in (0..self.regions.len()).filter(|other| !both.contains(other)) {
            let other = self.regions[other].id.clone();
            self.bus.set_cut(&other, &name, true);
        }
        for writer in [region, hears] {
            self.write(writer, table, 0, Verb::Put, 1);
            self.pump(writer);
            self.pull(hears);
        }
        for other in (0..self.regions.len()).filter(|other| !both.contains(other)) {
            self.pull(other);
        }
        self.die(hears);
        self.die(region);
    }

    /// Proposes to evict all that are dead, if there are any. `at_last`: also the one that joins, whose
    /// disk has come to life, where a join waits for one that is dead.
    pub(super) fn evict(&mut self, by: usize, also: Option<usize>, at_last: bool) {
        let Some(running) = &self.regions[by].running else { return };
        let membership = running.control.control().membership();
        let members = membership.members();
        let mut gone: BTreeSet<RegionId> = self
            .regions
            .iter()
            .filter(|region| region.dead && members.contains(&region.id))
            .map(|region| region.id.clone())
            .collect();
        // An eviction on top of a change that is not done takes that one back.
        if let Some(open) = membership.current()
            && open.state != MembershipState::Complete
        {
            let stuck = open.participants.iter().any(|region| gone.contains(region));
            match &open.change {
                // Whose disk has come to life already is not taken back at once: what the others
                // lack for the agreement may be passed on, unless it died with its region.
                MembershipChange::Join { region }
                    if stuck && self.is_running(region) && !at_last =>
                {
                    return;
                }
                MembershipChange::Join { region } if stuck || self.is_dead(region) => {
                    gone.insert(region.clone());
                }
                MembershipChange::Evict { gone: earlier } if stuck => {
                    gone.extend(earlier.iter().cloned());
                }
                _ => {}
            }
        }
        // Evictions that together name all who live are beyond any agreement: one such region a run.
        let also = also.filter(|_| members.len() > gone.len() + 2 && !self.evicts_the_living);
        if let Some(also) = also {
            self.evicts_the_living = true;
            self.stats.fault("an eviction of a region that lives");
            gone.insert(self.regions[also].id.clone());
        }
        self.read_past(gone.iter().cloned());
        if !gone.is_empty() && self.propose(by, MembershipChange::Evict { gone }) {
            self.stats.fault("an eviction");
        }
    }

    /// People have each region read all others itself, where some hear others through one that is
    /// gone: so the product asks.
    fn read_past(&mut self, gone: impl IntoIterator<Item = RegionId>) {
        if !gone.into_iter().any(|gone| self.topology.needs(&gone)) {
            return;
        }
        self.topology = Topology::Direct;
        self.stats.state("regions were told to do without one that passed on");
        self.tell(|| "each region is told to read all others itself".into());
        for region in 0..self.regions.len() {
            if self.regions[region].running.is_some() {
                self.crash(region, 100);
                self.start(region);
            }
        }
    }

    fn is_dead(&self, region: &RegionId) -> bool {
        self.regions.iter().any(|known| known.id == *region && known.dead)
    }

    fn is_running(&self, region: &RegionId) -> bool {
        self.regions.iter().any(|known| known.id == *region && known.running.is_some())
    }

    /// Proposes that a region joins: one that was lost, as another incarnation, or a new one.
    fn join(&mut self, by: usize) {
        if self.regions.iter().filter(|region| !region.dead).count() >= REGIONS_MAX {
            return;
        }
        let Some(running) = &self.regions[by].running else { return };
        let membership = running.control.control().membership();
        let returning = self
            .regions
            .iter()
            .filter(|region| membership.is_evicted(&region.id))
            .max_by_key(|region| region.id.incarnation())
            .and_then(|region| {
                let next = region.id.incarnation() + 1;
                RegionId::with_incarnation(region.id.name(), next).ok()
            });
        let unused = |name: &RegionId| !self.regions.iter().any(|region| region.id == *name);
        let fresh = (b'a'..=b'z').filter_map(|letter| char::from(letter).to_string().parse().ok());
        let Some(region) = returning.into_iter().chain(fresh).find(unused) else { return };
        if self.propose(by, MembershipChange::Join { region }) {
            self.stats.fault("a join");
        }
    }

    /// A region that is to join takes over what the donor has, if all have agreed.
    pub(super) fn snapshot(&mut self, donor: usize) {
        let Some(running) = &self.regions[donor].running else { return };
        let joining = running.control.control().membership().to_admit();
        let known = |region: &&RegionId| self.regions.iter().any(|other| other.id == **region);
        let Some(joining) = joining.filter(|region| !known(region)).cloned() else { return };
        // What is copied must be durable: else the joiner could know what the donor forgets.
        self.sync(donor);
        if self.regions[donor].running.is_none() {
            return;
        }
        let from = MemoryStore::new();
        from.restore(&self.regions[donor].store.snapshot());
        let disk = Self::blank_disk();
        let name = self.regions[donor].id.clone();
        let partitions = partition_count(&self.setup);
        if let Err(error) = join_from(&name, &from, &[], &joining, &*disk, partitions) {
            self.fail("join", || format!("{joining} cannot take over from {name}: {error}"));
            return;
        }
        self.stats.state("a region joined by a snapshot");
        self.tell(|| format!("{joining} takes over what {name} has"));
        self.regions.push(SimRegion::new(joining, disk, 0));
        self.start(self.regions.len() - 1);
    }

    /// Puts an old disk back.
    fn old_disk(&mut self, region: usize) {
        let alive = self.regions.iter().filter(|region| !region.dead).count();
        // The product waits for a fresh heartbeat of every peer, up to a limit: what happens beyond
        // that limit is not played.
        let all_up = self.regions.iter().all(|region| region.dead || region.running.is_some());
        if alive < 3 || self.regions[region].dead || !all_up {
            return;
        }
        let Some(backup) = self.regions[region].backup.take() else { return };
        self.stats.fault("an old disk");
        self.crash(region, 0);
        self.regions[region].store.restore(&backup);
        self.regions[region].unsynced.clear();
        self.tell_of(region, || "gets an old disk".into());
        let id = self.regions[region].id.clone();
        self.old_disks.insert(id.clone());
        for peer in 0..self.regions.len() {
            self.regions[peer].store.set_full(false);
            self.pump(peer);
        }
        let heard = |peer: &SimRegion| peer.dead || peer.id == id || peer.running.is_some();
        if !self.regions.iter().all(heard) {
            // Without a word of every peer nobody vouches for this disk.
            self.regions[region].dead = true;
            self.read_past([id]);
            return;
        }
        self.start(region);
    }

    /// What the product does before a region that starts takes writes: it compares its disk with
    /// what others know of it.
    pub(super) fn check_start(&mut self, region: usize) {
        let name = self.regions[region].id.clone();
        let Some(running) = &self.regions[region].running else { return };
        let lanes = running.lanes();
        let peers = self.regions.iter().map(|region| region.id.clone());
        let mut start = StartCheck::new(name.clone(), running.clock(), peers);
        for lane in lanes {
            for source in &self.regions {
                for record in self.bus.log(&source.id, lane).records() {
                    match decode(record) {
                        Ok(Decoded::Heartbeat(beat)) if beat.region == name => {
                            start.own_record(beat.hlc);
                        }
                        Ok(Decoded::Heartbeat(beat)) => start.heard(&beat, true),
                        Ok(Decoded::Change(record)) if record.change.id.region == name => {
                            start.own_record(record.change.id.hlc);
                        }
                        Ok(Decoded::Control(record)) if record.id.region == name => {
                            start.own_record(record.id.hlc);
                        }
                        _ => {}
                    }
                }
            }
        }
        let was_old = self.old_disks.contains(&name);
        match start.verdict() {
            StartVerdict::Old { known, told } if was_old => {
                self.stats.state("an old disk was seen");
                self.tell(|| {
                    format!("{name} stops: its disk is old, at {known} while others know {told}")
                });
                self.regions[region].running = None;
                self.regions[region].dead = true;
                self.read_past([name]);
            }
            StartVerdict::Old { known, told } => self.fail("start", || {
                format!("{name} takes a good disk for old: at {known}, while others know {told}")
            }),
            _ if was_old => self.forget_what_only_the_disk_had(region),
            _ => {}
        }
    }

    /// Nobody knew more than the old disk: what was made since and never told is lost with the
    /// other disk, acknowledged or not.
    fn forget_what_only_the_disk_had(&mut self, region: usize) {
        let name = self.regions[region].id.clone();
        let Some(running) = &self.regions[region].running else { return };
        let last: Vec<Hlc> =
            running.partitions.iter().map(|applier| applier.partition().last_change()).collect();
        let rows: Vec<_> = self.oracle.rows().cloned().collect();
        for row in rows {
            let number = self.partition_of(&row);
            let of_row: Vec<_> =
                self.oracle.changes_of(&row).map(|(id, _, _)| id.clone()).collect();
            for id in of_row {
                if id.region == name && id.hlc > last[number as usize] {
                    self.lose(&row, &id);
                    self.acknowledged.remove(&id);
                }
            }
        }
        self.old_disks.remove(&name);
    }

    pub(super) fn made(&mut self, region: usize, record: &ChangeRecord) {
        let change = &record.change;
        if self.expected == Some(false) {
            let id = change.id.clone();
            self.fail("precondition", || format!("{id} is taken, the row is not as it asked"));
        }
        self.check_made(region, record);
        self.oracle.made(&record.row, change);
        let lane = (change.id.region.clone(), self.partition_of(&record.row));
        self.made.entry(lane).or_default().insert(change.id.hlc);
        self.note(change.id.hlc.bits());
        self.tell_of(region, || {
            format!(
                "writes {} of {}: {:?} after {:?}, stamp {:?}",
                change.id, record.row, change.after, change.context, change.stamp
            )
        });
    }

    /// The number of a lane's partition.
    pub(super) fn number_of(lane: syncline_bus::Lane) -> u32 {
        match lane {
            syncline_bus::Lane::Changes(number) => number,
            syncline_bus::Lane::Control => CONTROL_PARTITION,
        }
    }
}
