//! Two builds of the node side by side: one has a determinism profile that the other lacks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_bus::EmbeddedBus;
use syncline_core::{
    FunctionVersion, Image, NewRollout, PartitionCount, Precondition, RegionId, Rollout,
    RolloutPlan, RolloutState, RolloutText, Routes, RowKey, partition_of,
};
use syncline_host::{Compiler, PROFILE};
use syncline_hostile::answering;
use syncline_node::config::{HumanDuration, LimitsConfig};
use syncline_node::region::{Cuts, Region, RegionOptions, WallClock};
use syncline_store::Engine;
use syncline_store::kv::row;

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn key(pk: &str) -> RowKey {
    RowKey { table: "carts".parse().unwrap(), pk: pk.parse().unwrap() }
}

fn image(text: &str) -> Image {
    Image::canonicalize(text.as_bytes()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(data: &Path, bus: &EmbeddedBus, name: &str, profile: u32) -> Region {
    let options = RegionOptions {
        region: region(name),
        regions: ["a", "b"].map(region).into(),
        routes: Routes::default(),
        tags: Vec::new(),
        data: data.join(name),
        engine: Engine::default(),
        partitions: PartitionCount::new(1).unwrap(),
        nodes: None,
        limits: LimitsConfig {
            start_wait: HumanDuration(Duration::ZERO),
            ..LimitsConfig::default()
        },
        cuts: Cuts::default(),
        compiler: Compiler::InProcess,
        profile,
        clock: WallClock::default(),
    };
    let region = Region::start(options, Arc::new(bus.clone())).unwrap();
    wait_for("the region to start", || region.starting().is_none());
    region
}

fn write(region: &Region, pk: &str, text: &str) {
    runtime().block_on(region.write(key(pk), Precondition::None, Some(image(text)))).unwrap();
}

fn held(region: &Region, pk: &str) -> Option<String> {
    let partition = partition_of(&key(pk), region.partitions());
    let image = row::get(region.store(), partition, &key(pk)).unwrap().and_then(|row| row.image);
    image.map(|image| String::from_utf8_lossy(image.as_bytes()).into_owned())
}

fn waiting(region: &Region) -> usize {
    let views = runtime().block_on(region.inspect());
    views.iter().flat_map(|view| view.waiting.values()).sum()
}

fn deploy(region: &Region, component: &[u8]) {
    let admitted = region.admit(component).unwrap();
    let rollout = NewRollout {
        table: "carts".parse().unwrap(),
        version: admitted.version.into(),
        plan: RolloutPlan::default(),
        actor: RolloutText::default(),
        why: RolloutText::default(),
    };
    runtime().block_on(region.deploy(rollout, admitted, component.to_vec())).unwrap();
}

fn rollout(region: &Region, version: FunctionVersion) -> Option<Rollout> {
    let views = runtime().block_on(region.rollouts());
    views.into_iter().map(|view| view.rollout).find(|rollout| rollout.version == version.into())
}

/// Both write the row before they hear of the other's write.
fn conflict(a: &Region, b: &Region, pk: &str) {
    let cut = |cut| [a, b].map(|region| region.cuts().set(a.id(), b.id(), cut));
    cut(true);
    for (region, text) in [(a, r#"{"by":"a"}"#), (b, r#"{"by":"b"}"#)] {
        write(region, pk, text);
    }
    cut(false);
}

#[test]
fn what_a_build_may_not_run_waits_there_until_one_comes_that_may() {
    let data = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(data.path().join("bus"), PartitionCount::new(1).unwrap()).unwrap();
    let a = start(data.path(), &bus, "a", PROFILE);
    let b = start(data.path(), &bus, "b", PROFILE);
    let hear = |region: &Region| region.links().iter().all(|link| link.state == "up");
    wait_for("the two to hear each other", || hear(&a) && hear(&b));
    let (first, second) = (answering(br#"{"by":"first"}"#), answering(br#"{"by":"second"}"#));
    let (first, second) = (first.component(), second.component());
    deploy(&a, &first);
    let version = FunctionVersion::of(&first);
    let is_complete = |region: &Region| {
        rollout(region, version).is_some_and(|rollout| rollout.state == RolloutState::Complete)
    };
    wait_for("the rollout", || is_complete(&a) && is_complete(&b));

    b.stop();
    drop(b);
    let b = start(data.path(), &bus, "b", PROFILE + 1);
    assert_eq!(b.other_profiles().get(&version), Some(&PROFILE));
    conflict(&a, &b, "row");
    let decided = Some(r#"{"by":"first"}"#.to_owned());
    wait_for("the conflict", || held(&a, "row") == decided && waiting(&b) > 0);
    assert_eq!(held(&b, "row").as_deref(), Some(r#"{"by":"b"}"#));
    write(&b, "another", r#"{"n":1}"#);
    wait_for("the other row", || held(&a, "another").is_some());

    // Nothing new goes live meanwhile.
    deploy(&a, &second);
    let second = FunctionVersion::of(&second);
    wait_for("the rollout to be refused", || {
        rollout(&a, second).is_some_and(|rollout| rollout.state == RolloutState::Aborted)
    });
    let reason = rollout(&a, second).unwrap().reason.unwrap().to_string();
    assert!(reason.contains("profile"), "{reason}");

    b.stop();
    drop(b);
    let b = start(data.path(), &bus, "b", PROFILE);
    assert!(b.other_profiles().is_empty());
    wait_for("the conflict in b", || held(&b, "row") == decided && waiting(&b) == 0);
}
