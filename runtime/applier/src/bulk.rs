//! How a region that joins takes over what another one has.

use syncline_bus::Lane;
use syncline_core::planted::{self, Bug};
use syncline_core::{CONTROL_PARTITION, Hlc, PartitionCount, PartitionMeta, RegionId};
use syncline_store::kv::node::{self, FORMAT, NodeFacts};
use syncline_store::kv::{meta, received, waiting};
use syncline_store::{Batch, Store, StoreError, copy_for_joiner};
use thiserror::Error;

use crate::partition_of_lane;

/// Why a region could not take over a donor's data.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JoinError {
    /// One of the stores.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data folder is another region's.
    #[error("join as {me}: the data are of {found}; a region joins with an empty folder")]
    OtherData {
        /// The region that joins.
        me: RegionId,
        /// Whose data there are.
        found: RegionId,
    },
}

/// Makes `to` the store of a region that joins as `me`, with all that `donor` has: rows, heads,
/// history, floors, what waits, positions, stable, the raw records of others, its own outbox as
/// received, control state and components. `from` must be one durable state: nothing is committed
/// to it meanwhile, and it was synced. What was interrupted can be made again; until all is there
/// the store is nobody's. `positions` are of the donor's log, before the state was taken: what
/// stands before them is in it.
pub fn join_from(
    donor: &RegionId,
    from: &(impl Store + ?Sized),
    positions: &[(Lane, u64)],
    me: &RegionId,
    to: &impl Store,
    partitions: PartitionCount,
) -> Result<(), JoinError> {
    if let Some(found) = node::get(to)? {
        return Err(JoinError::OtherData { me: me.clone(), found: found.region });
    }
    copy_for_joiner(from, to, donor, partitions)?;
    let mut last = Batch::new();
    if planted::is(Bug::SnapshotWithoutOutbox) {
        for number in 0..partitions.get() {
            received::delete_upto(&mut last, to, number, donor, Hlc::MAX)?;
        }
    }
    for number in (0..partitions.get()).chain([CONTROL_PARTITION]) {
        let kept: PartitionMeta = meta::get(from, number)?.unwrap_or_default();
        let mut joining = kept.for_joiner(donor, me);
        let of_donor = positions.iter().filter(|(lane, _)| partition_of_lane(*lane) == number);
        joining.positions.extend(of_donor.map(|(_, position)| (donor.clone(), *position)));
        for record in waiting::of_partition(from, number)? {
            if planted::is(Bug::SnapshotWithoutWaiting) {
                waiting::delete(&mut last, number, &record.row, &record.change.id);
                continue;
            }
            let region = &record.change.id.region;
            if let Some((_, link)) = joining.links.iter_mut().find(|(name, _)| name == region) {
                link.counters.consumed += 1;
            }
        }
        meta::put(&mut last, number, &joining);
    }
    node::put(&mut last, &NodeFacts { format: FORMAT, region: me.clone(), partitions });
    to.commit(last)?;
    Ok(to.sync()?)
}
