//! A region's own topics: making them, and holding them against what they must be.
//!
//! - There are as many partitions as the configuration says, or more: see [`too_many`].
//! - `cleanup.policy` is `delete`: compaction keeps one record a key, and all heartbeats have one
//!   key.
//! - `retention.ms` is what is configured, but -1 for the control topic: what is deleted before a
//!   region has read it must be sent again, and a region that joins reads control records from the
//!   first.
//! - `retention.bytes` is -1: a size that is reached early deletes what time would keep.
//! - `max.message.bytes` is 4 MiB: the largest record of the format.
//! - `min.insync.replicas` is one less than there are replicas, but one at least: what is confirmed
//!   is on more than one disk, and one broker may be away.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Failed, Told};
use super::describe::Described;
use super::{ANSWER_WAIT, Log};
use crate::{BusError, PAYLOAD_BYTES_MAX};

/// The largest batch that a topic takes, and so the largest record: 4 MiB, as the contract has it.
pub(super) const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX;

/// How long making topics may take until the cluster shows them.
const MAKING_WAIT: Duration = Duration::from_secs(15);
/// How often the cluster is asked for topics just made.
const MAKING_LOOK: Duration = Duration::from_millis(100);

/// Where the settings name no number, a topic has so many replicas, or as many as there are
/// brokers.
const REPLICAS: usize = 3;

/// How a region's topics are made, and what they are held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// How long changes are kept: longer than a region is ever dark, or what it missed must be sent
    /// again.
    pub retention: Duration,
    /// Copies of each partition; where it is not named, 3, or as many as there are brokers.
    pub replicas: Option<u32>,
    /// In how many copies a record must be before it is confirmed; where it is not named, one less
    /// than there are replicas, but one at least.
    pub min_insync_replicas: Option<u32>,
}

impl Default for TopicSettings {
    /// Seven days.
    fn default() -> Self {
        let retention = Duration::from_secs(7 * 24 * 60 * 60);
        Self { retention, replicas: None, min_insync_replicas: None }
    }
}

/// What a check found that found nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicsFound {
    /// Both topics, as they must be.
    Sound,
    /// Both topics can be used, though they are not as they would be made; this is said of them.
    Usable(Vec<String>),
    /// These are not there; the region's publisher makes them.
    Missing(Vec<String>),
}

impl TopicSettings {
    pub(super) fn min_insync(&self, replicas: u32) -> u32 {
        self.min_insync_replicas.unwrap_or(replicas.saturating_sub(1)).max(1)
    }
}

/// Makes what is missing, and checks what is there.
pub(super) fn ensure(log: &Log, settings: &TopicSettings) -> Result<(), BusError> {
    log.ask(|asking| {
        let mut found = log.describe(asking, ANSWER_WAIT)?;
        let admin = admin(log)?;
        if found.len() < log.topics().len() {
            make(log, settings, asking, &admin, &found)?;
            let until = Instant::now() + MAKING_WAIT;
            while found.len() < log.topics().len() {
                if Instant::now() > until {
                    let timed_out = KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut);
                    return Err(log.failed("wait for its new topics")(timed_out));
                }
                thread::sleep(MAKING_LOOK);
                found = log.describe(asking, ANSWER_WAIT)?;
            }
        }
        examine(log, settings, &admin, &found)?;
        // A partition that nobody needs may be offline.
        if let Ok(Some(report)) = used_beyond(log, asking, &found) {
            return Err(BusError::Topics { region: log.region.clone(), report });
        }
        for what in too_many(log, &found) {
            tracing::warn!(region = %log.region, "{what}");
        }
        Ok(())
    })
}

/// As [`ensure`], but makes nothing.
pub(super) fn check(log: &Log, settings: &TopicSettings) -> Result<TopicsFound, BusError> {
    let found = log.ask(|asking| {
        let found = log.describe(asking, ANSWER_WAIT)?;
        examine(log, settings, &admin(log)?, &found)?;
        match used_beyond(log, asking, &found)? {
            None => Ok(found),
            Some(report) => Err(BusError::Topics { region: log.region.clone(), report }),
        }
    })?;
    let missing = log.topics().into_iter().map(|(name, _)| name.to_owned());
    let missing: Vec<String> = missing.filter(|name| !found.contains_key(name)).collect();
    if !missing.is_empty() {
        return Ok(TopicsFound::Missing(missing));
    }
    let more = too_many(log, &found);
    Ok(if more.is_empty() { TopicsFound::Sound } else { TopicsFound::Usable(more) })
}

/// What is said of a topic in which there are records beyond the partitions that are read: whoever
/// writes them would be heard in part.
pub(super) fn used_beyond(
    log: &Log,
    asking: &BaseConsumer<Told>,
    found: &BTreeMap<String, Described>,
) -> Result<Option<String>, BusError> {
    let (topic, wanted) = (&log.changes, log.partitions);
    let Some(found) = found.get(topic) else { return Ok(None) };
    for partition in wanted..found.partitions {
        let (start, end) = asking
            .fetch_watermarks(topic, partition.cast_signed(), ANSWER_WAIT)
            .map_err(|error| Failed::about(error, format!("{topic}/{partition}")))
            .map_err(log.failed("ask for the ends of a log"))?;
        if start < end {
            return Ok(Some(format!(
                "{topic}: bus.partitions is {wanted} here, and there are records in partition \
                 {partition} of {}: where they were written it is or was another number. It has to be \
                 the same in every region, for good. Only if they are no region's, remove them by \
                 kafka-delete-records.sh",
                found.partitions
            )));
        }
    }
    Ok(None)
}

/// What is said of topics that lack partitions: they cannot be used.
pub(super) fn too_few(log: &Log, found: &BTreeMap<String, Described>) -> Vec<String> {
    of_partitions(
        log,
        found,
        |wanted, found| found < wanted,
        |topic, wanted, found| {
            let remedy = format!(
                "If the region has never run, raise it: kafka-topics.sh --alter --topic {topic} \
                 --partitions {wanted}. If it has, bus.partitions is another in its configuration \
                 than here: it is the same in every region, and never changes"
            );
            format!("{topic}: it has {found} partitions, it must have {wanted}. {remedy}")
        },
    )
}

/// What is said of topics with more partitions than are used, which nothing can take away.
pub(super) fn too_many(log: &Log, found: &BTreeMap<String, Described>) -> Vec<String> {
    of_partitions(
        log,
        found,
        |wanted, found| found > wanted,
        |topic, wanted, found| {
            let used = format!("{topic}: it has {found} partitions, of which");
            if topic == log.control {
                return format!("{used} the first is used, as there should be one");
            }
            format!(
                "{used} the first {wanted} are used, as many as there should be; bus.partitions \
                 stays {wanted} in every region"
            )
        },
    )
}

fn of_partitions(
    log: &Log,
    found: &BTreeMap<String, Described>,
    is_so: impl Fn(u32, u32) -> bool,
    said: impl Fn(&str, u32, u32) -> String,
) -> Vec<String> {
    let topics = log.topics().into_iter();
    let topics = topics.filter_map(|(name, wanted)| {
        let found = found.get(name)?.partitions;
        is_so(wanted, found).then(|| said(name, wanted, found))
    });
    topics.collect()
}

pub(super) fn admin(log: &Log) -> Result<AdminClient<Told>, BusError> {
    let config = log.cluster.config();
    config.create_with_context(Told::default()).map_err(log.failed("connect to its cluster"))
}

pub(super) fn patience() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_WAIT)).operation_timeout(Some(ANSWER_WAIT))
}

/// How many copies a topic gets.
pub(super) fn replicas(
    log: &Log,
    settings: &TopicSettings,
    asking: &BaseConsumer<Told>,
) -> Result<u32, BusError> {
    if let Some(replicas) = settings.replicas {
        return Ok(replicas);
    }
    let (any, _) = log.topics()[0];
    let cluster = asking.client().fetch_metadata(Some(any), ANSWER_WAIT);
    let cluster = cluster.map_err(log.failed("ask for its brokers"))?;
    Ok(cluster.brokers().len().clamp(1, REPLICAS) as u32)
}

fn make(
    log: &Log,
    settings: &TopicSettings,
    asking: &BaseConsumer<Told>,
    admin: &AdminClient<Told>,
    found: &BTreeMap<String, Described>,
) -> Result<(), BusError> {
    let failed = log.failed("make its topics");
    let replicas = replicas(log, settings, asking)?;
    let (retention, bytes) =
        (settings.retention.as_millis().to_string(), MESSAGE_BYTES_MAX.to_string());
    let min_insync = settings.min_insync(replicas).to_string();
    let missing = log.topics().into_iter().filter(|(name, _)| !found.contains_key(*name));
    let missing: Vec<NewTopic<'_>> = missing
        .map(|(name, partitions)| {
            let retention = if name == log.control { "-1" } else { &*retention };
            NewTopic::new(name, partitions as i32, TopicReplication::Fixed(replicas as i32))
                .set("cleanup.policy", "delete")
                .set("retention.ms", retention)
                .set("retention.bytes", "-1")
                .set("max.message.bytes", &bytes)
                .set("min.insync.replicas", &min_insync)
        })
        .collect();
    let made = wait_for(admin.create_topics(&missing, &patience()));
    for made in made.map_err(|error| failed(error.into()))? {
        match made {
            Ok(topic) => tracing::info!(region = %log.region, topic, "a topic was made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(failed(Failed::about(KafkaError::AdminOp(code), topic)));
            }
        }
    }
    Ok(())
}

/// Everything that is wrong with the topics, in one report.
fn examine(
    log: &Log,
    settings: &TopicSettings,
    admin: &AdminClient<Told>,
    found: &BTreeMap<String, Described>,
) -> Result<(), BusError> {
    if found.is_empty() {
        return Ok(());
    }
    let failed = log.failed("read the settings of its topics");
    let asked: Vec<_> = found.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
    let described = wait_for(admin.describe_configs(&asked, &patience())).map_err(&failed)?;
    let mut report = too_few(log, found);
    for config in described {
        let config = config.map_err(|code| failed(KafkaError::AdminOp(code)))?;
        let OwnedResourceSpecifier::Topic(name) = &config.specifier else { continue };
        let Some(topic) = found.get(name) else { continue };
        let config: BTreeMap<&str, &str> = config
            .entries
            .iter()
            .filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)))
            .collect();
        let is_control = *name == log.control;
        let wrong = wrong_settings(settings, is_control, topic.replicas, &config);
        report.extend(wrong.into_iter().map(|what| format!("{name}: {what}")));
    }
    if report.is_empty() {
        return Ok(());
    }
    Err(BusError::Topics { region: log.region.clone(), report: report.join("; ") })
}

/// What is wrong with a topic's settings, and why it matters.
fn wrong_settings(
    settings: &TopicSettings,
    is_control: bool,
    replicas: u32,
    config: &BTreeMap<&str, &str>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let number = |name: &str| config.get(name).and_then(|value| value.parse::<i64>().ok());
    let shown = |name: &str| (*config.get(name).unwrap_or(&"not told")).to_owned();
    if config.get("cleanup.policy") != Some(&"delete") {
        wrong.push(format!(
            "cleanup.policy is {}, it must be delete: compaction would remove records that are not \
             outdated",
            shown("cleanup.policy")
        ));
    }
    let kept_ms = number("retention.ms");
    let wanted_ms = i64::try_from(settings.retention.as_millis()).unwrap_or(i64::MAX);
    let is_enough = |kept: i64| kept == -1 || (!is_control && kept >= wanted_ms);
    if !kept_ms.is_some_and(is_enough) {
        let (must, why) = if is_control {
            ("-1".to_owned(), "a region that joins reads every control record")
        } else {
            (format!("-1, or {wanted_ms} or more"), "it is what the configuration asks for")
        };
        wrong.push(format!("retention.ms is {}, it must be {must}: {why}", shown("retention.ms")));
    }
    if number("retention.bytes") != Some(-1) {
        wrong.push(format!(
            "retention.bytes is {}, it must be -1: records would be deleted before their time",
            shown("retention.bytes")
        ));
    }
    if number("max.message.bytes").is_none_or(|bytes| bytes < MESSAGE_BYTES_MAX as i64) {
        wrong.push(format!(
            "max.message.bytes is {}, it must be {MESSAGE_BYTES_MAX} or more: larger records would \
             be refused, and all behind them wait",
            shown("max.message.bytes")
        ));
    }
    let min_insync = number("min.insync.replicas");
    let wanted = i64::from(settings.min_insync(replicas));
    if min_insync.is_none_or(|count| count < wanted) {
        wrong.push(format!(
            "min.insync.replicas is {}, it must be {wanted} or more: a record would be confirmed \
             with fewer copies",
            shown("min.insync.replicas")
        ));
    }
    if min_insync.is_some_and(|count| count > i64::from(replicas)) {
        wrong.push(format!(
            "min.insync.replicas is {}, but there are {replicas} replicas: no record would be \
             taken",
            shown("min.insync.replicas")
        ));
    }
    wrong
}

/// Waits for what a thread of the admin client will complete.
pub(super) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cluster;
    use super::super::place::Mark;
    use super::*;

    const WEEK_MS: &str = "604800000";

    fn sound(retention: &'static str) -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            ("cleanup.policy", "delete"),
            ("retention.ms", retention),
            ("retention.bytes", "-1"),
            ("max.message.bytes", "4194304"),
            ("min.insync.replicas", "2"),
        ])
    }

    fn wrong(is_control: bool, config: &BTreeMap<&str, &str>) -> Vec<String> {
        wrong_settings(&TopicSettings::default(), is_control, 3, config)
    }

    #[test]
    fn sound_topics_are_taken() {
        assert_eq!(wrong(false, &sound(WEEK_MS)), Vec::<String>::new());
        assert_eq!(wrong(false, &sound("-1")), Vec::<String>::new());
        assert_eq!(wrong(true, &sound("-1")), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_setting_is_named_with_what_it_must_be() {
        for (is_control, name, value, must) in [
            (false, "cleanup.policy", "compact", "must be delete"),
            (true, "cleanup.policy", "compact,delete", "must be delete"),
            (false, "retention.ms", "604799999", "-1, or 604800000 or more"),
            (true, "retention.ms", WEEK_MS, "must be -1:"),
            (false, "retention.bytes", "1073741824", "must be -1"),
            (true, "max.message.bytes", "1048588", "4194304 or more"),
            (false, "min.insync.replicas", "1", "2 or more"),
            (false, "min.insync.replicas", "4", "there are 3 replicas"),
        ] {
            let mut config = sound("-1");
            config.insert(name, value);
            let wrong = wrong(is_control, &config);
            assert_eq!(wrong.len(), 1, "{name} {value}: {wrong:?}");
            assert!(wrong[0].starts_with(&format!("{name} is {value}")), "{wrong:?}");
            assert!(wrong[0].contains(must), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_cluster_does_not_tell_is_wrong() {
        let wrong = wrong(true, &BTreeMap::new());
        assert_eq!(wrong.len(), 5);
        assert!(wrong.iter().all(|what| what.contains("is not told")), "{wrong:?}");
    }

    #[test]
    fn copies_follow_from_replicas_where_they_are_not_named() {
        let settings = TopicSettings::default();
        assert_eq!([1, 2, 3, 5].map(|replicas| settings.min_insync(replicas)), [1, 1, 2, 4]);
        let named = TopicSettings { min_insync_replicas: Some(1), ..settings };
        assert_eq!(named.min_insync(3), 1);
    }

    #[test]
    fn partitions_that_lack_are_refused_and_those_beyond_are_told() {
        let cluster = Cluster { bootstrap_servers: "x:1".into(), security: BTreeMap::new() };
        let log = Log {
            region: "eu".parse().unwrap(),
            cluster,
            partitions: 8,
            changes: "syncline.changes.eu".into(),
            control: "syncline.control.eu".into(),
        };
        let said = |changes, control| {
            let topic = |partitions| Described { partitions, replicas: 1, mark: Mark::default() };
            let found = BTreeMap::from([
                (log.changes.clone(), topic(changes)),
                (log.control.clone(), topic(control)),
            ]);
            (too_few(&log, &found), too_many(&log, &found))
        };
        assert_eq!(said(8, 1), (vec![], vec![]));
        let (few, many) = said(6, 2);
        let [few, many] = [few, many].map(|said| said.join("; "));
        for part in ["syncline.changes.eu: it has 6 ", "must have 8", "--partitions 8"] {
            assert!(few.contains(part), "{few}");
        }
        assert!(!few.contains("control"), "{few}");
        assert!(many.starts_with("syncline.control.eu: it has 2 partitions, of which"), "{many}");
        assert!(!many.contains("bus.partitions"), "{many}");
        let (few, many) = said(9, 1);
        assert!(
            few.is_empty() && many[0].contains("9 partitions, of which the first 8"),
            "{many:?}"
        );
        assert!(many[0].contains("bus.partitions stays 8"), "{many:?}");
    }
}
