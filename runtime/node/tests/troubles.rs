//! What a region says where its own log cannot be written, or another's cannot be read: of itself
//! and of the other, and of nobody who has no part in it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use syncline_bus::{
    Bus, BusError, Delivery, EmbeddedBus, Item, Lane, Outgoing, Publisher, Reader, SnapshotReader,
    SnapshotWriter,
};
use syncline_core::{Image, PartitionCount, Precondition, RegionId, Routes, RowKey};
use syncline_host::Compiler;
use syncline_node::config::{HumanDuration, LimitsConfig};
use syncline_node::region::{Cuts, LinkView, Region, RegionOptions, WallClock};
use syncline_store::Engine;

fn partitions() -> PartitionCount {
    PartitionCount::new(1).unwrap()
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is wrong with the bus, by region.
#[derive(Clone, Default)]
struct Wrong {
    written: Arc<Mutex<BTreeMap<(RegionId, Lane), &'static str>>>,
    read: Arc<Mutex<BTreeMap<RegionId, &'static str>>>,
    /// To be delivered once.
    moved: Arc<Mutex<BTreeMap<RegionId, Delivery>>>,
}

/// A bus with which something is wrong at times.
struct Troubled {
    bus: EmbeddedBus,
    wrong: Wrong,
}

struct Writing(RegionId, Box<dyn Publisher>, Wrong);

struct Reading(RegionId, Box<dyn Reader>, Wrong);

impl Publisher for Writing {
    fn produce(&mut self, records: &[Outgoing]) -> Result<(), BusError> {
        let written = self.2.written.lock().unwrap();
        for record in records {
            if let Some(reason) = written.get(&(self.0.clone(), record.lane)) {
                let (region, reason) = (self.0.to_string(), (*reason).to_owned());
                return Err(BusError::Cluster { region, reason });
            }
        }
        drop(written);
        self.1.produce(records)
    }
}

impl Reader for Reading {
    fn poll(
        &mut self,
        max_records: usize,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        if let Some(moved) = self.2.moved.lock().unwrap().remove(&self.0) {
            return Ok(vec![moved]);
        }
        self.1.poll(max_records, max_bytes, timeout)
    }

    fn seek(&mut self, lane: Lane, position: u64) {
        self.1.seek(lane, position);
    }

    fn pause(&mut self, lane: Lane) {
        self.1.pause(lane);
    }

    fn resume(&mut self, lane: Lane) {
        self.1.resume(lane);
    }

    fn trouble(&self) -> Option<String> {
        self.2.read.lock().unwrap().get(&self.0).map(ToString::to_string)
    }
}

impl Bus for Troubled {
    fn publisher(&self, region: &RegionId) -> Result<Box<dyn Publisher>, BusError> {
        let log = self.bus.publisher(region)?;
        Ok(Box::new(Writing(region.clone(), log, self.wrong.clone())))
    }

    fn reader(&self, source: &RegionId, from: &[(Lane, u64)]) -> Result<Box<dyn Reader>, BusError> {
        let log = self.bus.reader(source, from)?;
        Ok(Box::new(Reading(source.clone(), log, self.wrong.clone())))
    }

    fn ends(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        self.bus.ends(source)
    }

    fn tails(&self, source: &RegionId) -> Result<Vec<(Lane, u64)>, BusError> {
        self.bus.tails(source)
    }

    fn snapshot_writer(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
    ) -> Result<Box<dyn SnapshotWriter>, BusError> {
        self.bus.snapshot_writer(donor, joiner)
    }

    fn snapshot_reader(
        &self,
        donor: &RegionId,
        joiner: &RegionId,
        from: u64,
    ) -> Result<Box<dyn SnapshotReader>, BusError> {
        self.bus.snapshot_reader(donor, joiner, from)
    }

    fn drop_snapshot(&self, donor: &RegionId, joiner: &RegionId) -> Result<(), BusError> {
        self.bus.drop_snapshot(donor, joiner)
    }
}

fn start(data: &Path, bus: &EmbeddedBus, name: &str, wrong: &Wrong) -> Region {
    let start_wait = HumanDuration(Duration::ZERO);
    let options = RegionOptions {
        region: region(name),
        regions: vec![region("a"), region("b")],
        routes: Routes::default(),
        tags: Vec::new(),
        data: data.join(name),
        engine: Engine::default(),
        partitions: partitions(),
        nodes: None,
        limits: LimitsConfig { start_wait, ..LimitsConfig::default() },
        cuts: Cuts::default(),
        compiler: Compiler::InProcess,
        profile: syncline_host::PROFILE,
        clock: WallClock::default(),
    };
    let bus = Troubled { bus: bus.clone(), wrong: wrong.clone() };
    let region = Region::start(options, Arc::new(bus)).unwrap();
    wait_for("the region takes writes", || region.starting().is_none());
    region
}

fn link(of: &Region, to: &str) -> LinkView {
    of.links().into_iter().find(|link| link.region == region(to)).unwrap()
}

fn write(region: &Region, pk: &str) {
    let key = RowKey { table: "carts".parse().unwrap(), pk: pk.parse().unwrap() };
    let image = Image::canonicalize(b"{}").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(region.write(key, Precondition::None, Some(image))).unwrap();
}

#[test]
fn a_region_whose_own_log_cannot_be_written_says_so() {
    let data = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(data.path().join("bus"), partitions()).unwrap();
    let wrong = Wrong::default();
    let (a, b) =
        (start(data.path(), &bus, "a", &wrong), start(data.path(), &bus, "b", &Wrong::default()));
    wait_for("both to hear each other", || {
        link(&a, "b").state == "up" && link(&b, "a").state == "up"
    });
    assert_eq!((a.own_log(), link(&a, "a").state, link(&a, "a").reason), (None, "up", None));

    // One lane is enough, though the other is written all the time.
    let (changes, control) = ((region("a"), Lane::Changes(0)), (region("a"), Lane::Control));
    wrong.written.lock().unwrap().insert(control.clone(), "no right to write control");
    wait_for("the first", || a.own_log().is_some());
    let (reason, since) = a.own_log().unwrap();
    assert!(reason.ends_with("no right to write control"), "{reason}");
    let own = link(&a, "a");
    assert_eq!((own.state, own.reason, own.since_ms), ("unwritable", Some(reason), Some(since)));
    // It takes writes all the same, and nobody else is said to be at fault.
    write(&a, "k");
    assert_eq!((link(&a, "b").state, link(&b, "b").state), ("up", "up"));

    wrong.written.lock().unwrap().insert(changes, "no right to write changes");
    wait_for("both", || {
        a.own_log().is_some_and(|(reason, _)| {
            ["changes", "control"].iter().all(|lane| reason.contains(lane))
        })
    });
    wrong.written.lock().unwrap().remove(&control);
    wait_for("the other alone", || {
        a.own_log().is_some_and(|(reason, _)| !reason.contains("control"))
    });
    assert_eq!(a.own_log().unwrap().1, since);
    wrong.written.lock().unwrap().clear();
    wait_for("an end of it", || a.own_log().is_none() && link(&a, "a").state == "up");
    a.stop();
    b.stop();
}

#[test]
fn a_link_says_why_its_log_cannot_be_read_and_where_it_was_moved() {
    let data = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(data.path().join("bus"), partitions()).unwrap();
    let wrong = Wrong::default();
    let (a, b) =
        (start(data.path(), &bus, "a", &wrong), start(data.path(), &bus, "b", &Wrong::default()));
    wait_for("a to hear b", || link(&a, "b").state == "up");
    assert_eq!((link(&a, "b").reason, link(&a, "b").moved), (None, None));
    wrong.read.lock().unwrap().insert(region("b"), "Authentication failed");
    wait_for("the trouble", || link(&a, "b").state == "unreadable");
    assert_eq!(link(&a, "b").reason.as_deref(), Some("Authentication failed"));
    wrong.read.lock().unwrap().clear();
    wait_for("the end of it", || link(&a, "b").state == "up" && link(&a, "b").reason.is_none());

    let lane = Lane::Control;
    let reason = "the topic was deleted and made again";
    let item = Item::Moved { asked: 7, start: 0, reason: reason.into() };
    let moved = Delivery { lane, position: 7, next_position: 0, item };
    wrong.moved.lock().unwrap().insert(region("b"), moved);
    wait_for("the move", || link(&a, "b").moved.is_some());
    let moved = link(&a, "b").moved.unwrap();
    assert_eq!((moved.lane, moved.reason.as_str()), (lane, reason));
    a.stop();
    b.stop();
}
