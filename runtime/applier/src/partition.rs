//! One partition's turn: what was read and what clients write becomes one commit.

use syncline_bus::{Envelope, Lane, encode_tagged_change};
use syncline_core::planted::{self, Bug};
use syncline_core::{
    Alarm, Batch as CoreBatch, ChangeRecord, ChangeVerdict, Commit, ConflictId, ConflictRecord,
    ConflictWrite, Forward, Hlc, Image, LoadError, MergeFunctions, Partition, PassOn, Precondition,
    Received, RegionId, RowKey, WriteRefused, Written,
};
use syncline_store::kv::quarantine::{self, Quarantined};
use syncline_store::kv::{conflict, received};
use syncline_store::{Batch, ConflictLimit, Store, StoreError, load_partition, write_commit};
use thiserror::Error;

use crate::forwarding::Forwarding;
use crate::intake::{FOREIGN, quarantined};
use crate::mend::mend;
use crate::replay::{Handled, outcome, read_again};
use crate::rows::RowCache;
use crate::{
    Broken, KeptAction, KeptDone, KeptWork, MendDone, MendWork, Moment, Read, ReadRecords,
    ReplayRefused, Replayed, Site, Sorted, Ticket,
};

/// A write that a client asks for.
#[derive(Debug)]
pub struct WriteRequest<R> {
    /// The row.
    pub row: RowKey,
    /// What must be true of it.
    pub precondition: Precondition,
    /// What it is to become; none deletes it.
    pub image: Option<Image>,
    /// Whoever is to be told.
    pub reply: R,
}

/// Why a write was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The core refused it.
    #[error(transparent)]
    Refused(#[from] WriteRefused),
    /// The clock gives no more timestamps.
    #[error("the clock has reached its end")]
    ClockExhausted,
    /// The wall clock is too far ahead of the peers'.
    #[error("the wall clock is {by_ms} ms ahead of the other regions")]
    ClockAhead {
        /// By how many milliseconds.
        by_ms: u64,
    },
    /// The disk is full.
    #[error("{0}")]
    NoSpace(String),
    /// The store failed; whether the write is taken shows when the region is back.
    #[error("{0}")]
    Store(String),
}

/// The work of one turn.
#[derive(Debug)]
pub struct PartitionTurn<R> {
    /// What was read.
    pub records: Vec<ReadRecords>,
    /// What clients write.
    pub writes: Vec<WriteRequest<R>>,
    /// Ask again about rows that no function could be asked about.
    pub retries: bool,
    /// End with a heartbeat.
    pub beats: bool,
    /// What is asked for a record in quarantine.
    pub kept: Option<KeptWork>,
    /// What is asked where regions diverge; before anything else of the turn.
    pub mend: Option<MendWork>,
}

impl<R> Default for PartitionTurn<R> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            writes: Vec::new(),
            retries: false,
            beats: false,
            kept: None,
            mend: None,
        }
    }
}

/// What a turn came to.
#[derive(Debug)]
pub struct PartitionDone<R> {
    /// To be synced. Its replies are the writes that were taken.
    pub ticket: Option<Ticket<(R, Written)>>,
    /// Writes that were not taken.
    pub refused: Vec<(R, WriteError)>,
    /// For the feed: changes above this are to be produced again.
    pub resend_after: Option<Hlc>,
    /// For the feed: what some lack of other regions.
    pub pass_on: Vec<PassOn>,
    /// For the feed: what was taken of other regions, where this one passes it on.
    pub forward: Vec<Forward>,
    /// What people should know.
    pub alarms: Vec<Alarm>,
    /// Records that were put into quarantine.
    pub quarantined: Vec<Quarantined>,
    /// What came of what was asked for a record in quarantine.
    pub kept: Option<KeptDone>,
    /// What came of what was asked where regions diverge.
    pub mended: Option<MendDone>,
    /// Regions whose log must not be read on.
    pub forked: Vec<RegionId>,
    /// This region's new changes.
    pub made: Vec<ChangeRecord>,
    /// Rows whose state changed.
    pub changed: Vec<RowKey>,
    /// Conflicts that were resolved.
    pub resolved: Vec<ConflictRecord>,
}

impl<R> Default for PartitionDone<R> {
    fn default() -> Self {
        Self {
            ticket: None,
            refused: Vec::new(),
            resend_after: None,
            pass_on: Vec::new(),
            forward: Vec::new(),
            alarms: Vec::new(),
            quarantined: Vec::new(),
            kept: None,
            mended: None,
            forked: Vec::new(),
            made: Vec::new(),
            changed: Vec::new(),
            resolved: Vec::new(),
        }
    }
}

/// A turn was not committed.
#[derive(Debug)]
pub struct TurnError<R> {
    /// The writes of the turn, and why they are not taken.
    pub refused: Vec<(R, WriteError)>,
    /// Why.
    pub error: StoreError,
    /// What is in memory may no longer be what the disk holds: the region must stop. Otherwise the
    /// partition is back at its last commit, and what was read shows as a gap and is sent again.
    pub fatal: bool,
}

/// One partition, its rows in memory, and what it was last told of the other regions.
pub struct PartitionApplier {
    partition: Partition,
    rows: RowCache,
    counting_version: u64,
}

/// A write that is in the batch.
struct Taken<R> {
    reply: R,
    written: Written,
}

/// What a turn has gathered so far.
struct Gathered<R> {
    taken: Vec<Taken<R>>,
    done: PartitionDone<R>,
    /// Changes that were taken of other regions, as they came.
    kept: Vec<(RegionId, Hlc, Vec<u8>)>,
    forwarding: Forwarding,
}

impl PartitionApplier {
    /// A partition as it was last committed.
    pub fn restore<S: Store>(site: &Site<S>, number: u32) -> Result<Self, StoreError> {
        let snapshot = load_partition(&site.store, number)?;
        for (table, _) in &snapshot.digests {
            site.note_table(table);
        }
        let partition = Partition::restore(site.setup(number), snapshot);
        let partition = partition.with_routes(site.routes.clone()).with_engine(site.engine.clone());
        partition.divergences().for_each(|known| site.note_divergence(known, false));
        if !planted::is(Bug::ClockFromZero) {
            site.clock.observe(partition.highest_hlc());
        }
        Ok(Self { partition, rows: RowCache::new(), counting_version: 0 })
    }

    /// The partition, for reading.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// One batch, to its commit.
    pub fn turn<S: Store, R>(
        &mut self,
        site: &Site<S>,
        functions: &dyn MergeFunctions,
        turn: PartitionTurn<R>,
        at: Moment,
    ) -> Result<PartitionDone<R>, TurnError<R>> {
        let mut gathered = Gathered {
            taken: Vec::new(),
            done: PartitionDone::default(),
            kept: Vec::new(),
            forwarding: Forwarding::default(),
        };
        match self.carry_out(site, functions, turn, at, &mut gathered) {
            Ok(()) => Ok(gathered.done),
            Err(error) => Err(self.recover(site, error, gathered)),
        }
    }

    fn carry_out<S: Store, R>(
        &mut self,
        site: &Site<S>,
        functions: &dyn MergeFunctions,
        turn: PartitionTurn<R>,
        at: Moment,
        gathered: &mut Gathered<R>,
    ) -> Result<(), StoreError> {
        let (number, now_ms) = (self.partition.number(), at.now_ms);
        let mut rows = self.rows.over(&site.store, number);
        let mut batch = self.partition.batch(&mut rows, functions, now_ms);
        let counting = site.counting_after(number, &mut self.counting_version);
        if let Some(counting) = &counting {
            batch.align(counting);
        }
        if let Some(work) = turn.mend {
            // Before any other row is touched: what is on disk is what is in memory.
            gathered.done.mended = Some(mend(site, &mut batch, work)?);
        }
        if turn.retries {
            batch.retry_stalled();
        }
        for read in turn.records {
            receive(site, &mut batch, gathered, read, now_ms);
        }
        let mut replaying = match turn.kept {
            None => None,
            Some(work) => Some(start_kept(site, &mut batch, gathered, &work)?),
        };
        for write in turn.writes {
            write_one(site, &mut batch, gathered, write, at).map_err(lost)?;
        }
        // A clock at its end says no more; the region still applies what others send.
        let beat = if turn.beats { site.clock.tick(now_ms).ok() } else { None };
        let mut commit = batch.finish(beat).map_err(lost)?;
        at.tell(commit.heartbeat.as_mut());
        if let Some(MendDone::Repaired(page)) = &mut gathered.done.mended {
            page.recounted = commit.recounted.take();
        }
        write(site, &self.partition, &commit, gathered, replaying.as_mut())?;
        for (table, _) in &commit.digests {
            site.note_table(table);
        }
        site.note_standing(number, self.counting_version, || self.partition.standing());
        self.rows.trim(commit.rows.iter().map(|(key, _)| key));
        gathered.done.kept = replaying.map(|handled| handled.done);
        gathered.done.forward = std::mem::take(&mut gathered.forwarding).done();
        if planted::is(Bug::ForwardWhenApplied) {
            let applied = self.partition.watermarks();
            let forward = gathered.done.forward.iter_mut();
            forward.for_each(|what| what.upto = what.upto.min(applied.get(&what.region)));
        }
        for alarm in &commit.alarms {
            if let Alarm::Divergence(found) = alarm {
                site.note_divergence(found, true);
            }
        }
        gathered.tell(number, commit);
        Ok(())
    }

    /// The batch is not on disk, and what is in memory has run ahead: back to the last commit.
    fn recover<S: Store, R>(
        &mut self,
        site: &Site<S>,
        error: StoreError,
        gathered: Gathered<R>,
    ) -> TurnError<R> {
        let no_space = matches!(error, StoreError::NoSpace { .. });
        let answer = |error: &StoreError| match error {
            StoreError::NoSpace { .. } => WriteError::NoSpace(error.to_string()),
            _ => WriteError::Store(error.to_string()),
        };
        let mut refused = gathered.done.refused;
        refused.extend(gathered.taken.into_iter().map(|taken| (taken.reply, answer(&error))));
        if !no_space {
            return TurnError { refused, error, fatal: true };
        }
        match Self::restore(site, self.partition.number()) {
            Ok(mut restored) => {
                if planted::is(Bug::CacheAfterFullDisk) {
                    std::mem::swap(&mut restored.rows, &mut self.rows);
                }
                *self = restored;
                TurnError { refused, error, fatal: false }
            }
            Err(error) => TurnError { refused, error, fatal: true },
        }
    }
}

impl<R> Gathered<R> {
    /// What the caller is to do about a commit that is made.
    fn tell(&mut self, number: u32, commit: Commit) {
        let needs_sync = commit.needs_sync();
        let done = &mut self.done;
        done.resend_after = commit.resend_after;
        done.pass_on = commit.pass_on;
        done.alarms = commit.alarms;
        if needs_sync {
            let replies = self.taken.drain(..).map(|taken| (taken.reply, taken.written));
            done.ticket = Some(Ticket {
                lane: Lane::Changes(number),
                last_change: commit.outbox.last().map(|record| record.change.id.hlc),
                heartbeat: commit.heartbeat,
                replies: replies.collect(),
            });
        }
        done.made = commit.outbox;
        done.changed = commit.rows.into_iter().map(|(key, _)| key).collect();
        let resolved = commit.conflicts.into_iter().filter_map(|write| match write {
            ConflictWrite::Resolved(record) => Some(record),
            ConflictWrite::Waits(_) | ConflictWrite::WaitsNoLonger(_) => None,
        });
        done.resolved = resolved.collect();
    }
}

/// Commits a turn of `partition`.
fn write<S: Store, R>(
    site: &Site<S>,
    partition: &Partition,
    commit: &Commit,
    gathered: &mut Gathered<R>,
    handled: Option<&mut Handled>,
) -> Result<(), StoreError> {
    let mut disk = Batch::new();
    quarantine::add(&mut disk, &site.store, &gathered.done.quarantined)?;
    if let Some(handled) = handled {
        let lost = commit.alarms.iter().any(|alarm| match alarm {
            Alarm::BuildsOnTheLost { change, .. } => handled.is_of(change),
            _ => false,
        });
        handled.end(&mut disk, lost, |row, change| partition.waits(row, change));
    }
    for (region, hlc, record) in gathered.kept.drain(..) {
        received::put(&mut disk, commit.partition, &region, hlc, &record);
    }
    for (region, upto) in &commit.needless {
        received::delete_upto(&mut disk, &site.store, commit.partition, region, *upto)?;
    }
    // Each partition has its share, as one thread writes of it.
    let table_bytes = site.limits.conflict_bytes / u64::from(site.partitions.get());
    let limit = ConflictLimit { notes: site.limits.conflicts, table_bytes };
    let encode = |record: &ChangeRecord| encode_tagged_change(record, &site.tags).to_bytes();
    write_commit(&mut disk, &site.store, commit, limit, encode)?;
    site.store.commit(disk)
}

pub(crate) fn lost(error: LoadError) -> StoreError {
    StoreError::Corrupt {
        place: format!("row {}", error.row),
        reason: error.reason,
        panicked: false,
    }
}

fn write_one<S, R>(
    site: &Site<S>,
    batch: &mut CoreBatch<'_>,
    gathered: &mut Gathered<R>,
    write: WriteRequest<R>,
    at: Moment,
) -> Result<(), LoadError> {
    let WriteRequest { row, precondition, image, reply } = write;
    if let Some(by_ms) = at.ahead_ms {
        gathered.done.refused.push((reply, WriteError::ClockAhead { by_ms }));
        return Ok(());
    }
    let Ok(hlc) = site.clock.tick(at.now_ms) else {
        gathered.done.refused.push((reply, WriteError::ClockExhausted));
        return Ok(());
    };
    let stamp = site.stamp(&row.table);
    match batch.write(hlc, &row, &precondition, image, stamp)? {
        Ok(written) => gathered.taken.push(Taken { reply, written }),
        Err(refused) => gathered.done.refused.push((reply, refused.into())),
    }
    Ok(())
}

/// Shows a batch what was read of another region's log, up to where it must not be read on.
fn receive<S: Store, R>(
    site: &Site<S>,
    batch: &mut CoreBatch<'_>,
    gathered: &mut Gathered<R>,
    read: ReadRecords,
    now_ms: u64,
) {
    let ReadRecords { source, partition, items } = read;
    for item in items {
        let put_aside = |batch: &mut CoreBatch<'_>, gathered: &mut Gathered<R>, broken: Broken| {
            batch.quarantined(&source);
            let place = (&source, partition, item.position);
            gathered.done.quarantined.push(quarantined(place, broken, now_ms));
            Received::Known
        };
        let received = match item.what {
            Read::Change(record, envelope) => {
                match receive_change(site, batch, gathered, &source, *record, &envelope) {
                    Received::Foreign => {
                        put_aside(batch, gathered, Broken::of(&envelope, FOREIGN.into()))
                    }
                    other => other,
                }
            }
            Read::Heartbeat(beat, envelope) => match batch.hear_in(&source, &beat) {
                Received::Foreign => {
                    put_aside(batch, gathered, Broken::of(&envelope, FOREIGN.into()))
                }
                received => {
                    // Also one over a gap: what this region says next must count as said after it.
                    if matches!(received, Received::Heartbeat | Received::Gap) {
                        site.clock.observe(beat.hlc);
                        // What can't be read says nothing; whoever writes the log will notice.
                        let recall =
                            |id: &ConflictId| conflict::get(&site.store, id).ok().flatten();
                        batch.compare(&beat, &mut { recall });
                        gathered.forwarding.heard(&site.routes, &beat, &envelope);
                    }
                    received
                }
            },
            Read::Broken(broken) => put_aside(batch, gathered, broken),
            Read::Moved => Received::Known,
        };
        match received {
            Received::Fork => {
                gathered.done.forked.push(source);
                return;
            }
            Received::Stopped => return,
            _ => batch.read_to(&source, item.next_position),
        }
    }
}

/// Shows a batch a change that stands in the log of `source`.
fn receive_change<S, R>(
    site: &Site<S>,
    batch: &mut CoreBatch<'_>,
    gathered: &mut Gathered<R>,
    source: &RegionId,
    mut record: ChangeRecord,
    envelope: &Envelope,
) -> Received {
    let id = record.change.id.clone();
    if planted::is(Bug::LocalVersion) {
        record.change.stamp = site.stamp(&record.row.table);
    }
    let received = batch.receive(source, record);
    if received == Received::Taken {
        site.clock.observe(id.hlc);
        gathered.forwarding.taken(&site.routes, &id);
        if batch.keeps_received(&id.region) {
            gathered.kept.push((id.region, id.hlc, envelope.to_bytes()));
        }
    }
    received
}

/// Shows a batch a record in quarantine that is to be read once more.
fn start_kept<S: Store, R>(
    site: &Site<S>,
    batch: &mut CoreBatch<'_>,
    gathered: &mut Gathered<R>,
    work: &KeptWork,
) -> Result<Handled, StoreError> {
    let Some(kept) = quarantine::get(&site.store, &work.id)? else { return Ok(Handled::none()) };
    if work.action == KeptAction::Drop {
        return Ok(Handled::new(kept, KeptDone::Dropped));
    }
    let source = kept.id.source.clone();
    let replayed = match read_again(site, &kept) {
        Ok(Sorted::Row(Read::Change(record, envelope))) => {
            let (row, change) = (record.row.clone(), record.change.id.clone());
            let judged = batch.judge(&change, record.prev);
            // Known before it is shown to the chain, where it would stop the link.
            if judged == Some(ChangeVerdict::Fork) {
                let refused = KeptDone::Refused(ReplayRefused::Contradicts);
                return Ok(Handled::new(kept, refused));
            }
            let received = receive_change(site, batch, gathered, &source, *record, &envelope);
            let replayed = outcome(judged, received);
            if received == Received::Taken {
                return Ok(Handled::new(kept, KeptDone::of(replayed)).of_change(row, change));
            }
            replayed
        }
        // A region says the same of itself every second: whatever this one said is outdated.
        Ok(Sorted::Row(Read::Heartbeat(..))) => Ok(Replayed::Duplicate),
        Ok(Sorted::Row(Read::Broken(Broken { reason, .. }))) => Ok(Replayed::Unreadable { reason }),
        Ok(Sorted::Row(Read::Moved) | Sorted::Control(_)) => Err(ReplayRefused::Damaged),
        Err(refused) => Err(refused),
    };
    if let Ok(Replayed::Unreadable { .. }) = replayed {
        batch.quarantined(&source);
    }
    Ok(Handled::new(kept, KeptDone::of(replayed)))
}
