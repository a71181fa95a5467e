//! The control partition: components and rollouts travel in it, with the same chain, outbox and
//! confirmations as rows do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::chain::Chains;
use crate::change::check_chain;
use crate::{
    Alarm, ChangeId, ChangeVerdict, FunctionVersion, Heartbeat, HeartbeatVerdict, Hlc, Malformed,
    PartitionMeta, Received, RegionId, RolloutRecord, Rollouts,
};

/// The number of the control partition: none that a row can have.
pub const CONTROL_PARTITION: u32 = u32::MAX;

/// The largest chunk of a component: 512 KiB.
pub const CHUNK_BYTES_MAX: usize = 512 << 10;

/// The largest component: 16 MiB.
pub const COMPONENT_BYTES_MAX: usize = 16 << 20;

/// A part of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentChunk {
    /// The whole component's version.
    pub version: FunctionVersion,
    /// Which part, from 0.
    pub index: u32,
    /// How many parts there are.
    pub count: u32,
    /// The part.
    pub bytes: Arc<[u8]>,
}

impl ComponentChunk {
    /// A component in parts.
    pub fn split(component: &[u8]) -> Vec<Self> {
        let version = FunctionVersion::of(component);
        let count = component.len().div_ceil(CHUNK_BYTES_MAX) as u32;
        let parts = component.chunks(CHUNK_BYTES_MAX).zip(0..);
        parts.map(|(part, index)| Self { version, index, count, bytes: part.into() }).collect()
    }
}

/// What a control record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlBody {
    /// A part of a component.
    Component(ComponentChunk),
    /// A step of a rollout.
    Rollout(RolloutRecord),
}

/// A control record as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// Who says it, and when.
    pub id: ChangeId,
    /// The HLC of its region's previous control record; zero before the first.
    pub prev: Hlc,
    /// What it says.
    pub body: ControlBody,
}

impl ControlRecord {
    /// As [`crate::ChangeRecord::check`].
    pub fn check(&self) -> Result<(), Malformed> {
        check_chain(self.id.hlc, self.prev)?;
        let ControlBody::Component(chunk) = &self.body else { return Ok(()) };
        let parts_max = COMPONENT_BYTES_MAX.div_ceil(CHUNK_BYTES_MAX) as u32;
        let fits = chunk.index < chunk.count
            && chunk.count <= parts_max
            && chunk.bytes.len() <= CHUNK_BYTES_MAX;
        if fits { Ok(()) } else { Err(Malformed::Chunk) }
    }
}

/// All that a batch of control records changed.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct ControlCommit {
    /// Rollout records to be kept, of this region and of others.
    pub rollouts: Vec<(ChangeId, RolloutRecord)>,
    /// Parts of components to be kept.
    pub chunks: Vec<ComponentChunk>,
    /// This region's new records, to be kept in the outbox and produced once synced.
    pub outbox: Vec<ControlRecord>,
    /// The outbox may forget this region's records up to here.
    pub confirmed: Option<Hlc>,
    /// All else that is kept.
    pub meta: PartitionMeta,
    /// To be produced once synced.
    pub heartbeat: Option<Heartbeat>,
    /// What is in the outbox above this is to be produced again.
    pub resend_after: Option<Hlc>,
    /// Components of which every part is here now: to be put together, checked and compiled, and
    /// then reported by [`ControlPartition::component_is_here`].
    pub assembled: Vec<FunctionVersion>,
    /// What people should know.
    pub alarms: Vec<Alarm>,
}

/// The control partition in one region.
#[derive(Clone, Debug)]
pub struct ControlPartition {
    chains: Chains,
    positions: BTreeMap<RegionId, u64>,
    rollouts: Rollouts,
    parts: BTreeMap<FunctionVersion, BTreeSet<u32>>,
    here: BTreeSet<FunctionVersion>,
    commit: ControlCommit,
}

/// What the control partition was when it was last committed.
#[derive(Clone, Debug, Default)]
pub struct ControlSnapshot {
    /// As committed.
    pub meta: PartitionMeta,
    /// The HLCs of the records in the outbox, in order.
    pub outbox: Vec<Hlc>,
    /// The rollout records.
    pub rollouts: Vec<(ChangeId, RolloutRecord)>,
    /// The parts of components that are not complete.
    pub parts: Vec<(FunctionVersion, u32)>,
    /// The components that are complete, verified and compiled.
    pub here: Vec<FunctionVersion>,
}

impl ControlPartition {
    /// The control partition of `me` as it was last committed.
    pub fn restore(me: RegionId, regions: Vec<RegionId>, kept: ControlSnapshot) -> Self {
        let mut chains = Chains::new(me.clone(), &regions, kept.outbox);
        chains.own_change = kept.meta.own_change;
        chains.own_heartbeat = kept.meta.own_heartbeat;
        chains.confirmed = kept.meta.confirmed;
        for (region, link) in kept.meta.links {
            if let Some(known) = chains.links.get_mut(&region) {
                *known = link;
            }
        }
        let mut rollouts = Rollouts::new(me, regions);
        for (id, record) in kept.rollouts {
            rollouts.insert(id, record);
        }
        let mut parts: BTreeMap<FunctionVersion, BTreeSet<u32>> = BTreeMap::new();
        for (version, index) in kept.parts {
            parts.entry(version).or_default().insert(index);
        }
        Self {
            chains,
            positions: kept.meta.positions.into_iter().collect(),
            rollouts,
            parts,
            here: kept.here.into_iter().collect(),
            commit: ControlCommit::default(),
        }
    }

    /// The rollouts.
    pub fn rollouts(&self) -> &Rollouts {
        &self.rollouts
    }

    /// Where to go on reading a region's control log.
    pub fn position(&self, source: &RegionId) -> Option<u64> {
        self.positions.get(source).copied()
    }

    /// The highest HLC in the partition, of any region.
    pub fn highest_hlc(&self) -> Hlc {
        self.chains.highest()
    }

    /// This region's last record.
    pub fn own_change(&self) -> Hlc {
        self.chains.own_change
    }

    /// Every region has taken this region's records up to here.
    pub fn confirmed(&self) -> Hlc {
        self.chains.confirmed
    }

    /// This region's records that some region has not confirmed.
    pub fn outstanding(&self) -> usize {
        self.chains.outstanding()
    }

    /// True if the component is complete, verified and compiled.
    pub fn is_here(&self, version: &FunctionVersion) -> bool {
        self.here.contains(version)
    }

    /// Shows the partition another region's record.
    pub fn receive(&mut self, record: ControlRecord) -> Received {
        let Some(link) = self.chains.links.get_mut(&record.id.region) else {
            return Received::Foreign;
        };
        let verdict = link.judge_change(record.id.hlc, record.prev);
        link.counters.consumed += u64::from(verdict != ChangeVerdict::Fork);
        match verdict {
            ChangeVerdict::Taken => {
                link.taken = record.id.hlc;
                link.counters.applied += 1;
                self.take(record.id, record.body);
                Received::Taken
            }
            ChangeVerdict::Duplicate => {
                link.counters.duplicate += 1;
                Received::Known
            }
            ChangeVerdict::Gap => {
                link.counters.gap += 1;
                Received::Gap
            }
            ChangeVerdict::Fork => {
                let ChangeId { region, hlc } = record.id;
                self.commit.alarms.push(Alarm::Fork { region, hlc });
                Received::Fork
            }
        }
    }

    /// Shows the partition another region's heartbeat.
    pub fn hear(&mut self, beat: &Heartbeat) -> Received {
        if !self.chains.links.contains_key(&beat.region) {
            return Received::Foreign;
        }
        let (verdict, resend) = self.chains.hear(beat);
        if let Some(from) = resend {
            let earlier = self.commit.resend_after.get_or_insert(from);
            *earlier = from.min(*earlier);
        }
        match verdict {
            HeartbeatVerdict::Taken => Received::Heartbeat,
            HeartbeatVerdict::Old => Received::Known,
            HeartbeatVerdict::Gap => Received::Gap,
            HeartbeatVerdict::Fork => {
                let (region, hlc) = (beat.region.clone(), beat.hlc);
                self.commit.alarms.push(Alarm::Fork { region, hlc });
                Received::Fork
            }
        }
    }

    /// As [`crate::Batch::quarantined`].
    pub fn quarantined(&mut self, source: &RegionId) {
        if let Some(link) = self.chains.links.get_mut(source) {
            link.counters.consumed += 1;
            link.counters.quarantined += 1;
        }
    }

    /// Notes up to where a region's control log is read.
    pub fn read_to(&mut self, source: &RegionId, position: u64) {
        self.positions.insert(source.clone(), position);
    }

    /// Says something, with an HLC fresh from the clock of this node.
    pub fn say(&mut self, hlc: Hlc, body: ControlBody) -> ChangeId {
        let id = ChangeId { hlc, region: self.chains.me().clone() };
        let prev = self.chains.append(hlc);
        self.commit.outbox.push(ControlRecord { id: id.clone(), prev, body: body.clone() });
        self.take(id.clone(), body);
        id
    }

    /// A component is complete, verified and compiled here.
    pub fn component_is_here(&mut self, version: FunctionVersion) {
        self.parts.remove(&version);
        self.here.insert(version);
    }

    /// What this region should say next of the rollouts.
    pub fn due(&self) -> Vec<RolloutRecord> {
        self.rollouts.due(|version| self.here.contains(version))
    }

    /// Ends the batch; with an HLC, fresh from the clock, in a heartbeat.
    pub fn finish(&mut self, heartbeat: Option<Hlc>) -> ControlCommit {
        if let Some(hlc) = heartbeat {
            let mut watermarks = self.chains.taken();
            watermarks.raise(self.chains.me(), hlc);
            self.commit.heartbeat = Some(self.chains.beat(hlc, watermarks));
        }
        self.commit.confirmed = self.chains.confirm();
        self.commit.meta = PartitionMeta {
            own_change: self.chains.own_change,
            own_heartbeat: self.chains.own_heartbeat,
            confirmed: self.chains.confirmed,
            links: self.chains.links.iter().map(|(r, link)| (r.clone(), *link)).collect(),
            positions: self.positions.iter().map(|(r, at)| (r.clone(), *at)).collect(),
            ..PartitionMeta::default()
        };
        std::mem::take(&mut self.commit)
    }

    fn take(&mut self, id: ChangeId, body: ControlBody) {
        match body {
            ControlBody::Rollout(record) => {
                self.commit.rollouts.push((id.clone(), record.clone()));
                self.rollouts.insert(id, record);
            }
            ControlBody::Component(chunk) => {
                if self.here.contains(&chunk.version) {
                    return;
                }
                let parts = self.parts.entry(chunk.version).or_default();
                parts.insert(chunk.index);
                if parts.len() == chunk.count as usize {
                    self.commit.assembled.push(chunk.version);
                }
                self.commit.chunks.push(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    fn started(me: &str) -> ControlPartition {
        let regions = vec![region("a"), region("b")];
        ControlPartition::restore(region(me), regions, ControlSnapshot::default())
    }

    #[test]
    fn a_component_arrives_in_parts_and_is_complete_once() {
        let component: Vec<u8> = (0..CHUNK_BYTES_MAX * 2 + 5).map(|i| i as u8).collect();
        let (mut a, mut b) = (started("a"), started("b"));
        let chunks = ComponentChunk::split(&component);
        assert_eq!(chunks.len(), 3);
        a.component_is_here(chunks[0].version);
        for (n, chunk) in (1..).zip(chunks.clone()) {
            a.say(hlc(n), ControlBody::Component(chunk));
        }
        let sent = a.finish(None).outbox;
        assert!(sent.iter().all(|record| record.check().is_ok()));
        assert_eq!(b.receive(sent[1].clone()), Received::Gap);
        assert_eq!(b.receive(sent[0].clone()), Received::Taken);
        assert_eq!(b.receive(sent[0].clone()), Received::Known);
        assert_eq!(b.receive(sent[1].clone()), Received::Taken);
        assert!(b.finish(None).assembled.is_empty());
        assert_eq!(b.receive(sent[2].clone()), Received::Taken);
        let commit = b.finish(None);
        assert_eq!(commit.assembled, vec![chunks[0].version]);
        let whole: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect();
        assert_eq!(FunctionVersion::of(&whole), chunks[0].version);
        let counters = commit.meta.links[0].1.counters;
        assert_eq!((counters.consumed, counters.applied), (5, 3));
        assert_eq!((counters.duplicate, counters.gap), (1, 1));
    }

    #[test]
    fn a_chunk_that_is_none_is_malformed() {
        let chunk = |index, count, len: usize| ControlRecord {
            id: ChangeId { hlc: hlc(2), region: region("a") },
            prev: hlc(1),
            body: ControlBody::Component(ComponentChunk {
                version: FunctionVersion([0; 32]),
                index,
                count,
                bytes: vec![0; len].into(),
            }),
        };
        assert_eq!(chunk(0, 32, CHUNK_BYTES_MAX).check(), Ok(()));
        for bad in
            [chunk(1, 1, 1), chunk(0, 0, 1), chunk(0, 33, 1), chunk(0, 1, CHUNK_BYTES_MAX + 1)]
        {
            assert_eq!(bad.check(), Err(Malformed::Chunk));
        }
    }

    fn exchange(at: Hlc, from: &mut ControlPartition, to: &mut ControlPartition) {
        for record in from.due() {
            from.say(at, ControlBody::Rollout(record));
        }
        for record in from.finish(None).outbox {
            assert_eq!(to.receive(record), Received::Taken);
        }
    }

    #[test]
    fn two_regions_bring_a_rollout_to_its_end() {
        let (mut a, mut b) = (started("a"), started("b"));
        let version = FunctionVersion([7; 32]);
        let table: crate::TableName = "t".parse().unwrap();
        a.component_is_here(version);
        b.component_is_here(version);
        let create = a.rollouts().create(table.clone(), version).unwrap();
        let id = a.say(hlc(1), ControlBody::Rollout(create));
        for n in 2..8 {
            exchange(hlc(n), &mut a, &mut b);
            exchange(hlc(n), &mut b, &mut a);
        }
        for side in [&a, &b] {
            let rollout = side.rollouts().get(&crate::RolloutId(id.clone())).unwrap();
            assert_eq!(rollout.state, crate::RolloutState::Complete);
            assert_eq!(side.rollouts().stamp(&table), crate::Stamp::Function(version));
        }
    }
}
