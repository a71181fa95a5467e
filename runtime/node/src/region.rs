//! One region: its store, its place on the bus, and the threads that carry out what the core says.
//!
//! ```text
//! HTTP ─ Write ─┐                       ┌─ commit ─ sync ─ acknowledge
//!               ├─ shard: batch, commit ┤
//! reader ─ Rec ─┘     (one thread       └─ commit ─ sync ─ feeds ─ publisher ─ bus
//!   ▲                  a partition)
//!   └── the others' logs on the bus
//! ```
//!
//! Each partition belongs to one shard's thread; the control partition to the controller's. The
//! syncer makes commits durable, for all of them at once, and only then are clients answered and
//! records produced.

mod aside;
mod clock;
mod controller;
mod disk;
mod donor;
mod failpoint;
mod joiner;
mod links;
mod members;
mod merging;
mod nodes;
mod observe;
mod own_log;
mod publisher;
mod queue;
mod reader;
mod readers;
mod remerge;
mod rewrite;
mod rollouts;
mod room;
mod shard;
mod start;
mod startup;
mod status;
mod syncer;
mod tally;
mod threads;
mod verification;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use syncline_applier::{KeptDone, KeptWork, MendDone, MendWork, Site, WriteRequest};
use syncline_bus::Bus;
use syncline_core::{
    CONTROL_PARTITION, FunctionVersion, Image, MembershipChange, PartitionCount, Precondition,
    RegionId, Routes, RowKey, Stamp, TableName, partition_of,
};
use syncline_host::{Compiler, Host};
use syncline_store::{DiskStore, Engine, StoreError};
use tokio::sync::oneshot;

pub(crate) use aside::way_back_of_gone;
pub(crate) use clock::clock_ahead;
pub use clock::{ClockView, WallClock};
pub use donor::Donation;
pub use joiner::{JoinProgress, Joining, TakeOverError, must_join};
pub use links::Cuts;
pub use members::{Members, Plan, ProposeError, Proposed, waits_for};
pub(crate) use nodes::{
    Answer, DarkNode, ExchangeRefused, NodeForm, Passed, Peers, Report, Text, Unanswered, ViewForm,
};
pub use observe::Sample;
pub use remerge::{Remerge, RemergePlan};
pub use rewrite::{Rewrite, RewritePage};
pub use rollouts::{DeployError, Deployed, GateView, PLAN_CONFLICTS_MAX, RolloutView};
pub use shard::{Acknowledged, KeptError, WriteError};
pub use start::StartError;
pub use startup::Awaited;
pub use status::{ControlView, LinkView, MovedView, PartitionView};
pub use tally::{COUNTED_SERIES_MAX, COUNTED_VERSIONS_MAX, Counted, VersionCounts};
pub use verification::{VERIFY_MS_MAX, VerifyError};
pub use versions::VersionStanding;

use crate::config::{LimitsConfig, Nodes};
use controller::ControlWork;
use disk::Disk;
use links::LinkStates;
use nodes::LastOwn;
use observe::Observer;
use own_log::OwnLog;
use queue::ShardQueue;
use shard::ShardWork;
use startup::Startup;
use threads::Threads;

/// What a region is started with.
#[derive(Clone, Debug)]
pub struct RegionOptions {
    /// This region.
    pub region: RegionId,
    /// The regions that there were at the start, for a store that is new. Which there are since is
    /// agreed among them.
    pub regions: Vec<RegionId>,
    /// In whose logs it hears the others, and whether it passes on what it hears.
    pub routes: Routes,
    /// What its records are tagged with besides its name.
    pub tags: Vec<RegionId>,
    /// Its folder.
    pub data: PathBuf,
    /// What keeps its store.
    pub engine: Engine,
    /// Into how many partitions rows are spread.
    pub partitions: PartitionCount,
    /// The nodes of the region, if it has several, and which of them this one is.
    pub nodes: Option<Nodes>,
    /// The limits.
    pub limits: LimitsConfig,
    /// How many of its links are cut, for development.
    pub cuts: Cuts,
    /// Where it compiles merge functions.
    pub compiler: Compiler,
    /// The number of the determinism profile that it runs them by: [`syncline_host::PROFILE`], unless
    /// a region of another build is to be played.
    pub profile: u32,
    /// What it takes for the time: the machine's clock, unless one that is wrong is to be played.
    pub clock: WallClock,
}

/// How often a region says something of itself to each partition.
pub(crate) const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// A region that starts says nothing, as its clock may be ahead of those that it has not heard yet.
/// So often it is looked whether it may: soon, as others call it silent until then.
const LOOK_WHILE_STARTING: Duration = Duration::from_millis(5);

/// A running region.
pub struct Region {
    shared: Arc<Shared>,
    shards: Vec<ShardQueue>,
    control: SyncSender<ControlWork>,
    threads: Arc<Threads>,
}

/// What the threads of a region share.
pub(crate) struct Shared {
    pub(crate) site: Site<DiskStore>,
    pub(crate) limits: LimitsConfig,
    pub(crate) host: Host,
    pub(crate) links: LinkStates,
    pub(crate) startup: Startup,
    pub(crate) observer: Observer,
    /// The number of this build's determinism profile.
    pub(crate) profile: u32,
    /// Versions that go by another one, as of the control partition's last commit, and by which.
    other_profiles: Mutex<Arc<BTreeMap<FunctionVersion, u32>>>,
    pub(crate) cuts: Cuts,
    pub(crate) bus: Arc<dyn Bus>,
    clock: WallClock,
    /// From here on the steady clock counts.
    started: Instant,
    /// Since when the wall clock is too far ahead, in milliseconds since 1970; zero: it is not.
    ahead_since_ms: AtomicU64,
    /// What this process shows of itself to other nodes of its region.
    node: NodeForm,
    /// The other nodes, if there are any.
    peers: Option<Arc<Peers>>,
    last_own: LastOwn,
    /// Which regions there are, as of the control partition's last commit.
    members: Mutex<Arc<Members>>,
    /// Where the region's data is.
    data: PathBuf,
    /// What is done for a region that joins.
    donation: Mutex<Option<Donation>>,
    pub(crate) stopping: AtomicBool,
    own_log: OwnLog,
    disk: Disk,
    /// Why the region can go on no longer, and since when; set once.
    fatal: Mutex<Option<(String, u64)>>,
}

/// Milliseconds since 1970 by the wall clock.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An error with its causes: the outermost sentence alone rarely says what to do.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Shared {
    /// Stops the region for good: what is in memory may no longer be what the disk holds.
    pub(crate) fn fail(&self, reason: String) {
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        // What follows from that is no reason of its own.
        if fatal.is_none() {
            tracing::error!(region = %self.site.region, %reason, "the region stops");
            *fatal = Some((reason, now_ms()));
        }
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// As [`Shared::fail`], because of the store. One that is corrupt is set aside by the next start,
    /// which would only come to the same end with it. Where its engine panicked, that start sees for
    /// itself.
    pub(crate) fn fail_in_store(&self, reason: String, error: &StoreError) {
        match error {
            StoreError::Corrupt { panicked: false, .. } => self.fail_as_corrupt(reason),
            _ => self.fail(reason),
        }
    }

    /// As [`Shared::fail_in_store`], where that is what the store is.
    pub(crate) fn fail_as_corrupt(&self, reason: String) {
        self.fail(aside::condemn(&self.data, &self.site.region, &reason));
    }

    fn other_profiles(&self) -> Arc<BTreeMap<FunctionVersion, u32>> {
        Arc::clone(&self.other_profiles.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_profiles(&self, mut profiles: BTreeMap<FunctionVersion, u32>) {
        profiles.retain(|_, profile| *profile != self.profile);
        let mut known = self.other_profiles.lock().unwrap_or_else(PoisonError::into_inner);
        if **known != profiles {
            let region = &self.site.region;
            for (version, needs) in &profiles {
                tracing::error!(%region, %version, needs, has = self.profile,
                    "a function goes by a determinism profile that this build does not have: \
                     what it is to decide waits");
            }
            *known = Arc::new(profiles);
        }
    }

    fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers true if that is news.
    fn set_members(&self, members: Members) -> bool {
        let mut known = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = **known != members;
        if is_news {
            *known = Arc::new(members);
        }
        is_news
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

impl Region {
    /// This region's id.
    pub fn id(&self) -> &RegionId {
        &self.shared.site.region
    }

    /// Which regions there are, as far as this one knows.
    pub fn members(&self) -> Arc<Members> {
        self.shared.members()
    }

    /// The number of this build's determinism profile.
    pub fn profile(&self) -> u32 {
        self.shared.profile
    }

    /// Versions that went live under another determinism profile, and which: what they are to decide
    /// waits here.
    pub fn other_profiles(&self) -> Arc<BTreeMap<FunctionVersion, u32>> {
        self.shared.other_profiles()
    }

    /// What this region does for one that joins.
    pub fn donation(&self) -> Option<Donation> {
        self.shared.donation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Into how many partitions rows are spread.
    pub fn partitions(&self) -> PartitionCount {
        self.shared.site.partitions
    }

    /// The partitions of this node: all, unless the region has several nodes.
    pub fn own_partitions(&self) -> &BTreeSet<u32> {
        self.shared.site.own()
    }

    /// What this process shows of itself to other nodes of its region.
    pub(crate) fn node(&self) -> &NodeForm {
        &self.shared.node
    }

    /// The other nodes of the region, if it has several.
    pub(crate) fn peers(&self) -> Option<&Arc<Peers>> {
        self.shared.peers.as_ref()
    }

    /// The other nodes of the region that do not answer.
    pub fn dark_nodes(&self) -> Vec<DarkNode> {
        self.shared.peers.as_ref().map(|peers| peers.dark()).unwrap_or_default()
    }

    /// Takes in what another node reports, where this one leads.
    pub(crate) async fn exchange(&self, report: Report) -> Result<Answer, ExchangeRefused> {
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::Exchange { report: Box::new(report), reply }).await;
        answer.await.unwrap_or(Err(ExchangeRefused::Stopping))
    }

    /// In whose logs it hears the others, and whether it passes on what it hears.
    pub fn routes(&self) -> &Routes {
        &self.shared.site.routes
    }

    /// What its records are tagged with besides its name.
    pub fn tags(&self) -> &[RegionId] {
        &self.shared.site.tags
    }

    /// The store, for reading.
    pub fn store(&self) -> &DiskStore {
        &self.shared.site.store
    }

    /// Where a position stands in its log, as the tools of the bus have it: see [`Bus::offset`].
    pub fn offset(&self, position: u64) -> Option<u64> {
        self.shared.bus.offset(position)
    }

    /// What is cut, for development.
    pub fn cuts(&self) -> &Cuts {
        &self.shared.cuts
    }

    /// Checks and compiles a component; this takes as long as the compiler does.
    pub fn admit(
        &self,
        component: &[u8],
    ) -> Result<syncline_host::Admitted, syncline_host::Refused> {
        self.shared.host.admit(component)
    }

    /// Why the region can go on no longer, if it can't.
    pub fn fatal(&self) -> Option<String> {
        self.fatal_since().map(|(reason, _)| reason)
    }

    /// As [`Region::fatal`], and since when: milliseconds since 1970.
    pub fn fatal_since(&self) -> Option<(String, u64)> {
        self.shared.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the region waits for before it takes its first write; none: it takes writes.
    pub fn starting(&self) -> Option<Awaited> {
        self.shared.awaited()
    }

    /// The limits that the region was started with.
    pub fn limits(&self) -> &LimitsConfig {
        &self.shared.limits
    }

    /// Writes a row; the answer comes once the write is durable.
    pub async fn write(
        &self,
        row: RowKey,
        precondition: Precondition,
        image: Option<Image>,
    ) -> Result<Acknowledged, WriteError> {
        if self.shared.is_stopping() {
            return Err(WriteError::Stopping);
        }
        if !self.shared.site.admits_table(&row.table, self.shared.limits.tables) {
            return Err(WriteError::TooManyTables { limit: self.shared.limits.tables });
        }
        if let Some(awaited) = self.starting() {
            return Err(WriteError::Starting { awaited });
        }
        let partition = partition_of(&row, self.shared.site.partitions);
        let (reply, answer) = oneshot::channel();
        let request = WriteRequest { row, precondition, image, reply };
        let shard = &self.shards[partition as usize % self.shards.len()];
        match shard.try_send(ShardWork::Write(partition, request)) {
            Ok(()) => answer.await.unwrap_or(Err(WriteError::Stopping)),
            Err(TrySendError::Full(_)) => Err(WriteError::Overloaded),
            Err(TrySendError::Disconnected(_)) => Err(WriteError::Stopping),
        }
    }

    /// How each partition stands, as of one moment each.
    pub async fn inspect(&self) -> Vec<PartitionView> {
        let mut views = Vec::new();
        for shard in &self.shards {
            let (reply, answer) = oneshot::channel();
            let shard = shard.clone();
            let work = ShardWork::Inspect(reply);
            // A full queue empties while the region runs; the wait must not hold up the API.
            let sent = tokio::task::spawn_blocking(move || shard.send(work).is_ok());
            if sent.await.unwrap_or(false) {
                views.extend(answer.await.unwrap_or_default());
            }
        }
        views.sort_by_key(|view: &PartitionView| view.partition);
        views
    }

    /// How the control partition stands, as of one moment. None: the region stops.
    pub async fn inspect_control(&self) -> Option<ControlView> {
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::InspectPartition(reply)).await;
        answer.await.ok()
    }

    /// Replays or drops a record in quarantine, in the turn of the partition that it stands in.
    pub async fn handle_kept(&self, work: KeptWork) -> Result<KeptDone, KeptError> {
        let (reply, answer) = oneshot::channel();
        let partition = work.id.partition;
        if partition == CONTROL_PARTITION && self.shared.site.leads() {
            self.control(ControlWork::Kept(work, reply)).await;
        } else if self.own_partitions().contains(&partition) {
            let shard = self.shards[partition as usize % self.shards.len()].clone();
            let work = ShardWork::Kept(work, reply);
            // A full queue empties while the region runs; the wait must not hold up the API.
            let sent = tokio::task::spawn_blocking(move || shard.send(work).is_ok());
            let _ = sent.await;
        } else {
            return Ok(KeptDone::NotKept);
        }
        answer.await.unwrap_or(Err(KeptError::Stopping))
    }

    /// Does what is asked where regions diverge, in a turn of the partition.
    pub async fn mend(&self, partition: u32, work: MendWork) -> Result<MendDone, KeptError> {
        let (reply, answer) = oneshot::channel();
        let shard = self.shards[partition as usize % self.shards.len()].clone();
        let work = ShardWork::Mend(partition, work, reply);
        // A full queue empties while the region runs; the wait must not hold up the API.
        let sent = tokio::task::spawn_blocking(move || shard.send(work).is_ok());
        let _ = sent.await;
        answer.await.unwrap_or(Err(KeptError::Stopping))
    }

    /// What conflicts came to since the start, by table and by what resolved them.
    pub fn counted(&self) -> Vec<(TableName, Stamp, VersionCounts)> {
        self.shared.observer.counted()
    }

    /// How each link stands.
    pub fn links(&self) -> Vec<LinkView> {
        self.shared.links.view(&self.shared)
    }

    /// Proposes that a region joins, or that regions are evicted. The answer comes once the proposal
    /// is durable; what becomes of it is told by [`Region::members`].
    pub async fn propose(&self, change: MembershipChange) -> Result<Proposed, ProposeError> {
        if let Some(awaited) = self.starting() {
            return Err(ProposeError::Starting { awaited });
        }
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::Propose { change, reply }).await;
        answer.await.unwrap_or(Err(ProposeError::Stopping))
    }

    /// What would happen if a change of the regions was proposed.
    pub async fn plan(&self, change: MembershipChange) -> Result<Plan, ProposeError> {
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::Plan { change, reply }).await;
        answer.await.unwrap_or(Err(ProposeError::Stopping))
    }

    /// True if the function can be called here.
    pub fn is_loaded(&self, version: &FunctionVersion) -> bool {
        self.shared.host.manifest(version).is_some()
    }

    /// What a loaded merge function had to say in this region since its start. None: it is not loaded.
    pub fn function_log(&self, version: &FunctionVersion) -> Option<syncline_host::FunctionLog> {
        self.shared.host.log(version)
    }

    async fn control(&self, work: ControlWork) {
        let control = self.control.clone();
        // The controller may be busy with a component; that is no reason to hold up the API.
        let sent = tokio::task::spawn_blocking(move || control.send(work).is_ok());
        let _ = sent.await;
    }

    /// Takes no more writes, finishes what is under way, and waits for the threads to end.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for shard in &self.shards {
            let _ = shard.send(ShardWork::Stop);
        }
        let _ = self.control.send(ControlWork::Stop);
        if !self.threads.join() {
            tracing::error!(region = %self.shared.site.region, "a thread of the region panicked");
        }
    }
}
