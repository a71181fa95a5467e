//! A snapshot on its way to a region that joins: a topic of the donor's cluster, with one partition.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Failed, Told};
use super::topics::{MESSAGE_BYTES_MAX, admin, patience, replicas, wait_for};
use super::{ANSWER_WAIT, ENDS_WAIT, Log, TopicSettings};
use crate::{BusError, SNAPSHOT_PAGE_BYTES_MAX, SnapshotPage, SnapshotReader, SnapshotWriter};

/// A page that is not confirmed by then is given up, and its caller appends it again: unlike a
/// record of a log, it waits in no outbox.
const PAGE_WAIT: Duration = Duration::from_secs(20);
/// How long to wait for room in the client's queue.
const ROOM_LOOK: Duration = Duration::from_millis(5);
/// So much is asked for at once.
const PAGES_BYTES_MAX: usize = 8 * SNAPSHOT_PAGE_BYTES_MAX;
/// How often a topic that is not there is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A reader that got nothing for so long looks whether the topic is still the one it was.
const SILENCE: Duration = Duration::from_secs(5);

/// Deletes the topic, if it is there.
pub(super) fn delete(log: &Log, topic: &str) -> Result<(), BusError> {
    let failed = log.failed("delete a snapshot");
    let deleted = wait_for(admin(log)?.delete_topics(&[topic], &patience())).map_err(&failed)?;
    for one in deleted {
        match one {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((_, code)) => return Err(failed(KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

pub(super) struct Writer {
    log: Log,
    topic: String,
    producer: BaseProducer<Refusals>,
    refusals: Refusals,
}

impl Writer {
    /// Makes the topic, or empties the one that is there.
    pub(super) fn open(
        log: Log,
        topic: String,
        settings: &TopicSettings,
    ) -> Result<Self, BusError> {
        make(&log, &topic, settings)?;
        empty(&log, &topic)?;
        let refusals = Refusals::default();
        let mut config = log.cluster.producer_config();
        config.set("message.timeout.ms", PAGE_WAIT.as_millis().to_string());
        let producer = config.create_with_context(refusals.clone());
        let producer = producer.map_err(log.failed("connect to its cluster"))?;
        Ok(Self { log, topic, producer, refusals })
    }
}

fn make(log: &Log, topic: &str, settings: &TopicSettings) -> Result<(), BusError> {
    let failed = log.failed("make the topic of a snapshot");
    let replicas = log.ask(|asking| replicas(log, settings, asking))?;
    let (bytes, min_insync) =
        (MESSAGE_BYTES_MAX.to_string(), settings.min_insync(replicas).to_string());
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(replicas as i32))
        .set("cleanup.policy", "delete")
        // It is deleted once it is of no use, and not before.
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1")
        .set("max.message.bytes", &bytes)
        .set("min.insync.replicas", &min_insync);
    let made = wait_for(admin(log)?.create_topics([&new], &patience()));
    for made in made.map_err(|error| failed(error.into()))? {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(failed(Failed::about(KafkaError::AdminOp(code), topic)));
            }
        }
    }
    Ok(())
}

/// Deletes what stands in the topic.
fn empty(log: &Log, topic: &str) -> Result<(), BusError> {
    let failed = log.failed("empty the topic of a snapshot");
    let until = Instant::now() + ENDS_WAIT;
    let (start, end) = log.ask(|asking| {
        // A topic that was made just now has no leader for a moment.
        loop {
            match asking.fetch_watermarks(topic, 0, ANSWER_WAIT) {
                Ok(ends) => return Ok(ends),
                Err(error) if Instant::now() > until => return Err(failed(error)),
                Err(_) => thread::sleep(LOOK_AGAIN),
            }
        }
    })?;
    if start >= end {
        return Ok(());
    }
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(topic, 0, Offset::Offset(end)).map_err(&failed)?;
    wait_for(admin(log)?.delete_records(&upto, &patience())).map_err(&failed)?;
    Ok(())
}

impl SnapshotWriter for Writer {
    fn append(&mut self, pages: &[Vec<u8>]) -> Result<(), BusError> {
        let failed = self.log.failed("write a snapshot");
        self.refusals.take();
        let until = Instant::now() + PAGE_WAIT;
        for page in pages {
            let mut record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&self.topic).partition(0).payload(page.as_slice());
            while let Err((error, refused)) = self.producer.send(record) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                if error != full || Instant::now() > until {
                    return Err(failed(error.into()));
                }
                self.producer.poll(ROOM_LOOK);
                record = refused;
            }
        }
        // Each is confirmed or refused by then.
        let flushed = self.producer.flush(PAGE_WAIT + ANSWER_WAIT);
        flushed.map_err(|error| failed(Failed::after(error, &self.refusals.told)))?;
        match self.refusals.take() {
            Some(error) => Err(failed(Failed::after(error, &self.refusals.told))),
            None => Ok(()),
        }
    }
}

/// Why the first page was refused that was.
#[derive(Clone, Default)]
struct Refusals {
    first: Arc<Mutex<Option<KafkaError>>>,
    told: Told,
}

impl Refusals {
    fn take(&self) -> Option<KafkaError> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Refusals {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told.error(error, reason);
    }
}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.clone());
        }
    }
}

pub(super) struct Reader {
    log: Log,
    topic: String,
    next: u64,
    /// None until the topic is there, and after an error.
    consumer: Option<BaseConsumer<Told>>,
    look_at: Instant,
    heard_at: Instant,
}

impl Reader {
    pub(super) fn new(log: Log, topic: String, from: u64) -> Self {
        let now = Instant::now();
        Self { log, topic, next: from, consumer: None, look_at: now, heard_at: now }
    }

    /// Reads the topic where there is one. A position that is not there any more is left for the
    /// first that is.
    fn look(&mut self) -> Result<(), BusError> {
        if self.consumer.is_some() || Instant::now() < self.look_at {
            return Ok(());
        }
        self.look_at = Instant::now() + LOOK_AGAIN;
        let failed = self.log.failed("read a snapshot");
        let mut config = self.log.cluster.consumer_config();
        // One partition is all there is to read.
        config.set("max.partition.fetch.bytes", PAGES_BYTES_MAX.to_string());
        let consumer: BaseConsumer<Told> =
            config.create_with_context(Told::default()).map_err(&failed)?;
        let (start, end) = match consumer.fetch_watermarks(&self.topic, 0, ANSWER_WAIT) {
            Ok(ends) => ends,
            Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition,
            )) => return Ok(()),
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition)) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let (start, end) = (start.max(0) as u64, end.max(0) as u64);
        if self.next < start || self.next > end {
            self.next = start;
        }
        let mut from = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(self.next).unwrap_or(i64::MAX));
        from.add_partition_offset(&self.topic, 0, offset).map_err(&failed)?;
        consumer.assign(&from).map_err(&failed)?;
        self.consumer = Some(consumer);
        self.heard_at = Instant::now();
        Ok(())
    }
}

impl SnapshotReader for Reader {
    fn poll(&mut self, max_pages: usize, timeout: Duration) -> Result<Vec<SnapshotPage>, BusError> {
        let until = Instant::now() + timeout;
        let mut pages = Vec::new();
        self.look()?;
        let Some(consumer) = &self.consumer else {
            thread::sleep(timeout.min(LOOK_AGAIN));
            return Ok(pages);
        };
        while pages.len() < max_pages {
            // Only the first is waited for.
            let left = until.saturating_duration_since(Instant::now());
            let wait = if pages.is_empty() { left } else { Duration::ZERO };
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let offset = u64::try_from(message.offset()).unwrap_or_default();
                    let bytes = message.payload().unwrap_or_default().to_vec();
                    self.next = offset.saturating_add(1);
                    pages.push(SnapshotPage { next_position: self.next, bytes });
                }
                Some(Err(error)) => {
                    tracing::info!(topic = self.topic, %error, "a snapshot is looked for anew");
                    self.consumer = None;
                    return Ok(pages);
                }
            }
        }
        if !pages.is_empty() {
            self.heard_at = Instant::now();
        } else if self.heard_at.elapsed() > SILENCE {
            self.consumer = None;
        }
        Ok(pages)
    }
}
