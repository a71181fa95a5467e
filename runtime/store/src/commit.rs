//! A partition's effects onto the disk, and back.

use syncline_core::{
    ChangeRecord, Commit, HistoryWrite, Image, PartitionSnapshot, Row, RowKey, RowWrite,
    WaitingWrite,
};

use crate::kv::{conflict, digest, divergence, history, meta, outbox, row, waiting};
use crate::{Batch, Store, StoreError};

/// How much one partition keeps in the conflict log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConflictLimit {
    /// So many notes.
    pub notes: u64,
    /// So many bytes of each table's notes with their images; older ones lose them.
    pub table_bytes: u64,
}

impl Default for ConflictLimit {
    fn default() -> Self {
        Self { notes: 10_000, table_bytes: 8 << 20 }
    }
}

/// Adds all that a commit of the core changes to the batch. `encode` gives a change of this region
/// as it is to be produced. Reads from the store what the commit does not say: which records of the
/// outbox are confirmed, and where a conflict stood before.
pub fn write_commit(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    commit: &Commit,
    conflicts: ConflictLimit,
    encode: impl Fn(&ChangeRecord) -> Vec<u8>,
) -> Result<(), StoreError> {
    let partition = commit.partition;
    batch.reserve(room_for(commit));
    for (key, write) in &commit.rows {
        match write {
            RowWrite::Put(state) => row::put(batch, partition, key, state),
            RowWrite::Forget => row::delete(batch, partition, key),
        }
    }
    for (key, write) in &commit.history {
        match write {
            HistoryWrite::Put(held) => history::put(batch, partition, key, held),
            HistoryWrite::Drop(id) => history::delete(batch, partition, key, id),
        }
    }
    for write in &commit.waiting {
        match write {
            WaitingWrite::Put(record) => waiting::put(batch, partition, record),
            WaitingWrite::Drop(key, id) => waiting::delete(batch, partition, key, id),
        }
    }
    for record in &commit.outbox {
        outbox::put(batch, partition, record.change.id.hlc, &encode(record));
    }
    if let Some(upto) = commit.confirmed {
        outbox::delete_upto(batch, store, partition, upto)?;
    }
    // Before the conflict log is trimmed: what it pins stays.
    divergence::write(batch, &commit.divergences);
    conflict::write(batch, store, partition, &commit.conflicts, conflicts)?;
    for (table, digest) in &commit.digests {
        digest::put(batch, partition, table, digest);
    }
    meta::put(batch, partition, &commit.meta);
    Ok(())
}

/// About how much a commit comes to: a buffer that grows step by step is copied at every step.
fn room_for(commit: &Commit) -> usize {
    const BESIDE_IMAGES: usize = 320;
    let size = |image: &Option<Image>| image.as_ref().map_or(0, |image| image.as_bytes().len());
    let rows = commit.rows.iter().map(|(_, write)| match write {
        RowWrite::Put(state) => size(&state.image) + size(&state.floor_image),
        RowWrite::Forget => 0,
    });
    let history = commit.history.iter().map(|(_, write)| match write {
        HistoryWrite::Put(held) => size(&held.after),
        HistoryWrite::Drop(_) => 0,
    });
    let outbox = commit.outbox.iter().map(|record| {
        let change = &record.change;
        size(&change.before) + size(&change.after) + BESIDE_IMAGES
    });
    rows.chain(history).chain(outbox).map(|images| images + BESIDE_IMAGES).sum()
}

/// A partition as it was last committed; an empty one if it never was.
pub fn load_partition(
    store: &(impl Store + ?Sized),
    partition: u32,
) -> Result<PartitionSnapshot, StoreError> {
    Ok(PartitionSnapshot {
        meta: meta::get(store, partition)?.unwrap_or_default(),
        outbox: outbox::hlcs(store, partition)?,
        waiting: waiting::of_partition(store, partition)?,
        unsettled: history::firsts(store, partition)?,
        digests: digest::of_partition(store, partition)?,
        divergences: divergence::of_partition(store, partition)?,
    })
}

/// A row with its history; none where nothing is kept of it.
pub fn load_row(
    store: &(impl Store + ?Sized),
    partition: u32,
    key: &RowKey,
) -> Result<Option<Row>, StoreError> {
    let Some(state) = row::get(store, partition, key)? else { return Ok(None) };
    Ok(Some(Row::restore(state, history::of_row(store, partition, key)?)))
}

#[cfg(test)]
mod tests;
