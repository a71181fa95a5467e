//! The control partition: components, rollouts and the regions' comings and goings travel in it,
//! with the same chain, outbox and confirmations as rows do.

mod deletion;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::chain::{ChainEffects, Chains};
use crate::change::check_chain;
use crate::planted::{self, Bug};
use crate::{
    Alarm, ChangeId, ChangeVerdict, Counting, Cut, Duty, FunctionVersion, Heartbeat, Hlc, Link,
    LinkState, Malformed, Membership, MembershipAnswer, MembershipChange, MembershipRecord,
    MembershipState, OwnCounters, PartitionCount, PartitionMeta, PartitionStanding, PassOn,
    Received, RegionId, RolloutRecord, RolloutText, Rollouts, Routes, SelfTest, VersionRecord,
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
    /// A step of a region that joins, or of regions that are evicted.
    Membership(MembershipRecord),
    /// What a region says of a version, apart from its rollouts.
    Version(VersionRecord),
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
        let chunk = match &self.body {
            ControlBody::Component(chunk) => chunk,
            ControlBody::Rollout(record) => return record.check(),
            ControlBody::Membership(record) => return record.check(),
            ControlBody::Version(_) => return Ok(()),
        };
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
    /// Membership records to be kept, of this region and of others.
    pub membership: Vec<(ChangeId, MembershipRecord)>,
    /// The regions that there were at the start, to be kept; only with the first commit.
    pub founders: Option<Vec<RegionId>>,
    /// Records of versions to be kept, of this region and of others.
    pub versions: Vec<(ChangeId, VersionRecord)>,
    /// Parts of components to be kept.
    pub chunks: Vec<ComponentChunk>,
    /// Components, and parts of them, that are to be dropped.
    pub dropped: Vec<FunctionVersion>,
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
    /// As [`crate::Commit::pass_on`].
    pub pass_on: Vec<PassOn>,
    /// As [`crate::Commit::needless`].
    pub needless: Vec<(RegionId, Hlc)>,
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
    membership: Membership,
    parts: BTreeMap<FunctionVersion, BTreeSet<u32>>,
    here: BTreeSet<FunctionVersion>,
    /// What the self-tests came to since the start, by version.
    tested: BTreeMap<FunctionVersion, Result<SelfTest, RolloutText>>,
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
    /// The membership records.
    pub membership: Vec<(ChangeId, MembershipRecord)>,
    /// The records of versions.
    pub versions: Vec<(ChangeId, VersionRecord)>,
    /// The regions that there were at the start; none if nothing was committed yet.
    pub founders: Vec<RegionId>,
    /// The parts of components that are not complete.
    pub parts: Vec<(FunctionVersion, u32)>,
    /// The components that are complete, verified and compiled.
    pub here: Vec<FunctionVersion>,
}

impl ControlPartition {
    /// The control partition of `me` as it was last committed.
    pub fn restore(me: RegionId, regions: Vec<RegionId>, kept: ControlSnapshot) -> Self {
        let mut chains = Chains::restore(me.clone(), &regions, &kept.meta, kept.outbox);
        chains.passes_on_for_the_silent = true;
        let mut commit = ControlCommit::default();
        let founders = if kept.founders.is_empty() {
            commit.founders = Some(regions.clone());
            regions
        } else {
            kept.founders
        };
        let mut membership = Membership::new(me.clone(), founders);
        for (id, record) in kept.membership {
            membership.insert(id, record);
        }
        let mut rollouts = Rollouts::restore(me, BTreeSet::new(), kept.rollouts);
        for (id, record) in kept.versions {
            rollouts.insert_version(id, record);
        }
        let mut parts: BTreeMap<FunctionVersion, BTreeSet<u32>> = BTreeMap::new();
        for (version, index) in kept.parts {
            parts.entry(version).or_default().insert(index);
        }
        let mut control = Self {
            chains,
            positions: kept.meta.positions.into_iter().collect(),
            rollouts,
            membership,
            parts,
            here: kept.here.into_iter().collect(),
            tested: BTreeMap::new(),
            commit,
        };
        control.rollouts.set_regions(control.regions_of_rollouts());
        control
    }

    /// The same, where not every region is heard in its own log.
    #[must_use]
    pub fn with_routes(mut self, routes: Routes) -> Self {
        self.chains.routes = routes;
        self
    }

    /// The rollouts.
    pub fn rollouts(&self) -> &Rollouts {
        &self.rollouts
    }

    /// Which regions there are.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// True while a region's control log is to be read.
    pub fn takes_from(&self, region: &RegionId) -> bool {
        self.chains.links.get(region).is_some_and(|link| link.state == LinkState::Live)
    }

    /// What is known of each other region's chain.
    pub fn links(&self) -> impl Iterator<Item = (&RegionId, &Link)> {
        self.chains.links.iter()
    }

    /// True while a record of a region is missing that what was read last of it stands behind. It is
    /// sent again.
    pub fn lacks_of(&self, region: &RegionId) -> bool {
        self.chains.lacks_of(region)
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

    /// How many records of this region there were.
    pub fn own_counters(&self) -> OwnCounters {
        self.chains.outstanding.counters()
    }

    /// True if the component is complete, verified and compiled.
    pub fn is_here(&self, version: &FunctionVersion) -> bool {
        self.here.contains(version)
    }

    /// Shows the partition another region's record, which stands in the log of `source`. Where it
    /// is taken, it is to be kept as it came.
    pub fn receive(&mut self, source: &RegionId, record: ControlRecord) -> Received {
        // A region may be gone whose word is still needed to agree on that.
        let missed =
            *source != record.id.region && self.membership.missing().contains(&record.id.region);
        let received = self.chains.take(source, &record.id, record.prev, missed);
        if received == Received::Taken {
            if let Some(link) = self.chains.links.get_mut(&record.id.region) {
                link.counters.applied += 1;
            }
            self.chains.end_cuts();
            self.take(record.id, record.body);
        }
        received
    }

    /// As [`crate::Batch::judge`].
    pub fn judge(&self, record: &ChangeId, prev: Hlc) -> Option<ChangeVerdict> {
        self.chains.judge(record, prev)
    }

    /// Shows the partition another region's heartbeat, which stands in the log of `source`.
    pub fn hear(&mut self, source: &RegionId, beat: &Heartbeat) -> Received {
        self.chains.hear(source, beat)
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

    /// The components that are complete, verified and compiled.
    pub fn here(&self) -> impl Iterator<Item = &FunctionVersion> {
        self.here.iter()
    }

    /// The versions that are here and that are to be tested: see [`Rollouts::to_test`].
    pub fn to_test(&self) -> Vec<FunctionVersion> {
        let mut versions = self.rollouts.to_test();
        versions.retain(|v| self.here.contains(v) && !self.tested.contains_key(v));
        versions
    }

    /// A version that has arrived was tested; where it cannot be used, for this reason.
    pub fn self_tested(&mut self, version: FunctionVersion, result: Result<SelfTest, RolloutText>) {
        self.tested.insert(version, result);
    }

    /// What this region should say next of the rollouts.
    pub fn due(&self) -> Vec<RolloutRecord> {
        // What cannot be used here is not here, and that is what is to be said.
        let counts =
            |version: &_, result: &Result<_, _>| result.is_err() || self.here.contains(version);
        let tested =
            |version: &_| self.tested.get(version).filter(|result| counts(version, result));
        self.rollouts.due(|version| tested(version).cloned())
    }

    /// What this region should decide: see [`Rollouts::decide`].
    pub fn decide(&mut self, now_ms: u64) -> Vec<RolloutRecord> {
        self.rollouts.decide(now_ms)
    }

    /// The members, and those that are evicted until all that they said is here: a rollout that one
    /// of them made first must win here as it does elsewhere, before any other is activated.
    fn regions_of_rollouts(&self) -> BTreeSet<RegionId> {
        let leaving = self
            .chains
            .links
            .iter()
            .filter(|(region, link)| link.is_counted() && self.membership.is_evicted(region));
        let leaving = leaving.map(|(region, _)| region.clone());
        self.membership.members().into_iter().chain(leaving).collect()
    }

    /// For every partition, this one included, what it is to make of the other regions.
    pub fn counting(&self, partitions: PartitionCount) -> BTreeMap<u32, Counting> {
        let numbers = (0..partitions.get()).chain([CONTROL_PARTITION]);
        numbers.map(|number| (number, self.counting_of(number))).collect()
    }

    fn counting_of(&self, partition: u32) -> Counting {
        let membership = &self.membership;
        let (mut counted, mut fenced) = (membership.counted(), membership.fenced());
        let mut cuts: BTreeMap<RegionId, Vec<Cut>> = BTreeMap::new();
        for view in membership.iter() {
            match (&view.change, view.state) {
                (MembershipChange::Evict { .. }, state) if state.holds() => {
                    cuts.extend(membership.cuts(&view.id));
                }
                // Who is fenced again stands still, whatever was agreed before.
                (MembershipChange::Evict { gone }, MembershipState::Open)
                    if view.accepted.contains(self.chains.me()) =>
                {
                    cuts.retain(|region, _| !gone.contains(region));
                }
                _ => {}
            }
        }
        match membership.duty() {
            Some(Duty::Count { region, .. }) => drop(counted.insert(region)),
            Some(Duty::Fence { gone, .. }) => {
                cuts.retain(|region, _| !gone.contains(region));
                fenced.extend(gone);
            }
            _ => {}
        }
        if planted::is(Bug::CountLate) {
            let joining = |view: &&crate::MembershipView| view.state != MembershipState::Complete;
            for view in membership.iter().filter(joining) {
                if let MembershipChange::Join { region } = &view.change {
                    counted.remove(region);
                }
            }
        }
        let cut = |(region, cuts): (RegionId, Vec<Cut>)| {
            // The control partition's is the last.
            let cut = match partition {
                CONTROL_PARTITION => cuts.last(),
                number => cuts.get(number as usize),
            };
            (region, cut.copied().unwrap_or_default())
        };
        let cuts = cuts.into_iter().map(cut).collect();
        let may_write = membership.may_write()
            || (planted::is(Bug::JoinerWritesEarly) && !membership.me_gone());
        Counting { counted, fenced, cuts, may_write }
    }

    /// What this region should say next of the regions that join and leave. `standings` are those of
    /// the row partitions that have taken in what [`ControlPartition::counting`] says, as of their
    /// last commit.
    pub fn due_membership(
        &self,
        standings: &BTreeMap<u32, PartitionStanding>,
        partitions: PartitionCount,
    ) -> Option<MembershipRecord> {
        let duty = self.membership.duty()?;
        if let Duty::Say(record) = duty {
            return Some(record);
        }
        if standings.len() < partitions.get() as usize {
            return None;
        }
        let control = &self.chains.links;
        let rows = || standings.values().map(|standing| &standing.links);
        let all = |region: &RegionId, is: &dyn Fn(&Link) -> bool| {
            rows().chain([control]).all(|links| links.get(region).is_some_and(is))
        };
        match duty {
            Duty::Say(record) => Some(record),
            Duty::Count { change, region } => (planted::is(Bug::CountLate)
                || all(&region, &|_| true))
            .then(|| {
                let stable = standings.values().map(|standing| standing.stable.clone()).collect();
                MembershipRecord::Accept { change, answer: MembershipAnswer::Counted { stable } }
            }),
            Duty::Fence { change, gone } => {
                let still =
                    |link: &Link| matches!(link.state, LinkState::Fenced | LinkState::Gone(_));
                let fenced = |region| all(region, &still);
                gone.iter().all(fenced).then(|| {
                    let last = |region: RegionId| {
                        let links = rows().chain([control]);
                        let link = |links: &BTreeMap<RegionId, Link>| {
                            links.get(&region).copied().unwrap_or_default()
                        };
                        let cuts = links
                            .map(link)
                            .map(|Link { taken, heartbeat, .. }| Cut { taken, heartbeat });
                        (region.clone(), cuts.collect())
                    };
                    let last = gone.into_iter().map(last).collect();
                    MembershipRecord::Accept { change, answer: MembershipAnswer::Fenced { last } }
                })
            }
            Duty::Cut { change, cuts } => {
                let gone = |region| all(region, &|link| matches!(link.state, LinkState::Gone(_)));
                cuts.keys().all(gone).then_some(MembershipRecord::Done { change })
            }
            Duty::Admit { change, stable } => {
                let applied = standings.values().zip(&stable);
                let caught_up = applied.into_iter().all(|(s, upto)| s.watermarks.covers(upto));
                let stamps = self.rollouts.stamps_as_it_should();
                (caught_up && stamps).then_some(MembershipRecord::Done { change })
            }
        }
    }

    /// Ends the batch; with an HLC, fresh from the clock, in a heartbeat.
    pub fn finish(&mut self, heartbeat: Option<Hlc>) -> ControlCommit {
        let counting = self.counting_of(CONTROL_PARTITION);
        self.chains.align(&counting);
        self.rollouts.set_regions(self.regions_of_rollouts());
        if let Some(hlc) = heartbeat {
            let mut watermarks = self.chains.taken();
            watermarks.raise(self.chains.me(), hlc);
            self.commit.heartbeat = Some(self.chains.beat(hlc, watermarks));
            self.commit.needless = self.chains.needless();
        }
        let ChainEffects { resend_after, pass_on, forks } = self.chains.take_effects();
        self.commit.resend_after = resend_after;
        self.commit.pass_on = pass_on;
        let fork = |(region, hlc)| Alarm::Fork { region, hlc };
        self.commit.alarms.extend(forks.into_iter().map(fork));
        self.commit.confirmed = self.chains.confirm();
        self.commit.meta = PartitionMeta {
            own_change: self.chains.own_change,
            own_heartbeat: self.chains.own_heartbeat,
            confirmed: self.chains.confirmed,
            own: self.chains.outstanding.counters(),
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
            ControlBody::Membership(record) => {
                self.commit.membership.push((id.clone(), record.clone()));
                self.membership.insert(id, record);
                self.rollouts.set_regions(self.regions_of_rollouts());
            }
            ControlBody::Version(record) => {
                self.commit.versions.push((id.clone(), record.clone()));
                self.rollouts.insert_version(id, record);
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
        assert_eq!(b.receive(&region("a"), sent[1].clone()), Received::Gap);
        assert_eq!(b.receive(&region("a"), sent[0].clone()), Received::Taken);
        assert_eq!(b.receive(&region("a"), sent[0].clone()), Received::Known);
        assert_eq!(b.receive(&region("a"), sent[1].clone()), Received::Taken);
        assert!(b.finish(None).assembled.is_empty());
        assert_eq!(b.receive(&region("a"), sent[2].clone()), Received::Taken);
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
        let self_test = SelfTest { digest: [1; 32], profile: 1 };
        for version in from.to_test() {
            from.self_tested(version, Ok(self_test));
        }
        let mut due = from.due();
        due.extend(from.decide(0));
        for record in due {
            from.say(at, ControlBody::Rollout(record));
        }
        for record in from.finish(None).outbox {
            assert_eq!(to.receive(&record.id.region.clone(), record), Received::Taken);
        }
    }

    #[test]
    fn two_regions_bring_a_rollout_to_its_end() {
        let (mut a, mut b) = (started("a"), started("b"));
        let version = FunctionVersion([7; 32]);
        let table: crate::TableName = "t".parse().unwrap();
        a.component_is_here(version);
        b.component_is_here(version);
        let new = crate::NewRollout {
            table: table.clone(),
            version: version.into(),
            plan: crate::RolloutPlan::default(),
            actor: RolloutText::default(),
            why: RolloutText::default(),
        };
        let create = a.rollouts().create(new).unwrap();
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
