//! Appending to one region's log.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Failed, Told};
use super::topics::{self, MESSAGE_BYTES_MAX};
use super::{Log, Owner, TopicSettings};
use crate::{BusError, Outgoing, Publisher};

/// So long a batch may take to be confirmed before its caller is told. It is on its way all the
/// same, and whoever stops is not kept longer.
const CONFIRM_WAIT: Duration = Duration::from_secs(10);
/// How long to wait for room in the client's queue.
const ROOM_LOOK: Duration = Duration::from_millis(5);
/// What a record may cost beside its key, headers and payload in a batch of its own: the batch's
/// header of 61 bytes, the record's of less than 40, and one of less than 10 for each header's
/// lengths.
const RECORD_OVERHEAD: usize = 128;
const HEADER_OVERHEAD: usize = 10;

pub(super) struct KafkaPublisher {
    log: Log,
    settings: TopicSettings,
    /// None until the topics are found sound, and after an error that this client cannot get over.
    producer: Option<ThreadedProducer<Deliveries>>,
    deliveries: Arc<Outcome>,
    _owner: Owner,
}

impl KafkaPublisher {
    pub(super) fn open(log: Log, settings: TopicSettings, owner: Owner) -> Result<Self, BusError> {
        let deliveries = Arc::default();
        let mut opened = Self { log, settings, producer: None, deliveries, _owner: owner };
        match opened.connect() {
            Err(error @ BusError::Kafka { .. }) => {
                // The region takes writes all the same; they wait in its outbox. Whoever produces
                // is told again.
                let region = &opened.log.region;
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%region, %error, source, "the region's log cannot be written yet");
            }
            connected => connected?,
        }
        Ok(opened)
    }

    /// Sees that there is a producer, and sound topics.
    fn connect(&mut self) -> Result<(), BusError> {
        if self.producer.is_some() {
            return Ok(());
        }
        topics::ensure(&self.log, &self.settings)?;
        // A producer that was given up has nothing to tell this one.
        self.deliveries = Arc::default();
        let context = Deliveries(Arc::clone(&self.deliveries));
        let producer = self.log.cluster.producer_config().create_with_context(context);
        self.producer = Some(producer.map_err(self.log.failed("connect to its cluster"))?);
        Ok(())
    }

    fn send_all(&self, records: &[Outgoing], until: Instant) -> Result<(), BusError> {
        let Some(producer) = &self.producer else { return Ok(()) };
        for Outgoing { lane, envelope } in records {
            let (topic, partition) = self.log.address(*lane)?;
            let mut record = BaseRecord::to(topic)
                .partition(partition)
                .key(envelope.key.as_bytes())
                .payload(envelope.payload.as_slice())
                .headers(headers(&envelope.headers));
            self.deliveries.lock().outstanding += 1;
            while let Err((error, refused)) = producer.send(record) {
                let full = RDKafkaErrorCode::QueueFull;
                if error != KafkaError::MessageProduction(full) || Instant::now() > until {
                    self.deliveries.lock().outstanding -= 1;
                    let failed = Failed::about(error, format!("{topic}/{partition}"));
                    return Err(self.log.failed("produce records")(failed));
                }
                std::thread::sleep(ROOM_LOOK);
                record = refused;
            }
        }
        Ok(())
    }
}

fn headers(headers: &[(String, String)]) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(empty, |list, (key, value)| {
        list.insert(Header { key, value: Some(value.as_bytes()) })
    })
}

impl Publisher for KafkaPublisher {
    fn produce(&mut self, records: &[Outgoing]) -> Result<(), BusError> {
        for Outgoing { lane, envelope } in records {
            self.log.index(*lane)?;
            let headers = envelope.headers.iter();
            let headers = headers.map(|(name, value)| name.len() + value.len() + HEADER_OVERHEAD);
            let bytes = envelope.payload.len() + envelope.key.len() + headers.sum::<usize>();
            if bytes + RECORD_OVERHEAD > MESSAGE_BYTES_MAX {
                let limit = MESSAGE_BYTES_MAX - RECORD_OVERHEAD;
                let (topic, _) = self.log.address(*lane)?;
                let place = format!("lane {lane} (topic {topic})");
                return Err(BusError::TooLarge { place, bytes, limit });
            }
        }
        let until = Instant::now() + CONFIRM_WAIT;
        self.connect()?;
        // What an earlier call left on its way comes first: otherwise each call after a cluster has
        // gone dark would add one more copy of the same records.
        self.deliveries.wait(until);
        let unconfirmed = self.deliveries.lock().outstanding;
        let sent = match unconfirmed {
            0 => {
                self.deliveries.lock().refused = None;
                self.send_all(records, until)
            }
            _ => Ok(()),
        };
        self.deliveries.wait(until);
        let (unconfirmed, refused) = {
            let mut state = self.deliveries.lock();
            (unconfirmed.max(state.outstanding), state.refused.take())
        };
        let fatal = self.producer.as_ref().and_then(|producer| producer.client().fatal_error());
        if sent.is_err() || refused.is_some() || fatal.is_some() {
            // Be it the client's state or the topics: both are looked at anew.
            self.producer = None;
        }
        sent?;
        let failed = self.log.failed("produce records");
        if let Some(error) = refused {
            return Err(failed(error));
        }
        if let Some((code, what)) = fatal {
            return Err(failed(Failed::about(KafkaError::MessageProduction(code), what)));
        }
        let (region, servers) =
            (self.log.region.clone(), self.log.cluster.bootstrap_servers.clone());
        match unconfirmed {
            0 => {
                self.deliveries.told.forget();
                Ok(())
            }
            _ => {
                let told = self.deliveries.told.last();
                Err(BusError::Unconfirmed { region, servers, told })
            }
        }
    }
}

/// What became of what was sent.
#[derive(Default)]
struct Outcome {
    state: Mutex<Sent>,
    changed: Condvar,
    /// What the client told last.
    told: Told,
}

#[derive(Default)]
struct Sent {
    /// Records whose delivery is neither confirmed nor refused.
    outstanding: usize,
    /// Why the first of those was refused that were.
    refused: Option<Failed>,
}

impl Outcome {
    /// Waits until nothing is outstanding, but not longer than this.
    fn wait(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let busy = |sent: &mut Sent| sent.outstanding > 0;
        drop(self.changed.wait_timeout_while(self.lock(), left, busy));
    }

    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the producer's client tells.
struct Deliveries(Arc<Outcome>);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.told.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut sent = self.0.lock();
        sent.outstanding = sent.outstanding.saturating_sub(1);
        if let Err((error, message)) = result {
            let place = || format!("{}/{}", message.topic(), message.partition());
            sent.refused.get_or_insert_with(|| Failed::about(error.clone(), place()));
        }
        if sent.outstanding == 0 {
            self.0.changed.notify_all();
        }
    }
}
