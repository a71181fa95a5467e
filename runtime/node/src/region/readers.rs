//! Which logs are read: those of the regions that are counted, as regions come and go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use syncline_applier::positions;
use syncline_bus::{Bus, BusError, Reader};
use syncline_core::{Membership, RegionId};
use syncline_store::StoreError;
use thiserror::Error;

use super::controller::ControlWork;
use super::queue::ShardQueue;
use super::reader::Link;
use super::threads::Threads;
use super::{Shared, chain};

/// Why a log cannot be read.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A log, or why it cannot be read.
pub(super) type Opened = Result<Box<dyn Reader>, OpenError>;

/// The readers of a region. A region is read only once the partitions know it: what they do not
/// know is foreign to them.
pub(super) struct Readers {
    pub(super) shared: Arc<Shared>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) shards: Vec<ShardQueue>,
    pub(super) control: SyncSender<ControlWork>,
    pub(super) threads: Arc<Threads>,
    /// Those whose log could not be opened yet.
    pub(super) unread: BTreeSet<RegionId>,
}

/// The regions whose logs are to be read.
pub(super) fn wanted(me: &RegionId, membership: &Membership) -> BTreeSet<RegionId> {
    let (mut counted, fenced) = (membership.counted(), membership.fenced());
    counted.retain(|region| region != me && !fenced.contains(region));
    counted
}

impl Readers {
    /// Opens a region's log where the last commits ended.
    pub(super) fn open(shared: &Shared, bus: &dyn Bus, source: &RegionId) -> Opened {
        let from = positions(&shared.site, source)?;
        let mut reader = bus.reader(source, &from)?;
        shared.site.foreign_lanes().for_each(|lane| reader.pause(lane));
        Ok(reader)
    }

    /// Reads the logs of these regions, and no others.
    pub(super) fn align(&mut self, wanted: &BTreeSet<RegionId>) {
        let shared = Arc::clone(&self.shared);
        let read = shared.links.peers();
        for gone in read.difference(wanted) {
            tracing::warn!(region = %shared.site.region, source = %gone, "it is read no more");
            shared.links.remove(gone);
            shared.site.forget_clock(gone);
            self.unread.remove(gone);
        }
        for source in wanted.difference(&read) {
            tracing::warn!(region = %shared.site.region, %source, "it is read from now on");
            self.try_to_read(source);
        }
    }

    /// Tries again to open what could not be opened.
    pub(super) fn retry(&mut self) {
        for source in std::mem::take(&mut self.unread) {
            self.try_to_read(&source);
        }
    }

    fn try_to_read(&mut self, source: &RegionId) {
        if !self.shared.site.routes.is_direct(source) {
            self.shared.links.add(source);
            return;
        }
        let opened = Self::open(&self.shared, &*self.bus, source);
        self.read(source, opened);
    }

    /// Reads a log, or notes why it cannot be read.
    pub(super) fn read(&mut self, source: &RegionId, log: Opened) {
        let links = &self.shared.links;
        let state = links.get(source).unwrap_or_else(|| links.add(source));
        let log = match log {
            Ok(log) => log,
            Err(error) => {
                self.unread.insert(source.clone());
                let reason = match error {
                    OpenError::Bus(BusError::NoCluster { region }) => format!(
                        "this region's configuration has no cluster for it: add \
                         [regions.{}] with bootstrap_servers and joins = true, and start this \
                         region again",
                        region.name()
                    ),
                    error => chain(&error),
                };
                if state.set_trouble(Some(reason.clone())) {
                    tracing::warn!(%source, reason, "cannot read the link");
                }
                return;
            }
        };
        let link = Link {
            shared: Arc::clone(&self.shared),
            source: source.clone(),
            state,
            bus: Arc::clone(&self.bus),
            intake: self.shared.site.intake(source),
            shards: self.shards.clone(),
            control: self.control.clone(),
        };
        let name = format!("link of {source}");
        self.threads.start(&self.shared, name, move || link.run(log));
    }
}
