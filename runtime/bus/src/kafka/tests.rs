//! Against a real broker, whose address `SYNCLINE_TEST_KAFKA` tells; `cargo xtask test` starts one.

use std::ffi::CString;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::bindings as native;
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::topics::wait_for;
use super::*;
use crate::{Delivery, Envelope, Item, Outgoing, conformance};

const LANE: Lane = Lane::Changes(0);
const PATIENCE: Duration = Duration::from_secs(60);

fn source() -> RegionId {
    "us-east-1".parse().unwrap()
}

fn cluster(address: &str) -> Cluster {
    Cluster { bootstrap_servers: address.to_owned(), security: BTreeMap::new() }
}

pub(super) fn bus_at(address: &str, prefix: &str) -> KafkaBus {
    let regions = ["a", "b", "late", "us-east-1"];
    let options = KafkaOptions {
        partitions: PartitionCount::new(2).unwrap(),
        clusters: regions.map(|region| (region.to_owned(), cluster(address))).into(),
        topics: TopicSettings::default(),
    };
    KafkaBus::open_with_prefix(options, prefix.to_owned()).unwrap()
}

/// Topics that no other test has.
struct Scene {
    address: String,
    prefix: String,
}

impl Scene {
    /// None where there is no broker; `cargo xtask test` says then that something was left out.
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(address) = std::env::var("SYNCLINE_TEST_KAFKA") else {
            eprintln!("left out: SYNCLINE_TEST_KAFKA names no broker");
            return None;
        };
        let (number, pid) = (COUNT.fetch_add(1, Ordering::Relaxed), std::process::id());
        Some(Self { address, prefix: format!("test-{pid}-{number}") })
    }

    fn bus(&self) -> KafkaBus {
        bus_at(&self.address, &self.prefix)
    }

    fn topic(&self) -> String {
        self.bus().log(&source()).unwrap().changes
    }

    fn config(&self) -> ClientConfig {
        cluster(&self.address).config()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    fn make(&self, topic: NewTopic<'_>) {
        let made = wait_for(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(made[0].is_ok(), "{made:?}");
    }

    /// Gives the topic more partitions, and waits until all of the cluster says so.
    fn widen(&self, partitions: usize) {
        let (admin, topic) = (self.admin(), self.topic());
        let more = NewPartitions::new(&topic, partitions);
        let made = wait_for(admin.create_partitions([&more], &AdminOptions::new())).unwrap();
        assert!(made[0].is_ok(), "{made:?}");
        let (log, until) = (self.bus().log(&source()).unwrap(), Instant::now() + PATIENCE);
        let found = || log.ask(|asking| log.describe(asking, PATIENCE)).unwrap()[&topic].partitions;
        while found() as usize != partitions {
            assert!(Instant::now() < until, "the topic stays as it was");
        }
    }

    /// One record, though the topic's settings are wrong.
    fn produce_anyhow(&self) {
        let (foreign, topic): (BaseProducer, _) = (self.config().create().unwrap(), self.topic());
        let record = BaseRecord::<[u8], [u8]>::to(&topic).partition(0).payload(b"0");
        foreign.send(record).map_err(|(error, _)| error).unwrap();
        foreign.flush(PATIENCE).unwrap();
    }

    fn produce(&self, numbers: std::ops::Range<usize>) {
        self.bus().publisher(&source()).unwrap().produce(&records(numbers)).unwrap();
    }

    fn reader(&self, position: u64) -> Box<dyn Reader> {
        self.bus().reader(&source(), &[(LANE, position)]).unwrap()
    }

    fn end(&self) -> u64 {
        self.bus().ends(&source()).unwrap()[0].1
    }

    fn delete_topic(&self) {
        let (admin, topic) = (self.admin(), self.topic());
        wait_for(admin.delete_topics(&[&topic], &AdminOptions::new())).unwrap();
        let until = Instant::now() + PATIENCE;
        while matches!(self.bus().check(&source()), Ok(TopicsFound::Sound)) {
            assert!(Instant::now() < until, "the topic is still there");
        }
    }
}

fn records(numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    let record = |n: usize| {
        let (headers, payload) = (vec![], n.to_string().into_bytes());
        Outgoing { lane: LANE, envelope: Envelope { key: "t/1".into(), headers, payload } }
    };
    numbers.map(record).collect()
}

fn read(reader: &mut dyn Reader, count: usize) -> Vec<Delivery> {
    let mut found = Vec::new();
    while found.len() < count {
        let batch = reader.poll(count - found.len(), 1 << 20, PATIENCE).unwrap();
        assert!(!batch.is_empty(), "only {} of {count} came", found.len());
        found.extend(batch);
    }
    found
}

/// A record's text; of anything else what it is.
fn shown(delivery: &Delivery) -> String {
    match &delivery.item {
        Item::Record(envelope) => String::from_utf8_lossy(&envelope.payload).into_owned(),
        Item::Corrupt { reason, .. } => format!("corrupt: {reason}"),
        Item::Moved { reason, .. } => format!("moved: {reason}"),
    }
}

fn all_shown(found: &[Delivery]) -> Vec<String> {
    found.iter().map(shown).collect()
}

#[test]
fn it_is_a_bus() {
    if Scene::new().is_some() {
        conformance::check(|| Scene::new().unwrap().bus());
    }
}

#[test]
fn an_incarnation_has_topics_of_its_own() {
    let log = bus_at("127.0.0.1:1", "syncline").log(&"us-east-1#2".parse().unwrap()).unwrap();
    assert_eq!(log.changes, "syncline.changes.us-east-1.2");
    assert_eq!(log.control, "syncline.control.us-east-1.2");
    let log = bus_at("127.0.0.1:1", "syncline").log(&source()).unwrap();
    assert_eq!(log.changes, "syncline.changes.us-east-1");
}

#[test]
fn a_position_is_told_by_its_offset() {
    let bus = bus_at("127.0.0.1:1", "x");
    let mark = place::Mark::of(7, 9);
    assert_eq!(bus.offset(Place { mark, offset: 4096 }.position()), Some(4096));
}

#[test]
fn a_region_without_a_cluster_is_named() {
    let refused = bus_at("127.0.0.1:1", "x").ends(&"nowhere".parse().unwrap());
    assert!(matches!(refused, Err(BusError::NoCluster { .. })));
}

#[test]
fn only_security_can_be_set() {
    let set = |name: &str, value: &str| {
        let mut cluster = cluster("127.0.0.1:1");
        cluster.security.insert(name.into(), value.into());
        cluster.check("eu").map_err(|error| error.to_string())
    };
    assert_eq!(set("security.protocol", "plaintext"), Ok(()));
    assert!(set("acks", "1").unwrap_err().contains("\"acks\" cannot be set"));
    let told = set("security.protocol", "a secret").unwrap_err();
    assert!(told.contains("security.protocol") && !told.contains("a secret"), "{told}");
    let without = set("security.protocol", "ssl");
    let scram = {
        let mut cluster = cluster("127.0.0.1:1");
        for (name, value) in [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanisms", "SCRAM-SHA-512"),
            ("sasl.username", "a"),
            ("sasl.password", "hunter2"),
        ] {
            cluster.security.insert(name.into(), value.into());
        }
        cluster.check("eu").map_err(|error| error.to_string())
    };
    for built in [without, scram] {
        match cfg!(feature = "tls") {
            true => assert_eq!(built, Ok(())),
            false => {
                let told = built.unwrap_err();
                assert!(told.contains("--features tls") && !told.contains("hunter2"), "{told}");
            }
        }
    }
    let mut secret = cluster("127.0.0.1:1");
    secret.security.insert("sasl.password".into(), "hunter2".into());
    assert!(!format!("{secret:?}").contains("hunter2"));
}

/// Nobody listens there.
fn dark_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_dark_cluster_is_waited_for() {
    let address = dark_address();
    let bus = bus_at(&address, "syncline");
    let mut publisher = bus.publisher(&source()).unwrap();
    let refused = publisher.produce(&records(0..1));
    assert!(matches!(refused, Err(BusError::Kafka { .. })), "{refused:?}");
    // Why, and where.
    let why = |error: BusError| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    };
    let refused = |said: &str| said.contains(&address) && said.contains("Connection refused");
    let said = why(publisher.produce(&records(0..1)).unwrap_err());
    assert!(refused(&said) && !said.contains("(after "), "{said}");
    let said = why(bus.ends(&source()).unwrap_err());
    assert!(refused(&said), "{said}");
    let mut reader = bus.reader(&source(), &[]).unwrap();
    assert_eq!(reader.trouble(), None);
    assert_eq!(reader.poll(1, 1, Duration::from_millis(1)).unwrap(), []);
    let said = reader.trouble().unwrap();
    assert!(refused(&said), "{said}");
}

#[test]
fn topics_are_made_as_they_must_be() {
    let Some(scene) = Scene::new() else { return };
    let bus = scene.bus();
    let log = bus.log(&source()).unwrap();
    let missing = TopicsFound::Missing(vec![log.changes, log.control]);
    assert_eq!(bus.check(&source()).unwrap(), missing);
    drop(bus.publisher(&source()).unwrap());
    assert_eq!(bus.check(&source()).unwrap(), TopicsFound::Sound);
    drop(bus.publisher(&source()).unwrap());
}

#[test]
fn wrong_topics_are_reported_and_not_written_to() {
    let Some(scene) = Scene::new() else { return };
    let topic = scene.topic();
    let wrong = NewTopic::new(&topic, 2, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("max.message.bytes", "1000000");
    scene.make(wrong);
    let Err(BusError::Topics { report, .. }) = scene.bus().publisher(&source()).map(drop) else {
        panic!("the topic was taken as it is");
    };
    for part in [topic.as_str(), "cleanup.policy is compact", "max.message.bytes is 1000000"] {
        assert!(report.contains(part), "{report}");
    }
}

#[test]
fn topics_that_lack_partitions_are_refused_for_as_long_as_they_do() {
    let Some(scene) = Scene::new() else { return };
    let topic = scene.topic();
    let few = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("retention.bytes", "7");
    scene.make(few);
    let report = |error: BusError| match error {
        BusError::Topics { report, .. } => report,
        other => panic!("{other}"),
    };
    let said = format!("{topic}: it has 1 partitions, it must have 2");
    let refused = report(scene.bus().publisher(&source()).map(drop).unwrap_err());
    assert!(refused.contains(&said) && refused.contains("retention.bytes is 7"), "{refused}");
    assert!(report(scene.bus().ends(&source()).unwrap_err()).contains(&said));
    let mut reader = scene.reader(0);
    // Those between two looks at the topics, too.
    for _ in 0..20 {
        let refused = reader.poll(1, 1, Duration::from_millis(20));
        assert!(report(refused.unwrap_err()).contains(&said));
    }
    scene.widen(2);
    scene.produce_anyhow();
    let until = Instant::now() + PATIENCE;
    while reader.poll(1, 1, Duration::from_millis(20)).map_or(true, |found| found.is_empty()) {
        assert!(Instant::now() < until);
    }
}

#[test]
fn partitions_beyond_those_that_there_should_be_are_left_alone() {
    let Some(scene) = Scene::new() else { return };
    scene.produce(0..3);
    let mut reader = scene.reader(0);
    assert_eq!(all_shown(&read(&mut *reader, 3)), ["0", "1", "2"]);
    scene.widen(5);
    let Ok(TopicsFound::Usable(said)) = scene.bus().check(&source()) else { panic!() };
    assert!(said[0].contains("has 5 partitions, of which the first 2 are used"), "{said:?}");
    scene.produce(3..5);
    assert_eq!(all_shown(&read(&mut *reader, 2)), ["3", "4"]);
    assert_eq!(scene.bus().ends(&source()).unwrap().len(), 3);
    assert_eq!(all_shown(&read(&mut *scene.reader(0), 5)), ["0", "1", "2", "3", "4"]);
}

#[test]
fn a_log_that_would_be_heard_in_part_is_refused() {
    let Some(scene) = Scene::new() else { return };
    scene.produce(0..3);
    scene.widen(5);
    // As does a region that has five.
    let foreign: BaseProducer = scene.config().create().unwrap();
    let topic = scene.topic();
    let record = BaseRecord::<[u8], [u8]>::to(&topic).partition(3).payload(b"foreign");
    foreign.send(record).map_err(|(error, _)| error).unwrap();
    foreign.flush(PATIENCE).unwrap();
    let said = |refused: Option<BusError>| match refused {
        Some(BusError::Topics { report, .. }) => {
            for part in ["bus.partitions is 2 here", "records in partition 3 of 5"] {
                assert!(report.contains(part), "{report}");
            }
        }
        other => panic!("{other:?}"),
    };
    said(scene.bus().check(&source()).err());
    // The region itself may have lost its folder, and gained a wrong number.
    said(scene.bus().publisher(&source()).map(drop).err());
    said(scene.reader(0).poll(1, 1, PATIENCE).err());
}

#[test]
fn a_topic_that_was_made_again_is_read_from_its_start() {
    let Some(scene) = Scene::new() else { return };
    scene.produce(0..5);
    let kept = scene.end();
    let mut running = scene.reader(kept);
    assert_eq!(running.poll(1, 1, Duration::from_millis(300)).unwrap(), []);
    scene.delete_topic();
    // So many that the position kept is one of the new topic as well.
    scene.produce(10..20);
    let mut expected = vec!["moved: the topic was deleted and made again".to_owned()];
    expected.extend((10..20).map(|n| n.to_string()));
    let mut restarted = scene.reader(kept);
    let found = read(&mut *restarted, 11);
    assert_eq!(all_shown(&found), expected);
    let Item::Moved { asked, start, .. } = found[0].item else { panic!("{:?}", found[0]) };
    assert_eq!((asked, start), (kept, 0));
    assert_eq!(found[10].next_position, scene.end());
    // One that was reading all along gets there too, be it after some records of the new topic.
    let until = Instant::now() + 2 * PATIENCE;
    let mut found = Vec::new();
    while !all_shown(&found).ends_with(&expected) {
        assert!(Instant::now() < until, "{:?}", all_shown(&found));
        found.extend(running.poll(100, 1 << 20, Duration::from_secs(1)).unwrap());
    }
}

#[test]
fn a_publisher_makes_a_topic_again_that_was_deleted() {
    let Some(scene) = Scene::new() else { return };
    let mut publisher = scene.bus().publisher(&source()).unwrap();
    publisher.produce(&records(0..5)).unwrap();
    scene.delete_topic();
    let until = Instant::now() + PATIENCE;
    while let Err(error) = publisher.produce(&records(5..8)) {
        assert!(Instant::now() < until, "{error:?}");
    }
    let found = all_shown(&read(&mut *scene.reader(0), 3));
    assert_eq!(found, ["5", "6", "7"]);
}

#[test]
fn a_position_that_was_deleted_is_told() {
    let Some(scene) = Scene::new() else { return };
    scene.produce(0..10);
    let mut deleted = TopicPartitionList::new();
    deleted.add_partition_offset(&scene.topic(), 0, Offset::Offset(6)).unwrap();
    let admin = scene.admin();
    wait_for(admin.delete_records(&deleted, &AdminOptions::new())).unwrap();
    let found = read(&mut *scene.reader(0), 5);
    let mut expected = vec!["moved: the log does not hold the position any more".to_owned()];
    expected.extend((6..10).map(|n| n.to_string()));
    assert_eq!(all_shown(&found), expected);
    assert_eq!((found[0].position, found[0].next_position), (0, found[1].position));
}

#[test]
fn foreign_records_harm_nobody() {
    let Some(scene) = Scene::new() else { return };
    scene.produce(0..1);
    let topic = scene.topic();
    let foreign: BaseProducer = scene.config().create().unwrap();
    let to = || BaseRecord::<[u8], [u8]>::to(&topic).partition(0);
    foreign.send(to().key(&[0xff_u8, 0xfe]).payload(b"1")).map_err(|(error, _)| error).unwrap();
    // Neither key nor value, as what deletes from a compacted topic.
    foreign.send(to()).map_err(|(error, _)| error).unwrap();
    let (name, topic) = (CString::new(vec![0xff]).unwrap(), CString::new(topic.clone()).unwrap());
    // SAFETY: the arguments are as their kinds say, and live until librdkafka has copied them.
    let sent = unsafe {
        use native::rd_kafka_vtype_t::*;
        native::rd_kafka_producev(
            foreign.client().native_ptr(),
            RD_KAFKA_VTYPE_TOPIC,
            topic.as_ptr(),
            RD_KAFKA_VTYPE_PARTITION,
            0_i32,
            RD_KAFKA_VTYPE_VALUE,
            b"3".as_ptr(),
            1_usize,
            RD_KAFKA_VTYPE_HEADER,
            name.as_ptr(),
            b"x".as_ptr(),
            1_isize,
            RD_KAFKA_VTYPE_MSGFLAGS,
            native::RD_KAFKA_MSG_F_COPY,
            RD_KAFKA_VTYPE_END,
        )
    };
    assert_eq!(sent, native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    foreign.flush(PATIENCE).unwrap();
    scene.produce(4..5);
    let expected = [
        "0",
        "corrupt: its key is not UTF-8 at byte 0",
        "",
        "corrupt: the name of a header of it is not UTF-8",
        "4",
    ];
    let found = read(&mut *scene.reader(0), 5);
    assert_eq!(all_shown(&found), expected);
    let Item::Corrupt { raw, whole: true, .. } = &found[1].item else { panic!("{:?}", found[1]) };
    assert_eq!(Envelope::from_bytes_lossy(raw).unwrap().payload, b"1");
}

#[test]
fn what_is_too_large_is_refused_before_any_is_taken() {
    let Some(scene) = Scene::new() else { return };
    let mut publisher = scene.bus().publisher(&source()).unwrap();
    let mut batch = records(0..2);
    batch[1].envelope.payload = vec![0; crate::PAYLOAD_BYTES_MAX];
    let refused = publisher.produce(&batch);
    assert!(matches!(refused, Err(BusError::TooLarge { .. })));
    // What is just not too large is taken by the cluster too, though it cannot be compressed.
    let mut state = 1_u64;
    let mut noise = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    batch[1].envelope.payload = (0..crate::PAYLOAD_BYTES_MAX - 200).map(|_| noise()).collect();
    publisher.produce(&batch[1..]).unwrap();
    assert_eq!(read(&mut *scene.reader(0), 1)[0].item, Item::Record(batch[1].envelope.clone()));
}
