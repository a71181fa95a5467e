//! A shard: the one thread that some partitions belong to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use syncline_bus::{Lane, encode_change};
use syncline_core::{
    Alarm, Batch as CoreBatch, ChangeRecord, Commit, Heartbeat, HostFault, Image, Partition,
    PartitionSetup, Precondition, Received, RegionId, RowKey, WriteRefused, Written,
};
use syncline_store::kv::quarantine::{self, Quarantined};
use syncline_store::{Batch, ConflictLimit, Store as _, StoreError, load_partition, write_commit};
use thiserror::Error;
use tokio::sync::oneshot;

use super::merging::{Merging, Resting};
use super::publisher::Feeds;
use super::rows::RowCache;
use super::status::PartitionView;
use super::syncer::{Reply, Ticket};
use super::{HEARTBEAT_EVERY, Shared, now_ms};

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
    /// The core refused it.
    #[error(transparent)]
    Refused(#[from] WriteRefused),
    /// The partition's queue is full.
    #[error("too many writes wait for this partition")]
    Overloaded,
    /// The table would be one too many.
    #[error("the limit of {limit} tables is reached")]
    TooManyTables {
        /// The limit.
        limit: usize,
    },
    /// The clock gives no more timestamps.
    #[error("the clock has reached its end")]
    ClockExhausted,
    /// The disk is full.
    #[error("{0}")]
    NoSpace(String),
    /// The store failed; whether the write is taken shows when the region is back.
    #[error("{0}")]
    Store(String),
    /// The region stops.
    #[error("the region is stopping")]
    Stopping,
}

pub(super) struct WriteRequest {
    pub(super) partition: u32,
    pub(super) row: RowKey,
    pub(super) precondition: Precondition,
    pub(super) image: Option<Image>,
    pub(super) reply: oneshot::Sender<Result<Acknowledged, WriteError>>,
}

/// What was read at one position of another region's log.
pub(super) struct ReadItem {
    pub(super) position: u64,
    pub(super) next_position: u64,
    pub(super) what: Read,
}

pub(super) enum Read {
    Change(Box<ChangeRecord>),
    Heartbeat(Heartbeat),
    /// It cannot be read; kept as it is.
    Broken {
        raw: Vec<u8>,
        reason: String,
    },
    /// The log does not hold the position that was asked for; reading goes on from this one.
    Moved,
}

/// Records of one partition of one region's log.
pub(super) struct ReadRecords {
    pub(super) source: RegionId,
    pub(super) partition: u32,
    pub(super) items: Vec<ReadItem>,
}

pub(super) enum ShardWork {
    Write(WriteRequest),
    Records(ReadRecords),
    Inspect(oneshot::Sender<Vec<PartitionView>>),
    /// A function has arrived: what waits for one may go on.
    FunctionArrived,
    Stop,
}

struct Owned {
    partition: Partition,
    rows: RowCache,
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

/// The work of one turn for one partition.
#[derive(Default)]
struct Turn {
    writes: Vec<WriteRequest>,
    records: Vec<ReadRecords>,
}

pub(super) fn setup(shared: &Shared, partition: u32) -> PartitionSetup {
    PartitionSetup {
        partition,
        region: shared.region.clone(),
        regions: shared.regions.clone(),
        outstanding_max: shared.limits.unconfirmed_changes,
        waiting_per_link_max: shared.limits.waiting_changes,
    }
}

impl Shard {
    pub(super) fn new(
        shared: Arc<Shared>,
        partitions: Vec<Partition>,
        tickets: SyncSender<Ticket>,
        feeds: Arc<Feeds>,
    ) -> Self {
        let owned = |partition: Partition| {
            let number = partition.number();
            (number, Owned { partition, rows: RowCache::new(), retry_at: None })
        };
        let owned = partitions.into_iter().map(owned).collect();
        let resting = Resting::default();
        Self { shared, owned, tickets, feeds, resting, beat_at: Instant::now() }
    }

    /// Works until it is told to stop, or the region fails.
    pub(super) fn run(mut self, work: &Receiver<ShardWork>) {
        loop {
            let mut stop = self.shared.is_stopping();
            let mut turns: BTreeMap<u32, Turn> = BTreeMap::new();
            let mut asked = Vec::new();
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
            for reply in asked {
                let views = self.owned.values().map(|owned| PartitionView::of(&owned.partition));
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
        asked: &mut Vec<oneshot::Sender<Vec<PartitionView>>>,
    ) -> bool {
        match work {
            ShardWork::Write(write) => turns.entry(write.partition).or_default().writes.push(write),
            ShardWork::Records(read) => turns.entry(read.partition).or_default().records.push(read),
            ShardWork::Inspect(reply) => asked.push(reply),
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
        let stalled = self.owned.values().filter(|owned| owned.partition.has_stalled());
        let retry = stalled.filter_map(|owned| owned.retry_at).min();
        let next = retry.map_or(self.beat_at, |retry| retry.min(self.beat_at));
        next.saturating_duration_since(Instant::now())
    }

    fn work(&mut self, mut turns: BTreeMap<u32, Turn>, last: bool) {
        let now = Instant::now();
        let beats = now >= self.beat_at || last;
        if beats {
            self.beat_at = now + HEARTBEAT_EVERY;
        }
        let numbers: Vec<u32> = self.owned.keys().copied().collect();
        for number in numbers {
            let turn = turns.remove(&number);
            let Some(owned) = self.owned.get_mut(&number) else { continue };
            let retries =
                owned.partition.has_stalled() && owned.retry_at.is_none_or(|at| at <= now);
            if turn.is_some() || beats || retries {
                self.turn(number, turn.unwrap_or_default(), beats, retries);
            }
        }
    }

    /// One batch of one partition, to its end.
    fn turn(&mut self, number: u32, turn: Turn, beats: bool, retries: bool) {
        let Some(owned) = self.owned.get_mut(&number) else { return };
        let shared = Arc::clone(&self.shared);
        let merging = Merging::new(&shared.host, &self.resting);
        let started = Instant::now();
        let mut taken = Vec::new();
        let done = carry_out(&shared, owned, &merging, turn, beats, retries, &mut taken);
        let now = Instant::now();
        let account = merging.into_account();
        owned.retry_at = Some(if owned.partition.has_put_off() {
            now + RETRY_PUT_OFF
        } else {
            now + RETRY_STALLED.max((now - started) * RETRY_FACTOR)
        });
        self.resting.settle(account, now);
        if self.resting.is_any() {
            owned.retry_at = owned.retry_at.max(Some(now + RETRY_RESTING));
        }
        match done {
            Ok(commit) => self.hand_over(number, commit, taken),
            Err(error) => self.recover(number, &error, taken),
        }
    }

    fn hand_over(&mut self, number: u32, commit: Commit, taken: Vec<Taken>) {
        let lane = Lane::Changes(number);
        if let Some(after) = commit.resend_after {
            self.feeds.resend_after(lane, after);
        }
        report(&self.shared, &commit.alarms);
        if let Some(owned) = self.owned.get_mut(&number) {
            owned.rows.trim(commit.rows.iter().map(|(key, _)| key));
            for (peer, _, _) in owned.partition.links() {
                if let Some(link) = self.shared.links.get(peer) {
                    link.set_full(number, !owned.partition.takes_from(peer));
                }
            }
        }
        if !commit.needs_sync() {
            return;
        }
        let replies = taken.into_iter().map(|taken| taken.into_reply(number)).collect();
        let last_change = commit.outbox.last().map(|record| record.change.id.hlc);
        let ticket = Ticket { lane, last_change, heartbeat: commit.heartbeat, replies };
        if let Err(unsent) = self.tickets.send(ticket) {
            for reply in unsent.0.replies {
                reply(Err("the region is stopping".into()));
            }
        }
    }

    /// The batch is not on disk, and what is in memory has run ahead: back to the last commit. What
    /// was read of other regions shows as a gap, and is sent again.
    fn recover(&mut self, number: u32, error: &StoreError, taken: Vec<Taken>) {
        let answer = match error {
            StoreError::NoSpace { .. } => WriteError::NoSpace(error.to_string()),
            _ => WriteError::Store(error.to_string()),
        };
        for taken in taken {
            let _ = taken.reply.send(Err(answer.clone()));
        }
        if matches!(error, StoreError::NoSpace { .. }) {
            tracing::warn!(partition = number, %error, "nothing is taken until there is space");
        } else {
            self.shared.fail(format!("partition {number}: {error}"));
            return;
        }
        match load_partition(&self.shared.store, number) {
            Ok(snapshot) => {
                let partition = Partition::restore(setup(&self.shared, number), snapshot);
                let owned = Owned { partition, rows: RowCache::new(), retry_at: None };
                self.owned.insert(number, owned);
            }
            Err(error) => self.shared.fail(format!("restore partition {number}: {error}")),
        }
    }
}

/// A write that is in the batch, to be answered once it is durable.
struct Taken {
    reply: oneshot::Sender<Result<Acknowledged, WriteError>>,
    written: Written,
}

impl Taken {
    fn into_reply(self, partition: u32) -> Reply {
        Box::new(move |synced| {
            let acknowledged = Acknowledged { partition, written: self.written };
            let _ = self.reply.send(synced.map(|()| acknowledged).map_err(WriteError::Store));
        })
    }
}

fn carry_out(
    shared: &Shared,
    owned: &mut Owned,
    merging: &Merging<'_>,
    turn: Turn,
    beats: bool,
    retries: bool,
    taken: &mut Vec<Taken>,
) -> Result<Commit, StoreError> {
    let number = owned.partition.number();
    let now = now_ms();
    let mut rows = owned.rows.over(&shared.store, number);
    let mut batch = owned.partition.batch(&mut rows, merging, now);
    let mut quarantined = Vec::new();
    if retries {
        batch.retry_stalled();
    }
    for read in turn.records {
        receive(shared, &mut batch, &mut quarantined, read, now);
    }
    let lost = |error: syncline_core::LoadError| StoreError::Corrupt {
        place: format!("row {}", error.row),
        reason: error.reason,
    };
    for write in turn.writes {
        write_one(shared, &mut batch, write, now, taken).map_err(lost)?;
    }
    // A clock at its end says no more; the region still applies what others send.
    let beat = if beats { shared.clock.tick(now).ok() } else { None };
    let commit = batch.finish(beat).map_err(lost)?;
    let limit = ConflictLimit(shared.limits.conflicts);
    let mut disk = Batch::new();
    for record in &quarantined {
        quarantine::add(&mut disk, &shared.store, record)?;
    }
    let encode = |record: &ChangeRecord| encode_change(record).to_bytes();
    write_commit(&mut disk, &shared.store, &commit, limit, encode)?;
    shared.store.commit(disk)?;
    for (table, _) in &commit.digests {
        shared.note_table(table);
    }
    Ok(commit)
}

fn write_one(
    shared: &Shared,
    batch: &mut CoreBatch<'_>,
    write: WriteRequest,
    now: u64,
    taken: &mut Vec<Taken>,
) -> Result<(), syncline_core::LoadError> {
    let WriteRequest { row, precondition, image, reply, .. } = write;
    let Ok(hlc) = shared.clock.tick(now) else {
        let _ = reply.send(Err(WriteError::ClockExhausted));
        return Ok(());
    };
    let stamp = shared.stamp(&row.table);
    match batch.write(hlc, &row, &precondition, image, stamp)? {
        Ok(written) => taken.push(Taken { reply, written }),
        Err(refused) => drop(reply.send(Err(refused.into()))),
    }
    Ok(())
}

/// Shows a batch what was read of another region's log, up to where the link must stop.
fn receive(
    shared: &Shared,
    batch: &mut CoreBatch<'_>,
    quarantined: &mut Vec<Quarantined>,
    read: ReadRecords,
    now: u64,
) {
    let ReadRecords { source, partition: number, items } = read;
    for item in items {
        let received = match item.what {
            Read::Change(record) => batch.receive(*record),
            Read::Heartbeat(beat) => batch.hear(&beat),
            Read::Broken { raw, reason } => {
                tracing::warn!(%source, partition = number, position = item.position, %reason,
                    "a record is quarantined");
                let raw_bytes = raw.len() as u64;
                let (partition, position) = (number, item.position);
                let source = source.clone();
                batch.quarantined(&source);
                quarantined.push(Quarantined {
                    source,
                    partition,
                    position,
                    reason,
                    at_ms: now,
                    raw_bytes,
                    raw,
                });
                Received::Known
            }
            Read::Moved => Received::Known,
        };
        if received == Received::Fork {
            let reason = "the region contradicts what it said before".into();
            shared.links.stop(&source, reason);
            return;
        }
        batch.read_to(&source, item.next_position);
    }
}

/// Tells people, in the log.
pub(super) fn report(shared: &Shared, alarms: &[Alarm]) {
    for alarm in alarms {
        match alarm {
            Alarm::Fork { region, hlc } => {
                tracing::error!(%region, %hlc, "a region contradicts what it said before");
            }
            Alarm::MergeWaits { fault: HostFault::Deferred, .. } => {}
            Alarm::MergeWaits { row, fault } => {
                tracing::warn!(region = %shared.region, %row, %fault, "changes of a row wait");
            }
            Alarm::Divergence { row, change } => {
                tracing::error!(region = %shared.region, %row, %change,
                    "a change's author held the same changes, but another image");
            }
        }
    }
}
