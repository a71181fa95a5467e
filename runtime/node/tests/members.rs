//! Regions of one process on the embedded bus that come and go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use syncline_bus::EmbeddedBus;
use syncline_core::{
    Image, MembershipChange, MembershipState, PartitionCount, Precondition, ProposeRefused,
    RegionId, Routes, RowKey, TableDigest, WriteRefused, partition_of,
};
use syncline_host::Compiler;
use syncline_node::config::{HumanDuration, LimitsConfig};
use syncline_node::region::{
    Cuts, Joining, ProposeError, Region, RegionOptions, StartError, TakeOverError, WallClock,
    WriteError, must_join,
};
use syncline_store::Engine;
use syncline_store::kv::row;

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn key(pk: &str) -> RowKey {
    RowKey { table: "carts".parse().unwrap(), pk: pk.parse().unwrap() }
}

fn image(n: u64) -> Option<Image> {
    Some(Image::canonicalize(format!("{{\"n\":{n}}}").as_bytes()).unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn write(region: &Region, pk: &str, n: u64) -> Result<(), WriteError> {
    runtime().block_on(region.write(key(pk), Precondition::None, image(n))).map(drop)
}

fn image_in(region: &Region, pk: &str) -> Option<Image> {
    let partition = partition_of(&key(pk), region.partitions());
    row::get(region.store(), partition, &key(pk)).unwrap().and_then(|state| state.image)
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Regions of one test, on one bus, founded by a, b and c.
struct World {
    data: tempfile::TempDir,
    bus: EmbeddedBus,
    engine: Engine,
}

impl World {
    fn new(engine: Engine) -> Self {
        let data = tempfile::tempdir().unwrap();
        let partitions = PartitionCount::new(2).unwrap();
        let bus = EmbeddedBus::open(data.path().join("bus"), partitions).unwrap();
        Self { data, bus, engine }
    }

    fn options(&self, name: &str) -> RegionOptions {
        RegionOptions {
            routes: Routes::default(),
            tags: Vec::new(),
            region: region(name),
            regions: ["a", "b", "c"].map(region).into(),
            // An incarnation finds the folder of the one before it.
            data: self.data.path().join(region(name).name()),
            engine: self.engine,
            partitions: PartitionCount::new(2).unwrap(),
            nodes: None,
            limits: LimitsConfig {
                start_wait: HumanDuration(Duration::ZERO),
                ..LimitsConfig::default()
            },
            cuts: Cuts::default(),
            compiler: Compiler::InProcess,
            profile: syncline_host::PROFILE,
            clock: WallClock::default(),
        }
    }

    fn start(&self, name: &str) -> Region {
        let region = Region::start(self.options(name), Arc::new(self.bus.clone())).unwrap();
        wait_for("the region to start", || region.starting().is_none());
        region
    }

    /// Takes over what the donor has, and starts.
    fn join(&self, name: &str, donor: &str) -> Region {
        let options = self.options(name);
        assert!(must_join(&options).unwrap());
        let joining = Joining::new(region(name), region(donor));
        assert!(joining.take_over(&options, &self.bus).unwrap());
        assert!(!must_join(&options).unwrap());
        self.start(name)
    }
}

fn propose(region: &Region, change: MembershipChange) -> Result<(), ProposeError> {
    runtime().block_on(region.propose(change)).map(drop)
}

fn join(name: &str) -> MembershipChange {
    MembershipChange::Join { region: region(name) }
}

fn evict(name: &str) -> MembershipChange {
    MembershipChange::Evict { gone: [region(name)].into() }
}

fn is_complete(region: &Region, change: &MembershipChange) -> bool {
    let members = region.members();
    let mut changes = members.changes.iter().filter(|view| view.change == *change);
    changes.any(|view| view.state == MembershipState::Complete)
}

fn digest(region: &Region) -> TableDigest {
    let mut all = TableDigest::default();
    for view in runtime().block_on(region.inspect()) {
        view.digests.values().for_each(|digest| all.merge(digest));
    }
    all
}

fn is_quiet(region: &Region) -> bool {
    let views = runtime().block_on(region.inspect());
    views.iter().all(|view| view.outstanding == 0 && view.waiting.values().all(|n| *n == 0))
}

/// Waits until all hold the same and have nothing to do.
fn settle(regions: &[&Region]) {
    wait_for("all to be quiet", || regions.iter().all(|region| is_quiet(region)));
    wait_for("all to hold the same", || {
        let digests: Vec<TableDigest> = regions.iter().map(|region| digest(region)).collect();
        digests.iter().all(|digest| *digest == digests[0])
    });
}

fn stop(regions: &[&Region]) {
    regions.iter().for_each(|region| region.stop());
}

#[test]
fn survivors_go_on_without_a_region_that_is_gone() {
    let world = World::new(Engine::default());
    let (a, b, c) = (world.start("a"), world.start("b"), world.start("c"));
    write(&c, "of-c", 1).unwrap();
    wait_for("a to have it", || image_in(&a, "of-c") == image(1));
    c.stop();
    drop(c);
    write(&a, "row", 2).unwrap();
    let plan = runtime().block_on(a.plan(evict("c"))).unwrap();
    assert_eq!(plan.members, ["a", "b"].map(region).into());
    let itself = runtime().block_on(a.plan(evict("a")));
    assert_eq!(itself, Err(ProposeRefused::Myself.into()));
    propose(&a, evict("c")).unwrap();
    wait_for("both to be done", || [&a, &b].iter().all(|r| is_complete(r, &evict("c"))));
    for survivor in [&a, &b] {
        wait_for("c to count no more", || {
            survivor.members().counted == ["a", "b"].map(region).into()
        });
        assert!(survivor.links().iter().all(|link| link.region != region("c")));
        assert_eq!(image_in(survivor, "of-c"), image(1));
    }
    settle(&[&a, &b]);
    // It comes to life again, and hears of it.
    let c = world.start("c");
    wait_for("c to hear of it", || c.members().me_gone);
    wait_for("c to refuse", || {
        write(&c, "late", 3) == Err(WriteError::NotTaken(WriteRefused::NotAMember.into()))
    });
    write(&b, "row", 4).unwrap();
    wait_for("a to have it", || image_in(&a, "row") == image(4));
    stop(&[&a, &b, &c]);
    drop((a, b, c));
    // The survivors start with what they agreed on, whatever the configuration says.
    let (a, b) = (world.start("a"), world.start("b"));
    assert_eq!(a.members().members, ["a", "b"].map(region).into());
    write(&a, "row", 5).unwrap();
    wait_for("b to have it", || image_in(&b, "row") == image(5));
    stop(&[&a, &b]);
}

fn a_fourth_region_joins(engine: Engine) {
    let world = World::new(engine);
    let (a, b, c) = (world.start("a"), world.start("b"), world.start("c"));
    for n in 0..50 {
        write(&a, &format!("before-{n}"), n).unwrap();
    }
    let (writing, written) = (AtomicBool::new(true), AtomicU64::new(0));
    let d = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if !writing.load(Ordering::SeqCst) {
                    break;
                }
                write(&b, &format!("during-{n}"), n).unwrap();
                written.store(n + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        propose(&a, join("d")).unwrap();
        let d = world.join("d", "a");
        wait_for("d to take writes", || write(&d, "of-d", 7).is_ok());
        writing.store(false, Ordering::SeqCst);
        d
    });
    let all = [&a, &b, &c, &d];
    for region in all {
        wait_for("all to know", || is_complete(region, &join("d")));
    }
    settle(&all);
    assert!(written.load(Ordering::SeqCst) > 0);
    assert_eq!(digest(&d).rows, 50 + written.load(Ordering::SeqCst) + 1);
    // The donor drops what it has published.
    wait_for("the donor to be done", || a.donation().is_none());
    let left = || world.data.path().join("bus/a/snapshot-d").exists();
    wait_for("the snapshot to be dropped", || !left());
    stop(&all);
    drop((a, b, c, d));
    let (a, d) = (world.start("a"), world.start("d"));
    write(&a, "after", 8).unwrap();
    wait_for("d to have it", || image_in(&d, "after") == image(8));
    stop(&[&a, &d]);
}

#[test]
fn a_fourth_region_joins_while_others_write() {
    a_fourth_region_joins(Engine::Sled);
}

#[test]
fn a_fourth_region_joins_over_fjall() {
    a_fourth_region_joins(Engine::Fjall);
}

fn damage(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path);
        } else if path.metadata().unwrap().len() > 0 {
            std::fs::write(&path, [0xa5; 4096]).unwrap();
        }
    }
}

#[test]
fn a_region_whose_store_is_corrupt_comes_back_as_another_incarnation() {
    let world = World::new(Engine::Fjall);
    let (a, b, c) = (world.start("a"), world.start("b"), world.start("c"));
    for n in 0..20 {
        write(&c, &format!("of-c-{n}"), n).unwrap();
    }
    settle(&[&a, &b, &c]);
    c.stop();
    drop(c);
    damage(&world.data.path().join("c/store/fjall"));
    let start = || Region::start(world.options("c"), Arc::new(world.bus.clone())).err().unwrap();
    let error = start();
    assert!(matches!(error, StartError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("topology join 'c#2'"), "{error}");
    // It does not start empty either.
    assert!(matches!(start(), StartError::Lost { .. }));
    let kept = std::fs::read_dir(world.data.path().join("c")).unwrap();
    let names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().any(|name| name.starts_with("store.corrupt-")));

    let old = runtime().block_on(a.plan(join("c#2")));
    assert!(matches!(old, Err(ProposeError::Refused(ProposeRefused::OldIncarnation { .. }))));
    propose(&a, evict("c")).unwrap();
    wait_for("c to be evicted", || is_complete(&a, &evict("c")) && is_complete(&b, &evict("c")));
    propose(&b, join("c#2")).unwrap();
    let c = world.join("c#2", "b");
    wait_for("c to take writes", || write(&c, "of-c-again", 7).is_ok());
    settle(&[&a, &b, &c]);
    assert_eq!(digest(&c).rows, 21);
    stop(&[&a, &b, &c]);
}

#[test]
fn a_store_that_was_found_corrupt_while_it_ran_is_set_aside_by_the_next_start() {
    let world = World::new(Engine::default());
    let start = || Region::start(world.options("a"), Arc::new(world.bus.clone()));
    let note = world.data.path().join("a/store.condemned");
    start().unwrap().stop();
    std::fs::write(&note, "a#2\nof another life").unwrap();
    start().unwrap().stop();
    std::fs::write(&note, "a\npartition 0: read row x: the store is corrupt").unwrap();
    let error = start().err().unwrap();
    assert!(matches!(error, StartError::Corrupt { .. }), "{error}");
    for part in ["partition 0: read row x", "store.corrupt-", "topology join 'a#2'"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(!note.exists() && matches!(start(), Err(StartError::Lost { .. })));
    // Nor does it wait for a copy, as if it had never been there.
    assert!(!must_join(&world.options("a")).unwrap());
}

#[test]
fn a_copy_that_is_broken_off_is_gone_on_with() {
    let world = World::new(Engine::default());
    let (a, b, c) = (world.start("a"), world.start("b"), world.start("c"));
    // Several pages.
    let long = "x".repeat(100_000);
    for n in 0..20 {
        let image = Image::canonicalize(format!("{{\"n\":\"{long}{n}\"}}").as_bytes()).unwrap();
        let write = a.write(key(&format!("row-{n}")), Precondition::None, Some(image));
        runtime().block_on(write).unwrap();
    }
    let options = world.options("d");
    let joining = Joining::new(region("d"), region("a"));
    // Before anyone has asked for it there is nothing, and it can be stopped.
    joining.stop();
    assert!(!joining.take_over(&options, &world.bus).unwrap());
    propose(&a, join("d")).unwrap();
    wait_for("the copy to be published", || {
        a.donation().is_some_and(|donation| donation.state == "published")
    });
    // The donor forgets that it has done so, as if it had been killed, and makes another.
    propose(&a, join("d")).unwrap();
    wait_for("another copy", || a.donation().is_some_and(|donation| donation.state == "published"));
    // What was gathered in a damaged file is not believed.
    let folder = options.data.join("joining");
    std::fs::write(folder.join("copy"), vec![7; 600_000]).unwrap();
    std::fs::write(folder.join("progress"), format!("1 2 {} 5 600000", 700_000)).unwrap();
    let d = world.join("d", "a");
    wait_for("d to take writes", || write(&d, "of-d", 7).is_ok());
    settle(&[&a, &b, &c, &d]);
    // A folder is a region's alone.
    let other = RegionOptions { region: region("e"), ..world.options("d") };
    d.stop();
    drop(d);
    assert!(matches!(must_join(&other), Err(TakeOverError::OtherData { .. })));
    stop(&[&a, &b, &c]);
}
