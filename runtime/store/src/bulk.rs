//! Bulk sync: what a region that joins takes over from the store of one that is there.
//!
//! What says who the donor is and how far it has come with others (the node, the partitions' meta)
//! is not taken over, nor is what the donor noted for its own operators (conflicts, quarantine).

use syncline_core::{CONTROL_PARTITION, PartitionCount, RegionId};

use crate::kv::key::{Family, Key, KeyReader, place};
use crate::kv::{outbox, received};
use crate::{Batch, Scan, Store, StoreError};

/// A commit is full once its values come to so many bytes: a store holds all of a commit in memory.
const BATCH_BYTES: usize = 1 << 20;
/// It is full, too, once it has so many keys: they count as well, and a delete has nothing else.
const BATCH_KEYS: usize = 1024;

/// What becomes of a family in a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The joiner has it as the donor has it, partition by partition.
    OfPartitions,
    /// The joiner has it as the donor has it, for the whole region.
    OfRegion,
    /// The joiner has it as what it received of the donor, and keeps its own.
    AsReceived,
    /// The joiner keeps its own.
    Left,
}

/// Names every family, so that no new one can be forgotten here.
const fn part_of(family: Family) -> Part {
    match family {
        Family::Digest | Family::Row | Family::History | Family::Waiting | Family::Received => {
            Part::OfPartitions
        }
        Family::Rollout
        | Family::RolloutReport
        | Family::Membership
        | Family::Founders
        | Family::VersionRecord
        | Family::DroppedComponent
        | Family::ComponentFacts
        | Family::ComponentPart
        | Family::Chunk => Part::OfRegion,
        Family::Outbox => Part::AsReceived,
        Family::Node
        | Family::NodeShare
        | Family::NodeDirectives
        | Family::Meta
        | Family::Conflict
        | Family::ConflictById
        | Family::ConflictOfRow
        | Family::ConflictCount
        | Family::ConflictPinned
        | Family::Divergence
        | Family::ConflictImages
        | Family::ConflictBytes
        | Family::Quarantine => Part::Left,
    }
}

/// Copies to a joiner's store what the donor's store has of rows, their digests and history,
/// waiting changes, rollouts, who is counted, components, and records received of other regions.
/// The records in the donor's outbox become records that the joiner has received of `donor`. What
/// `to` held of all these is deleted first, so a copy that failed half way is made again by the
/// same call; all else in `to` stays as it is.
///
/// The caller owes:
///
/// 1. Nobody commits to `from` during the call, or to `to`.
/// 2. The copy counts for nothing until the call has returned and `to` is synced; until then `to`
///    must not be taken for a store that can be opened, also after a crash.
///
/// Errors: those of the two stores; [`StoreError::Corrupt`] where a key of the donor is of a
/// partition that is neither one of `partitions` nor the control partition, or a record in its
/// outbox can't be read.
pub fn copy_for_joiner(
    from: &(impl Store + ?Sized),
    to: &(impl Store + ?Sized),
    donor: &RegionId,
    partitions: PartitionCount,
) -> Result<(), StoreError> {
    // All is deleted before anything is copied: the records of the donor's outbox are put into a
    // family that is copied as well.
    for family in Family::ALL {
        if matches!(part_of(*family), Part::OfPartitions | Part::OfRegion) {
            delete_family(to, *family)?;
        }
    }
    for family in Family::ALL {
        let part = part_of(*family);
        if part == Part::Left {
            continue;
        }
        copy_family(from, to, *family, |batch, key, value| {
            match part {
                Part::OfPartitions => {
                    check_partition(key, KeyReader::new(key).u32()?, partitions)?;
                    batch.put(key, value);
                }
                Part::OfRegion => batch.put(key, value),
                Part::AsReceived => {
                    let (partition, hlc, record) = outbox::parse(key, value)?;
                    check_partition(key, partition, partitions)?;
                    received::put(batch, partition, donor, hlc, record);
                }
                Part::Left => {}
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// What is of no partition would be copied, but never read again.
fn check_partition(
    key: &[u8],
    partition: u32,
    partitions: PartitionCount,
) -> Result<(), StoreError> {
    if partition < partitions.get() || partition == CONTROL_PARTITION {
        return Ok(());
    }
    let reason = format!("it is of partition {partition}, but there are {}", partitions.get());
    Err(StoreError::corrupt(place(key), reason))
}

fn delete_family(to: &(impl Store + ?Sized), family: Family) -> Result<(), StoreError> {
    let scan = Scan::prefix(&Key::of(family).done()).limit(BATCH_KEYS);
    loop {
        // What is deleted is not found again, so every page begins where the family does.
        let keys = to.keys(&scan)?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        keys.iter().for_each(|key| batch.delete(key));
        to.commit(batch)?;
    }
}

fn copy_family(
    from: &(impl Store + ?Sized),
    to: &(impl Store + ?Sized),
    family: Family,
    put: impl Fn(&mut Batch, &[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut rest = Scan::prefix(&Key::of(family).done()).limit(BATCH_KEYS).bytes(BATCH_BYTES);
    loop {
        let pairs = from.scan(&rest)?;
        let Some((last, _)) = pairs.last() else { return Ok(()) };
        rest = rest.after(last);
        let mut batch = Batch::new();
        for (key, value) in &pairs {
            put(&mut batch, key, value)?;
        }
        to.commit(batch)?;
    }
}

#[cfg(test)]
mod tests;
