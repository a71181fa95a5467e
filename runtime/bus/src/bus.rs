//! The trait that the node is written against.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use syncline_core::RegionId;
use thiserror::Error;

use crate::Envelope;

/// One ordered stream of a region's log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// The changes and heartbeats of this partition.
    Changes(u32),
    /// The control partition.
    Control,
}

impl Lane {
    /// Every lane of a log with so many partitions, each at its index.
    pub fn all(partitions: u32) -> impl Iterator<Item = Self> {
        (0..partitions).map(Self::Changes).chain([Self::Control])
    }

    /// Which of [`Lane::all`] it is.
    pub fn index(self, partitions: u32) -> Result<usize, BusError> {
        match self {
            Self::Changes(partition) if partition < partitions => Ok(partition as usize),
            Self::Control => Ok(partitions as usize),
            Self::Changes(_) => Err(BusError::UnknownLane { lane: self, partitions }),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changes(partition) => write!(f, "changes/{partition}"),
            Self::Control => f.write_str("control"),
        }
    }
}

/// A record on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub lane: Lane,
    /// The record.
    pub envelope: Envelope,
}

/// What a reader found at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The lane that it stands in.
    pub lane: Lane,
    /// Where it stands. Positions grow within a lane and mean nothing across lanes.
    pub position: u64,
    /// Where to go on reading behind it.
    pub next_position: u64,
    /// What it is.
    pub item: Item,
}

/// What stands in a log, or should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A record, as it was produced.
    Record(Envelope),
    /// Bytes that cannot be read as one. They are delivered once, and reading goes on behind them.
    Corrupt {
        /// The bytes; of a damaged stretch that is longer than any record, its beginning.
        raw: Vec<u8>,
        /// They are the frame of a record that stands in the log as it was put there, whose key or
        /// headers are no text: see [`Envelope::from_bytes_lossy`].
        whole: bool,
        /// What is wrong with them.
        reason: String,
    },
    /// The position asked for is not in the log: it was dropped by retention, or the log lost its
    /// tail. Reading goes on from the log's start or end.
    Moved {
        /// The position asked for.
        asked: u64,
        /// Where reading goes on.
        start: u64,
        /// Why.
        reason: String,
    },
}

/// Carries each region's log to every region.
///
/// Within a lane records keep the order in which they were produced; between lanes there is none.
/// A record may be delivered more than once, as the origin produces again what it is not sure of.
pub trait Bus: Send + Sync {
    /// The right to append to this region's log. There is one: until it is dropped, a second is
    /// refused with [`BusError::Owned`], in this process, and in others where the bus can lock what
    /// it writes to. Where it cannot, a second shows to the readers as a fork of the chain.
    fn publisher(&self, region: &RegionId) -> Result<Box<dyn Publisher>, BusError>;

    /// Reads a region's log, each lane from the position given for it, from 0 where none is. A
    /// source that has no log yet is no error; it is waited for.
    fn reader(&self, source: &RegionId, from: &[(Lane, u64)]) -> Result<Box<dyn Reader>, BusError>;

    /// For every lane of a region's log the position behind its last complete record; 0 where it
    /// has none.
    fn ends(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError>;

    /// For every lane of a region's log a position not far before its end. Whoever reads from there
    /// meets the last records of the lane: one at least, where it holds any.
    fn tails(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError>;

    /// Where a position stands in its lane by the bus's own tools, in Kafka its offset. None: they
    /// know positions only.
    fn offset(&self, position: u64) -> Option<u64> {
        let _ = position;
        None
    }

    /// Begins to write a snapshot of what `donor` has, for a region that is to join. What an
    /// earlier attempt has written may be dropped by that.
    fn snapshot_writer(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
    ) -> Result<Box<dyn SnapshotWriter>, BusError>;

    /// Reads a snapshot from a position on, 0 for its start. One that is not there yet is waited
    /// for.
    fn snapshot_reader(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
        from: u64,
    ) -> Result<Box<dyn SnapshotReader>, BusError>;

    /// Drops a snapshot; one that is not there is no error.
    fn drop_snapshot(&self, donor: &RegionId, joiner: &RegionId) -> Result<(), BusError>;
}

/// The largest page of a snapshot.
pub const SNAPSHOT_PAGE_BYTES_MAX: usize = 1 << 20;

/// Writes a snapshot, page by page. Pages are whatever bytes the caller likes.
pub trait SnapshotWriter: Send {
    /// Appends pages of at most [`SNAPSHOT_PAGE_BYTES_MAX`] each, in order, and returns when all
    /// are taken. After an error any number of them may have been taken, also again later; whoever
    /// reads has to tell.
    fn append(&mut self, pages: &[Vec<u8>]) -> Result<(), BusError>;
}

/// A page of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPage {
    /// Where to go on reading behind it.
    pub next_position: u64,
    /// What was written; or anything else.
    pub bytes: Vec<u8>,
}

/// Reads a snapshot, page by page.
pub trait SnapshotReader: Send {
    /// The next pages, at most so many. Waits up to `timeout` for the first one; empty if none
    /// came. A position that is not there any more is left for the first one that is.
    fn poll(&mut self, max_pages: usize, timeout: Duration) -> Result<Vec<SnapshotPage>, BusError>;
}

/// Appends to one region's log.
pub trait Publisher: Send {
    /// Appends the records, in order, and returns when all are taken. After an error any number of
    /// them may have been taken; what is produced again is a duplicate and does no harm.
    fn produce(&mut self, records: &[Outgoing]) -> Result<(), BusError>;
}

/// Reads one region's log.
pub trait Reader: Send {
    /// The next deliveries, at most `max_records`, and no more once their payloads reach
    /// `max_bytes`: a single larger record is still delivered. Waits up to `timeout` for the first
    /// one; empty if none came.
    fn poll(
        &mut self,
        max_records: usize,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Vec<Delivery>, BusError>;

    /// Goes on reading a lane from another position, back or forth. A lane that the source does
    /// not have is ignored.
    fn seek(&mut self, lane: Lane, position: u64);

    /// Stops reading a lane; its position stays.
    fn pause(&mut self, lane: Lane);

    /// Reads a paused lane again.
    fn resume(&mut self, lane: Lane);

    /// What keeps the log from being read now, where that is waited for rather than told as an
    /// error of [`Reader::poll`]: a cluster that cannot be reached, or refuses. For people.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// What is looked at where a cluster answers, and confirms nothing.
const LOOK_AT_THE_BROKERS: &str =
    "Look whether its brokers run, and whether min.insync.replicas copies are in sync";

/// Why a bus could not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BusError {
    /// There is a publisher of this region already.
    #[error("own the log of {region}: another publisher owns it")]
    Owned {
        /// The region.
        region: RegionId,
    },
    /// The lane is not one of this bus.
    #[error("use lane {lane}: the bus has {partitions} partitions")]
    UnknownLane {
        /// The lane.
        lane: Lane,
        /// How many partitions there are.
        partitions: u32,
    },
    /// The region's log was made with another number of partitions, which is permanent.
    #[error("use the log of {region}: it has {found} partitions, this region has {expected}")]
    Partitions {
        /// The region whose log it is.
        region: RegionId,
        /// The number on this side.
        expected: u32,
        /// The number in the log.
        found: u32,
    },
    /// The log was written in a way that this software does not know.
    #[error("use the log of {region}: {reason}")]
    Format {
        /// The region whose log it is.
        region: RegionId,
        /// What is not understood.
        reason: String,
    },
    /// No reader could read a record, or a page of a snapshot, of this size. Nothing of the batch
    /// was taken.
    #[error("write to {place}: a record has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The lane and the topic, or the file.
        place: String,
        /// Its size.
        bytes: usize,
        /// The largest that is taken.
        limit: usize,
    },
    /// Nothing says where the region's cluster is.
    #[error("use the log of {region}: no cluster is configured for it")]
    NoCluster {
        /// The region.
        region: RegionId,
    },
    /// A cluster cannot be used as it is configured.
    #[error("use the cluster of {region}: {reason}")]
    Cluster {
        /// The region's name.
        region: String,
        /// What is wrong.
        reason: String,
    },
    /// The topics of a region are not as they must be. Whoever runs the cluster has to change them.
    #[error("use the topics of {region}: {report}")]
    Topics {
        /// The region.
        region: RegionId,
        /// All that is wrong with them.
        report: String,
    },
    /// The records are on their way, but nobody has confirmed them yet.
    #[error(
        "produce records of {region}: not all are confirmed by {servers}. {}",
        told.as_deref().unwrap_or(LOOK_AT_THE_BROKERS)
    )]
    Unconfirmed {
        /// The region.
        region: RegionId,
        /// Where its cluster is.
        servers: String,
        /// What the client said last.
        told: Option<String>,
    },
    /// The cluster did not answer, or refused.
    #[error("{action} (region {region}, cluster {servers})")]
    Kafka {
        /// The region whose cluster it is.
        region: RegionId,
        /// Where that is.
        servers: String,
        /// What was to be done.
        action: &'static str,
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system refused.
    #[error("{action} {path:?}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
