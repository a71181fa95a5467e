//! From what is on disk to a region that can work.

use std::collections::BTreeMap;

use syncline_bus::Lane;
use syncline_core::{Feed, FunctionVersion, RegionId};
use syncline_store::{Store, StoreError};

use crate::{ControlApplier, Feeds, PartitionApplier, Site};

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

impl Restored {
    /// Where to go on reading a region's log.
    pub fn positions(&self, source: &RegionId) -> Vec<(Lane, u64)> {
        let rows = self.partitions.iter().filter_map(|applier| {
            let partition = applier.partition();
            partition.position(source).map(|at| (Lane::Changes(partition.number()), at))
        });
        let control = self.control.control().position(source).map(|at| (Lane::Control, at));
        rows.chain(control).collect()
    }

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
