//! The thread of the control partition: components travel through it, and rollouts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Instant;

use syncline_bus::{Lane, encode_control};
use syncline_core::{
    CONTROL_PARTITION, ComponentChunk, ControlBody, ControlCommit, ControlPartition, ControlRecord,
    FunctionVersion, Heartbeat, Received, RegionId, Rollout, RolloutId, RolloutState, TableName,
};
use syncline_host::{Admitted, Manifest};
use syncline_store::kv::component::{self, ComponentFacts};
use syncline_store::kv::quarantine::{self, Quarantined};
use syncline_store::{Batch, Store as _, StoreError, load_control, write_control_commit};
use thiserror::Error;
use tokio::sync::oneshot;

use super::publisher::Feeds;
use super::shard::{ShardWork, report};
use super::syncer::{Reply, Ticket};
use super::{HEARTBEAT_EVERY, Shared, now_ms};

/// So much work is taken into one commit.
const WORK_MAX: usize = 64;

/// What an upload came to.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The rollout of the version to the table.
    pub rollout: RolloutView,
    /// The table had the version already, or was about to get it.
    pub known: bool,
}

/// Why an upload was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeployError {
    /// One rollout a table at a time.
    #[error("rollout {rollout_id} of this table, to {version}, is under way")]
    Open {
        /// The other one.
        rollout_id: String,
        /// Its version.
        version: FunctionVersion,
    },
    /// It cannot be loaded here.
    #[error("{0}")]
    Load(String),
    /// The clock gives no more timestamps.
    #[error("the clock has reached its end")]
    ClockExhausted,
    /// The store failed.
    #[error("{0}")]
    Store(String),
    /// The region stops.
    #[error("the region is stopping")]
    Stopping,
}

/// A rollout, as this region knows it.
#[derive(Clone, Debug)]
pub struct RolloutView {
    /// The core's.
    pub rollout: Rollout,
    /// What the component says of itself, if it is here.
    pub manifest: Option<Manifest>,
}

pub(super) enum ControlRead {
    Record(ControlRecord),
    Heartbeat(Heartbeat),
    Broken { raw: Vec<u8>, reason: String },
    Moved,
}

/// What was read at one position of another region's control log.
pub(super) struct ControlItem {
    pub(super) position: u64,
    pub(super) next_position: u64,
    pub(super) what: ControlRead,
}

pub(super) enum ControlWork {
    Deploy {
        table: TableName,
        admitted: Admitted,
        component: Vec<u8>,
        reply: oneshot::Sender<Result<Deployed, DeployError>>,
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
    Inspect(oneshot::Sender<Vec<RolloutView>>),
    Stop,
}

pub(super) struct Controller {
    pub(super) shared: Arc<Shared>,
    pub(super) control: ControlPartition,
    pub(super) tickets: SyncSender<Ticket>,
    pub(super) feeds: Arc<Feeds>,
    pub(super) shards: Vec<SyncSender<ShardWork>>,
    /// For those who load components, to say how it went.
    pub(super) own: SyncSender<ControlWork>,
}

/// What one turn adds to the commit of the core.
#[derive(Default)]
struct Turn {
    /// Components that are complete, to be kept whole.
    components: Vec<(FunctionVersion, Vec<u8>, Manifest)>,
    quarantined: Vec<Quarantined>,
    replies: Vec<Reply>,
}

impl Controller {
    /// Works until it is told to stop, or the region fails.
    pub(super) fn run(mut self, work: &Receiver<ControlWork>) {
        let mut beat_at = Instant::now();
        // Parts that were complete when the region stopped are put together now.
        let complete = self.complete_parts();
        self.assemble(complete);
        self.publish_stamps();
        loop {
            let mut stop = self.shared.is_stopping();
            let mut turn = Turn::default();
            let mut asked = Vec::new();
            match work.recv_timeout(beat_at.saturating_duration_since(Instant::now())) {
                Ok(first) => {
                    for work in std::iter::once(first).chain(work.try_iter().take(WORK_MAX)) {
                        stop |= self.take(work, &mut turn, &mut asked);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => stop = true,
            }
            let beats = stop || Instant::now() >= beat_at;
            if beats {
                beat_at = Instant::now() + HEARTBEAT_EVERY;
            }
            self.end(turn, beats);
            for reply in asked {
                let _ = reply.send(self.views());
            }
            if stop {
                return;
            }
        }
    }

    /// Answers true if the controller is to stop.
    fn take(
        &mut self,
        work: ControlWork,
        turn: &mut Turn,
        asked: &mut Vec<oneshot::Sender<Vec<RolloutView>>>,
    ) -> bool {
        match work {
            ControlWork::Deploy { table, admitted, component, reply } => {
                match self.deploy(table, &admitted, &component, turn) {
                    Ok((id, known)) => {
                        let answer = self.deployed(&id, known);
                        turn.replies.push(Box::new(move |synced| {
                            let answer = match synced {
                                Ok(()) => answer.ok_or(DeployError::Stopping),
                                Err(reason) => Err(DeployError::Store(reason)),
                            };
                            let _ = reply.send(answer);
                        }));
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            ControlWork::Records { source, items } => self.receive(&source, items, turn),
            ControlWork::Loaded { version, loaded } => self.loaded(version, loaded, turn),
            ControlWork::Inspect(reply) => asked.push(reply),
            ControlWork::Stop => return true,
        }
        false
    }

    fn deploy(
        &mut self,
        table: TableName,
        admitted: &Admitted,
        bytes: &[u8],
        turn: &mut Turn,
    ) -> Result<(RolloutId, bool), DeployError> {
        let version = admitted.version;
        if let Some(current) = self.control.rollouts().current(&table)
            && current.version == version
        {
            return Ok((current.id.clone(), true));
        }
        let create = self.control.rollouts().create(table, version).map_err(|open| {
            let syncline_core::CreateRefused::Open { id, version } = open;
            DeployError::Open { rollout_id: id.to_string(), version }
        })?;
        if !self.control.is_here(&version) {
            self.shared
                .host
                .load(version, bytes)
                .map_err(|error| DeployError::Load(error.to_string()))?;
            turn.components.push((version, bytes.to_vec(), admitted.manifest.clone()));
            self.control.component_is_here(version);
            for chunk in ComponentChunk::split(bytes) {
                self.say(ControlBody::Component(chunk))?;
            }
        }
        let id = self.say(ControlBody::Rollout(create))?;
        Ok((RolloutId(id), false))
    }

    fn say(&mut self, body: ControlBody) -> Result<syncline_core::ChangeId, DeployError> {
        let hlc = self.shared.clock.tick(now_ms()).map_err(|_| DeployError::ClockExhausted)?;
        Ok(self.control.say(hlc, body))
    }

    fn receive(&mut self, source: &RegionId, items: Vec<ControlItem>, turn: &mut Turn) {
        for item in items {
            let received = match item.what {
                ControlRead::Record(record) => self.control.receive(record),
                ControlRead::Heartbeat(beat) => self.control.hear(&beat),
                ControlRead::Broken { raw, reason } => {
                    tracing::warn!(%source, position = item.position, %reason,
                        "a control record is quarantined");
                    turn.quarantined.push(Quarantined {
                        source: source.clone(),
                        partition: CONTROL_PARTITION,
                        position: item.position,
                        reason,
                        at_ms: now_ms(),
                        raw_bytes: raw.len() as u64,
                        raw,
                    });
                    self.control.quarantined(source);
                    Received::Known
                }
                ControlRead::Moved => Received::Known,
            };
            if received == Received::Fork {
                let reason = "the region contradicts what it said before".into();
                self.shared.links.stop(source, reason);
                return;
            }
            self.control.read_to(source, item.next_position);
        }
    }

    /// A component of which every part has arrived is here, or can't be used here.
    fn loaded(
        &mut self,
        version: FunctionVersion,
        loaded: Result<Vec<u8>, String>,
        turn: &mut Turn,
    ) {
        match loaded {
            Ok(bytes) => {
                let manifest = self.shared.host.manifest(&version).unwrap_or_default();
                turn.components.push((version, bytes, manifest));
                self.control.component_is_here(version);
                for shard in &self.shards {
                    // A shard that is gone needs no news.
                    let _ = shard.send(ShardWork::FunctionArrived);
                }
            }
            Err(reason) => {
                tracing::error!(region = %self.shared.region, %version, %reason,
                    "a component cannot be used here: its rollout cannot go on");
            }
        }
    }

    /// Commits the turn, with what the rollouts ask this region to say.
    fn end(&mut self, turn: Turn, beats: bool) {
        for record in self.control.due() {
            tracing::info!(region = %self.shared.region, ?record, "rollout");
            if self.say(ControlBody::Rollout(record)).is_err() {
                break;
            }
        }
        let beat = if beats { self.shared.clock.tick(now_ms()).ok() } else { None };
        let commit = self.control.finish(beat);
        let written = write(&self.shared, &commit, &turn);
        match written {
            Ok(()) => self.hand_over(commit, turn.replies),
            Err(error) => self.recover(&error, turn.replies),
        }
    }

    fn hand_over(&mut self, commit: ControlCommit, replies: Vec<Reply>) {
        if let Some(after) = commit.resend_after {
            self.feeds.resend_after(Lane::Control, after);
        }
        report(&self.shared, &commit.alarms);
        if !commit.rollouts.is_empty() {
            self.publish_stamps();
        }
        self.assemble(commit.assembled);
        if commit.outbox.is_empty() && commit.heartbeat.is_none() && replies.is_empty() {
            return;
        }
        let ticket = Ticket {
            lane: Lane::Control,
            last_change: commit.outbox.last().map(|record| record.id.hlc),
            heartbeat: commit.heartbeat,
            replies,
        };
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
            self.shared.fail(format!("control partition: {error}"));
            return;
        }
        match load_control(&self.shared.store) {
            Ok(snapshot) => {
                let (region, regions) = (self.shared.region.clone(), self.shared.regions.clone());
                self.control = ControlPartition::restore(region, regions, snapshot);
            }
            Err(error) => self.shared.fail(format!("restore the control partition: {error}")),
        }
    }

    fn publish_stamps(&self) {
        let mut stamps =
            self.shared.stamps.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *stamps = self.control.rollouts().stamps();
    }

    /// Versions whose parts are all on disk, but that were not put together.
    fn complete_parts(&self) -> Vec<FunctionVersion> {
        let Ok(parts) = component::chunks(&self.shared.store) else { return Vec::new() };
        let mut counts: BTreeMap<FunctionVersion, u32> = BTreeMap::new();
        for (version, _) in parts {
            *counts.entry(version).or_default() += 1;
        }
        let whole = |version: &FunctionVersion| {
            component::assemble(&self.shared.store, version).is_ok_and(|bytes| {
                bytes.is_some_and(|bytes| FunctionVersion::of(&bytes) == *version)
            })
        };
        counts.into_keys().filter(|v| !self.control.is_here(v)).filter(whole).collect()
    }

    /// Puts components together and compiles them, aside: heartbeats must not wait for a compiler.
    fn assemble(&self, versions: Vec<FunctionVersion>) {
        for version in versions {
            let (shared, own) = (Arc::clone(&self.shared), self.own.clone());
            std::thread::spawn(move || {
                let loaded = load_parts(&shared, version);
                // The controller is gone when the region stops; the parts stay.
                let _ = own.send(ControlWork::Loaded { version, loaded });
            });
        }
    }

    fn views(&self) -> Vec<RolloutView> {
        self.control.rollouts().iter().map(|rollout| self.view(rollout)).collect()
    }

    fn view(&self, rollout: &Rollout) -> RolloutView {
        let manifest = self.shared.host.manifest(&rollout.version);
        RolloutView { rollout: rollout.clone(), manifest }
    }

    fn deployed(&self, id: &RolloutId, known: bool) -> Option<Deployed> {
        let rollout = self.control.rollouts().get(id)?;
        debug_assert_ne!(rollout.state, RolloutState::Superseded);
        Some(Deployed { rollout: self.view(rollout), known })
    }
}

fn load_parts(shared: &Shared, version: FunctionVersion) -> Result<Vec<u8>, String> {
    let bytes = component::assemble(&shared.store, &version).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or("its parts are not all here")?;
    shared.host.load(version, &bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn write(shared: &Shared, commit: &ControlCommit, turn: &Turn) -> Result<(), StoreError> {
    let mut disk = Batch::new();
    let encode = |record: &ControlRecord| encode_control(record).to_bytes();
    write_control_commit(&mut disk, &shared.store, commit, encode)?;
    for (version, bytes, manifest) in &turn.components {
        let facts = ComponentFacts {
            bytes: bytes.len() as u64,
            name: manifest.name.clone().unwrap_or_default(),
            uploaded_by: shared.region.to_string(),
            uploaded_at_ms: now_ms(),
        };
        component::put_whole(&mut disk, &shared.store, version, bytes, &facts)?;
    }
    for record in &turn.quarantined {
        quarantine::add(&mut disk, &shared.store, record)?;
    }
    shared.store.commit(disk)
}
