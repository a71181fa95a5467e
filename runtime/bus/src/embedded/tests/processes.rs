//! A bus as several processes have it.

use std::sync::atomic::{AtomicUsize, Ordering};

use syncline_core::RegionId;

use crate::{Bus, BusError, EmbeddedBus, Lane, Publisher, Reader, SnapshotReader, SnapshotWriter};

/// Each call goes to another bus on the same folder, as if each came from another process.
pub(super) struct ManyProcesses(Vec<EmbeddedBus>, AtomicUsize);

impl ManyProcesses {
    pub(super) fn new(buses: Vec<EmbeddedBus>) -> Self {
        Self(buses, AtomicUsize::new(0))
    }

    fn next(&self) -> &EmbeddedBus {
        let n = self.1.fetch_add(1, Ordering::Relaxed);
        &self.0[n % self.0.len()]
    }
}

impl Bus for ManyProcesses {
    fn publisher(&self, region: &RegionId) -> Result<Box<dyn Publisher>, BusError> {
        self.next().publisher(region)
    }

    fn reader(&self, source: &RegionId, from: &[(Lane, u64)]) -> Result<Box<dyn Reader>, BusError> {
        self.next().reader(source, from)
    }

    fn ends(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        self.next().ends(source)
    }

    fn tails(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        self.next().tails(source)
    }

    fn snapshot_writer(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
    ) -> Result<Box<dyn SnapshotWriter>, BusError> {
        self.next().snapshot_writer(donor, joiner)
    }

    fn snapshot_reader(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
        from: u64,
    ) -> Result<Box<dyn SnapshotReader>, BusError> {
        self.next().snapshot_reader(donor, joiner, from)
    }

    fn drop_snapshot(&self, donor: &RegionId, joiner: &RegionId) -> Result<(), BusError> {
        self.next().drop_snapshot(donor, joiner)
    }
}
