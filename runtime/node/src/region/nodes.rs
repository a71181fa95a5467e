//! The nodes of a region that has several. One leads: it has the control partition, and tells the
//! others what follows from it for their rows. They tell it how their partitions stand, so that what
//! it says to the other regions holds for all of them.

mod client;
mod follower;
mod form;
mod lead;
mod peers;
mod views;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use syncline_bus::Lane;
use syncline_core::{Heartbeat, Hlc, PartitionCount, RegionId};
use syncline_store::kv::share::{self, NodeShare};
use syncline_store::{Batch, Store, StoreError};

pub(crate) use client::{Passed, Unanswered};
pub(super) use follower::{Follower, Kept, go_by};
pub(super) use form::WatchedForm;
pub(crate) use form::{Answer, NodeForm, Report, Text};
pub(crate) use lead::ExchangeRefused;
pub(super) use lead::Led;
pub use peers::DarkNode;
pub(crate) use peers::Peers;
pub(super) use peers::watch;
pub(crate) use views::ViewForm;

use crate::config::{Nodes, ranges};

/// What this process shows of itself to the nodes of its region. A region that is one node claims
/// everything.
pub(super) fn shown(
    nodes: Option<&Nodes>,
    region: &RegionId,
    partitions: PartitionCount,
) -> NodeForm {
    let all = || BTreeMap::from([(String::new(), (0..partitions.get()).collect())]);
    NodeForm {
        v: form::FORM,
        region: Text(region.clone()),
        node: nodes.map(|nodes| nodes.me().to_owned()),
        run: peers::run(),
        started_ms: super::now_ms(),
        partitions: partitions.get(),
        claims: nodes.map_or_else(all, Nodes::claims),
    }
}

/// What a node has of its region by its configuration.
fn share_of(nodes: &Nodes) -> NodeShare {
    NodeShare {
        node: nodes.me().to_owned(),
        place: u32::try_from(nodes.place()).unwrap_or(u32::MAX),
        partitions: nodes.own().into_iter().collect(),
    }
}

/// Notes in a new store what its node has of the region, where that has several.
pub(super) fn put_share(batch: &mut Batch, nodes: Option<&Nodes>) {
    if let Some(nodes) = nodes {
        share::put(batch, &share_of(nodes));
    }
}

/// Compares what a node has of the region with what its store says. An error tells what is there.
pub(super) fn check_share(
    store: &impl Store,
    nodes: Option<&Nodes>,
) -> Result<Result<(), String>, StoreError> {
    let found = share::get(store)?;
    if found == nodes.map(share_of) {
        return Ok(Ok(()));
    }
    Ok(Err(match found {
        None => "a region that is one node, with all partitions".to_owned(),
        Some(NodeShare { node, place, partitions }) => format!(
            "node {node}, number {place} by name, with the partitions {}",
            ranges(&partitions.into_iter().collect())
        ),
    }))
}

/// The last HLC of this node in each of its lanes: nobody can have taken a later one.
pub(crate) struct LastOwn(BTreeMap<Lane, AtomicU64>);

impl LastOwn {
    pub(super) fn new(lanes: impl IntoIterator<Item = (Lane, Hlc)>) -> Self {
        let lanes = lanes.into_iter();
        Self(lanes.map(|(lane, last)| (lane, AtomicU64::new(last.bits()))).collect())
    }

    /// Committed, and not shown to anybody yet.
    pub(super) fn committed(&self, lane: Lane, last: Hlc) {
        if let Some(known) = self.0.get(&lane) {
            known.fetch_max(last.bits(), Ordering::SeqCst);
        }
    }

    /// The last of this node and the later one that the heartbeat tells of; none if all is well.
    pub(super) fn surpassed_by(
        &self,
        me: &RegionId,
        lane: Lane,
        beat: &Heartbeat,
    ) -> Option<(Hlc, Hlc)> {
        let last = Hlc::from_bits(self.0.get(&lane)?.load(Ordering::SeqCst)).ok()?;
        let taken = beat.taken.get(me);
        (taken > last).then_some((last, taken))
    }
}

#[cfg(test)]
mod tests;
