//! Versions on their way into use: what is asked of the controller, and what it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_applier::ControlRefused;
use syncline_core::{
    AskRefused, CreateRefused, FunctionVersion, Gate, GateReading, GateVerdict, NewRollout,
    ProposeRefused, RegionId, Rollout, RolloutAsk, RolloutCounters, RolloutId, RolloutText, Stamp,
    TableName, VersionRefused,
};
use syncline_host::{Admitted, Manifest};
use syncline_store::StoreError;
use syncline_store::kv::conflict::{ConflictFilter, query};
use thiserror::Error;
use tokio::sync::oneshot;

use super::controller::ControlWork;
use super::links::SILENT_AFTER_MS;
use super::observe::Sample;
use super::startup::Awaited;
use super::status::LinkView;
use super::{Region, now_ms};
use crate::replay::{Replay, ReplayReport};

/// So many of a table's last conflicts are replayed for a plan.
pub const PLAN_CONFLICTS_MAX: usize = 1_000;
/// And for so long.
const PLAN_TIME_MAX: Duration = Duration::from_secs(3);

/// A gate, its number now, and what it says.
pub type GateView = (Gate, GateReading, GateVerdict);

/// A rollout, as this region knows it.
#[derive(Clone, Debug)]
pub struct RolloutView {
    /// The core's.
    pub rollout: Rollout,
    /// What the component says of itself, if it is here.
    pub manifest: Option<Manifest>,
    /// Its gates.
    pub gates: Vec<GateView>,
    /// What all regions have seen of the version.
    pub seen: RolloutCounters,
}

/// What an upload came to.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The rollout of the version to the table.
    pub rollout: RolloutView,
    /// The table had the version already, or was about to get it.
    pub known: bool,
}

/// Why a rollout was not created, or not steered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeployError {
    /// One rollout a table at a time, with a plan that fits.
    #[error(transparent)]
    Create(#[from] CreateRefused),
    /// What is asked makes no sense there.
    #[error(transparent)]
    Ask(#[from] AskRefused),
    /// The version was never uploaded, or cannot be used here.
    #[error("version {0} is not in this region, or cannot be used here: upload it first")]
    NotHere(FunctionVersion),
    /// A rollout waits for every region, so it would only wait.
    #[error(
        "not heard for a while: {}; a rollout needs every region. See `syncline topology`, and \
         evict a region that is gone for good",
        names(regions)
    )]
    Silent {
        /// These regions.
        regions: Vec<RegionId>,
    },
    /// The version is in use, or gone.
    #[error(transparent)]
    Version(#[from] VersionRefused),
    /// It cannot be loaded here.
    #[error("{0}")]
    Load(String),
    /// The clock gives no more timestamps.
    #[error("the clock has reached its end")]
    ClockExhausted,
    /// This region takes no part.
    #[error(transparent)]
    NotAMember(ProposeRefused),
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

fn names(regions: &[RegionId]) -> String {
    regions.iter().map(RegionId::as_str).collect::<Vec<_>>().join(", ")
}

impl From<ControlRefused> for DeployError {
    fn from(refused: ControlRefused) -> Self {
        match refused {
            ControlRefused::Create(refused) => Self::Create(refused),
            ControlRefused::Ask(refused) => Self::Ask(refused),
            ControlRefused::NotHere(version) => Self::NotHere(version),
            ControlRefused::Membership(refused) => Self::NotAMember(refused),
            ControlRefused::Version(refused) => Self::Version(refused),
            ControlRefused::ClockExhausted => Self::ClockExhausted,
        }
    }
}

impl Region {
    /// Has a table resolve its conflicts with a component that was admitted.
    pub async fn deploy(
        &self,
        new: NewRollout,
        admitted: Admitted,
        component: Vec<u8>,
    ) -> Result<Deployed, DeployError> {
        self.check_rollouts()?;
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::Deploy { new, admitted, component, reply }).await;
        answer.await.unwrap_or(Err(DeployError::Stopping))
    }

    /// As [`Region::deploy`], with a version that is here already, or plain last-writer-wins.
    pub async fn roll_out(&self, new: NewRollout) -> Result<RolloutView, DeployError> {
        self.check_rollouts()?;
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::RollOut { new, reply }).await;
        answer.await.unwrap_or(Err(DeployError::Stopping))
    }

    /// Why a rollout would not be created now; nothing is changed.
    pub async fn would_refuse(&self, new: &NewRollout) -> Option<DeployError> {
        if let Err(error) = self.check_rollouts() {
            return Some(error);
        }
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::WouldRefuse { new: new.clone(), reply }).await;
        answer.await.unwrap_or(Some(DeployError::Stopping))
    }

    /// Asks something of a rollout; answers how it stands afterwards.
    pub async fn ask(
        &self,
        id: RolloutId,
        ask: RolloutAsk,
        said: (RolloutText, RolloutText),
    ) -> Result<RolloutView, DeployError> {
        if let Some(awaited) = self.starting() {
            return Err(DeployError::Starting { awaited });
        }
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::Ask { id, ask, said, reply }).await;
        answer.await.unwrap_or(Err(DeployError::Stopping))
    }

    /// All rollouts that this region knows of.
    pub async fn rollouts(&self) -> Vec<RolloutView> {
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::Inspect(reply)).await;
        answer.await.unwrap_or_default()
    }

    /// The last conflicts of this region in which a rollout's version did not answer, or came to
    /// another row than the version in use.
    pub fn samples(&self, id: &RolloutId) -> Vec<Arc<Sample>> {
        self.shared.observer.samples(id)
    }

    /// What a function says of itself, if it is loaded.
    pub fn manifest(&self, version: &FunctionVersion) -> Option<Manifest> {
        self.shared.host.manifest(version)
    }

    /// True if a region was not heard for a while.
    pub fn is_silent(&self, region: &RegionId) -> bool {
        self.silent().contains(region)
    }

    /// The last conflicts of a table, replayed by a function. None: it is not loaded.
    pub fn replay_recorded(
        &self,
        table: &TableName,
        version: Stamp,
    ) -> Result<Option<ReplayReport>, StoreError> {
        let deadline = Instant::now() + PLAN_TIME_MAX;
        let Some(mut replay) = Replay::by(&self.shared.host, version) else { return Ok(None) };
        let filter = ConflictFilter { table: Some(table.clone()), ..ConflictFilter::default() };
        let (mut left, mut after) = (PLAN_CONFLICTS_MAX, None);
        while left > 0 {
            let page = query(self.store(), self.partitions(), &filter, after.as_ref(), left)?;
            for conflict in &page.conflicts {
                if Instant::now() >= deadline {
                    return Ok(Some(replay.finish()));
                }
                replay.add(conflict);
            }
            left -= page.conflicts.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(Some(replay.finish()))
    }

    fn check_rollouts(&self) -> Result<(), DeployError> {
        if let Some(awaited) = self.starting() {
            return Err(DeployError::Starting { awaited });
        }
        let regions = self.silent();
        if regions.is_empty() { Ok(()) } else { Err(DeployError::Silent { regions }) }
    }

    /// The regions that are not heard: a rollout that needs them would only wait. One that this region
    /// has just begun to listen to may be heard soon.
    fn silent(&self) -> Vec<RegionId> {
        let now = now_ms();
        let long = |since: u64| now.saturating_sub(since) > SILENT_AFTER_MS;
        let unheard = |link: &LinkView| match link.state {
            "silent" | "unreadable" => link.since_ms.is_none_or(long),
            state => state == "stopped",
        };
        let links = self.links().into_iter().filter(unheard);
        links.map(|link| link.region).collect()
    }
}
