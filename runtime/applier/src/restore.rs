//! From what is on disk to a region that can work.

use std::collections::BTreeMap;

use syncline_bus::Lane;
use syncline_core::{Feed, FunctionVersion, RegionId};
use syncline_store::kv::meta;
use syncline_store::{Store, StoreError};

use crate::{ControlApplier, Feeds, PartitionApplier, Site, partition_of_lane};

/// A region as it was last committed.
pub struct Restored {
    /// The row partitions, by number.
    pub partitions: Vec<PartitionApplier>,
    /// The control partition.
    pub control: ControlApplier,
}

/// Restores a region, its clock, stamps and tables included. For `load` see
/// [`ControlApplier::restore`].
pub fn restore<S: Store>(
    site: &Site<S>,
    load: impl FnMut(&FunctionVersion, Option<Vec<u8>>) -> bool,
) -> Result<Restored, StoreError> {
    let control = ControlApplier::restore(site, load)?;
    let numbers = 0..site.partitions.get();
    let partitions = numbers.map(|number| PartitionApplier::restore(site, number));
    Ok(Restored { partitions: partitions.collect::<Result<_, _>>()?, control })
}

/// Where to go on reading a region's log, as of the last commits.
pub fn positions<S: Store>(
    site: &Site<S>,
    source: &RegionId,
) -> Result<Vec<(Lane, u64)>, StoreError> {
    let mut positions = Vec::new();
    for lane in Lane::all(site.partitions.get()) {
        let kept = meta::get(&site.store, partition_of_lane(lane))?.unwrap_or_default();
        let of_source = kept.positions.into_iter().find(|(region, _)| region == source);
        positions.extend(of_source.map(|(_, position)| (lane, position)));
    }
    Ok(positions)
}

impl Restored {
    /// Everything that is not confirmed goes out again, before anything new.
    pub fn feeds(&self) -> Feeds {
        let rows = self.partitions.iter().map(|applier| {
            let partition = applier.partition();
            let feed = Feed::starting_after(partition.confirmed(), partition.last_change());
            (Lane::Changes(partition.number()), feed)
        });
        let control = self.control.control();
        let control = Feed::starting_after(control.confirmed(), control.own_change());
        Feeds::new(rows.chain([(Lane::Control, control)]).collect::<BTreeMap<_, _>>())
    }
}
