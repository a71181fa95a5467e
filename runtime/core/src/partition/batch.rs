//! A batch: records and writes in, one commit out.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::commit::{Alarm, Commit, ConflictWrite, HistoryWrite, LoadError, RowWrite, Rows};
use super::{Partition, WaitingWrite};
use crate::chain::ChainEffects;
use crate::planted::{self, Bug};
use crate::{
    Absorbed, Behind, Change, ChangeId, ChangeRecord, ChangeVerdict, ConflictId, ConflictRecord,
    Counting, DivergenceId, DivergenceWrite, Heartbeat, Hlc, Image, MergeFunctions, Operation,
    Received, RegionId, Row, RowKey, Stamp, StateDigest, TableDigest, TableName, VersionVector,
};

/// So many rows that no function could be asked about are tried again in one batch.
const ROWS_RETRIED_MAX: usize = 256;

/// What a client asks to be true of a row before it is written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The row is there, with one of these tags.
    Tags(Vec<[u8; 16]>),
    /// The row is there.
    Exists,
    /// The row is not there.
    Absent,
}

/// A write that was taken; to be acknowledged once it is synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its HLC.
    pub hlc: Hlc,
    /// The row's tag after it.
    pub tag: [u8; 16],
    /// What it did.
    pub operation: Operation,
}

/// A write that was refused; it left no trace.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteRefused {
    /// What the client asked for is not true.
    #[error("the row is not as the request's precondition asks")]
    Precondition {
        /// The row's tag now; none where there is no row.
        current: Option<[u8; 16]>,
    },
    /// A delete of a row that is not there.
    #[error("there is no such row")]
    NotFound,
    /// The region does not count yet, or no longer.
    #[error("this region is not a member: it is joining, or was evicted")]
    NotAMember,
    /// Too much is not confirmed by every region.
    #[error("{outstanding} changes are not confirmed by every region")]
    OutboxFull {
        /// How many.
        outstanding: usize,
        /// The regions that lag, and since when.
        behind: Vec<Behind>,
    },
    /// The HLC offered is not above all that the partition has seen.
    #[error("the clock is behind what this region has seen")]
    ClockBehind,
}

/// What a batch did to a row so far.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// The image before the batch.
    pub(super) image_before: Option<Image>,
    pub(super) absorbed: Vec<ChangeId>,
    pub(super) dropped: Vec<ChangeId>,
    pub(super) forget: bool,
}

/// Records and writes that are committed together.
pub struct Batch<'a> {
    pub(super) partition: &'a mut Partition,
    pub(super) rows: &'a mut dyn Rows,
    pub(super) functions: &'a dyn MergeFunctions,
    pub(super) now_ms: u64,
    pub(super) commit: Commit,
    pub(super) touched: BTreeMap<RowKey, Touched>,
    /// Rows that something new may make progress in.
    pub(super) queue: BTreeSet<RowKey>,
    /// Rows with changes that have come to wait.
    pub(super) waits: Vec<RowKey>,
    pub(super) changed_tables: BTreeSet<TableName>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        partition: &'a mut Partition,
        rows: &'a mut dyn Rows,
        functions: &'a dyn MergeFunctions,
        now_ms: u64,
    ) -> Self {
        let queue = partition.waiting.take_unexamined();
        Self {
            partition,
            rows,
            functions,
            now_ms,
            commit: Commit::default(),
            touched: BTreeMap::new(),
            queue,
            waits: Vec::new(),
            changed_tables: BTreeSet::new(),
        }
    }

    /// Counts, fences and cuts the other regions as the control records have it.
    pub fn align(&mut self, counting: &Counting) {
        self.partition.may_write = counting.may_write;
        let partition = &mut *self.partition;
        if partition.chains.align(counting) {
            self.queue.extend(partition.waiting.rows());
            let heard = &partition.chains.heard;
            partition.comparing.retain(|region| heard.contains_key(region));
        }
    }

    /// Shows the partition a change of another region, which stands in the log of `source`. Where
    /// it is taken, its record is to be kept as it came, if [`Batch::keeps_received`] says so
    /// ([`Commit::needless`] says how long).
    pub fn receive(&mut self, source: &RegionId, mut record: ChangeRecord) -> Received {
        self.partition.share_names(&mut record);
        let (id, partition) = (&record.change.id, &mut *self.partition);
        let full = partition.is_full(&id.region);
        if full && partition.chains.leaves_of_the_full(source, &id.region) {
            return partition.chains.leave(&id.region);
        }
        let received = partition.chains.take(source, id, record.prev, false);
        if received == Received::Taken {
            self.queue.insert(record.row.clone());
            self.waits.push(record.row.clone());
            self.partition.waiting.insert(record, false);
            if self.partition.chains.end_cuts() {
                self.queue.extend(self.partition.waiting.rows());
            }
        }
        received
    }

    /// True if a record of this region that is taken has to be kept as it came. It has not where no
    /// third region could come to need it from here.
    pub fn keeps_received(&self, region: &RegionId) -> bool {
        self.partition.chains.is_needed_elsewhere(region)
    }

    /// What a change of another region would come to by its place in the chain; none where its
    /// region is unknown. Nothing is noted.
    pub fn judge(&self, change: &ChangeId, prev: Hlc) -> Option<ChangeVerdict> {
        self.partition.chains.judge(change, prev)
    }

    /// Shows the partition another region's heartbeat, which stands in its own log.
    pub fn hear(&mut self, beat: &Heartbeat) -> Received {
        self.hear_in(&beat.region, beat)
    }

    /// The same, of one that stands in the log of `source`.
    pub fn hear_in(&mut self, source: &RegionId, beat: &Heartbeat) -> Received {
        self.partition.chains.hear(source, beat)
    }

    /// Compares what a heartbeat says, one that was heard or that stands over a gap, with what is
    /// here. `recall` gives what the conflict log holds of a conflict; it is asked for some at most.
    pub fn compare(
        &mut self,
        beat: &Heartbeat,
        recall: &mut dyn FnMut(&ConflictId) -> Option<ConflictRecord>,
    ) {
        self.partition.comparing.heard(beat, recall, self.now_ms);
    }

    /// Somebody has seen to a divergence. Answers true if it was known.
    pub fn acknowledge(&mut self, id: &DivergenceId) -> bool {
        self.partition.comparing.over(id)
    }

    /// Notes a record of a region's log that could not be read. It moves nothing: if it stood for a
    /// change, the next one shows a gap.
    pub fn quarantined(&mut self, source: &RegionId) {
        if let Some(link) = self.partition.chains.links.get_mut(source) {
            link.counters.consumed += 1;
            link.counters.quarantined += 1;
        }
    }

    /// Notes up to where a region's log is read.
    pub fn read_to(&mut self, source: &RegionId, position: u64) {
        self.partition.positions.insert(source.clone(), position);
    }

    /// Asks once more about some of the rows whose changes wait only because no function could be
    /// asked; about all of them in turn, if called again and again.
    pub fn retry_stalled(&mut self) {
        self.queue.extend(self.partition.waiting.next_stalled(ROWS_RETRIED_MAX));
    }

    /// Writes a row: `image` replaces whatever it is, none deletes it. `hlc` must be fresh from the
    /// clock of this node.
    pub fn write(
        &mut self,
        hlc: Hlc,
        key: &RowKey,
        precondition: &Precondition,
        image: Option<Image>,
        stamp: Stamp,
    ) -> Result<Result<Written, WriteRefused>, LoadError> {
        let partition = &mut *self.partition;
        let row = self.rows.row(key)?;
        if !partition.may_write {
            return Ok(Err(WriteRefused::NotAMember));
        }
        if let Err(refused) = check_precondition(row, precondition, image.is_none()) {
            return Ok(Err(refused));
        }
        let outstanding = partition.chains.outstanding();
        if outstanding >= partition.setup.outstanding_max {
            let behind = partition.chains.behind();
            return Ok(Err(WriteRefused::OutboxFull { outstanding, behind }));
        }
        let id = ChangeId { hlc, region: partition.chains.me().clone() };
        // A row that is not there may be one that was deleted and forgotten.
        let seen = &row.state().vv;
        let mut context = if seen.is_empty() { partition.stable.clone() } else { seen.clone() };
        if planted::is(Bug::MissingRowSawNothing) && seen.is_empty() {
            context = VersionVector::new();
        }
        if planted::is(Bug::DropContextEntry) {
            let first = context.iter().map(|(r, _)| r.clone()).find(|r| *r != id.region);
            first.inspect(|region| context.set(region, Hlc::ZERO));
        }
        let before = row.image().cloned();
        let ahead = context.iter().any(|(_, seen)| seen >= hlc);
        if ahead || hlc <= partition.chains.own_change.max(partition.chains.own_heartbeat) {
            return Ok(Err(WriteRefused::ClockBehind));
        }
        let operation = Operation::of(before.as_ref(), image.as_ref());
        let change = Change { id, context, operation, before, after: image, stamp };
        let touched = self.touched.entry(key.clone()).or_insert_with(|| Touched {
            image_before: row.image().cloned(),
            ..Touched::default()
        });
        match row.absorb(&change, &partition.watermarks) {
            Absorbed::Yes { .. } => {}
            Absorbed::Duplicate | Absorbed::Early => return Ok(Err(WriteRefused::ClockBehind)),
        }
        row.take_newest();
        touched.absorbed.push(change.id.clone());
        let tag = row.state().tag();
        let prev = partition.chains.append(hlc);
        partition.watermarks.raise(&change.id.region, hlc);
        self.commit.outbox.push(ChangeRecord { row: key.clone(), change, prev });
        Ok(Ok(Written { hlc, tag, operation }))
    }

    /// Applies what can be applied and ends the batch. With an HLC, fresh from the clock, it ends in
    /// a heartbeat, and history is settled as far as the others' heartbeats allow.
    pub fn finish(mut self, heartbeat: Option<Hlc>) -> Result<Commit, LoadError> {
        self.drain()?;
        if let Some(hlc) = heartbeat {
            self.beat(hlc)?;
        }
        self.commit.confirmed = self.partition.chains.confirm();
        if planted::is(Bug::OutboxKept) {
            self.commit.confirmed = None;
        }
        for (key, touched) in std::mem::take(&mut self.touched) {
            self.write_row(key, touched)?;
        }
        let waits = std::mem::take(&mut self.waits);
        let mut unwritten = self.partition.waiting.unwritten(&waits);
        if planted::is(Bug::WaitingInMemory) {
            unwritten.clear();
        }
        self.commit.waiting.extend(unwritten.into_iter().map(WaitingWrite::Put));
        self.end_recount();
        for table in std::mem::take(&mut self.changed_tables) {
            let digest = self.partition.digests.get(&table).copied().unwrap_or_default();
            // Regions that met the same rows in other steps must not differ in a table of none.
            if digest == TableDigest::default() {
                self.partition.digests.remove(&table);
            }
            self.commit.digests.push((table, digest));
        }
        self.end_comparing();
        let ChainEffects { resend_after, pass_on, forks } = self.partition.chains.take_effects();
        self.commit.resend_after = resend_after;
        self.commit.pass_on = pass_on;
        let fork = |(region, hlc)| Alarm::Fork { region, hlc };
        self.commit.alarms.extend(forks.into_iter().map(fork));
        self.commit.partition = self.partition.setup.partition;
        self.commit.meta = self.partition.meta();
        Ok(self.commit)
    }

    /// What the rows come to is known only now.
    fn end_comparing(&mut self) {
        let partition = &mut *self.partition;
        let taken = partition.chains.taken();
        if let Some(beat) = &mut self.commit.heartbeat {
            let state = partition.state();
            beat.evidence = partition.comparing.say(&taken, state);
        }
        if partition.waiting.len() == 0 {
            let digests = &partition.digests;
            partition.comparing.at_rest(&taken, || StateDigest::of(digests), self.now_ms);
        }
        let writes = partition.comparing.take_writes();
        let found = writes.iter().filter_map(|write| match write {
            DivergenceWrite::Found(found) => Some(Alarm::Divergence(Box::new(found.clone()))),
            DivergenceWrite::Over(_) => None,
        });
        self.commit.alarms.extend(found);
        self.commit.divergences = writes;
    }

    fn write_row(&mut self, key: RowKey, touched: Touched) -> Result<(), LoadError> {
        let row = self.rows.row(&key)?;
        let unseen = planted::is(Bug::DigestWithoutDeletes) && row.image().is_none();
        if row.image() != touched.image_before.as_ref() && !unseen {
            let digest = self.partition.digests.entry(key.table.clone()).or_default();
            let (old, new) = (touched.image_before.as_ref(), row.image());
            digest.replace(&key, old, new);
            if let Some(recount) = &mut self.partition.recount {
                recount.replace(&key, old, new);
            }
            self.changed_tables.insert(key.table.clone());
        }
        for id in &touched.absorbed {
            if let Some(held) = row.held(id) {
                self.commit.history.push((key.clone(), HistoryWrite::Put(held.clone())));
            }
        }
        for id in touched.dropped.into_iter().filter(|_| !planted::is(Bug::HistoryStaysOnDisk)) {
            self.commit.history.push((key.clone(), HistoryWrite::Drop(id)));
        }
        let unsettled = row.unsettled();
        if unsettled.is_empty() {
            self.partition.unsettled.remove(&key);
        } else {
            self.partition.unsettled.insert(key.clone(), unsettled);
        }
        let write = if touched.forget {
            *row = Row::default();
            RowWrite::Forget
        } else {
            RowWrite::Put(row.state().clone())
        };
        self.commit.rows.push((key, write));
        Ok(())
    }

    /// The row waits no longer in a conflict that no function could be asked about.
    pub(super) fn waits_no_longer(&mut self, key: &RowKey) {
        if self.partition.waiting.clear_stalled(key) {
            self.commit.conflicts.push(ConflictWrite::WaitsNoLonger(key.clone()));
        }
    }
}

fn check_precondition(
    row: &Row,
    precondition: &Precondition,
    deletes: bool,
) -> Result<(), WriteRefused> {
    let current = row.image().map(|_| row.state().tag());
    let holds = match precondition {
        Precondition::None => true,
        Precondition::Tags(tags) => current.is_some_and(|tag| tags.contains(&tag)),
        Precondition::Exists => current.is_some(),
        Precondition::Absent => current.is_none(),
    };
    if !holds {
        return Err(WriteRefused::Precondition { current });
    }
    if deletes && current.is_none() { Err(WriteRefused::NotFound) } else { Ok(()) }
}
