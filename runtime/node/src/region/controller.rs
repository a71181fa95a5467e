//! The thread of the control partition: components travel through it, and rollouts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Instant;

use syncline_applier::{
    ControlApplier, ControlDone, ControlItem, ControlRefused, KeptDone, KeptWork, Loaded,
};
use syncline_bus::Lane;
use syncline_core::{
    CreateRefused, FunctionVersion, RegionId, Rollout, RolloutId, RolloutState, TableName,
};
use syncline_host::{Admitted, Manifest};
use syncline_store::StoreError;
use syncline_store::kv::component::{self, ComponentFacts};
use thiserror::Error;
use tokio::sync::oneshot;

use super::publisher::Feeds;
use super::shard::{KeptError, KeptReply, ShardWork, report};
use super::startup::Awaited;
use super::status::ControlView;
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
    /// The region has just started.
    #[error("the region is starting, and waits to hear: {awaited}")]
    Starting {
        /// What it waits for.
        awaited: Awaited,
    },
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
    pub(super) shards: Vec<SyncSender<ShardWork>>,
    /// For those who load components, to say how it went.
    pub(super) own: SyncSender<ControlWork>,
}

impl Controller {
    /// Works until it is told to stop, or the region fails.
    pub(super) fn run(mut self, work: &Receiver<ControlWork>) {
        let mut beat_at = Instant::now();
        // Parts that were complete when the region stopped are put together now.
        let complete = self.complete_parts();
        self.assemble(complete);
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
            let beats = stop || Instant::now() >= beat_at;
            if beats {
                beat_at = Instant::now() + HEARTBEAT_EVERY;
            }
            let ended = self.end(replies, beats);
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
            ControlWork::Deploy { table, admitted, component, reply } => {
                match self.deploy(table, &admitted, component) {
                    Ok((id, known)) => {
                        let answer = self.deployed(&id, known);
                        replies.push(Box::new(move |synced| {
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
            ControlWork::Records { source, items } => {
                self.applier.receive(&self.shared.site, &source, items, now_ms());
            }
            ControlWork::Loaded { version, loaded } => self.loaded(version, loaded),
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
        table: TableName,
        admitted: &Admitted,
        bytes: Vec<u8>,
    ) -> Result<(RolloutId, bool), DeployError> {
        let version = admitted.version;
        let control = self.applier.control();
        let rollouts = control.rollouts();
        // What is refused anyway need not be loaded first.
        let current = rollouts.current(&table).is_some_and(|current| current.version == version);
        if !current && rollouts.create(table.clone(), version).is_ok() && !control.is_here(&version)
        {
            let loaded = self.shared.host.load(version, &bytes);
            loaded.map_err(|error| DeployError::Load(error.to_string()))?;
        }
        let facts = self.facts(&bytes, &admitted.manifest);
        let component = Loaded { version, bytes, facts };
        let deployed = self.applier.deploy(&self.shared.site, table, component, now_ms());
        deployed.map_err(|refused| match refused {
            ControlRefused::Open(CreateRefused::Open { id, version }) => {
                DeployError::Open { rollout_id: id.to_string(), version }
            }
            ControlRefused::ClockExhausted | ControlRefused::Membership(_) => {
                DeployError::ClockExhausted
            }
        })
    }

    fn facts(&self, bytes: &[u8], manifest: &Manifest) -> ComponentFacts {
        ComponentFacts {
            bytes: bytes.len() as u64,
            name: manifest.name.clone().unwrap_or_default(),
            uploaded_by: self.shared.site.region.to_string(),
            uploaded_at_ms: now_ms(),
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
            }
        }
    }

    /// Commits the turn.
    fn end(&mut self, replies: Vec<Reply>, beats: bool) -> Result<(), KeptError> {
        match self.applier.end(&self.shared.site, beats, now_ms()) {
            Ok(done) => {
                self.hand_over(done, replies);
                Ok(())
            }
            Err(error) => {
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
        let Some(ticket) = done.ticket(replies) else { return };
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
        // What is loaded stays loaded.
        let host = &self.shared.host;
        let is_loaded = |version: &FunctionVersion, _| host.manifest(version).is_some();
        match ControlApplier::restore(&self.shared.site, is_loaded) {
            Ok(applier) => self.applier = applier,
            Err(error) => self.shared.fail(format!("restore the control partition: {error}")),
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
            std::thread::spawn(move || {
                let loaded = load_parts(&shared, version);
                // The controller is gone when the region stops; the parts stay.
                let _ = own.send(ControlWork::Loaded { version, loaded });
            });
        }
    }

    fn views(&self) -> Vec<RolloutView> {
        self.applier.control().rollouts().iter().map(|rollout| self.view(rollout)).collect()
    }

    fn view(&self, rollout: &Rollout) -> RolloutView {
        let manifest = self.shared.host.manifest(&rollout.version);
        RolloutView { rollout: rollout.clone(), manifest }
    }

    fn deployed(&self, id: &RolloutId, known: bool) -> Option<Deployed> {
        let rollout = self.applier.control().rollouts().get(id)?;
        debug_assert_ne!(rollout.state, RolloutState::Superseded);
        Some(Deployed { rollout: self.view(rollout), known })
    }
}

fn load_parts(shared: &Shared, version: FunctionVersion) -> Result<Vec<u8>, String> {
    let bytes =
        component::assemble(&shared.site.store, &version).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or("its parts are not all here")?;
    shared.host.load(version, &bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
