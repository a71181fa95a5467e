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
/// [`ControlApplier::restore`]. Of a region with several nodes: the one that has the control
/// partition, with its own row partitions.
pub fn restore<S: Store>(
    site: &Site<S>,
    load: impl FnMut(&FunctionVersion, Option<Vec<u8>>) -> bool,
) -> Result<Restored, StoreError> {
    let mut control = ControlApplier::restore(site, load)?;
    let partitions = restore_rows(site)?;
    // Only now the clock is above all that this region ever wrote.
    control.count_stamps_from_here(site);
    Ok(Restored { partitions, control })
}

/// Restores the row partitions of a node alone, its clock and tables included. What the control
/// partition says, it has to be told: see [`Site::direct`].
pub fn restore_rows<S: Store>(site: &Site<S>) -> Result<Vec<PartitionApplier>, StoreError> {
    site.own().iter().map(|number| PartitionApplier::restore(site, *number)).collect()
}

/// Where to go on reading a region's log, as of the last commits.
pub fn positions<S: Store>(
    site: &Site<S>,
    source: &RegionId,
) -> Result<Vec<(Lane, u64)>, StoreError> {
    let mut positions = Vec::new();
    for lane in site.lanes() {
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
        let rows = feeds_of_rows(&self.partitions, routes);
        Feeds::new(rows.into_iter().chain([(Lane::Control, self.control.feed(routes))]))
    }
}

impl ControlApplier {
    /// As [`Restored::feeds`], of the control partition alone.
    pub fn feed(&self, routes: &Routes) -> Feed {
        let partition = self.control();
        let mut feed = Feed::starting_after(partition.confirmed(), partition.own_change());
        pass_on_again(&mut feed, partition.links(), routes);
        feed
    }
}

/// As [`Restored::feeds`], of row partitions alone.
pub fn feeds_of_rows(partitions: &[PartitionApplier], routes: &Routes) -> BTreeMap<Lane, Feed> {
    let rows = partitions.iter().map(|applier| {
        let partition = applier.partition();
        let mut feed = Feed::starting_after(partition.confirmed(), partition.last_change());
        let links = partition.links().map(|(region, link, _)| (region, link));
        pass_on_again(&mut feed, links, routes);
        (Lane::Changes(partition.number()), feed)
    });
    rows.collect()
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
