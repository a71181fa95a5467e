//! A shard: the one thread that some partitions belong to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use syncline_applier::{
    KeptDone, KeptWork, MendDone, MendWork, PartitionApplier, PartitionDone, PartitionTurn,
    ReadRecords, TurnError, WriteRequest,
};
use syncline_bus::Lane;
use syncline_core::{Alarm, HostFault, RegionId, Written};
use syncline_store::StoreError;
use syncline_store::kv::quarantine::Quarantined;
use thiserror::Error;
use tokio::sync::oneshot;

use super::merging::{Merging, Resting};
use super::publisher::Feeds;
use super::queue::TakenRoom;
use super::startup::Awaited;
use super::status::PartitionView;
use super::syncer::{Reply, Ticket};
use super::{HEARTBEAT_EVERY, LOOK_WHILE_STARTING, Shared};

/// So much work is taken into one turn, and one commit a partition.
const WORK_MAX: usize = 256;
/// How soon merges that were put off for other tables are tried again.
const RETRY_PUT_OFF: Duration = Duration::from_millis(2);
/// The same, while a table rests.
const RETRY_RESTING: Duration = Duration::from_millis(25);
/// How soon what waits for a function is tried again, at least; longer if that takes long. A
/// function that arrives is tried at once.
const RETRY_STALLED: Duration = Duration::from_millis(250);
/// What is tried again waits so many times as long as trying took.
const RETRY_FACTOR: u32 = 4;

/// Why a link stops for a fork.
const CONTRADICTS: &str = "the region contradicts what it said before";

/// A write that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The partition that took it.
    pub partition: u32,
    /// What it came to.
    pub written: Written,
}

/// Why a write was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The partition did not take it.
    #[error(transparent)]
    NotTaken(#[from] syncline_applier::WriteError),
    /// The partition's queue is full.
    #[error("too many writes wait for this partition")]
    Overloaded,
    /// The table would be one too many.
    #[error("the limit of {limit} tables is reached")]
    TooManyTables {
        /// The limit.
        limit: usize,
    },
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

/// Tells a client.
pub(super) type ClientReply = oneshot::Sender<Result<Acknowledged, WriteError>>;

/// Why nothing was done with a record in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeptError {
    /// The disk is full.
    #[error("{0}")]
    NoSpace(String),
    /// The store failed.
    #[error("{0}")]
    Store(String),
    /// The region stops.
    #[error("the region is stopping")]
    Stopping,
}

impl From<StoreError> for KeptError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSpace { .. } => Self::NoSpace(error.to_string()),
            _ => Self::Store(error.to_string()),
        }
    }
}

/// Tells whoever asked for something for a record in quarantine.
pub(super) type KeptReply = oneshot::Sender<Result<KeptDone, KeptError>>;

/// Tells whoever asked for something where regions diverge.
pub(super) type MendReply = oneshot::Sender<Result<MendDone, KeptError>>;

pub(super) enum ShardWork {
    Write(u32, WriteRequest<ClientReply>),
    Records(ReadRecords, TakenRoom),
    Inspect(oneshot::Sender<Vec<PartitionView>>),
    Kept(KeptWork, KeptReply),
    Mend(u32, MendWork, MendReply),
    /// A function has arrived: what waits for one may go on.
    FunctionArrived,
    Stop,
}

struct Owned {
    applier: PartitionApplier,
    retry_at: Option<Instant>,
}

/// The partitions of one shard.
pub(super) struct Shard {
    shared: Arc<Shared>,
    owned: BTreeMap<u32, Owned>,
    tickets: SyncSender<Ticket>,
    feeds: Arc<Feeds>,
    resting: Resting,
    beat_at: Instant,
}

type Turn = PartitionTurn<ClientReply>;

/// What was asked besides, to be answered behind the turns.
#[derive(Default)]
struct Asked {
    views: Vec<oneshot::Sender<Vec<PartitionView>>>,
    kept: Vec<(KeptWork, KeptReply)>,
    mend: Vec<(u32, MendWork, MendReply)>,
    /// Of the records, until their turns are done.
    room: Vec<TakenRoom>,
}

/// What came of what was asked of one turn.
#[derive(Default)]
struct Answers {
    kept: Option<KeptDone>,
    mended: Option<MendDone>,
}

impl Shard {
    pub(super) fn new(
        shared: Arc<Shared>,
        appliers: Vec<PartitionApplier>,
        tickets: SyncSender<Ticket>,
        feeds: Arc<Feeds>,
    ) -> Self {
        let owned = |applier: PartitionApplier| {
            (applier.partition().number(), Owned { applier, retry_at: None })
        };
        let owned = appliers.into_iter().map(owned).collect();
        let resting = Resting::default();
        Self { shared, owned, tickets, feeds, resting, beat_at: Instant::now() }
    }

    /// Works until it is told to stop, or the region fails.
    pub(super) fn run(mut self, work: &Receiver<ShardWork>) {
        loop {
            let mut stop = self.shared.is_stopping();
            let mut turns: BTreeMap<u32, Turn> = BTreeMap::new();
            let mut asked = Asked::default();
            match work.recv_timeout(self.idle()) {
                Ok(first) => {
                    for work in std::iter::once(first).chain(work.try_iter().take(WORK_MAX)) {
                        stop |= self.sort(work, &mut turns, &mut asked);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => stop = true,
            }
            self.work(turns, stop);
            for (kept, reply) in asked.kept {
                let partition = kept.id.partition;
                let turn = Turn { kept: Some(kept), ..Turn::default() };
                let done = self.turn(partition, turn);
                let _ = reply.send(done.and_then(|done| done.kept.ok_or(KeptError::Stopping)));
            }
            for (partition, work, reply) in asked.mend {
                let turn = Turn { mend: Some(work), ..Turn::default() };
                let done = self.turn(partition, turn);
                let _ = reply.send(done.and_then(|done| done.mended.ok_or(KeptError::Stopping)));
            }
            for reply in asked.views {
                let views =
                    self.owned.values().map(|owned| PartitionView::of(owned.applier.partition()));
                let _ = reply.send(views.collect());
            }
            if stop {
                return;
            }
        }
    }

    /// Answers true if the shard is to stop.
    fn sort(
        &mut self,
        work: ShardWork,
        turns: &mut BTreeMap<u32, Turn>,
        asked: &mut Asked,
    ) -> bool {
        match work {
            ShardWork::Write(number, write) => turns.entry(number).or_default().writes.push(write),
            ShardWork::Records(read, room) => {
                turns.entry(read.partition).or_default().records.push(read);
                asked.room.push(room);
            }
            ShardWork::Inspect(reply) => asked.views.push(reply),
            ShardWork::Kept(kept, reply) => asked.kept.push((kept, reply)),
            ShardWork::Mend(number, work, reply) => asked.mend.push((number, work, reply)),
            ShardWork::FunctionArrived => {
                let now = Instant::now();
                self.owned.values_mut().for_each(|owned| owned.retry_at = Some(now));
            }
            ShardWork::Stop => return true,
        }
        false
    }

    /// How long nothing needs to be done if no work comes.
    fn idle(&self) -> Duration {
        let stalled = self.owned.values().filter(|owned| owned.applier.partition().has_stalled());
        let retry = stalled.filter_map(|owned| owned.retry_at).min();
        let next = retry.map_or(self.beat_at, |retry| retry.min(self.beat_at));
        next.saturating_duration_since(Instant::now())
    }

    fn work(&mut self, mut turns: BTreeMap<u32, Turn>, last: bool) {
        let now = Instant::now();
        let (is_due, starts) = (now >= self.beat_at || last, self.shared.awaited().is_some());
        if is_due {
            self.beat_at = now + if starts { LOOK_WHILE_STARTING } else { HEARTBEAT_EVERY };
        }
        let beats = is_due && !starts;
        let numbers: Vec<u32> = self.owned.keys().copied().collect();
        for number in numbers {
            let turn = turns.remove(&number);
            let Some(owned) = self.owned.get_mut(&number) else { continue };
            let retries = owned.applier.partition().has_stalled()
                && owned.retry_at.is_none_or(|at| at <= now);
            if turn.is_some() || beats || retries {
                let turn = Turn { beats, retries, ..turn.unwrap_or_default() };
                // What fails is told to those who wait, and in the log.
                let _ = self.turn(number, turn);
            }
        }
    }

    /// One batch of one partition, to its end. Answers what came of what was asked of it.
    fn turn(&mut self, number: u32, turn: Turn) -> Result<Answers, KeptError> {
        let Some(owned) = self.owned.get_mut(&number) else { return Ok(Answers::default()) };
        let shared = Arc::clone(&self.shared);
        let merging = Merging::new(&shared.host, &self.resting, shared.other_profiles());
        let started = Instant::now();
        let done = owned.applier.turn(&shared.site, &merging, turn, shared.moment());
        let now = Instant::now();
        let (account, calls) = merging.finish();
        owned.retry_at = Some(if owned.applier.partition().has_put_off() {
            now + RETRY_PUT_OFF
        } else {
            now + RETRY_STALLED.max((now - started) * RETRY_FACTOR)
        });
        self.resting.settle(account, now);
        if self.resting.is_any() {
            owned.retry_at = owned.retry_at.max(Some(now + RETRY_RESTING));
        }
        let (refused, answers) = match done {
            Ok(mut done) => {
                let last = owned.applier.partition().last_change();
                shared.last_own.committed(Lane::Changes(number), last);
                if done.ticket.is_some() {
                    shared.finds_space(Lane::Changes(number));
                }
                let answers = Answers { kept: done.kept.take(), mended: done.mended.take() };
                shared.observer.resolved(std::mem::take(&mut done.resolved), &calls);
                (self.hand_over(number, done), Ok(answers))
            }
            Err(TurnError { refused, error, fatal }) => {
                if fatal {
                    shared.fail_in_store(format!("partition {number}: {error}"), &error);
                } else {
                    shared.finds_no_space(Lane::Changes(number), &error);
                }
                (refused, Err(error.into()))
            }
        };
        for (reply, error) in refused {
            let _ = reply.send(Err(error.into()));
        }
        answers
    }

    fn hand_over(
        &mut self,
        number: u32,
        done: PartitionDone<ClientReply>,
    ) -> Vec<(ClientReply, syncline_applier::WriteError)> {
        self.feeds.lacking(Lane::Changes(number), done.resend_after, done.pass_on);
        self.feeds.forward(Lane::Changes(number), done.forward);
        report(&self.shared, &done.alarms, &done.quarantined, &done.forked);
        if let Some(owned) = self.owned.get(&number) {
            let partition = owned.applier.partition();
            let lacks_of = |peer: &RegionId| partition.lacks_of(peer);
            self.shared.links.note_lacking(Lane::Changes(number), lacks_of);
            for (peer, _, _) in partition.links() {
                if let Some(link) = self.shared.links.get(peer) {
                    link.set_full(number, !partition.takes_from(peer));
                }
            }
        }
        if let Some(ticket) = done.ticket {
            let ticket = ticket.map(|(reply, written)| into_reply(reply, number, written));
            if let Err(unsent) = self.tickets.send(ticket) {
                for reply in unsent.0.replies {
                    reply(Err("the region is stopping".into()));
                }
            }
        }
        done.refused
    }
}

fn into_reply(reply: ClientReply, partition: u32, written: Written) -> Reply {
    Box::new(move |synced| {
        let acknowledged = Acknowledged { partition, written };
        let failed = |reason| syncline_applier::WriteError::Store(reason).into();
        let _ = reply.send(synced.map(|()| acknowledged).map_err(failed));
    })
}

/// Tells people, in the log, and stops the links that must not be read on.
pub(super) fn report(
    shared: &Shared,
    alarms: &[Alarm],
    quarantined: &[Quarantined],
    forked: &[RegionId],
) {
    let region = &shared.site.region;
    for alarm in alarms {
        match alarm {
            Alarm::Fork { region, hlc } => {
                tracing::error!(%region, %hlc, "a region contradicts what it said before");
                shared.links.stop(region, CONTRADICTS.into());
            }
            Alarm::MergeWaits { fault: HostFault::Deferred, .. } => {}
            Alarm::MergeWaits { row, fault } => {
                tracing::warn!(%region, %row, %fault, "changes of a row wait");
            }
            Alarm::Divergence(found) => {
                tracing::error!(%region, id = %found.id(), %found, "regions diverge");
            }
            Alarm::BuildsOnTheLost { row, change } => {
                tracing::error!(%region, %row, %change,
                    "a change is given up: it builds on one that was lost with its region");
            }
        }
    }
    for Quarantined { id, reason, .. } in quarantined {
        let (source, partition) = (&id.source, id.partition);
        let offset = shared.bus.offset(id.position);
        tracing::warn!(%source, partition, %id, offset, %reason, "a record is quarantined");
    }
    for source in forked {
        shared.links.stop(source, CONTRADICTS.into());
    }
}
