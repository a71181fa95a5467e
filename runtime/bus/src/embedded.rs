//! The bus in files of this machine, for one process or several.
//!
//! Each region's log is a folder, each lane of it a folder within, with segment files that hold
//! frames one behind the other:
//!
//! ```text
//! <dir>/<region>/owner.lock             locked while a publisher lives
//! <dir>/<region>/log                    format, number of partitions, generation
//! <dir>/<region>/changes-0003/<base>-<follows>.log
//! <dir>/<region>/control/<base>-<follows>.log
//! <dir>/<region>/snapshot-<joiner>      what a region that joins takes over
//! ```
//!
//! A position is a byte of the lane: the base of its segment and the offset in the file. Positions
//! only grow. Every publisher writes a new segment, in a *generation* of positions that none before
//! it has used: a position that a reader keeps never stands for another record later, even if the
//! log lost a tail in between. `follows` is the position that the base continues, so that a reader
//! can tell the next segment from one behind a hole.
//!
//! Nothing here is synced but the generation. After a power cut a log may lack its tail; the outbox
//! of its region has those records, and sends them again when it sees that nobody took them. A
//! killed process loses nothing that `produce` had taken.
//!
//! Readers of the process in which the publisher lives are woken by it and know each lane's end
//! without asking the system; others look every [`reader::FOREIGN_LOOK`].

mod appender;
mod frame;
mod lane;
mod meta;
mod publisher;
mod reader;
mod segment;
mod signal;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use syncline_core::{PartitionCount, RegionId};

use crate::{Bus, BusError, Lane, Publisher, Reader, SnapshotReader, SnapshotWriter};
use meta::Meta;
use signal::Signal;

/// How much of each lane is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A lane's files stay within so many bytes: the oldest segments are deleted. What is deleted
    /// and not confirmed is still in the outbox.
    pub bytes_max: u64,
    /// A segment that has reached so many bytes is followed by a new one.
    pub segment_bytes: u64,
}

impl Default for Retention {
    /// 64 MiB in segments of 8 MiB.
    fn default() -> Self {
        Self { bytes_max: 64 << 20, segment_bytes: 8 << 20 }
    }
}

/// The bus in files of this machine. Clones are the same bus; buses opened on one folder, in one
/// process or several, carry the same records.
#[derive(Clone)]
pub struct EmbeddedBus(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    partitions: PartitionCount,
    retention: Retention,
    signals: Mutex<HashMap<RegionId, Arc<Signal>>>,
}

impl EmbeddedBus {
    /// Opens the bus in a folder, which is made if it is not there.
    pub fn open(dir: impl AsRef<Path>, partitions: PartitionCount) -> Result<Self, BusError> {
        Self::open_with(dir, partitions, Retention::default())
    }

    /// As [`EmbeddedBus::open`], with another retention for what is published through it.
    pub fn open_with(
        dir: impl AsRef<Path>,
        partitions: PartitionCount,
        retention: Retention,
    ) -> Result<Self, BusError> {
        let dir = dir.as_ref().to_owned();
        std::fs::create_dir_all(&dir).map_err(io_error("create folder", &dir))?;
        let signals = Mutex::default();
        Ok(Self(Arc::new(Shared { dir, partitions, retention, signals })))
    }

    fn signal(&self, region: &RegionId) -> Arc<Signal> {
        let mut signals = self.0.signals.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(signals.entry(region.clone()).or_default())
    }

    fn log(&self, region: &RegionId) -> LogDir {
        LogDir {
            region: region.clone(),
            path: self.0.dir.join(region.as_str()),
            partitions: self.0.partitions.get(),
        }
    }
}

impl Bus for EmbeddedBus {
    fn publisher(&self, region: &RegionId) -> Result<Box<dyn Publisher>, BusError> {
        let (log, signal) = (self.log(region), self.signal(region));
        let publisher = publisher::EmbeddedPublisher::open(log, self.0.retention, signal)?;
        Ok(Box::new(publisher))
    }

    fn reader(&self, source: &RegionId, from: &[(Lane, u64)]) -> Result<Box<dyn Reader>, BusError> {
        let reader = reader::EmbeddedReader::new(self.log(source), self.signal(source), from)?;
        Ok(Box::new(reader))
    }

    fn ends(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        let log = self.log(source);
        let known = self.signal(source).ends();
        let end = |(index, lane): (usize, Lane)| match known.get(index) {
            Some(end) => Ok((lane, *end)),
            None => lane::end(&log.lane(lane)).map(|end| (lane, end)),
        };
        log.lanes().enumerate().map(end).collect()
    }

    fn tails(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        let log = self.log(source);
        log.lanes().map(|lane| lane::tail(&log.lane(lane)).map(|tail| (lane, tail))).collect()
    }

    fn snapshot_writer(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
    ) -> Result<Box<dyn SnapshotWriter>, BusError> {
        Ok(Box::new(snapshot::Writer::open(self.log(donor).snapshot(joiner))?))
    }

    fn snapshot_reader(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
        from: u64,
    ) -> Result<Box<dyn SnapshotReader>, BusError> {
        Ok(Box::new(snapshot::Reader::new(self.log(donor).snapshot(joiner), from)))
    }

    fn drop_snapshot(&self, donor: &RegionId, joiner: &RegionId) -> Result<(), BusError> {
        snapshot::delete(&self.log(donor).snapshot(joiner))
    }
}

/// Where a region's log is, and how many partitions it should have.
#[derive(Clone)]
struct LogDir {
    region: RegionId,
    path: PathBuf,
    partitions: u32,
}

impl LogDir {
    /// Every lane, each at its index.
    fn lanes(&self) -> impl Iterator<Item = Lane> + use<> {
        Lane::all(self.partitions)
    }

    fn index(&self, lane: Lane) -> Result<usize, BusError> {
        lane.index(self.partitions)
    }

    fn lane(&self, lane: Lane) -> PathBuf {
        match lane {
            Lane::Changes(partition) => self.path.join(format!("changes-{partition:04}")),
            Lane::Control => self.path.join("control"),
        }
    }

    fn snapshot(&self, joiner: &RegionId) -> PathBuf {
        self.path.join(format!("snapshot-{joiner}"))
    }

    /// What the log says of itself; none where there is no log yet. A log with another number of
    /// partitions is refused.
    fn meta(&self) -> Result<Option<Meta>, BusError> {
        let meta = Meta::read(&self.region, &self.path)?;
        match meta {
            Some(Meta { partitions: found, .. }) if found != self.partitions => {
                let (region, expected) = (self.region.clone(), self.partitions);
                Err(BusError::Partitions { region, expected, found })
            }
            _ => Ok(meta),
        }
    }
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BusError + 'a {
    move |source| BusError::Io { action, path: path.to_owned(), source }
}
