//! The thread of the control partition: components travel through it, and rollouts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use syncline_applier::{
    ControlApplier, ControlDone, ControlItem, ControlRefused, KeptDone, KeptWork, Loaded,
};
use syncline_bus::{BusError, Lane};
use syncline_core::{
    ChangeId, CreateRefused, FunctionVersion, Hlc, MembershipChange, MembershipId, MembershipState,
    NewRollout, RegionId, Rollout, RolloutAsk, RolloutId, RolloutText, SelfTest, Stamp, VersionAsk,
    VersionView,
};
use syncline_host::{Admitted, Manifest};
use syncline_store::kv::component::{self, ComponentFacts};
use syncline_store::{Search, StoreError};
use syncline_verifier::Case;
use tokio::sync::oneshot;

use super::donor::Donor;
use super::members::{Members, Plan, ProposeError, Proposed};
use super::nodes::{Answer, ExchangeRefused, Led, Report};
use super::publisher::Feeds;
use super::queue::ShardQueue;
use super::readers::{Readers, wanted};
use super::rollouts::{DeployError, Deployed, RolloutView};
use super::shard::{KeptError, KeptReply, ShardWork, report};
use super::status::ControlView;
use super::syncer::{Reply, Ticket};
use super::versions::{Searches, VersionStanding};
use super::{HEARTBEAT_EVERY, LOOK_WHILE_STARTING, Shared, chain, threads};
use crate::{cases, self_test};

/// So much work is taken into one commit.
const WORK_MAX: usize = 64;
/// A self-test that cannot be made is tried so often.
const SELF_TESTS_MAX: u32 = 5;
/// And so much later.
const SELF_TEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) enum ControlWork {
    Deploy {
        new: NewRollout,
        admitted: Admitted,
        component: Vec<u8>,
        reply: oneshot::Sender<Result<Deployed, DeployError>>,
    },
    RollOut {
        new: NewRollout,
        reply: oneshot::Sender<Result<RolloutView, DeployError>>,
    },
    /// Why the rollout would not be created; nothing is changed.
    WouldRefuse {
        new: NewRollout,
        reply: oneshot::Sender<Option<DeployError>>,
    },
    Ask {
        id: RolloutId,
        ask: RolloutAsk,
        /// Who asks, and why.
        said: (RolloutText, RolloutText),
        reply: oneshot::Sender<Result<RolloutView, DeployError>>,
    },
    /// Proposes that a region joins, or that regions are evicted.
    Propose {
        change: MembershipChange,
        reply: oneshot::Sender<Result<Proposed, ProposeError>>,
    },
    /// The same, but only says what would happen.
    Plan {
        change: MembershipChange,
        reply: oneshot::Sender<Result<Plan, ProposeError>>,
    },
    /// Asks something for a version.
    AskVersion {
        version: FunctionVersion,
        ask: VersionAsk,
        /// Who asks, and why.
        said: (RolloutText, RolloutText),
        reply: oneshot::Sender<Result<VersionView, DeployError>>,
    },
    InspectVersions(oneshot::Sender<BTreeMap<FunctionVersion, VersionView>>),
    InspectVersion {
        version: FunctionVersion,
        /// Up to where each region's changes are stable.
        stable: BTreeMap<RegionId, Hlc>,
        reply: oneshot::Sender<VersionStanding>,
    },
    /// It was searched whether anything still needs a version.
    Searched {
        version: FunctionVersion,
        deletion: ChangeId,
        found: Result<Search, StoreError>,
    },
    Records {
        source: RegionId,
        items: Vec<ControlItem>,
    },
    /// A component that came in parts was put together, and compiled or refused.
    Loaded {
        version: FunctionVersion,
        loaded: Result<Vec<u8>, String>,
    },
    /// A node that does not lead has asked for a component: its bytes, or why there are none.
    Fetched {
        version: FunctionVersion,
        fetched: Result<Vec<u8>, String>,
    },
    /// A version was tested.
    Tested {
        version: FunctionVersion,
        result: Result<SelfTest, RolloutText>,
    },
    /// Another node of the region tells how it stands.
    Exchange {
        report: Box<Report>,
        reply: oneshot::Sender<Result<Answer, ExchangeRefused>>,
    },
    Inspect(oneshot::Sender<Vec<RolloutView>>),
    InspectPartition(oneshot::Sender<ControlView>),
    Kept(KeptWork, KeptReply),
    Stop,
}

/// What was asked besides, to be answered once the turn is committed.
#[derive(Default)]
struct Asked {
    rollouts: Vec<oneshot::Sender<Vec<RolloutView>>>,
    partition: Vec<oneshot::Sender<ControlView>>,
    kept: Vec<(KeptDone, KeptReply)>,
}

pub(super) struct Controller {
    pub(super) shared: Arc<Shared>,
    pub(super) applier: ControlApplier,
    pub(super) tickets: SyncSender<Ticket>,
    pub(super) feeds: Arc<Feeds>,
    pub(super) shards: Vec<ShardQueue>,
    /// For those who load and test components, to say how it went.
    pub(super) own: SyncSender<ControlWork>,
    /// From here on the time is counted in which rollouts wait.
    pub(super) started: Instant,
    pub(super) readers: Readers,
    pub(super) donor: Donor,
    pub(super) searches: Searches,
    /// The other nodes, if the region has several.
    pub(super) led: Option<Led>,
}

impl Controller {
    /// Works until it is told to stop, or the region fails.
    pub(super) fn run(mut self, work: &Receiver<ControlWork>) {
        let mut beat_at = Instant::now();
        // Parts that were complete when the region stopped are put together now.
        let complete = self.complete_parts();
        self.assemble(complete);
        self.tell_nodes();
        loop {
            let mut stop = self.shared.is_stopping();
            let mut replies = Vec::new();
            let mut asked = Asked::default();
            match work.recv_timeout(beat_at.saturating_duration_since(Instant::now())) {
                Ok(first) => {
                    for work in std::iter::once(first).chain(work.try_iter().take(WORK_MAX)) {
                        stop |= self.take(work, &mut replies, &mut asked);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => stop = true,
            }
            let is_due = stop || Instant::now() >= beat_at;
            let starts = self.shared.awaited().is_some();
            self.applier.keep_silent(starts);
            if is_due {
                let pause = if starts { LOOK_WHILE_STARTING } else { HEARTBEAT_EVERY };
                beat_at = Instant::now() + pause;
            }
            let beats = is_due && !starts;
            if beats {
                self.report();
                self.search();
            }
            self.conclude_tests(beats);
            let ended = self.end(replies, beats);
            self.tell_members(beats);
            self.tell_nodes();
            for (done, reply) in asked.kept {
                let _ = reply.send(ended.clone().map(|()| done));
            }
            for reply in asked.rollouts {
                let _ = reply.send(self.views());
            }
            for reply in asked.partition {
                let _ = reply.send(ControlView::of(self.applier.control()));
            }
            if stop {
                return;
            }
        }
    }

    /// Answers true if the controller is to stop.
    fn take(&mut self, work: ControlWork, replies: &mut Vec<Reply>, asked: &mut Asked) -> bool {
        match work {
            ControlWork::Deploy { new, admitted, component, reply } => {
                match self.deploy(new, &admitted, component) {
                    Ok((id, known)) => {
                        let view = self.view_of(&id);
                        let deployed = view.map(|rollout| Deployed { rollout, known });
                        replies.push(once_durable(reply, deployed));
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            ControlWork::RollOut { new, reply } => {
                match self.applier.roll_out(&self.shared.site, new, self.shared.now_ms()) {
                    Ok(id) => replies.push(once_durable(reply, self.view_of(&id))),
                    Err(refused) => drop(reply.send(Err(refused.into()))),
                }
            }
            ControlWork::WouldRefuse { new, reply } => {
                let _ = reply.send(self.would_refuse(new));
            }
            ControlWork::Ask { id, ask, said, reply } => {
                match self.applier.ask(&self.shared.site, &id, ask, said, self.shared.now_ms()) {
                    Ok(_) => replies.push(once_durable(reply, self.view_of(&id))),
                    Err(refused) => drop(reply.send(Err(refused.into()))),
                }
            }
            ControlWork::AskVersion { version, ask, said, reply } => {
                self.ask_version(version, ask, said, reply, replies);
            }
            ControlWork::InspectVersions(reply) => drop(reply.send(self.version_views())),
            ControlWork::InspectVersion { version, stable, reply } => {
                let _ = reply.send(self.version_standing(&version, &stable));
            }
            ControlWork::Searched { version, deletion, found } => {
                self.searched(version, &deletion, found);
            }
            ControlWork::Propose { change, reply } => self.propose(change, reply, replies),
            ControlWork::Plan { change, reply } => {
                let plan = self.check(&change).and_then(|()| {
                    let membership = self.applier.control().membership();
                    membership.propose(change.clone())?;
                    Ok(Plan::of(membership, change))
                });
                drop(reply.send(plan));
            }
            ControlWork::Records { source, items } => {
                self.applier.receive(&self.shared.site, &source, items, self.shared.now_ms());
            }
            // Only a node that does not lead fetches.
            ControlWork::Fetched { .. } => {}
            ControlWork::Loaded { version, loaded } => self.loaded(version, loaded),
            ControlWork::Tested { version, result } => match &mut self.led {
                None => self.applier.self_tested(version, result),
                Some(led) => led.tested(version, result),
            },
            ControlWork::Exchange { report, reply } => self.exchange(*report, reply, replies),
            ControlWork::Inspect(reply) => asked.rollouts.push(reply),
            ControlWork::InspectPartition(reply) => asked.partition.push(reply),
            ControlWork::Kept(work, reply) => {
                match self.applier.handle_kept(&self.shared.site, &work) {
                    Ok(done) => asked.kept.push((done, reply)),
                    Err(error) => drop(reply.send(Err(error.into()))),
                }
            }
            ControlWork::Stop => return true,
        }
        false
    }

    fn deploy(
        &mut self,
        new: NewRollout,
        admitted: &Admitted,
        bytes: Vec<u8>,
    ) -> Result<(RolloutId, bool), DeployError> {
        let version = admitted.version;
        let control = self.applier.control();
        let rollouts = control.rollouts();
        // What is refused anyway need not be loaded first.
        let current = rollouts
            .current(&new.table)
            .is_some_and(|current| current.version == Stamp::Function(version));
        // An upload brings back what is deleted.
        let creates =
            matches!(rollouts.create(new.clone()), Ok(_) | Err(CreateRefused::Deleted { .. }));
        if !current && creates && !control.is_here(&version) {
            let loaded = self.shared.host.load(version, &bytes);
            loaded.map_err(|error| DeployError::Load(error.to_string()))?;
        }
        let facts = self.facts(&bytes, &admitted.manifest);
        let component = Loaded { version, bytes, facts };
        Ok(self.applier.deploy(&self.shared.site, new, component, self.shared.now_ms())?)
    }

    fn would_refuse(&self, new: NewRollout) -> Option<DeployError> {
        let control = self.applier.control();
        let version = new.version.function();
        match (control.rollouts().create(new), version) {
            (Err(refused), _) => Some(refused.into()),
            (Ok(_), Some(version)) if !control.is_here(&version) => {
                Some(DeployError::NotHere(version))
            }
            (Ok(_), _) => None,
        }
    }

    fn propose(
        &mut self,
        change: MembershipChange,
        reply: oneshot::Sender<Result<Proposed, ProposeError>>,
        replies: &mut Vec<Reply>,
    ) {
        let proposed = self.check(&change).and_then(|()| self.proposed(change));
        let (id, known) = match proposed {
            Ok(proposed) => proposed,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let view = self.applier.control().membership().get(&id).cloned();
        replies.push(Box::new(move |synced| {
            let answer = match synced {
                Ok(()) => view.map(|view| Proposed { view, known }).ok_or(ProposeError::Stopping),
                Err(reason) => Err(ProposeError::Store(reason)),
            };
            let _ = reply.send(answer);
        }));
    }

    /// The change's identity, and whether it was under way already.
    fn proposed(&mut self, change: MembershipChange) -> Result<(MembershipId, bool), ProposeError> {
        let current = self.applier.control().membership().current();
        let same =
            current.filter(|view| view.change == change && view.state != MembershipState::Complete);
        if let Some(same) = same {
            let id = same.id.clone();
            if let MembershipChange::Join { region } = &change {
                self.donor.again(self.applier.control().membership(), region);
            }
            return Ok((id, true));
        }
        match self.applier.propose(&self.shared.site, change, self.shared.now_ms()) {
            Ok(id) => Ok((id, false)),
            Err(ControlRefused::Membership(refused)) => Err(refused.into()),
            // Of rollouts alone, or of the clock.
            Err(_) => Err(ProposeError::ClockExhausted),
        }
    }

    /// A region that this one cannot read would hold up everything as soon as it is counted.
    fn check(&self, change: &MembershipChange) -> Result<(), ProposeError> {
        let MembershipChange::Join { region } = change else { return Ok(()) };
        if self.led.is_some() {
            return Err(ProposeError::SeveralNodes { region: region.clone() });
        }
        match self.readers.bus.reader(region, &[]) {
            Err(BusError::NoCluster { region }) => Err(ProposeError::NoCluster { region }),
            _ => Ok(()),
        }
    }

    /// Tells which regions there are now, and reads those that are counted.
    fn tell_members(&mut self, beats: bool) {
        let membership = self.applier.control().membership();
        let members = Members::of(membership);
        if self.shared.set_members(members) {
            let wanted = wanted(&self.shared.site.region, membership);
            self.readers.align(&wanted);
        }
        if beats {
            self.readers.retry();
            self.donor.align(membership);
        }
    }

    fn facts(&self, bytes: &[u8], manifest: &Manifest) -> ComponentFacts {
        ComponentFacts {
            bytes: bytes.len() as u64,
            name: manifest.name.clone().unwrap_or_default(),
            uploaded_by: self.shared.site.region.to_string(),
            uploaded_at_ms: self.shared.now_ms(),
        }
    }

    /// A component of which every part has arrived is here, or can't be used here.
    fn loaded(&mut self, version: FunctionVersion, loaded: Result<Vec<u8>, String>) {
        match loaded {
            Ok(bytes) => {
                let manifest = self.shared.host.manifest(&version).unwrap_or_default();
                let facts = self.facts(&bytes, &manifest);
                self.applier.loaded(Loaded { version, bytes, facts });
                for shard in &self.shards {
                    // A shard that is gone needs no news.
                    let _ = shard.send(ShardWork::FunctionArrived);
                }
            }
            Err(reason) => {
                tracing::error!(region = %self.shared.site.region, %version, %reason,
                    "a component cannot be used here: its rollout cannot go on");
                self.applier.self_tested(version, Err(RolloutText::cut(&reason)));
            }
        }
    }

    /// Commits the turn.
    fn end(&mut self, replies: Vec<Reply>, beats: bool) -> Result<(), KeptError> {
        let steady_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.applier.end(&self.shared.site, beats, self.shared.moment(), steady_ms) {
            Ok(done) => {
                self.shared.observer.watch(self.applier.control().rollouts().open());
                let control = self.applier.control();
                self.shared.last_own.committed(Lane::Control, control.own_change());
                self.shared.set_profiles(control.rollouts().profiles());
                self.unload_dropped(true);
                self.hand_over(done, replies);
                Ok(())
            }
            Err(error) => {
                self.unload_dropped(false);
                self.recover(&error, replies);
                Err(error.into())
            }
        }
    }

    fn hand_over(&mut self, mut done: ControlDone, replies: Vec<Reply>) {
        for body in &done.said {
            tracing::info!(region = %self.shared.site.region, ?body, "control");
        }
        let pass_on = std::mem::take(&mut done.pass_on);
        self.feeds.lacking(Lane::Control, done.resend_after, pass_on);
        self.feeds.forward(Lane::Control, std::mem::take(&mut done.forward));
        report(&self.shared, &done.alarms, &done.quarantined, &done.forked);
        self.assemble(std::mem::take(&mut done.assembled));
        self.test(std::mem::take(&mut done.to_test));
        let control = self.applier.control();
        self.shared.links.note_lacking(Lane::Control, |peer| control.lacks_of(peer));
        let Some(ticket) = done.ticket(replies) else { return };
        self.shared.finds_space(Lane::Control);
        if let Err(unsent) = self.tickets.send(ticket) {
            for reply in unsent.0.replies {
                reply(Err("the region is stopping".into()));
            }
        }
    }

    /// As a shard does: back to the last commit.
    fn recover(&mut self, error: &StoreError, replies: Vec<Reply>) {
        for reply in replies {
            reply(Err(error.to_string()));
        }
        if !matches!(error, StoreError::NoSpace { .. }) {
            self.shared.fail_in_store(format!("control partition: {error}"), error);
            return;
        }
        self.shared.finds_no_space(Lane::Control, error);
        // What is loaded stays loaded.
        let host = &self.shared.host;
        let is_loaded = |version: &FunctionVersion, _| host.manifest(version).is_some();
        match ControlApplier::restore(&self.shared.site, is_loaded) {
            Ok(applier) => {
                self.applier = applier;
                // What was put together was not kept.
                let complete = self.complete_parts();
                self.assemble(complete);
            }
            Err(error) => {
                let reason = format!("restore the control partition: {error}");
                self.shared.fail_in_store(reason, &error);
            }
        }
    }

    /// Versions whose parts are all on disk, but that were not put together.
    fn complete_parts(&self) -> Vec<FunctionVersion> {
        let Ok(parts) = component::chunks(&self.shared.site.store) else { return Vec::new() };
        let mut counts: BTreeMap<FunctionVersion, u32> = BTreeMap::new();
        for (version, _) in parts {
            *counts.entry(version).or_default() += 1;
        }
        let whole = |version: &FunctionVersion| {
            component::assemble(&self.shared.site.store, version).is_ok_and(|bytes| {
                bytes.is_some_and(|bytes| FunctionVersion::of(&bytes) == *version)
            })
        };
        counts.into_keys().filter(|v| !self.applier.control().is_here(v)).filter(whole).collect()
    }

    /// Puts components together and compiles them, aside: heartbeats must not wait for a compiler.
    fn assemble(&self, versions: Vec<FunctionVersion>) {
        for version in versions {
            let (shared, own) = (Arc::clone(&self.shared), self.own.clone());
            threads::aside(&self.shared, "compile", move || {
                let loaded = load_parts(&shared, version);
                // The controller is gone when the region stops; the parts stay.
                let _ = own.send(ControlWork::Loaded { version, loaded });
            });
        }
    }

    /// Tests versions, aside as well.
    fn test(&self, versions: Vec<FunctionVersion>) {
        for version in versions {
            let (shared, own) = (Arc::clone(&self.shared), self.own.clone());
            threads::aside(&self.shared, "self-test", move || {
                let result = self_tested(&shared, version);
                // The controller is gone when the region stops; the next start asks again.
                let _ = own.send(ControlWork::Tested { version, result });
            });
        }
    }

    /// Once a heartbeat: what was seen of the versions that are being rolled out.
    fn report(&mut self) {
        let open: Vec<RolloutId> =
            self.applier.control().rollouts().open().map(|rollout| rollout.id.clone()).collect();
        for id in open {
            let Some(seen) = self.shared.observer.take(&id) else { continue };
            let reported = self.applier.report(&self.shared.site, &id, &seen, self.shared.now_ms());
            if reported.is_err() {
                self.shared.observer.put_back(&id, &seen);
            }
        }
    }

    fn views(&self) -> Vec<RolloutView> {
        self.applier.control().rollouts().iter().map(|rollout| self.view(rollout)).collect()
    }

    fn view(&self, rollout: &Rollout) -> RolloutView {
        let rollouts = self.applier.control().rollouts();
        RolloutView {
            rollout: rollout.clone(),
            manifest: rollout.version.function().and_then(|v| self.shared.host.manifest(&v)),
            gates: rollouts.gates(&rollout.id),
            seen: rollouts.reported(&rollout.id),
        }
    }

    fn view_of(&self, id: &RolloutId) -> Option<RolloutView> {
        self.applier.control().rollouts().get(id).map(|rollout| self.view(rollout))
    }
}

/// Answers once what was done is durable.
pub(super) fn once_durable<T: Send + 'static>(
    reply: oneshot::Sender<Result<T, DeployError>>,
    answer: Option<T>,
) -> Reply {
    Box::new(move |synced| {
        let answer = match synced {
            Ok(()) => answer.ok_or(DeployError::Stopping),
            Err(reason) => Err(DeployError::Store(reason)),
        };
        let _ = reply.send(answer);
    })
}

/// What a version's self-test comes to. A call that could not be made is made again a few times: the
/// machine may be busy.
pub(super) fn self_tested(
    shared: &Shared,
    version: FunctionVersion,
) -> Result<SelfTest, RolloutText> {
    let given = given_cases(shared, version)
        .map_err(|error| RolloutText::cut(&format!("its cases cannot be read: {error}")))?;
    let mut last = String::new();
    for _ in 0..SELF_TESTS_MAX {
        match self_test::digest(&shared.host, version, &given) {
            Ok(digest) => return Ok(SelfTest { digest, profile: shared.profile }),
            Err(error) => last = chain(&error),
        }
        if shared.is_stopping() {
            break;
        }
        std::thread::sleep(SELF_TEST_PAUSE);
    }
    Err(RolloutText::cut(&format!("the self-test could not be made: {last}")))
}

/// The cases that a version brings with it, which is here.
fn given_cases(shared: &Shared, version: FunctionVersion) -> Result<Vec<Case>, String> {
    let bytes =
        component::bytes(&shared.site.store, &version).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or("its component is not kept")?;
    cases::given(&bytes).map_err(|error| error.to_string())
}

fn load_parts(shared: &Shared, version: FunctionVersion) -> Result<Vec<u8>, String> {
    let bytes =
        component::assemble(&shared.site.store, &version).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or("its parts are not all here")?;
    shared.host.load(version, &bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
