//! Two regions of one process, one of which holds something else: both notice, it survives a start,
//! and a repair ends it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_applier::{MendDone, MendWork, RepairPage, RepairWork};
use syncline_bus::EmbeddedBus;
use syncline_core::{
    Diverged, Divergence, Image, PartitionCount, Precondition, RegionId, Routes, RowKey,
};
use syncline_host::Compiler;
use syncline_node::config::{HumanDuration, LimitsConfig};
use syncline_node::region::{Cuts, PartitionView, Region, RegionOptions, WallClock};
use syncline_store::kv::{digest, row};
use syncline_store::{Batch, DiskStore, Engine, Store as _};

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn key(pk: &str) -> RowKey {
    RowKey { table: "carts".parse().unwrap(), pk: pk.parse().unwrap() }
}

fn image(n: u64) -> Image {
    Image::canonicalize(format!("{{\"n\":{n}}}").as_bytes()).unwrap()
}

fn partitions() -> PartitionCount {
    PartitionCount::new(1).unwrap()
}

fn start(data: &Path, bus: &EmbeddedBus, cuts: &Cuts, name: &str) -> Region {
    let start_wait = HumanDuration(Duration::ZERO);
    let options = RegionOptions {
        region: region(name),
        regions: ["a", "b"].map(region).into(),
        routes: Routes::default(),
        tags: Vec::new(),
        data: data.join(name),
        engine: Engine::default(),
        partitions: partitions(),
        nodes: None,
        limits: LimitsConfig { start_wait, ..LimitsConfig::default() },
        cuts: cuts.clone(),
        compiler: Compiler::InProcess,
        profile: syncline_host::PROFILE,
        clock: WallClock::default(),
    };
    let region = Region::start(options, Arc::new(bus.clone())).unwrap();
    wait_for("the region takes writes", || region.starting().is_none());
    region
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn write(region: &Region, pk: &str, n: u64) {
    let write = region.write(key(pk), Precondition::None, Some(image(n)));
    runtime().block_on(write).unwrap();
}

fn view(region: &Region) -> PartitionView {
    runtime().block_on(region.inspect()).remove(0)
}

fn divergences(region: &Region) -> Vec<Divergence> {
    view(region).divergences
}

fn image_in(region: &Region, pk: &str) -> Option<Image> {
    row::get(region.store(), 0, &key(pk)).unwrap().and_then(|state| state.image)
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn repair(region: &Region, applies: bool) -> RepairPage {
    let table = key("x").table;
    let work = RepairWork { partition: 0, table, after: None, limit: 100, applies };
    match runtime().block_on(region.mend(0, MendWork::Repair(work))).unwrap() {
        MendDone::Repaired(page) => page,
        other => panic!("{other:?}"),
    }
}

/// The disk of a region that does not run gives back another row than it was given; where `counts`,
/// as if the region had always had that.
fn spoil(data: &Path, pk: &str, counts: bool) {
    let store = DiskStore::open(Engine::default(), data.join("store")).unwrap();
    let mut state = row::get(&store, 0, &key(pk)).unwrap().unwrap();
    let (before, wrong) = (state.image.take(), image(666));
    state.image = Some(wrong.clone());
    state.floor_image = Some(wrong);
    let mut batch = Batch::new();
    row::put(&mut batch, 0, &key(pk), &state);
    if counts {
        let (table, mut sum) = digest::of_partition(&store, 0).unwrap().remove(0);
        sum.replace(&key(pk), before.as_ref(), state.image.as_ref());
        digest::put(&mut batch, 0, &table, &sum);
    }
    store.commit(batch).unwrap();
    store.sync().unwrap();
}

#[test]
fn a_row_that_differs_is_noticed_by_both_and_repaired() {
    let data = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(data.path().join("bus"), partitions()).unwrap();
    let cuts = Cuts::default();
    let open = |name| start(data.path(), &bus, &cuts, name);
    let (a, b) = (open("a"), open("b"));
    write(&a, "calm", 1);
    cuts.set(&region("a"), &region("b"), true);
    write(&a, "met", 2);
    write(&b, "met", 3);
    cuts.set(&region("a"), &region("b"), false);
    let at_rest = |region: &Region| {
        let view = view(region);
        view.digests.values().any(|table| table.rows == 2)
            && (view.outstanding, view.rows_with_history) == (0, 0)
    };
    wait_for("all is settled", || at_rest(&a) && at_rest(&b));
    assert_eq!(view(&a).digests, view(&b).digests);
    assert_eq!((divergences(&a), divergences(&b)), (Vec::new(), Vec::new()));
    let right = image_in(&a, "met");

    b.stop();
    drop(b);
    spoil(&data.path().join("b"), "met", true);
    let b = open("b");
    wait_for("both notice", || divergences(&a).len() == 1 && divergences(&b).len() == 1);
    for (here, there) in [(&a, "b"), (&b, "a")] {
        let found = divergences(here).remove(0);
        assert_eq!(found.what, Diverged::State { tables: vec![key("x").table] });
        assert_eq!(found.there.region, region(there));
        let engine = syncline_host::engine_name();
        assert_eq!(found.there.engine.unwrap().as_str(), engine);
    }

    // A start forgets nothing.
    a.stop();
    drop(a);
    let a = open("a");
    assert_eq!(divergences(&a).len(), 1);

    // The row was a conflict, and the log has what it was folded from; the other never was one.
    let planned = repair(&b, false);
    assert_eq!((planned.changed, planned.settled), (vec![key("met").pk], 1));
    assert_ne!(image_in(&b, "met"), right);
    let repaired = repair(&b, true);
    assert_eq!((repaired.changed, repaired.looked_at), (vec![key("met").pk], 2));
    assert_eq!(image_in(&b, "met"), right);
    wait_for("they agree again", || divergences(&a).is_empty() && divergences(&b).is_empty());

    // A disk that gives back something else, while the digest is what it always was.
    b.stop();
    drop(b);
    spoil(&data.path().join("b"), "met", false);
    let b = open("b");
    let planned = repair(&b, false).recounted.unwrap();
    assert_ne!(planned.kept, planned.counted);
    let repaired = repair(&b, true).recounted.unwrap();
    assert_eq!(repaired.counted, planned.kept);
    assert_ne!(repaired.kept, repaired.counted);
    assert_eq!(image_in(&b, "met"), right);
    assert_eq!(view(&a).digests, view(&b).digests);
    a.stop();
    b.stop();
}
