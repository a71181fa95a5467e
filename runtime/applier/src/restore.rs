//! From what is on disk to a region that can work.

use std::collections::BTreeMap;

use syncline_bus::Lane;
use syncline_core::{Feed, Forward, FunctionVersion, Hlc, Link, RegionId, Routes};
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
    let mut control = ControlApplier::restore(site, load)?;
    let numbers = 0..site.partitions.get();
    let partitions = numbers.map(|number| PartitionApplier::restore(site, number));
    let partitions = partitions.collect::<Result<_, _>>()?;
    // Only now the clock is above all that this region ever wrote.
    control.count_stamps_from_here(site);
    Ok(Restored { partitions, control })
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
    /// Everything that is not confirmed goes out again, before anything new: this region's own, and
    /// all of others that is kept for those who lack it, where it passes on what it hears.
    pub fn feeds(&self, routes: &Routes) -> Feeds {
        let rows = self.partitions.iter().map(|applier| {
            let partition = applier.partition();
            let mut feed = Feed::starting_after(partition.confirmed(), partition.last_change());
            let links = partition.links().map(|(region, link, _)| (region, link));
            pass_on_again(&mut feed, links, routes);
            (Lane::Changes(partition.number()), feed)
        });
        let partition = self.control.control();
        let mut control = Feed::starting_after(partition.confirmed(), partition.own_change());
        pass_on_again(&mut control, partition.links(), routes);
        Feeds::new(rows.chain([(Lane::Control, control)]).collect::<BTreeMap<_, _>>())
    }
}

fn pass_on_again<'a>(
    feed: &mut Feed,
    links: impl Iterator<Item = (&'a RegionId, &'a Link)>,
    routes: &Routes,
) {
    for (region, link) in links.filter(|_| routes.forwards()) {
        if link.taken > Hlc::ZERO {
            feed.forward(Forward { region: region.clone(), upto: link.taken, heartbeat: None });
        }
    }
}
