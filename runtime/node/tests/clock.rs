//! A region whose wall clock is ahead: it takes no writes, drags nobody along, and can still
//! do what must not wait for its clock.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use syncline_applier::WriteError as NotTaken;
use syncline_bus::EmbeddedBus;
use syncline_core::{
    Hlc, Image, MembershipChange, MembershipState, PartitionCount, Precondition, RegionId, Routes,
    RowKey, partition_of,
};
use syncline_host::Compiler;
use syncline_node::config::{HumanDuration, LimitsConfig};
use syncline_node::region::{Cuts, Region, RegionOptions, WallClock, WriteError};
use syncline_store::Engine;
use syncline_store::kv::row;

const YEAR_MS: i64 = 365 * 24 * 3_600_000;
/// How far an HLC may be from the time and still be near it: a test's machine may be busy.
const NEAR_MS: u64 = 60_000;

fn partitions() -> PartitionCount {
    PartitionCount::new(2).unwrap()
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn key(pk: &str) -> RowKey {
    RowKey { table: "carts".parse().unwrap(), pk: pk.parse().unwrap() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Waits so long for others at its start.
fn waits(seconds: u64) -> LimitsConfig {
    let start_wait = HumanDuration(Duration::from_secs(seconds));
    LimitsConfig { start_wait, ..LimitsConfig::default() }
}

fn start(
    data: &Path,
    bus: &EmbeddedBus,
    name: &str,
    clock: &WallClock,
    limits: LimitsConfig,
) -> Region {
    let options = RegionOptions {
        region: region(name),
        regions: ["a", "b", "c"].map(region).into(),
        routes: Routes::default(),
        tags: Vec::new(),
        data: data.join(name),
        engine: Engine::default(),
        partitions: partitions(),
        limits,
        cuts: Cuts::default(),
        compiler: Compiler::InProcess,
        profile: syncline_host::PROFILE,
        clock: clock.clone(),
        nodes: None,
    };
    let region = Region::start(options, Arc::new(bus.clone())).unwrap();
    wait_for("the region to begin", || region.starting().is_none());
    region
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn write(region: &Region, pk: &str) -> Result<Hlc, WriteError> {
    let image = Image::canonicalize(b"{}").unwrap();
    let write = region.write(key(pk), Precondition::None, Some(image));
    runtime().block_on(write).map(|acknowledged| acknowledged.written.hlc)
}

fn has(region: &Region, pk: &str) -> bool {
    let partition = partition_of(&key(pk), region.partitions());
    row::get(region.store(), partition, &key(pk)).unwrap().is_some()
}

fn near_now(hlc: Hlc) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    hlc.millis().abs_diff(u64::try_from(now).unwrap()) < NEAR_MS
}

#[track_caller]
fn assert_near_now(hlc: Hlc) {
    assert!(near_now(hlc), "{hlc} is not near now");
}

#[track_caller]
fn assert_refused(region: &Region, ahead_ms: i64) {
    // What has come late makes it look like more.
    let expected = ahead_ms.unsigned_abs();
    let expected = expected - 1_000..expected + NEAR_MS;
    match write(region, "refused") {
        Err(WriteError::NotTaken(NotTaken::ClockAhead { by_ms })) => {
            assert!(expected.contains(&by_ms), "{by_ms}");
        }
        other => panic!("{other:?}"),
    }
    let clock = region.clock();
    assert!(expected.contains(&clock.ahead_ms.unwrap()), "{clock:?}");
    assert_near_now(Hlc::new(clock.refused_since_ms.unwrap(), 0).unwrap());
}

fn is_compared(region: &Region) -> bool {
    region.clock().ahead_ms.is_some()
}

#[test]
fn a_clock_that_is_ahead_stops_its_regions_writes_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(data.path().join("bus"), partitions()).unwrap();
    let (right, wrong) = (WallClock::default(), WallClock::default());
    let a = start(data.path(), &bus, "a", &right, waits(0));
    let b = start(data.path(), &bus, "b", &right, waits(0));
    let c = start(data.path(), &bus, "c", &wrong, waits(0));
    write(&c, "before").unwrap();
    wait_for("clocks to be compared", || [&a, &b, &c].into_iter().all(is_compared));

    wrong.set_off_ms(YEAR_MS);
    assert_refused(&c, YEAR_MS);
    // What others write is applied.
    assert_near_now(write(&a, "meanwhile").unwrap());
    wait_for("c to apply it", || has(&c, "meanwhile"));

    // One that is gone can be evicted here, as ever: that takes records and heartbeats of all.
    b.stop();
    drop(b);
    let evict = MembershipChange::Evict { gone: [region("b")].into() };
    let id = runtime().block_on(c.propose(evict)).unwrap().view.id;
    assert_near_now(id.0.hlc);
    let is_done = |region: &Region| {
        let members = region.members();
        let view = members.changes.iter().find(|view| view.id == id);
        view.is_some_and(|view| view.state == MembershipState::Complete)
    };
    wait_for("the eviction", || is_done(&a) && is_done(&c));
    assert_refused(&c, YEAR_MS);
    // All that c has said since has moved nobody's clock.
    assert_near_now(write(&a, "after").unwrap());

    wrong.set_off_ms(0);
    wait_for("c to take writes", || write(&c, "right again").is_ok_and(near_now));
    assert_eq!(c.clock().refused_since_ms, None);
    wait_for("a to apply it", || has(&a, "right again"));

    // It starts with a clock that is wrong: until it has heard others it says nothing. By little is
    // refused as by much, and what the others have heard of it does not make it right.
    let mut c = c;
    for (ahead_ms, row) in [(YEAR_MS, "a year"), (30_000, "half a minute")] {
        c.stop();
        drop(c);
        wrong.set_off_ms(ahead_ms);
        c = start(data.path(), &bus, "c", &wrong, waits(60));
        assert_refused(&c, ahead_ms);
        assert_near_now(write(&a, row).unwrap());
        wait_for("c to apply it", || has(&c, row));
        assert_refused(&c, ahead_ms);
        wrong.set_off_ms(0);
        let back = format!("back from {row}");
        wait_for("c to take writes", || write(&c, &back).is_ok_and(near_now));
        wait_for("a to apply it", || has(&a, &back));
        assert_eq!((a.fatal(), c.fatal()), (None, None));
    }
    a.stop();
    c.stop();
}

#[test]
fn without_a_bound_every_clock_is_believed() {
    let data = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(data.path().join("bus"), partitions()).unwrap();
    let (right, wrong) = (WallClock::default(), WallClock::default());
    let unbound = |name: &str, clock: &WallClock| {
        let limits = LimitsConfig { max_clock_skew: HumanDuration(Duration::ZERO), ..waits(0) };
        start(data.path(), &bus, name, clock, limits)
    };
    let (a, b) = (unbound("a", &right), unbound("b", &wrong));
    wait_for("clocks to be compared", || is_compared(&a) && is_compared(&b));
    wrong.set_off_ms(YEAR_MS);
    let ahead = write(&b, "ahead").unwrap();
    wait_for("a to apply it", || has(&a, "ahead"));
    assert!(write(&a, "ahead").unwrap() > ahead, "who has seen a change is later than it");
    a.stop();
    b.stop();
}
