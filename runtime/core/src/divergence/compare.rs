//! Comparing what others say with what is here.

use std::collections::{BTreeMap, VecDeque};

use super::{
    DIVERGENCES_MAX, Diverged, DivergedSide, Divergence, DivergenceId, DivergenceWrite, EngineName,
    Evidence, Known, OUTCOMES_MAX, Outcome, ShortDigest, StateDigest,
};
use crate::planted::{self, Bug};
use crate::{
    ChangeId, ConflictId, ConflictRecord, Heartbeat, Image, RegionId, RowKey, VersionVector,
};

/// The last conflicts that this region met are at hand; of earlier ones the conflict log tells.
const MET_MAX: usize = 2_048;

/// Of each other region so many outcomes are kept of conflicts that this region has not met. It may
/// never meet them, as changes that come together are folded once.
const UNMET_MAX: usize = 512;

/// So often a batch has the conflict log looked into: each look reads the disk, and a region that
/// catches up hears hundreds of heartbeats at once.
const LOOK_UPS_MAX: usize = 64;

/// So many of this region's last states are compared with what others say of theirs, which is some
/// seconds old.
const STATES_MAX: usize = 16;

/// The values put in last, by conflict.
#[derive(Clone, Debug)]
struct Last<T> {
    values: BTreeMap<ConflictId, T>,
    order: VecDeque<ConflictId>,
}

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self { values: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<T> Last<T> {
    fn put(&mut self, conflict: ConflictId, value: T, max: usize) {
        if self.values.insert(conflict, value).is_none() {
            self.order.push_back(conflict);
        }
        while self.order.len() > max {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }

    fn get(&self, conflict: &ConflictId) -> Option<&T> {
        self.values.get(conflict)
    }
}

#[derive(Clone, Debug)]
struct Met {
    row: RowKey,
    outcome: Outcome,
}

/// What a peer was last heard to say.
#[derive(Clone, Debug, Default)]
struct Peer {
    engine: Option<EngineName>,
    unmet: Last<Outcome>,
    /// What its rows come to with these changes, as long as that is not compared.
    state: Option<(VersionVector, StateDigest)>,
}

/// What one partition compares. Only the divergences are kept on disk: all else is said again, or
/// is what the conflict log and the rows are for.
#[derive(Clone, Debug)]
pub(crate) struct Comparing {
    me: RegionId,
    partition: u32,
    engine: Option<EngineName>,
    met: Last<Met>,
    /// To be said with the next heartbeat.
    unsaid: BTreeMap<ConflictId, Outcome>,
    /// How many outcomes were never said, as there were too many.
    left_out: u64,
    peers: BTreeMap<RegionId, Peer>,
    /// This region's last states.
    states: VecDeque<(VersionVector, StateDigest)>,
    known: BTreeMap<DivergenceId, Divergence>,
    /// What changed since the last commit.
    writes: Vec<DivergenceWrite>,
    /// So often the conflict log was looked into since the last commit.
    look_ups: usize,
}

impl Comparing {
    pub(crate) fn restore(me: RegionId, partition: u32, known: Vec<Divergence>) -> Self {
        Self {
            me,
            partition,
            engine: None,
            met: Last::default(),
            unsaid: BTreeMap::new(),
            left_out: 0,
            peers: BTreeMap::new(),
            states: VecDeque::new(),
            known: known.into_iter().map(|divergence| (divergence.id(), divergence)).collect(),
            writes: Vec::new(),
            look_ups: 0,
        }
    }

    pub(crate) fn set_engine(&mut self, engine: Option<EngineName>) {
        self.engine = engine;
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = &Divergence> {
        self.known.values()
    }

    /// How many outcomes this region did not say since it started.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// At the end of a batch.
    pub(crate) fn take_writes(&mut self) -> Vec<DivergenceWrite> {
        self.look_ups = 0;
        std::mem::take(&mut self.writes)
    }

    /// This region met a conflict.
    pub(crate) fn met(&mut self, record: &ConflictRecord, now_ms: u64) {
        let Some(outcome) = Outcome::of(record) else { return };
        self.met.put(record.id, Met { row: record.row.clone(), outcome }, MET_MAX);
        if self.unsaid.len() < OUTCOMES_MAX {
            self.unsaid.insert(record.id, outcome);
        } else {
            self.left_out += 1;
        }
        let theirs = self.peers.iter().filter_map(|(peer, said)| {
            said.unmet.get(&record.id).map(|theirs| (peer.clone(), *theirs))
        });
        for (peer, theirs) in theirs.collect::<Vec<_>>() {
            self.compare_outcome(&peer, record.id, &record.row, (outcome, theirs), now_ms);
        }
    }

    /// Another region said this. `recall` gives what the conflict log holds.
    pub(crate) fn heard(
        &mut self,
        beat: &Heartbeat,
        recall: &mut dyn FnMut(&ConflictId) -> Option<ConflictRecord>,
        now_ms: u64,
    ) {
        let Evidence { engine, outcomes, state } = &beat.evidence;
        let from = &beat.region;
        let said = self.peers.entry(from.clone()).or_default();
        said.engine = engine.clone();
        if let Some(state) = state {
            said.state = Some((beat.taken.clone(), state.clone()));
        }
        for (conflict, theirs) in outcomes {
            let mut known = self.met.get(conflict).cloned();
            if known.is_none() && self.look_ups < LOOK_UPS_MAX {
                self.look_ups += 1;
                known = recall(conflict).and_then(|record| {
                    Some(Met { row: record.row.clone(), outcome: Outcome::of(&record)? })
                });
            }
            if let Some(Met { row, outcome }) = known {
                self.compare_outcome(from, *conflict, &row, (outcome, *theirs), now_ms);
            }
            // Kept also where it was met: this region may fold the same heads once more.
            let said = self.peers.entry(from.clone()).or_default();
            said.unmet.put(*conflict, *theirs, UNMET_MAX);
        }
        self.compare_with_earlier(from, now_ms);
    }

    fn compare_outcome(
        &mut self,
        peer: &RegionId,
        conflict: ConflictId,
        row: &RowKey,
        (ours, theirs): (Outcome, Outcome),
        now_ms: u64,
    ) {
        if planted::is(Bug::OutcomesNotCompared) {
            return;
        }
        let id = Known::Outcome(conflict).id(self.partition, peer);
        if ours.result == theirs.result {
            self.over(&id);
            return;
        }
        let what = Diverged::Outcome { conflict, row: row.clone() };
        let digests = (ours.result, theirs.result);
        let mut found = self.divergence(what, peer, digests, now_ms);
        found.here.stamp = Some(ours.stamp);
        found.there.stamp = Some(theirs.stamp);
        self.found(id, found);
    }

    /// What a peer says may be what this region had some heartbeats ago.
    fn compare_with_earlier(&mut self, peer: &RegionId, now_ms: u64) {
        let Some((taken, theirs)) = self.peers.get(peer).and_then(|peer| peer.state.clone()) else {
            return;
        };
        // The newest counts: a repair changes rows and no change.
        let same = self.states.iter().rev().find(|(ours, _)| *ours == taken);
        if let Some((_, ours)) = same.cloned() {
            self.compare_state(peer, &ours, &theirs, now_ms);
        }
    }

    /// At the end of a batch that leaves nothing waiting.
    pub(crate) fn at_rest(
        &mut self,
        taken: &VersionVector,
        state: impl Fn() -> StateDigest,
        now_ms: u64,
    ) {
        let compares_any = planted::is(Bug::StatesOfOtherChanges);
        let same = |peer: &Peer| peer.state.as_ref().is_some_and(|(at, _)| at == taken);
        let peers = self.peers.iter().filter(|(_, peer)| same(peer) || compares_any);
        let peers: Vec<_> = peers
            .filter_map(|(name, peer)| Some((name.clone(), peer.state.as_ref()?.1.clone())))
            .collect();
        for (peer, theirs) in peers {
            self.compare_state(&peer, &state(), &theirs, now_ms);
        }
    }

    fn compare_state(
        &mut self,
        peer: &RegionId,
        ours: &StateDigest,
        theirs: &StateDigest,
        now_ms: u64,
    ) {
        if let Some(said) = self.peers.get_mut(peer) {
            said.state = None;
        }
        if planted::is(Bug::StatesNotCompared) {
            return;
        }
        let id = Known::State.id(self.partition, peer);
        if ours.all == theirs.all {
            self.over(&id);
            return;
        }
        let what = Diverged::State { tables: ours.differing(theirs) };
        let found = self.divergence(what, peer, (ours.all, theirs.all), now_ms);
        self.found(id, found);
    }

    /// A change's author saw another image than this region held with the same changes.
    pub(crate) fn differs_before(
        &mut self,
        row: &RowKey,
        change: &ChangeId,
        (ours, theirs): (Option<&Image>, Option<&Image>),
        now_ms: u64,
    ) {
        let what = Diverged::Before { row: row.clone(), change: change.clone() };
        let digests = (ShortDigest::of_image(ours), ShortDigest::of_image(theirs));
        let found = self.divergence(what, &change.region, digests, now_ms);
        self.found(found.id(), found);
    }

    fn divergence(
        &self,
        what: Diverged,
        peer: &RegionId,
        (ours, theirs): (ShortDigest, ShortDigest),
        found_at_ms: u64,
    ) -> Divergence {
        let side = |region: &RegionId, digest, engine| DivergedSide {
            region: region.clone(),
            digest,
            stamp: None,
            engine,
        };
        let engine = self.peers.get(peer).and_then(|peer| peer.engine.clone());
        Divergence {
            partition: self.partition,
            what,
            here: side(&self.me, ours, self.engine.clone()),
            there: side(peer, theirs, engine),
            found_at_ms,
        }
    }

    fn found(&mut self, id: DivergenceId, divergence: Divergence) {
        if self.known.len() < DIVERGENCES_MAX && !self.known.contains_key(&id) {
            self.known.insert(id, divergence.clone());
            self.writes.push(DivergenceWrite::Found(divergence));
        }
    }

    /// The regions agree again, or somebody has seen to it. Answers true if it was known.
    pub(crate) fn over(&mut self, id: &DivergenceId) -> bool {
        let known = self.known.remove(id);
        let was_known = known.is_some();
        self.writes.extend(known.map(DivergenceWrite::Over));
        was_known
    }

    /// What the next heartbeat says; `state` is none while changes wait.
    pub(crate) fn say(&mut self, taken: &VersionVector, state: Option<StateDigest>) -> Evidence {
        if let Some(state) = &state {
            let same = self.states.back().is_some_and(|last| last.0 == *taken && last.1 == *state);
            if !same {
                self.states.push_back((taken.clone(), state.clone()));
            }
            if self.states.len() > STATES_MAX {
                self.states.pop_front();
            }
        }
        let outcomes = std::mem::take(&mut self.unsaid);
        Evidence { engine: self.engine.clone(), outcomes, state }
    }

    /// Rows were repaired: what they came to before says nothing any more.
    pub(crate) fn forget_states(&mut self) {
        self.states.clear();
    }

    /// Only regions that are still heard can agree again.
    pub(crate) fn retain(&mut self, is_heard: impl Fn(&RegionId) -> bool) {
        self.peers.retain(|peer, _| is_heard(peer));
    }
}
