//! Whole regions in memory: partitions over what their commits leave on disk, and logs between
//! them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use syncline_core::{
    Alarm, ChangeId, ChangeRecord, Clock, Commit, ConflictId, ConflictOutcome, ConflictWrite,
    FunctionVersion, GuestFault, Heartbeat, Held, HistoryWrite, Hlc, HostFault, Image, LoadError,
    MergeInput, Merged, Partition, PartitionMeta, PartitionSetup, PartitionSnapshot, Precondition,
    Received, RegionId, Row, RowKey, RowState, RowWrite, Rows, Stamp, TableDigest, TableName,
    WaitingWrite, Written,
};

pub const COUNTER: FunctionVersion = FunctionVersion([1; 32]);
pub const SCRAMBLE: FunctionVersion = FunctionVersion([2; 32]);
pub const FAULTING: FunctionVersion = FunctionVersion([3; 32]);

/// A record of a region's log.
#[derive(Clone, Debug)]
pub enum Sent {
    Change(ChangeRecord),
    Heartbeat(Heartbeat),
}

/// What commits leave on disk.
#[derive(Clone, Default)]
struct Disk {
    rows: BTreeMap<RowKey, RowState>,
    history: BTreeMap<(RowKey, ChangeId), Held>,
    waiting: BTreeMap<(RowKey, ChangeId), ChangeRecord>,
    outbox: BTreeMap<Hlc, ChangeRecord>,
    digests: BTreeMap<TableName, TableDigest>,
    meta: PartitionMeta,
}

/// Loads rows from the disk once, as a cache would.
#[derive(Default)]
struct Loaded {
    disk: Disk,
    rows: BTreeMap<RowKey, Row>,
}

impl Rows for Loaded {
    fn row(&mut self, key: &RowKey) -> Result<&mut Row, LoadError> {
        let disk = &self.disk;
        Ok(self.rows.entry(key.clone()).or_insert_with(|| {
            let of_row = disk.history.iter().filter(|((row, _), _)| row == key);
            let history = of_row.map(|(_, held)| held.clone());
            Row::restore(disk.rows.get(key).cloned().unwrap_or_default(), history)
        }))
    }
}

pub struct Region {
    pub name: RegionId,
    regions: Vec<RegionId>,
    clock: Clock,
    pub partition: Partition,
    loaded: Loaded,
    pub log: Vec<Sent>,
    pub read: BTreeMap<RegionId, usize>,
    pub host_fails: Cell<bool>,
    pub alarms: Vec<Alarm>,
    pub outcomes: BTreeMap<ConflictId, ConflictOutcome>,
}

pub fn row_key(table: &str, n: usize) -> RowKey {
    RowKey { table: table.parse().unwrap(), pk: format!("row-{n}").parse().unwrap() }
}

fn setup(region: &RegionId, regions: &[RegionId]) -> PartitionSetup {
    PartitionSetup {
        partition: 0,
        region: region.clone(),
        regions: regions.to_vec(),
        outstanding_max: usize::MAX,
        waiting_per_link_max: usize::MAX,
    }
}

pub fn number(image: Option<&Image>) -> i64 {
    image.map_or(0, |image| std::str::from_utf8(image.as_bytes()).unwrap().parse().unwrap())
}

pub fn text(text: impl ToString) -> Option<Image> {
    Some(Image::opaque(text.to_string().into_bytes()))
}

fn merge(
    fails: bool,
    version: &FunctionVersion,
    input: &MergeInput<'_>,
) -> Result<Result<Merged, GuestFault>, HostFault> {
    if fails {
        return Err(HostFault::NotHere(*version));
    }
    let (ancestor, older, newer) = (input.ancestor, input.older.image, input.newer.image);
    if *version == COUNTER {
        let sum = number(older) + number(newer) - number(ancestor);
        return Ok(Ok(text(sum)));
    }
    let digest = Sha256::digest(format!("{version}{ancestor:?}{older:?}{newer:?}"));
    if *version == FAULTING && digest[1] < 100 {
        return Ok(Err(GuestFault::Trap("now and then".into())));
    }
    Ok(Ok(if digest[0] < 64 { None } else { text(hex::encode(&digest[..4])) }))
}

impl Region {
    pub fn new(name: &RegionId, regions: &[RegionId]) -> Self {
        Self {
            name: name.clone(),
            regions: regions.to_vec(),
            clock: Clock::starting_after(Hlc::ZERO),
            partition: Partition::restore(setup(name, regions), PartitionSnapshot::default()),
            loaded: Loaded::default(),
            log: Vec::new(),
            read: regions.iter().map(|region| (region.clone(), 0)).collect(),
            host_fails: Cell::new(false),
            alarms: Vec::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// Forgets what is in memory.
    pub fn restart(&mut self) {
        let disk = self.loaded.disk.clone();
        let mut unsettled: BTreeMap<RowKey, BTreeMap<RegionId, ChangeId>> = BTreeMap::new();
        for (row, id) in disk.history.keys() {
            let firsts = unsettled.entry(row.clone()).or_default();
            firsts.entry(id.region.clone()).or_insert_with(|| id.clone());
        }
        let unsettled = unsettled.into_iter();
        let snapshot = PartitionSnapshot {
            meta: disk.meta.clone(),
            outbox: disk.outbox.keys().copied().collect(),
            waiting: disk.waiting.values().cloned().collect(),
            unsettled: unsettled.map(|(row, ids)| (row, ids.into_values().collect())).collect(),
            digests: disk.digests.iter().map(|(table, digest)| (table.clone(), *digest)).collect(),
            divergences: Vec::new(),
        };
        let before = (self.partition.taken(), self.partition.stable().clone());
        self.partition = Partition::restore(setup(&self.name, &self.regions), snapshot);
        assert_eq!(before, (self.partition.taken(), self.partition.stable().clone()));
        self.clock = Clock::starting_after(self.partition.highest_hlc());
        self.loaded = Loaded { disk, rows: BTreeMap::new() };
    }

    pub fn write(
        &mut self,
        wall: u64,
        key: &RowKey,
        image: impl Fn(Option<&Image>) -> Option<Image>,
        stamp: Stamp,
    ) -> Written {
        let before = self.image(key);
        let hlc = self.clock.tick(wall).unwrap();
        let fails = self.host_fails.get();
        let functions = move |v: &FunctionVersion, i: &MergeInput<'_>| merge(fails, v, i);
        let mut batch = self.partition.batch(&mut self.loaded, &functions, wall);
        let image = image(before.as_ref());
        let deletes_nothing = image.is_none() && before.is_none();
        let image = if deletes_nothing { text("0") } else { image };
        let written = batch.write(hlc, key, &Precondition::None, image, stamp).unwrap().unwrap();
        let commit = batch.finish(None).unwrap();
        self.carry_out(commit);
        written
    }

    pub fn heartbeat(&mut self, wall: u64) {
        let hlc = self.clock.tick(wall).unwrap();
        let fails = self.host_fails.get();
        let functions = move |v: &FunctionVersion, i: &MergeInput<'_>| merge(fails, v, i);
        let mut batch = self.partition.batch(&mut self.loaded, &functions, wall);
        batch.retry_stalled();
        let commit = batch.finish(Some(hlc)).unwrap();
        self.carry_out(commit);
    }

    /// Reads on in another region's log.
    pub fn receive(&mut self, source: &RegionId, records: &[Sent]) {
        let fails = self.host_fails.get();
        let functions = move |v: &FunctionVersion, i: &MergeInput<'_>| merge(fails, v, i);
        let before = (self.partition.watermarks().clone(), self.partition.stable().clone());
        let mut batch = self.partition.batch(&mut self.loaded, &functions, 0);
        for record in records {
            let (hlc, received) = match record {
                Sent::Change(record) => {
                    (record.change.id.hlc, batch.receive(source, record.clone()))
                }
                Sent::Heartbeat(beat) => (beat.hlc, batch.hear(beat)),
            };
            assert!(!matches!(received, Received::Fork | Received::Foreign), "{record:?}");
            self.clock.observe(hlc);
        }
        batch.read_to(source, 0);
        let commit = batch.finish(None).unwrap();
        assert!(self.partition.watermarks().covers(&before.0), "watermarks only grow");
        assert!(self.partition.stable().covers(&before.1), "stable only grows");
        self.carry_out(commit);
    }

    fn carry_out(&mut self, commit: Commit) {
        let disk = &mut self.loaded.disk;
        for (key, write) in commit.rows {
            match write {
                RowWrite::Put(state) => drop(disk.rows.insert(key, state)),
                RowWrite::Forget => drop(disk.rows.remove(&key)),
            }
        }
        for (key, write) in commit.history {
            match write {
                HistoryWrite::Put(held) => {
                    disk.history.insert((key, held.id.clone()), (*held).clone());
                }
                HistoryWrite::Drop(id) => drop(disk.history.remove(&(key, id))),
            }
        }
        for write in commit.waiting {
            match write {
                WaitingWrite::Put(record) => {
                    let key = (record.row.clone(), record.change.id.clone());
                    disk.waiting.insert(key, record);
                }
                WaitingWrite::Drop(row, id) => {
                    disk.waiting.remove(&(row, id)).expect("it stands on disk");
                }
            }
        }
        for record in commit.outbox {
            record.check().unwrap();
            disk.outbox.insert(record.change.id.hlc, record.clone());
            self.log.push(Sent::Change(record));
        }
        if let Some(upto) = commit.confirmed {
            disk.outbox.retain(|hlc, _| *hlc > upto);
        }
        disk.digests.extend(commit.digests);
        disk.digests.retain(|_, digest| *digest != TableDigest::default());
        disk.meta = commit.meta;
        if let Some(beat) = commit.heartbeat {
            beat.check().unwrap();
            self.log.push(Sent::Heartbeat(beat));
        }
        if let Some(after) = commit.resend_after {
            let again = disk.outbox.range(after..).filter(|(hlc, _)| **hlc > after);
            self.log.extend(again.map(|(_, record)| Sent::Change(record.clone())));
        }
        self.alarms.extend(commit.alarms);
        for conflict in commit.conflicts {
            if let ConflictWrite::Resolved(record) = conflict {
                let outcome = record.outcome.clone();
                let known = self.outcomes.insert(record.id, record.outcome);
                assert!(known.is_none_or(|known| known == outcome), "two outcomes of one conflict");
            }
        }
    }

    pub fn image(&mut self, key: &RowKey) -> Option<Image> {
        self.loaded.row(key).unwrap().image().cloned()
    }

    pub fn tag(&mut self, key: &RowKey) -> [u8; 16] {
        self.loaded.row(key).unwrap().state().tag()
    }

    /// Checks what holds at every moment.
    pub fn check_account(&self) {
        for (region, link, waiting) in self.partition.links() {
            let c = link.counters;
            let sum = c.applied + c.duplicate + c.gap + c.quarantined + c.dropped + waiting as u64;
            assert_eq!(c.consumed, sum, "account of {region} in {}", self.name);
        }
        assert_eq!(self.partition.outstanding(), self.loaded.disk.outbox.len());
        assert_eq!(self.partition.waiting(), self.loaded.disk.waiting.len());
        let with_history: BTreeSet<&RowKey> =
            self.loaded.disk.history.keys().map(|(row, _)| row).collect();
        assert_eq!(self.partition.rows_with_history(), with_history.len());
        let mut digests: BTreeMap<TableName, TableDigest> = BTreeMap::new();
        for (key, state) in &self.loaded.disk.rows {
            let digest = digests.entry(key.table.clone()).or_default();
            digest.replace(key, None, state.image.as_ref());
        }
        for (table, digest) in &self.loaded.disk.digests {
            assert_eq!(digests.get(table).copied().unwrap_or_default(), *digest);
        }
    }

    /// Checks that nothing is kept but the rows.
    pub fn check_quiet(&self) {
        let disk = &self.loaded.disk;
        assert!(disk.history.is_empty(), "{} keeps history", self.name);
        assert!(disk.waiting.is_empty() && disk.outbox.is_empty(), "{} is not done", self.name);
        for (key, state) in &disk.rows {
            assert!(state.image.is_some(), "{key} is deleted everywhere and not forgotten");
            assert_eq!((&state.vv, &state.image), (&state.floor, &state.floor_image));
        }
    }
}
