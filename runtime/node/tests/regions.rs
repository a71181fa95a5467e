//! Regions of one process on the embedded bus, without HTTP: what foreign records do, what a full
//! outbox does, and what a restart keeps.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_applier::{KeptAction, KeptDone, KeptWork, ReplayRefused, Replayed};
use syncline_bus::{Bus as _, EmbeddedBus, Envelope, Lane, Outgoing, Publisher, encode_change};
use syncline_core::{
    Behind, CONTROL_PARTITION, Change, ChangeId, ChangeRecord, Hlc, Image, Operation, OwnCounters,
    PartitionCount, Precondition, RegionId, Routes, RowKey, Stamp, VersionVector, WriteRefused,
    partition_of,
};
use syncline_host::Compiler;
use syncline_node::config::{HumanDuration, LimitsConfig};
use syncline_node::region::{
    Cuts, PartitionView, Region, RegionOptions, StartError, WallClock, WriteError,
};
use syncline_store::kv::quarantine::{self, QuarantineFilter, QuarantineId};
use syncline_store::kv::row;
use syncline_store::{Batch, Engine, Store as _, StoreError};

fn partitions() -> PartitionCount {
    PartitionCount::new(1).unwrap()
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn key(pk: &str) -> RowKey {
    RowKey { table: "carts".parse().unwrap(), pk: pk.parse().unwrap() }
}

fn image(n: u64) -> Option<Image> {
    Some(Image::canonicalize(format!("{{\"n\":{n}}}").as_bytes()).unwrap())
}

/// Regions of one test start together: none is waited for.
fn limits() -> LimitsConfig {
    LimitsConfig { start_wait: HumanDuration(Duration::ZERO), ..LimitsConfig::default() }
}

fn options(data: &Path, name: &str, limits: LimitsConfig) -> RegionOptions {
    RegionOptions {
        region: region(name),
        regions: vec![region("a"), region("b")],
        routes: Routes::default(),
        tags: Vec::new(),
        data: data.join(name),
        engine: Engine::default(),
        partitions: partitions(),
        nodes: None,
        limits,
        cuts: Cuts::default(),
        compiler: Compiler::InProcess,
        profile: syncline_host::PROFILE,
        clock: WallClock::default(),
    }
}

fn start_with(data: &Path, bus: &EmbeddedBus, name: &str, limits: LimitsConfig) -> Region {
    let region = Region::start(options(data, name, limits), Arc::new(bus.clone())).unwrap();
    while let Some(awaited) = region.starting() {
        assert!(awaited.own_log, "{awaited:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    region
}

fn start(data: &Path, bus: &EmbeddedBus, name: &str) -> Region {
    start_with(data, bus, name, limits())
}

fn open_bus(data: &Path) -> EmbeddedBus {
    EmbeddedBus::open(data.join("bus"), partitions()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn view(region: &Region) -> PartitionView {
    runtime().block_on(region.inspect()).remove(0)
}

fn write(region: &Region, pk: &str, n: u64) -> Result<Hlc, WriteError> {
    let write = region.write(key(pk), Precondition::None, image(n));
    runtime().block_on(write).map(|acknowledged| acknowledged.written.hlc)
}

fn image_in(region: &Region, pk: &str) -> Option<Image> {
    let partition = partition_of(&key(pk), region.partitions());
    row::get(region.store(), partition, &key(pk)).unwrap().and_then(|state| state.image)
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

/// A write finds a place while a backlog is read, however few there are.
#[test]
fn a_backlog_turns_no_write_away() {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    let mut log = bus.publisher(&region("b")).unwrap();
    let records: Vec<Outgoing> = (1..=20_000)
        .map(|n| encode_change(&change_of_b(&format!("row-{n}"), n)))
        .map(|envelope| Outgoing { lane: Lane::Changes(0), envelope })
        .collect();
    log.produce(&records).unwrap();
    let a = start_with(data.path(), &bus, "a", LimitsConfig { queue: 2, ..limits() });
    let applied = || view(&a).counters.get(&region("b")).map_or(0, |counters| counters.applied);
    let mut meanwhile = 0;
    while applied() < 20_000 {
        write(&a, &format!("own-{meanwhile}"), meanwhile).unwrap();
        meanwhile += 1;
    }
    assert!(meanwhile > 1, "the backlog was read before anything was written");
    assert_eq!(a.fatal(), None);
    a.stop();
}

/// The n-th change of region b, from 1.
fn change_of_b(pk: &str, n: u64) -> ChangeRecord {
    let hlc = |n: u64| if n == 0 { Hlc::ZERO } else { Hlc::new(1_795_000_000_000 + n, 0).unwrap() };
    ChangeRecord {
        row: key(pk),
        change: Change {
            id: ChangeId { hlc: hlc(n), region: region("b") },
            context: VersionVector::new(),
            operation: Operation::Insert,
            before: None,
            after: image(n),
            stamp: Stamp::Lww,
        },
        prev: hlc(n - 1),
    }
}

fn produce(log: &mut dyn Publisher, envelope: Envelope) {
    log.produce(&[Outgoing { lane: Lane::Changes(0), envelope }]).unwrap();
}

#[test]
fn records_that_cannot_be_read_are_quarantined_and_the_stream_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    // Region b is played: its log is written by a program that is none of ours.
    let mut log = bus.publisher(&region("b")).unwrap();
    let a = start(data.path(), &bus, "a");
    let good = |n| encode_change(&change_of_b(&format!("row-{n}"), n));
    produce(&mut *log, good(1));
    let broken = |payload: &[u8]| Envelope { payload: payload.to_vec(), ..good(2) };
    produce(&mut *log, broken(b"{\"v\":1, not JSON"));
    produce(&mut *log, broken(&[b'['; 100_000]));
    produce(&mut *log, broken(b""));
    let text = String::from_utf8(good(2).payload).unwrap();
    produce(&mut *log, broken(text.replace("{\"n\":2}", "{\"n\": 2}").as_bytes()));
    produce(
        &mut *log,
        broken(text.replace("\"region_id\":\"b\"", "\"region_id\":\"a\"").as_bytes()),
    );
    produce(&mut *log, good(2));
    wait_for("the record behind the broken ones", || image_in(&a, "row-2") == image(2));
    let counters = view(&a).counters[&region("b")];
    assert_eq!((counters.consumed, counters.applied, counters.quarantined), (7, 2, 5));
    assert_eq!((counters.gap, counters.duplicate, counters.dropped), (0, 0, 0));
    let all = QuarantineFilter::default();
    let kept = quarantine::page(a.store(), &all, None, 100).unwrap().records;
    assert_eq!(kept.len(), 5);
    assert!(kept.iter().all(|record| record.id.source == region("b") && !record.reason.is_empty()));
    a.stop();
}

fn handle(region: &Region, id: &QuarantineId, action: KeptAction) -> KeptDone {
    let work = KeptWork { id: id.clone(), action };
    runtime().block_on(region.handle_kept(work)).unwrap()
}

#[test]
fn what_is_kept_is_replayed_or_dropped_and_every_record_is_counted_once() {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    let mut log = bus.publisher(&region("b")).unwrap();
    let a = start(data.path(), &bus, "a");
    let good = |n| encode_change(&change_of_b(&format!("row-{n}"), n));
    produce(&mut *log, good(1));
    produce(&mut *log, Envelope { payload: b"{".to_vec(), ..good(2) });
    log.produce(&[Outgoing { lane: Lane::Control, envelope: good(2) }]).unwrap();
    let all = || {
        let all = QuarantineFilter::default();
        quarantine::page(a.store(), &all, None, 100).unwrap().records
    };
    wait_for("both to be kept", || all().len() == 2);
    let (broken, misplaced) = (all()[0].id.clone(), all()[1].id.clone());
    assert_eq!((broken.partition, misplaced.partition), (0, CONTROL_PARTITION));
    for id in [&broken, &misplaced] {
        let done = handle(&a, id, KeptAction::Replay);
        assert!(matches!(done, KeptDone::Replayed(Replayed::Unreadable { .. })), "{done:?}");
    }
    // As if software that understands it had been started since.
    let whole = quarantine::Quarantined {
        raw: good(2).to_bytes(),
        raw_bytes: good(2).to_bytes().len() as u64,
        ..all()[0].clone()
    };
    let mut batch = Batch::new();
    quarantine::put(&mut batch, &whole);
    a.store().commit(batch).unwrap();
    let read_to = view(&a).counters[&region("b")].consumed;
    assert_eq!(handle(&a, &broken, KeptAction::Replay), KeptDone::Replayed(Replayed::Applied));
    assert_eq!(image_in(&a, "row-2"), image(2));
    assert_eq!(handle(&a, &broken, KeptAction::Replay), KeptDone::NotKept);
    assert_eq!(handle(&a, &misplaced, KeptAction::Drop), KeptDone::Dropped);
    assert_eq!(handle(&a, &misplaced, KeptAction::Drop), KeptDone::NotKept);
    assert_eq!(all(), vec![]);
    let elsewhere = QuarantineId { partition: 77, ..broken };
    assert_eq!(handle(&a, &elsewhere, KeptAction::Replay), KeptDone::NotKept);
    // The stream goes on where it was.
    produce(&mut *log, good(2));
    produce(&mut *log, good(3));
    wait_for("what comes next", || image_in(&a, "row-3") == image(3));
    let c = view(&a).counters[&region("b")];
    assert_eq!((read_to, c.consumed, c.applied, c.duplicate, c.quarantined), (3, 6, 3, 1, 2));
    let control = runtime().block_on(a.inspect_control()).unwrap();
    let c = control.counters[&region("b")];
    assert_eq!((c.consumed, c.quarantined, c.applied), (2, 2, 0));
    a.stop();
}

#[test]
fn a_record_of_which_not_all_is_kept_is_not_replayed() {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    let mut log = bus.publisher(&region("b")).unwrap();
    let a = start(data.path(), &bus, "a");
    let good = encode_change(&change_of_b("row", 1));
    produce(&mut *log, Envelope { payload: vec![b'['; 100_000], ..good });
    let all = QuarantineFilter::default();
    let first = || quarantine::page(a.store(), &all, None, 1).unwrap().records.pop();
    wait_for("it to be kept", || first().is_some());
    let kept = first().unwrap();
    assert!(kept.is_truncated());
    let refused = ReplayRefused::Truncated { kept: kept.raw.len(), bytes: kept.raw_bytes };
    assert_eq!(handle(&a, &kept.id, KeptAction::Replay), KeptDone::Refused(refused));
    assert_eq!(view(&a).counters[&region("b")].consumed, 1);
    assert_eq!(first(), Some(kept));
    a.stop();
}

#[test]
fn a_record_that_is_missing_holds_the_watermark_until_it_is_sent_again() {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    let mut log = bus.publisher(&region("b")).unwrap();
    let a = start(data.path(), &bus, "a");
    let good = |n| encode_change(&change_of_b(&format!("row-{n}"), n));
    produce(&mut *log, good(1));
    produce(&mut *log, good(3));
    wait_for("the gap to be seen", || view(&a).counters[&region("b")].gap == 1);
    assert_eq!(view(&a).taken.get(&region("b")), change_of_b("row-1", 1).change.id.hlc);
    assert_eq!(image_in(&a, "row-3"), None);
    for n in [2, 3] {
        produce(&mut *log, good(n));
    }
    wait_for("what was sent again", || image_in(&a, "row-3") == image(3));
    // Two that say they are the second: the link stops, and what came before stays.
    produce(&mut *log, encode_change(&ChangeRecord { prev: Hlc::ZERO, ..change_of_b("row-9", 9) }));
    let stopped = |a: &Region| a.links().iter().any(|link| link.state == "stopped");
    wait_for("the fork to be seen", || stopped(&a));
    assert_eq!((image_in(&a, "row-9"), image_in(&a, "row-2")), (None, image(2)));
    a.stop();
}

#[test]
fn a_full_outbox_refuses_writes_and_names_who_is_behind() {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    let limits = LimitsConfig { unconfirmed_changes: 3, ..limits() };
    let a = start_with(data.path(), &bus, "a", limits);
    let mut first = None;
    for n in 0..3 {
        first.get_or_insert(write(&a, "row", n).unwrap());
    }
    let refused = write(&a, "row", 3);
    let since = first.unwrap();
    let behind = vec![Behind { region: region("b"), since }];
    let full = WriteRefused::OutboxFull { outstanding: 3, behind };
    assert_eq!(refused, Err(WriteError::NotTaken(full.into())));
    assert_eq!(view(&a).own, OwnCounters { produced: 3, confirmed: 0 });
    let b = start(data.path(), &bus, "b");
    wait_for("b to confirm", || view(&a).outstanding == 0);
    assert_eq!(view(&a).own, OwnCounters { produced: 3, confirmed: 3 });
    write(&a, "row", 4).unwrap();
    wait_for("b to apply", || image_in(&b, "row") == image(4));
    a.stop();
    b.stop();
}

#[test]
fn a_region_comes_back_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let mut last = Hlc::ZERO;
    for round in 0..3 {
        let bus = open_bus(data.path());
        let (a, b) = (start(data.path(), &bus, "a"), start(data.path(), &bus, "b"));
        for n in 0..round {
            assert_eq!(image_in(&a, &format!("row-{n}")), image(n));
        }
        let hlc = write(&a, &format!("row-{round}"), round).unwrap();
        assert!(hlc > last, "the clock never goes back");
        last = hlc;
        wait_for("the other region", || image_in(&b, &format!("row-{round}")) == image(round));
        a.stop();
        b.stop();
        assert_eq!(write(&a, "late", 1), Err(WriteError::Stopping));
    }
}

#[test]
fn a_data_folder_is_one_regions_alone() {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    let a = start(data.path(), &bus, "a");
    let options = |name: &str, partitions: u32| RegionOptions {
        region: region(name),
        partitions: PartitionCount::new(partitions).unwrap(),
        ..options(data.path(), "a", limits())
    };
    let locked = Region::start(options("a", 1), Arc::new(bus.clone())).err().unwrap();
    assert!(matches!(locked, StartError::Store { source: StoreError::Locked { .. }, .. }));
    a.stop();
    drop(a);
    for (name, partitions) in [("b", 1), ("a", 2)] {
        let other = Region::start(options(name, partitions), Arc::new(bus.clone())).err().unwrap();
        assert!(matches!(other, StartError::OtherData { .. }), "{other}");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Puts back the folder of region a as it was before its last write, and starts it again.
fn start_on_an_old_disk(own_log_is_there: bool, start_wait: Duration) -> String {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    let (a, b) = (start(data.path(), &bus, "a"), start(data.path(), &bus, "b"));
    write(&a, "one", 1).unwrap();
    wait_for("the first write", || image_in(&b, "one") == image(1));
    a.stop();
    drop(a);
    copy(&data.path().join("a"), &data.path().join("copy"));
    let a = start(data.path(), &bus, "a");
    write(&a, "two", 2).unwrap();
    wait_for("the second write", || image_in(&b, "two") == image(2));
    a.stop();
    drop(a);
    std::fs::remove_dir_all(data.path().join("a")).unwrap();
    std::fs::rename(data.path().join("copy"), data.path().join("a")).unwrap();
    if !own_log_is_there {
        std::fs::remove_dir_all(data.path().join("bus/a")).unwrap();
    }
    let bus = open_bus(data.path());
    let limits = LimitsConfig { start_wait: HumanDuration(start_wait), ..limits() };
    let options = options(data.path(), "a", limits);
    let a = Region::start(options, Arc::new(bus.clone())).unwrap();
    wait_for("the old disk", || a.fatal().is_some());
    if own_log_is_there || !start_wait.is_zero() {
        let refused = write(&a, "three", 3);
        assert_eq!(refused, Err(WriteError::Stopping));
    }
    let reason = a.fatal().unwrap_or_default();
    a.stop();
    b.stop();
    reason
}

#[test]
fn an_old_disk_is_seen_in_the_own_log() {
    assert!(start_on_an_old_disk(true, Duration::ZERO).contains("disk is old"));
}

#[test]
fn an_old_disk_is_seen_in_what_peers_say() {
    let reason = start_on_an_old_disk(false, Duration::from_secs(3600));
    assert!(reason.contains("disk is old"), "{reason}");
}

#[test]
fn an_old_disk_is_seen_after_the_start_as_well() {
    assert!(start_on_an_old_disk(false, Duration::ZERO).contains("disk is old"));
}

#[test]
fn a_region_that_starts_waits_for_its_peers() {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    let (a, b) = (start(data.path(), &bus, "a"), start(data.path(), &bus, "b"));
    write(&b, "one", 1).unwrap();
    wait_for("the write", || image_in(&a, "one") == image(1));
    a.stop();
    b.stop();
    drop((a, b));
    let limits = LimitsConfig { start_wait: HumanDuration(Duration::from_secs(3600)), ..limits() };
    let options = options(data.path(), "a", limits);
    let a = Region::start(options, Arc::new(bus.clone())).unwrap();
    wait_for("the own log", || a.starting().is_some_and(|awaited| !awaited.own_log));
    let refused = write(&a, "two", 2);
    assert!(matches!(refused, Err(WriteError::Starting { .. })), "{refused:?}");
    let b = start(data.path(), &bus, "b");
    wait_for("the word of b", || a.starting().is_none());
    write(&a, "two", 2).unwrap();
    wait_for("the write", || image_in(&b, "two") == image(2));
    a.stop();
    b.stop();
}

#[test]
fn regions_on_different_engines_hold_the_same_and_keep_it_over_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let bus = open_bus(data.path());
    let on = |name: &str, engine| RegionOptions { engine, ..options(data.path(), name, limits()) };
    let a = Region::start(on("a", Engine::Fjall), Arc::new(bus.clone())).unwrap();
    let b = Region::start(on("b", Engine::Sled), Arc::new(bus.clone())).unwrap();
    wait_for("both to start", || a.starting().is_none() && b.starting().is_none());
    for n in 1..=20 {
        write(&a, &format!("of-a-{n}"), n).unwrap();
        write(&b, &format!("of-b-{n}"), n).unwrap();
    }
    let has_all = |region: &Region| {
        ["a", "b"]
            .iter()
            .all(|of| (1..=20).all(|n| image_in(region, &format!("of-{of}-{n}")) == image(n)))
    };
    wait_for("both to hold all rows", || has_all(&a) && has_all(&b));
    a.stop();
    drop(a);
    let other = Region::start(on("a", Engine::Sled), Arc::new(bus.clone())).err().unwrap();
    let StartError::Store { source: StoreError::OtherEngine { found, .. }, .. } = &other else {
        panic!("{other}")
    };
    assert_eq!(*found, Engine::Fjall);
    let a = Region::start(on("a", Engine::Fjall), Arc::new(bus.clone())).unwrap();
    assert!(has_all(&a));
    wait_for("the start", || a.starting().is_none());
    assert!(write(&a, "of-a-1", 21).is_ok());
    wait_for("the later write", || image_in(&b, "of-a-1") == image(21));
}
