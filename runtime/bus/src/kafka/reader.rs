//! Reading one region's log.
//!
//! A lane is *read* while the client fetches its partition. It is not while it is paused, while its
//! topic is not there, and while it is *doubted*: then the cluster is asked first where the log
//! begins and ends, and a position outside becomes an [`Item::Moved`].
//!
//! The client gives all partitions' records in one queue. They are sorted into lanes here, some
//! ahead of what is asked for, so that a busy lane does not starve the others.

mod lane;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Failed, Told};
use super::describe::Described;
use super::message::item;
use super::place::{Mark, Place};
use super::topics::{too_many, used_beyond};
use super::{ANSWER_WAIT, Log, TELL_WAIT};
use crate::{BusError, Delivery, Item, Lane, Reader};
use lane::{Budget, LaneState};

/// What is taken from the client ahead of what was asked for: one large batch.
const AHEAD_RECORDS: usize = 8192;
const AHEAD_BYTES: usize = 8 << 20;
/// How often a cluster or a topic that is not there is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long the client is waited for before this looks after the lanes.
const TICK: Duration = Duration::from_millis(100);
/// How often it is asked whether the topics are still the same. Asking holds up reading for one
/// round trip.
const WATCH_EVERY: Duration = Duration::from_secs(30);
/// A lane that was silent for so long, though its region sends a heartbeat every second, is held
/// against its log.
const SILENCE: Duration = Duration::from_secs(15);
/// So long a question that failed is wrong, though some lanes are read: it is asked again soon.
const ASKING_HOLDS: Duration = Duration::from_secs(3);
/// The client says once that a topic may not be read, and again when the lane was opened anew: after
/// it was silent at two looks of the watchdog.
const REFUSAL_HOLDS: Duration = Duration::from_secs(90);

pub(super) struct KafkaReader {
    log: Log,
    lanes: Vec<LaneState>,
    /// The lane that the next batch begins with.
    first: usize,
    /// None until it is needed, and after an error that it cannot get over.
    consumer: Option<BaseConsumer<Told>>,
    /// When that was made.
    made_at: Instant,
    /// What it, and those before it, told.
    told: Told,
    /// Which topics there are: that of the changes, and that of the control lane.
    marks: [Option<Mark>; 2],
    /// When lanes that are not read are seen to next.
    look_at: Instant,
    /// When all are seen to next, be they read or not.
    watch_at: Instant,
    /// What is wrong.
    trouble: Option<Trouble>,
    /// Why the topics cannot be used, as was found when they were last looked at.
    refused: Option<String>,
    /// What was said of topics that can be used all the same.
    remarks: Vec<String>,
}

struct Trouble {
    what: String,
    /// Until then it is wrong, whatever is read meanwhile.
    holds_until: Instant,
}

impl KafkaReader {
    pub(super) fn new(log: Log, from: &[(Lane, u64)]) -> Result<Self, BusError> {
        let now = Instant::now();
        let mut lanes: Vec<LaneState> = log.lanes().map(|lane| LaneState::new(lane, now)).collect();
        for (lane, position) in from {
            lanes[log.index(*lane)?].next = *position;
        }
        Ok(Self {
            log,
            lanes,
            first: 0,
            consumer: None,
            made_at: now,
            told: Told::default(),
            marks: [None; 2],
            look_at: now,
            watch_at: now + WATCH_EVERY,
            trouble: None,
            refused: None,
            remarks: Vec::new(),
        })
    }

    /// Sees to the lanes that should be read and are not. Answers true if the cluster was asked.
    fn look_after(&mut self) -> Result<bool, BusError> {
        let now = Instant::now();
        let watches = now >= self.watch_at && self.consumer.is_some();
        if now >= self.watch_at {
            self.watch_at = now + WATCH_EVERY;
            self.watch()?;
        }
        let idle = |lane: &LaneState| !lane.paused && !lane.is_read;
        if now < self.look_at || !self.lanes.iter().any(idle) {
            return Ok(watches);
        }
        self.look_at = now + LOOK_AGAIN;
        let finds = self.marks.contains(&None);
        if finds {
            self.find_topics()?;
        }
        let due = 0..self.lanes.len();
        let due = due.filter(|index| idle(&self.lanes[*index]) && self.mark(*index).is_some());
        self.start(&due.collect::<Vec<_>>())?;
        Ok(watches || finds)
    }

    fn mark(&self, index: usize) -> Option<Mark> {
        self.marks[usize::from(self.lanes[index].lane == Lane::Control)]
    }

    fn open_client(&mut self) -> Result<(), BusError> {
        if self.consumer.is_none() {
            let config = self.log.cluster.consumer_config();
            let made = config.create_with_context(self.told.clone());
            self.consumer = Some(made.map_err(self.log.failed("connect to the cluster"))?);
            self.made_at = Instant::now();
        }
        Ok(())
    }

    /// Notes which topics there are. One that was made again is read from its start.
    fn find_topics(&mut self) -> Result<(), BusError> {
        self.open_client()?;
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let found = self.log.describe(consumer, ANSWER_WAIT)?;
        self.judge(&found)?;
        let [changes, control] = self.log.topics().map(|(name, _)| found.get(name));
        self.marks = [changes.map(|topic| topic.mark), control.map(|topic| topic.mark)];
        for index in 0..self.lanes.len() {
            let Some(mark) = self.mark(index) else { continue };
            let is_other = Place::of(self.lanes[index].next).mark.contradicts(mark);
            self.lanes[index].is_other_topic = is_other;
            if is_other {
                self.stop(index);
            }
        }
        Ok(())
    }

    /// Refuses topics whose partitions are not those that there should be, until they are looked at
    /// again.
    fn judge(&mut self, found: &BTreeMap<String, Described>) -> Result<(), BusError> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let region = &self.log.region;
        let topics = |report| BusError::Topics { region: region.clone(), report };
        let judged = self.log.check_partitions(found).and_then(|()| {
            match used_beyond(&self.log, consumer, found) {
                Ok(report) => report.map_or(Ok(()), |report| Err(topics(report))),
                // A partition that nobody needs may be offline: what was known of it holds.
                Err(_) => self.refused.clone().map_or(Ok(()), |report| Err(topics(report))),
            }
        });
        self.refused = match &judged {
            Err(BusError::Topics { report, .. }) => Some(report.clone()),
            _ => None,
        };
        let remarks = if judged.is_ok() { too_many(&self.log, found) } else { Vec::new() };
        for remark in remarks.iter().filter(|remark| !self.remarks.contains(*remark)) {
            tracing::warn!(source = %self.log.region, "{remark}");
        }
        self.remarks = remarks;
        judged
    }

    /// Has the client read lanes, once it is known where. All at once, so that one answer of the
    /// cluster brings something of each.
    fn start(&mut self, lanes: &[usize]) -> Result<(), BusError> {
        let mut list = TopicPartitionList::with_capacity(lanes.len());
        for index in lanes {
            let Some(offset) = self.offset(*index)? else { continue };
            let (topic, partition) = self.log.address(self.lanes[*index].lane)?;
            let added = list.add_partition_offset(topic, partition, offset);
            added.map_err(self.log.failed("read the log"))?;
        }
        let Some(consumer) = &self.consumer else { return Ok(()) };
        if list.count() > 0 {
            consumer.incremental_assign(&list).map_err(self.log.failed("read the log"))?;
            let now = Instant::now();
            lanes.iter().for_each(|index| self.lanes[*index].starts(now));
        }
        Ok(())
    }

    /// Where to begin with a lane. One that is doubted is held against its log first.
    fn offset(&mut self, index: usize) -> Result<Option<Offset>, BusError> {
        let Some(mark) = self.mark(index) else { return Ok(None) };
        let lane = &self.lanes[index];
        let (topic, partition) = self.log.address(lane.lane)?;
        let Some(consumer) = &self.consumer else { return Ok(None) };
        let mut offset = Place::of(lane.next).offset;
        if lane.is_doubted || lane.is_other_topic {
            let asked = consumer.fetch_watermarks(topic, partition, ANSWER_WAIT);
            let about = |error| Failed::about(error, format!("{topic}/{partition}"));
            let (start, end) = asked.map_err(about).map_err(self.log.failed("read the log"))?;
            let (start, end) = (start.max(0) as u64, end.max(0) as u64);
            let (to, reason) = if lane.is_other_topic {
                (start, "the topic was deleted and made again")
            } else if offset < start {
                (start, "the log does not hold the position any more")
            } else if offset > end {
                (end, "the log ends before the position")
            } else {
                (offset, "")
            };
            offset = to;
            if !reason.is_empty() {
                let to = Place { mark, offset }.position();
                self.lanes[index].move_to(to, reason);
            }
        }
        Ok(i64::try_from(offset).ok().map(Offset::Offset))
    }

    /// Has the client read a lane no more.
    fn stop(&mut self, index: usize) {
        if !std::mem::take(&mut self.lanes[index].is_read) {
            return;
        }
        let Some(consumer) = &self.consumer else { return };
        let stopped = self.log.address(self.lanes[index].lane).is_ok_and(|(topic, partition)| {
            let mut one = TopicPartitionList::with_capacity(1);
            one.add_partition(topic, partition);
            consumer.incremental_unassign(&one).is_ok()
        });
        if !stopped {
            self.start_over();
        }
    }

    /// Nothing that is known of the log is trusted.
    fn doubt(&mut self) {
        for index in 0..self.lanes.len() {
            self.stop(index);
            self.lanes[index].is_doubted = true;
        }
        self.marks = [None; 2];
    }

    /// Gives the client up. Another is made when it is needed.
    fn start_over(&mut self) {
        self.consumer = None;
        self.marks = [None; 2];
        for lane in &mut self.lanes {
            lane.is_read = false;
            lane.is_doubted = true;
        }
    }

    /// A client that has no answer, and has brought nothing for long, may be what is wrong.
    fn give_up_in_time(&mut self) {
        let heard_at = self.lanes.iter().map(|lane| lane.heard_at).max();
        let since = heard_at.map_or(self.made_at, |heard_at| heard_at.max(self.made_at));
        if self.consumer.is_some() && since.elapsed() >= SILENCE {
            tracing::debug!(source = %self.log.region, "the client is made anew");
            self.start_over();
        }
    }

    /// Looks for what the client does not tell: a topic that was made again, and a log that is
    /// longer than what was read of it, of which nothing comes.
    fn watch(&mut self) -> Result<(), BusError> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let found = self.log.describe(consumer, ANSWER_WAIT)?;
        let marks = self.log.topics().map(|(name, _)| found.get(name).map(|topic| topic.mark));
        if marks.iter().zip(self.marks).any(|(now, before)| before.is_some() && *now != before) {
            tracing::warn!(source = %self.log.region, "a topic is not the one that it was");
            self.doubt();
            return Ok(());
        }
        if let Err(refused) = self.judge(&found) {
            self.doubt();
            return Err(refused);
        }
        let mut stalled = false;
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            if !lane.is_read || lane.heard_at.elapsed() < SILENCE {
                continue;
            }
            let (topic, partition) = self.log.address(lane.lane)?;
            let failed = self.log.failed("ask for the end of the log");
            let Some(consumer) = &self.consumer else { return Ok(()) };
            let (_, end) =
                consumer.fetch_watermarks(topic, partition, ANSWER_WAIT).map_err(failed)?;
            let has_more = end.max(0) as u64 > Place::of(lane.next).offset;
            let before = self.lanes[index].behind_at.take();
            if has_more {
                let next = self.lanes[index].next;
                self.lanes[index].behind_at = Some(next);
                stalled |= before == Some(next);
            }
        }
        if stalled {
            tracing::warn!(source = %self.log.region,
                "nothing comes of a log in which there is more: it is opened anew");
            self.start_over();
        }
        Ok(())
    }

    /// Takes what the client has, and waits for the first of it.
    fn fill(&mut self, mut wait: Duration) {
        let ahead = self.lanes.iter().filter(|lane| !lane.paused);
        let (mut records, mut bytes) = ahead.fold((0, 0), |(records, bytes), lane| {
            (records + lane.fetched.len(), bytes + lane.fetched_bytes)
        });
        while records < AHEAD_RECORDS && bytes < AHEAD_BYTES {
            let Some(consumer) = &self.consumer else { return };
            let polled = consumer.poll(std::mem::take(&mut wait)).map(|message| {
                let message = message?;
                bytes += message.payload_len();
                let is_control = message.topic() == self.log.control;
                Ok((is_control, message.partition(), message.offset(), item(&message)))
            });
            match polled {
                None => return,
                Some(Err(error)) => self.stumble(&error),
                Some(Ok((is_control, partition, offset, item))) => {
                    records += 1;
                    self.accept(is_control, partition, offset, item);
                }
            }
        }
    }

    fn accept(&mut self, is_control: bool, partition: i32, offset: i64, item: Item) {
        let lane = match u32::try_from(partition) {
            _ if is_control => Lane::Control,
            Ok(partition) => Lane::Changes(partition),
            Err(_) => return,
        };
        let Some(index) = self.index(lane) else { return };
        let (Some(mark), Ok(offset)) = (self.mark(index), u64::try_from(offset)) else { return };
        let lane = &mut self.lanes[index];
        // What was on its way when the lane was stopped, or moved on, is not what is read now.
        if !lane.is_read || offset < Place::of(lane.next).offset {
            return;
        }
        let place = |offset| Place { mark, offset }.position();
        lane.push(place(offset), place(offset + 1), item, Instant::now());
        self.gets_over_it();
    }

    /// The client gets over most errors by itself; what it cannot is what it was told to leave to
    /// us.
    fn stumble(&mut self, error: &KafkaError) {
        let mut holds = Duration::ZERO;
        match error {
            KafkaError::MessageConsumptionFatal(_) => self.start_over(),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => holds = REFUSAL_HOLDS,
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => return self.doubt(),
            _ => {}
        }
        let failed = Failed::after(error.clone(), &self.told);
        self.complain(&failed, holds);
    }

    /// The same, of what was asked.
    fn complain_of(&mut self, error: BusError) {
        let error = client::after(error, &self.told);
        match std::error::Error::source(&error) {
            Some(source) => self.complain(source, ASKING_HOLDS),
            None => self.complain(&error, ASKING_HOLDS),
        }
    }

    /// Notes what is wrong.
    fn complain(&mut self, source: &dyn std::fmt::Display, holds: Duration) {
        let what = format!("{source} (cluster {})", self.log.cluster.bootstrap_servers);
        let holds_until = Instant::now() + holds;
        match &self.trouble {
            // What follows from it may be less grave.
            Some(trouble) if trouble.what != what && trouble.holds_until > holds_until => {}
            _ => self.trouble = Some(Trouble { what, holds_until }),
        }
    }

    /// The log can be read.
    fn gets_over_it(&mut self) {
        self.trouble.take_if(|trouble| trouble.holds_until <= Instant::now());
    }

    fn take(&mut self, mut budget: Budget) -> Vec<Delivery> {
        let mut out = Vec::new();
        let (first, count) = (self.first, self.lanes.len());
        self.first = (first + 1) % count;
        for index in (first..count).chain(0..first) {
            self.lanes[index].take(&mut budget, &mut out);
        }
        out
    }

    fn index(&self, lane: Lane) -> Option<usize> {
        self.log.index(lane).ok()
    }
}

impl Reader for KafkaReader {
    fn poll(
        &mut self,
        max_records: usize,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        let started = Instant::now();
        let mut wait = Duration::ZERO;
        loop {
            match self.look_after() {
                Ok(true) => self.gets_over_it(),
                Ok(false) => {}
                // A cluster that does not answer is waited for; other software is not.
                Err(error @ BusError::Kafka { .. }) => {
                    // It tells what is wrong when it is polled.
                    self.fill(TELL_WAIT);
                    self.complain_of(error);
                    self.give_up_in_time();
                }
                Err(error) => return Err(error),
            }
            // Between two looks it is no better than at the first.
            if let Some(report) = self.refused.clone() {
                return Err(BusError::Topics { region: self.log.region.clone(), report });
            }
            self.fill(wait);
            let out = self.take(Budget { records: max_records, bytes: max_bytes });
            let left = timeout.saturating_sub(started.elapsed());
            if !out.is_empty() || max_records == 0 || left.is_zero() {
                return Ok(out);
            }
            wait = left.min(TICK);
            if self.consumer.is_none() {
                std::thread::sleep(wait);
            }
        }
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.as_ref().map(|trouble| trouble.what.clone())
    }

    fn seek(&mut self, lane: Lane, position: u64) {
        let Some(index) = self.index(lane) else { return };
        self.stop(index);
        self.lanes[index].seek(position);
        if let Some(mark) = self.mark(index) {
            self.lanes[index].is_other_topic = Place::of(position).mark.contradicts(mark);
        }
        self.look_at = Instant::now();
    }

    fn pause(&mut self, lane: Lane) {
        if let Some(index) = self.index(lane) {
            self.stop(index);
            self.lanes[index].paused = true;
        }
    }

    fn resume(&mut self, lane: Lane) {
        if let Some(index) = self.index(lane) {
            self.lanes[index].paused = false;
            self.look_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bus_at;
    use super::*;

    #[test]
    fn what_is_refused_is_said_though_other_lanes_are_read() {
        let log = bus_at("h:9092", "syncline").log(&"a".parse().unwrap()).unwrap();
        let mut reader = KafkaReader::new(log, &[]).unwrap();
        let says = |reader: &KafkaReader, what: &str| {
            reader.trouble().is_some_and(|said| said.contains(what) && said.contains("h:9092"))
        };
        // A record that arrives ends what the client gets over by itself.
        reader.stumble(&KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure));
        assert!(says(&reader, "BrokerTransportFailure"));
        reader.gets_over_it();
        assert_eq!(reader.trouble(), None);
        let refused = RDKafkaErrorCode::TopicAuthorizationFailed;
        reader.stumble(&KafkaError::MessageConsumption(refused));
        reader.gets_over_it();
        reader.stumble(&KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure));
        assert!(says(&reader, "TopicAuthorizationFailed"));
        reader.trouble.as_mut().unwrap().holds_until = Instant::now();
        reader.gets_over_it();
        assert_eq!(reader.trouble(), None);
    }
}
