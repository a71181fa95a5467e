//! The bus over Apache Kafka: real regions, each with a cluster of its own.
//!
//! How the trait maps:
//!
//! - A region's log is two topics of its own cluster: `syncline.changes.<region>` with as many
//!   partitions as the region has, and `syncline.control.<region>` with one. A lane is one partition
//!   of one of them, and a record is produced to it by number: no partitioner of a client has a say.
//!   `#` may not stand in a topic's name, so incarnation 2 of `eu` writes `syncline.changes.eu.2`;
//!   no region's name has a dot.
//! - A *position* is the offset, with a mark of the topic's identity above it: see [`place`]. The
//!   caller keeps positions and names them; nothing is committed to Kafka, and no group is joined.
//! - `auto.offset.reset=error`: an offset that is not in the log is an [`Item::Moved`], never a
//!   jump in silence. Reading goes on from the log's start, or from its end if the offset lay beyond
//!   it; from the start of a topic that was deleted and made again, which the mark shows even
//!   where the offset exists in the new one.
//! - The producer is idempotent, waits for all in-sync replicas and never gives a record up by
//!   itself. [`Publisher::produce`] returns when every record is confirmed; if that takes too long it
//!   returns an error, and takes nothing more until what is on its way has arrived, so that the
//!   client's queue holds one batch at most, however long a broker is away.
//! - Topics that are not there are made by their region's publisher; those that are there are
//!   checked, and what is wrong with them is reported all at once: see [`topics`]. A reader only
//!   compares the number of partitions. More of them than there should be are left alone, as
//!   nothing is written there, and Kafka cannot take them away again.
//! - A reader that gets nothing from a partition in which there is something builds its client anew:
//!   the *stall watchdog*. It also looks now and then whether a topic is still the one it was.
//! - A snapshot for a region that joins is a topic of its donor's cluster, with one partition:
//!   `syncline.snapshot.<donor>.<joiner>`. It is there while the region joins.
//! - A cluster that cannot be reached is no error of a reader: it is waited for, and
//!   [`Reader::trouble`] says why. Likewise a publisher starts without its cluster, and makes and
//!   checks the topics later.
//!
//! [`Bus::publisher`] gives a log one owner within this process. Kafka has no lock that another
//! process would respect without taking it from the first; there it is the region's data folder
//! that is locked, and two folders of one region show to every reader as a fork.
//!
//! [`Item::Moved`]: crate::Item::Moved

mod client;
mod describe;
mod message;
mod place;
mod publisher;
mod reader;
mod snapshot;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use syncline_core::{PartitionCount, RegionId};

pub use client::Cluster;
pub use topics::{TopicSettings, TopicsFound};

use crate::{Bus, BusError, Lane, Publisher, Reader, SnapshotReader, SnapshotWriter};
use client::{Failed, Told};
use describe::Described;
use place::Place;

/// The first part of every topic's name.
const TOPIC_PREFIX: &str = "syncline";

/// How long one question to a cluster may take. Whoever asks tries again, so this only bounds how
/// long a thread is busy with a cluster that is dark.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// How long a client that got no answer is let tell why.
const TELL_WAIT: Duration = Duration::from_millis(100);

/// How long [`Bus::ends`] and [`Bus::tails`] wait for a cluster.
const ENDS_WAIT: Duration = Duration::from_secs(10);

/// So far before the end of a lane its tail begins: its region's heartbeats stand closer together,
/// whatever it passes on between them.
const TAIL_RECORDS: u64 = 2_048;

/// How a Kafka bus is set up.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// The permanent number of partitions.
    pub partitions: PartitionCount,
    /// Each region's cluster, by the region's name without its incarnation.
    pub clusters: BTreeMap<String, Cluster>,
    /// How this region's topics are made, and what they are held against.
    pub topics: TopicSettings,
}

/// The bus over Apache Kafka. Clones are the same bus.
#[derive(Clone)]
pub struct KafkaBus(Arc<Inner>);

struct Inner {
    options: KafkaOptions,
    prefix: String,
    /// The regions whose log has an owner.
    owned: Mutex<BTreeSet<RegionId>>,
}

impl KafkaBus {
    /// Sets the bus up. Nothing is connected to yet.
    pub fn open(options: KafkaOptions) -> Result<Self, BusError> {
        Self::open_with_prefix(options, TOPIC_PREFIX.to_owned())
    }

    fn open_with_prefix(options: KafkaOptions, prefix: String) -> Result<Self, BusError> {
        for (region, cluster) in &options.clusters {
            cluster.check(region)?;
        }
        Ok(Self(Arc::new(Inner { options, prefix, owned: Mutex::default() })))
    }

    /// Holds a region's topics against the settings, and makes none.
    pub fn check(&self, region: &RegionId) -> Result<TopicsFound, BusError> {
        topics::check(&self.log(region)?, &self.0.options.topics)
    }

    fn snapshot_topic(&self, donor: &RegionId, joiner: &RegionId) -> String {
        let Inner { prefix, .. } = &*self.0;
        format!("{prefix}.snapshot.{}.{}", topic_part(donor), topic_part(joiner))
    }

    fn log(&self, region: &RegionId) -> Result<Log, BusError> {
        let Inner { options, prefix, .. } = &*self.0;
        let Some(cluster) = options.clusters.get(region.name()) else {
            return Err(BusError::NoCluster { region: region.clone() });
        };
        let name = topic_part(region);
        Ok(Log {
            region: region.clone(),
            cluster: cluster.clone(),
            partitions: options.partitions.get(),
            changes: format!("{prefix}.changes.{name}"),
            control: format!("{prefix}.control.{name}"),
        })
    }
}

impl Bus for KafkaBus {
    fn publisher(&self, region: &RegionId) -> Result<Box<dyn Publisher>, BusError> {
        let log = self.log(region)?;
        let owner = Owner::of(self, region)?;
        let settings = self.0.options.topics.clone();
        Ok(Box::new(publisher::KafkaPublisher::open(log, settings, owner)?))
    }

    fn reader(&self, source: &RegionId, from: &[(Lane, u64)]) -> Result<Box<dyn Reader>, BusError> {
        Ok(Box::new(reader::KafkaReader::new(self.log(source)?, from)?))
    }

    fn ends(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        self.log(source)?.places(|_, end| end)
    }

    fn tails(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        self.log(source)?.places(|start, end| start.max(end.saturating_sub(TAIL_RECORDS)))
    }

    fn offset(&self, position: u64) -> Option<u64> {
        Some(Place::of(position).offset)
    }

    fn snapshot_writer(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
    ) -> Result<Box<dyn SnapshotWriter>, BusError> {
        let topic = self.snapshot_topic(donor, joiner);
        let writer = snapshot::Writer::open(self.log(donor)?, topic, &self.0.options.topics)?;
        Ok(Box::new(writer))
    }

    fn snapshot_reader(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
        from: u64,
    ) -> Result<Box<dyn SnapshotReader>, BusError> {
        let topic = self.snapshot_topic(donor, joiner);
        Ok(Box::new(snapshot::Reader::new(self.log(donor)?, topic, from)))
    }

    fn drop_snapshot(&self, donor: &RegionId, joiner: &RegionId) -> Result<(), BusError> {
        snapshot::delete(&self.log(donor)?, &self.snapshot_topic(donor, joiner))
    }
}

/// A region in the name of a topic.
fn topic_part(region: &RegionId) -> String {
    match region.incarnation() {
        1 => region.name().to_owned(),
        incarnation => format!("{}.{incarnation}", region.name()),
    }
}

/// The right to append to a region's log, in this process.
struct Owner {
    bus: KafkaBus,
    region: RegionId,
}

impl Owner {
    fn of(bus: &KafkaBus, region: &RegionId) -> Result<Self, BusError> {
        if !owned(bus).insert(region.clone()) {
            return Err(BusError::Owned { region: region.clone() });
        }
        Ok(Self { bus: bus.clone(), region: region.clone() })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        owned(&self.bus).remove(&self.region);
    }
}

fn owned(bus: &KafkaBus) -> MutexGuard<'_, BTreeSet<RegionId>> {
    bus.0.owned.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a region's log is, and how many partitions it should have.
#[derive(Clone)]
struct Log {
    region: RegionId,
    cluster: Cluster,
    partitions: u32,
    /// The topic of the changes.
    changes: String,
    /// The topic of the control lane.
    control: String,
}

impl Log {
    /// Every lane, each at its index.
    fn lanes(&self) -> impl Iterator<Item = Lane> + use<> {
        Lane::all(self.partitions)
    }

    fn index(&self, lane: Lane) -> Result<usize, BusError> {
        lane.index(self.partitions)
    }

    /// The lane's topic and its partition there.
    fn address(&self, lane: Lane) -> Result<(&str, i32), BusError> {
        self.index(lane)?;
        match lane {
            Lane::Changes(partition) => Ok((&self.changes, partition as i32)),
            Lane::Control => Ok((&self.control, 0)),
        }
    }

    /// The topics, with the number of partitions that each should have.
    fn topics(&self) -> [(&str, u32); 2] {
        [(&self.changes, self.partitions), (&self.control, 1)]
    }

    /// Asks by a client that does nothing else. Where no answer comes, the error says why.
    fn ask<T>(
        &self,
        ask: impl FnOnce(&BaseConsumer<Told>) -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        let config = self.cluster.config();
        let asking: BaseConsumer<Told> = config
            .create_with_context(Told::default())
            .map_err(self.failed("connect to its cluster"))?;
        ask(&asking).map_err(|error| {
            // It tells what is wrong when it is polled.
            let until = Instant::now() + TELL_WAIT;
            while Instant::now() < until {
                let _ = asking.poll(until.saturating_duration_since(Instant::now()));
            }
            client::after(error, asking.context())
        })
    }

    /// Which of the topics are there, however many partitions they have.
    fn describe(
        &self,
        client: &BaseConsumer<Told>,
        wait: Duration,
    ) -> Result<BTreeMap<String, Described>, BusError> {
        let names: Vec<&str> = self.topics().iter().map(|(name, _)| *name).collect();
        let found = describe::topics(client.client(), &names, wait);
        found.map_err(self.failed("ask for its topics"))
    }

    /// Refuses topics that lack partitions.
    fn check_partitions(&self, found: &BTreeMap<String, Described>) -> Result<(), BusError> {
        match topics::too_few(self, found) {
            report if report.is_empty() => Ok(()),
            report => {
                Err(BusError::Topics { region: self.region.clone(), report: report.join("; ") })
            }
        }
    }

    /// For every lane a position, of the offsets at which its log begins and ends; 0 where there is
    /// none.
    fn places(&self, offset: impl Fn(u64, u64) -> u64) -> Result<Vec<(Lane, u64)>, BusError> {
        self.ask(|asking| {
            let found = self.describe(asking, ENDS_WAIT)?;
            self.check_partitions(&found)?;
            let place = |lane| {
                let (topic, partition) = self.address(lane)?;
                let Some(described) = found.get(topic) else { return Ok((lane, 0)) };
                let (start, end) = asking
                    .fetch_watermarks(topic, partition, ENDS_WAIT)
                    .map_err(|error| Failed::about(error, format!("{topic}/{partition}")))
                    .map_err(self.failed("ask for the ends of a log"))?;
                let offset = offset(start.max(0) as u64, end.max(0) as u64);
                Ok((lane, Place { mark: described.mark, offset }.position()))
            };
            self.lanes().map(place).collect()
        })
    }

    fn failed<E: Into<Failed>>(&self, action: &'static str) -> impl Fn(E) -> BusError + use<E> {
        let (region, servers) = (self.region.clone(), self.cluster.bootstrap_servers.clone());
        move |source| BusError::Kafka {
            region: region.clone(),
            servers: servers.clone(),
            action,
            source: Box::new(source.into()),
        }
    }
}
