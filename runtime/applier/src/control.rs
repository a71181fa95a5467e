//! The control partition's turn.

mod diverged;
mod done;

use std::collections::BTreeSet;

use syncline_bus::{Envelope, encode_control};
use syncline_core::{
    AskRefused, Barred, CONTROL_PARTITION, ChangeId, ChangeVerdict, ComponentChunk, ControlBody,
    ControlCommit, ControlPartition, ControlRecord, CreateRefused, FunctionVersion, Hlc,
    MembershipChange, MembershipId, NewRollout, ProposeRefused, Received, RegionId, RolloutAsk,
    RolloutCounters, RolloutId, RolloutState, RolloutText, SelfTest, Stamp, VersionAsk,
    VersionRecord, VersionRefused,
};
use syncline_store::kv::component::{self, ComponentFacts};
use syncline_store::kv::quarantine::{self, Quarantined};
use syncline_store::kv::received;
use syncline_store::{Batch, Store, StoreError, load_control, write_control_commit};
use thiserror::Error;

pub use done::ControlDone;

use crate::forwarding::Forwarding;
use crate::intake::{FOREIGN, quarantined};
use crate::replay::{Handled, outcome, read_again};
use crate::{
    Broken, ControlItem, ControlRead, Directed, KeptAction, KeptDone, KeptWork, Moment,
    ReplayRefused, Replayed, Site, Sorted,
};

/// So often in one turn a region looks whether what it has just said makes something else due. What
/// is left waits for the next turn.
const DUE_ROUNDS_MAX: usize = 4;

/// A component that can be called here.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its version.
    pub version: FunctionVersion,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What is known of it.
    pub facts: ComponentFacts,
}

/// Why a control record is not said.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ControlRefused {
    /// One rollout a table at a time, with a plan that fits.
    #[error(transparent)]
    Create(#[from] CreateRefused),
    /// What is asked of a rollout makes no sense there.
    #[error(transparent)]
    Ask(#[from] AskRefused),
    /// What is to be rolled out was never uploaded, or cannot be used here.
    #[error("version {0} is not in this region, or cannot be used here")]
    NotHere(FunctionVersion),
    /// One change of the regions at a time, and only some make sense.
    #[error(transparent)]
    Membership(#[from] ProposeRefused),
    /// A version is in use, or gone.
    #[error(transparent)]
    Version(#[from] VersionRefused),
    /// The clock gives no more timestamps.
    #[error("the clock has reached its end")]
    ClockExhausted,
}

/// What is gathered until the turn ends.
#[derive(Default)]
struct Gathered {
    components: Vec<Loaded>,
    kept: Vec<(RegionId, Hlc, Vec<u8>)>,
    forwarding: Forwarding,
    quarantined: Vec<Quarantined>,
    forked: Vec<RegionId>,
    /// Records in quarantine that the turn is about.
    handled: Vec<Handled>,
}

/// The control partition. What is shown to it is committed by [`ControlApplier::end`].
pub struct ControlApplier {
    control: ControlPartition,
    /// Named in [`ControlDone::to_test`] since the start.
    testing: BTreeSet<FunctionVersion>,
    /// The clock had come to here when the present stamps already counted for every write.
    stamped_until: Hlc,
    /// Nothing is said for now.
    is_silent: bool,
    gathered: Gathered,
}

impl ControlApplier {
    /// The control partition as it was last committed. `load` is shown the components that are
    /// here, and answers whether they can be called; of those that can't, changes wait.
    pub fn restore<S: Store>(
        site: &Site<S>,
        mut load: impl FnMut(&FunctionVersion, Option<Vec<u8>>) -> bool,
    ) -> Result<Self, StoreError> {
        let mut snapshot = load_control(&site.store)?;
        let mut loaded = Vec::new();
        for version in std::mem::take(&mut snapshot.here) {
            if load(&version, component::bytes(&site.store, &version)?) {
                loaded.push(version);
            }
        }
        snapshot.here = loaded;
        let regions = site.regions.clone();
        let control = ControlPartition::restore(site.region.clone(), regions, snapshot)
            .with_routes(site.routes.clone());
        site.clock.observe(control.highest_hlc());
        let mut applier = Self {
            control,
            testing: BTreeSet::new(),
            stamped_until: Hlc::ZERO,
            is_silent: false,
            gathered: Gathered::default(),
        };
        applier.tell(site);
        applier.count_stamps_from_here(site);
        Ok(applier)
    }

    /// All writes that were made before have timestamps that the clock has passed.
    pub(crate) fn count_stamps_from_here<S>(&mut self, site: &Site<S>) {
        self.stamped_until = site.clock.last();
    }

    /// The control partition, for reading.
    pub fn control(&self) -> &ControlPartition {
        &self.control
    }

    /// Has a table resolve its conflicts with a component that can be called here. Answers the
    /// rollout, and whether the table has that version, or is about to get it, already.
    pub fn deploy<S>(
        &mut self,
        site: &Site<S>,
        new: NewRollout,
        component: Loaded,
        now_ms: u64,
    ) -> Result<(RolloutId, bool), ControlRefused> {
        let version = component.version;
        let rollouts = self.control.rollouts();
        // Other regions may have dropped what is deleted, also where this one has it still.
        let deleted = rollouts.versions().barred(&version) == Some(Barred::Deleted);
        let actor = new.actor.clone();
        if let Some(current) = rollouts.current(&new.table)
            && current.version == Stamp::Function(version)
            && current.state != RolloutState::Aborted
        {
            let known = current.id.clone();
            if deleted {
                self.bring_back(site, component, actor, now_ms)?;
            }
            return Ok((known, true));
        }
        let create = if deleted { rollouts.create_uploaded(new)? } else { rollouts.create(new)? };
        if deleted {
            self.bring_back(site, component, actor, now_ms)?;
        } else if !self.control.is_here(&version) {
            self.say_component(site, component, now_ms)?;
        }
        let id = self.say(site, ControlBody::Rollout(create), now_ms)?;
        Ok((RolloutId(id), false))
    }

    /// Ends the deletion of a version, before its component follows.
    fn bring_back<S>(
        &mut self,
        site: &Site<S>,
        component: Loaded,
        actor: RolloutText,
        now_ms: u64,
    ) -> Result<(), ControlRefused> {
        let upload = VersionRecord::Upload { version: component.version, actor };
        self.say(site, ControlBody::Version(upload), now_ms)?;
        self.say_component(site, component, now_ms)
    }

    fn say_component<S>(
        &mut self,
        site: &Site<S>,
        component: Loaded,
        now_ms: u64,
    ) -> Result<(), ControlRefused> {
        let version = component.version;
        let chunks = ComponentChunk::split(&component.bytes);
        // Here before its parts are said, as this region needs no parts.
        self.control.component_is_here(version);
        self.gathered.components.push(component);
        for chunk in chunks {
            self.say(site, ControlBody::Component(chunk), now_ms)?;
        }
        Ok(())
    }

    /// Rolls out a version that is here already, from whatever region it came, or plain
    /// last-writer-wins.
    pub fn roll_out<S>(
        &mut self,
        site: &Site<S>,
        new: NewRollout,
        now_ms: u64,
    ) -> Result<RolloutId, ControlRefused> {
        let version = new.version;
        // That it is deleted says more than that it is not here.
        let create = self.control.rollouts().create(new)?;
        if let Some(version) = version.function()
            && !self.control.is_here(&version)
        {
            return Err(ControlRefused::NotHere(version));
        }
        self.say(site, ControlBody::Rollout(create), now_ms).map(RolloutId)
    }

    /// Asks something of a rollout. Answers the record that says so; none if it is so already.
    pub fn ask<S>(
        &mut self,
        site: &Site<S>,
        id: &RolloutId,
        ask: RolloutAsk,
        (actor, why): (RolloutText, RolloutText),
        now_ms: u64,
    ) -> Result<Option<ChangeId>, ControlRefused> {
        let Some(record) = self.control.rollouts().ask(id, ask, actor, why)? else {
            return Ok(None);
        };
        self.say(site, ControlBody::Rollout(record), now_ms).map(Some)
    }

    /// Asks something for a version. `uses` is what keeps it from being deleted, as
    /// [`syncline_core::Rollouts::uses`] finds it. Answers the record that says so; none if it is so
    /// already.
    pub fn ask_version<S>(
        &mut self,
        site: &Site<S>,
        version: FunctionVersion,
        ask: VersionAsk,
        said: (RolloutText, RolloutText),
        now_ms: u64,
    ) -> Result<Option<ChangeId>, ControlRefused> {
        let rollouts = self.control.rollouts();
        // Up to where changes are stable is of no account: they only delay what is asked.
        let uses = rollouts.uses(&version, |_| Hlc::MAX);
        let Some(record) = rollouts.versions().ask(version, ask, uses, said)? else {
            return Ok(None);
        };
        self.say(site, ControlBody::Version(record), now_ms).map(Some)
    }

    /// Drops a component of [`ControlPartition::droppable`], with the turn's commit, where
    /// [`syncline_store::find_stamped`] has found nothing. Answers false where it is to be kept
    /// after all; else it can be unloaded once the turn is committed.
    pub fn drop_component(&mut self, version: &FunctionVersion, deletion: &ChangeId) -> bool {
        let drops = self.control.drop_component(version, deletion);
        if drops {
            self.testing.remove(version);
            self.gathered.components.retain(|loaded| loaded.version != *version);
        }
        drops
    }

    /// What was counted of a rollout's version in this region since this was last called. To be
    /// called at most once a heartbeat: each call that finds something is a record.
    pub fn report<S>(
        &mut self,
        site: &Site<S>,
        id: &RolloutId,
        since: &RolloutCounters,
        now_ms: u64,
    ) -> Result<(), ControlRefused> {
        match self.control.rollouts().report(id, since) {
            Some(report) => self.say(site, ControlBody::Rollout(report), now_ms).map(drop),
            None => Ok(()),
        }
    }

    /// A version was tested; where it cannot be used here, for this reason.
    pub fn self_tested(&mut self, version: FunctionVersion, result: Result<SelfTest, RolloutText>) {
        self.control.self_tested(version, result);
    }

    /// Proposes that a region joins, or that regions are evicted.
    pub fn propose<S>(
        &mut self,
        site: &Site<S>,
        change: MembershipChange,
        now_ms: u64,
    ) -> Result<MembershipId, ControlRefused> {
        let proposal = self.control.membership().propose(change)?;
        self.say(site, ControlBody::Membership(proposal), now_ms).map(MembershipId)
    }

    /// A region that starts says nothing of its own accord, not even a heartbeat, until it has heard
    /// others: its clock may be wrong, and its disk old. What is due is said later.
    pub fn keep_silent(&mut self, is_silent: bool) {
        self.is_silent = is_silent;
    }

    /// A component that came in parts can be called here.
    pub fn loaded(&mut self, component: Loaded) {
        self.control.component_is_here(component.version);
        self.gathered.components.push(component);
    }

    /// Shows what was read of a region's control log, up to where it must not be read on.
    pub fn receive<S>(
        &mut self,
        site: &Site<S>,
        source: &RegionId,
        items: Vec<ControlItem>,
        now_ms: u64,
    ) {
        for item in items {
            let position = item.position;
            let received = match item.what {
                ControlRead::Record(record, envelope) => {
                    match self.receive_record(site, source, *record, &envelope) {
                        Received::Foreign => {
                            let broken = Broken::of(&envelope, FOREIGN.into());
                            self.quarantine(source, position, broken, now_ms)
                        }
                        other => other,
                    }
                }
                ControlRead::Heartbeat(beat, envelope) => match self.control.hear(source, &beat) {
                    Received::Foreign => {
                        let broken = Broken::of(&envelope, FOREIGN.into());
                        self.quarantine(source, position, broken, now_ms)
                    }
                    received => {
                        if matches!(received, Received::Heartbeat | Received::Gap) {
                            site.clock.observe(beat.hlc);
                            self.gathered.forwarding.heard(&site.routes, &beat, &envelope);
                        }
                        received
                    }
                },
                ControlRead::Broken(broken) => self.quarantine(source, position, broken, now_ms),
                ControlRead::Moved => Received::Known,
            };
            match received {
                Received::Fork => {
                    self.gathered.forked.push(source.clone());
                    return;
                }
                Received::Stopped => return,
                _ => self.control.read_to(source, item.next_position),
            }
        }
    }

    fn quarantine(
        &mut self,
        source: &RegionId,
        position: u64,
        broken: Broken,
        at_ms: u64,
    ) -> Received {
        self.control.quarantined(source);
        let place = (source, CONTROL_PARTITION, position);
        self.gathered.quarantined.push(quarantined(place, broken, at_ms));
        Received::Known
    }

    fn receive_record<S>(
        &mut self,
        site: &Site<S>,
        source: &RegionId,
        record: ControlRecord,
        envelope: &Envelope,
    ) -> Received {
        let id = record.id.clone();
        let received = self.control.receive(source, record);
        if received == Received::Taken {
            site.clock.observe(id.hlc);
            self.gathered.forwarding.taken(&site.routes, &id);
            self.gathered.kept.push((id.region, id.hlc, envelope.to_bytes()));
        }
        received
    }

    /// Does what is asked for a record in quarantine. The answer holds once the turn is committed.
    pub fn handle_kept<S: Store>(
        &mut self,
        site: &Site<S>,
        work: &KeptWork,
    ) -> Result<KeptDone, StoreError> {
        // The store does not know yet what this turn has done.
        if self.gathered.handled.iter().any(|handled| handled.lets_go_of(&work.id)) {
            return Ok(KeptDone::NotKept);
        }
        let Some(kept) = quarantine::get(&site.store, &work.id)? else {
            return Ok(KeptDone::NotKept);
        };
        let done = match work.action {
            KeptAction::Drop => KeptDone::Dropped,
            KeptAction::Replay => KeptDone::of(self.replay(site, &kept)),
        };
        self.gathered.handled.push(Handled::new(kept, done.clone()));
        Ok(done)
    }

    fn replay<S>(&mut self, site: &Site<S>, kept: &Quarantined) -> Result<Replayed, ReplayRefused> {
        let source = &kept.id.source;
        let replayed = match read_again(site, kept)? {
            Sorted::Control(ControlRead::Record(record, envelope)) => {
                let judged = self.control.judge(&record.id, record.prev);
                // Known before it is shown to the chain, where it would stop the link.
                if judged == Some(ChangeVerdict::Fork) {
                    return Err(ReplayRefused::Contradicts);
                }
                let received = self.receive_record(site, source, *record, &envelope);
                outcome(judged, received)?
            }
            // A region says the same of itself every second: whatever this one said is outdated.
            Sorted::Control(ControlRead::Heartbeat(..)) => Replayed::Duplicate,
            Sorted::Control(ControlRead::Broken(Broken { reason, .. })) => {
                Replayed::Unreadable { reason }
            }
            Sorted::Control(ControlRead::Moved) | Sorted::Row(_) => {
                return Err(ReplayRefused::Damaged);
            }
        };
        if let Replayed::Unreadable { .. } = replayed {
            self.control.quarantined(source);
        }
        Ok(replayed)
    }

    fn say<S>(
        &mut self,
        site: &Site<S>,
        body: ControlBody,
        now_ms: u64,
    ) -> Result<ChangeId, ControlRefused> {
        let hlc = site.clock.tick(now_ms).map_err(|_| ControlRefused::ClockExhausted)?;
        Ok(self.control.say(hlc, body))
    }

    /// Commits the turn, with what the rollouts and the other regions ask this one to say. `steady_ms`
    /// is a clock that neither jumps nor goes back while the process runs, wherever it began. After an
    /// error that is not [`StoreError::NoSpace`] the region must stop; after that one the partition
    /// is back at its last commit, and [`ControlApplier::restore`] is to be called.
    pub fn end<S: Store>(
        &mut self,
        site: &Site<S>,
        beats: bool,
        at: Moment,
        steady_ms: u64,
    ) -> Result<ControlDone, StoreError> {
        let now_ms = at.now_ms;
        let speaks = !self.is_silent;
        let noted = if speaks { self.pause_what_diverged(site, now_ms) } else { Vec::new() };
        let said = if speaks { self.say_what_is_due(site, now_ms, steady_ms) } else { Vec::new() };
        let mut to_test = self.control.to_test();
        to_test.retain(|version| self.testing.insert(*version));
        let beat = if beats && speaks { site.clock.tick(now_ms).ok() } else { None };
        let mut commit = self.control.finish(beat);
        at.tell(commit.heartbeat.as_mut());
        let mut gathered = std::mem::take(&mut self.gathered);
        if let Err(error) = write(site, &commit, &mut gathered) {
            // The pauses are not kept either: they are for the next turn.
            noted.iter().for_each(|noted| site.note_divergence(&noted.divergence, noted.is_new));
            return Err(error);
        }
        self.tell(site);
        let Gathered { quarantined, forked, forwarding, .. } = gathered;
        Ok(ControlDone {
            last_change: commit.outbox.last().map(|record| record.id.hlc),
            heartbeat: commit.heartbeat,
            assembled: commit.assembled,
            to_test,
            resend_after: commit.resend_after,
            pass_on: commit.pass_on,
            forward: forwarding.done(),
            alarms: commit.alarms,
            quarantined,
            forked,
            said,
        })
    }

    /// What is said may make something else due: that a region has a version, that it stamps it.
    fn say_what_is_due<S>(
        &mut self,
        site: &Site<S>,
        now_ms: u64,
        steady_ms: u64,
    ) -> Vec<ControlBody> {
        let mut said = Vec::new();
        for _ in 0..DUE_ROUNDS_MAX {
            let mut due = self.control.due();
            due.extend(self.control.decide(steady_ms));
            if due.is_empty() {
                break;
            }
            for body in due.into_iter().map(ControlBody::Rollout) {
                if self.say(site, body.clone(), now_ms).is_err() {
                    return said;
                }
                said.push(body);
            }
        }
        let standings = site.standings();
        let upto = self.stamped_until.max(site.stamped_elsewhere());
        let versions = match site.is_shared() && !site.stamps_as(&self.control.rollouts().stamps())
        {
            // What is stamped otherwise from this turn on, the other nodes have not heard yet.
            true => Vec::new(),
            false => self.control.due_versions(&standings, site.partitions, upto),
        };
        for body in versions.into_iter().map(ControlBody::Version) {
            if self.say(site, body.clone(), now_ms).is_err() {
                return said;
            }
            said.push(body);
        }
        let membership = self.control.due_membership(&standings, site.partitions);
        if let Some(body) = membership.map(ControlBody::Membership)
            && self.say(site, body.clone(), now_ms).is_ok()
        {
            said.push(body);
        }
        said
    }

    /// What the control records come to, for the row partitions.
    pub fn directed<S>(&self, site: &Site<S>) -> Directed {
        let asks = self.control.membership().duty().is_some();
        Directed {
            stamps: self.control.rollouts().stamps(),
            counting: self.control.counting(site.partitions),
            watched: asks || self.control.has_deletions_due(),
        }
    }

    fn tell<S>(&mut self, site: &Site<S>) {
        if site.direct(self.directed(site)) {
            // A write takes its timestamp before its stamp.
            self.count_stamps_from_here(site);
        }
    }
}

fn write<S: Store>(
    site: &Site<S>,
    commit: &ControlCommit,
    gathered: &mut Gathered,
) -> Result<(), StoreError> {
    let mut disk = Batch::new();
    let encode = |record: &ControlRecord| encode_control(record).to_bytes();
    for (region, hlc, record) in &gathered.kept {
        received::put(&mut disk, CONTROL_PARTITION, region, *hlc, record);
    }
    for (region, upto) in &commit.needless {
        received::delete_upto(&mut disk, &site.store, CONTROL_PARTITION, region, *upto)?;
    }
    write_control_commit(&mut disk, &site.store, commit, encode)?;
    for Loaded { version, bytes, facts } in &gathered.components {
        component::put_whole(&mut disk, &site.store, version, bytes, facts)?;
    }
    quarantine::add(&mut disk, &site.store, &gathered.quarantined)?;
    for handled in &mut gathered.handled {
        handled.end(&mut disk, false, |_, _| false);
    }
    site.store.commit(disk)
}
