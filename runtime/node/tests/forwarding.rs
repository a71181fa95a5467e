//! Regions that hear each other through others, in one process on the embedded bus.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_bus::EmbeddedBus;
use syncline_core::{
    Image, PartitionCount, Precondition, RegionId, Routes, RowKey, TableDigest, TableName,
};
use syncline_host::Compiler;
use syncline_node::config::{HumanDuration, LimitsConfig};
use syncline_node::region::{Cuts, LinkView, Region, RegionOptions, WallClock};
use syncline_store::Engine;
use syncline_store::kv::{quarantine, received};

const PARTITIONS: u32 = 2;

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn key(pk: &str) -> RowKey {
    RowKey { table: "carts".parse().unwrap(), pk: pk.parse().unwrap() }
}

/// The regions of a test. `heard_in(reader, other)` is the region in whose log one hears the other.
struct World {
    data: tempfile::TempDir,
    bus: EmbeddedBus,
    cuts: Cuts,
    names: Vec<&'static str>,
    heard_in: fn(&str, &str) -> String,
    forwards: &'static [&'static str],
    /// All are told who passes on what it hears.
    told: bool,
    running: BTreeMap<&'static str, Region>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(
        names: &[&'static str],
        forwards: &'static [&'static str],
        heard_in: fn(&str, &str) -> String,
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        let partitions = PartitionCount::new(PARTITIONS).unwrap();
        let mut world = Self {
            bus: EmbeddedBus::open(data.path().join("bus"), partitions).unwrap(),
            data,
            cuts: Cuts::default(),
            names: names.to_vec(),
            heard_in,
            forwards,
            told: true,
            running: BTreeMap::new(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
        };
        world.names.clone().into_iter().for_each(|name| world.start(name));
        world
    }

    fn routes(&self, name: &str) -> Routes {
        let others = self.names.iter().filter(|other| **other != name);
        let routes = Routes::default().forwarding(self.forwards.contains(&name));
        others.fold(routes, |routes, other| match (self.heard_in)(name, other) {
            via if via != *other => routes.with_via(&region(other), &region(&via)),
            _ if self.told && self.forwards.contains(other) => {
                routes.with_forwarder(&region(other))
            }
            _ => routes,
        })
    }

    fn start(&mut self, name: &'static str) {
        let data: &Path = self.data.path();
        let start_wait = HumanDuration(Duration::ZERO);
        let options = RegionOptions {
            region: region(name),
            regions: self.names.iter().map(|name| region(name)).collect(),
            routes: self.routes(name),
            tags: vec![region("everywhere"), region(name)],
            data: data.join(name),
            engine: Engine::default(),
            partitions: PartitionCount::new(PARTITIONS).unwrap(),
            nodes: None,
            limits: LimitsConfig { start_wait, ..LimitsConfig::default() },
            cuts: self.cuts.clone(),
            compiler: Compiler::InProcess,
            profile: syncline_host::PROFILE,
            clock: WallClock::default(),
        };
        let started = Region::start(options, Arc::new(self.bus.clone())).unwrap();
        self.running.insert(name, started);
        wait_for("the region takes writes", || self.running[name].starting().is_none());
    }

    fn stop(&mut self, name: &str) {
        self.running.remove(name).unwrap().stop();
    }

    fn write(&self, name: &str, pk: &str, n: u64) {
        let image = Image::canonicalize(format!("{{\"n\":{n}}}").as_bytes()).unwrap();
        let write = self.running[name].write(key(pk), Precondition::None, Some(image));
        self.runtime.block_on(write).unwrap();
    }

    /// Each region writes a row of its own and one that all write.
    fn write_all(&self, n: u64) {
        for name in self.running.keys() {
            self.write(name, &format!("{name}-{n}"), n);
            self.write(name, &format!("all-{n}"), n);
        }
    }

    fn digests(&self, name: &str) -> BTreeMap<TableName, TableDigest> {
        let mut all: BTreeMap<TableName, TableDigest> = BTreeMap::new();
        for view in self.runtime.block_on(self.running[name].inspect()) {
            for (table, digest) in &view.digests {
                all.entry(table.clone()).or_default().merge(digest);
            }
        }
        all
    }

    fn outstanding(&self, name: &str) -> usize {
        let views = self.runtime.block_on(self.running[name].inspect());
        views.iter().map(|view| view.outstanding).sum()
    }

    fn link(&self, of: &str, to: &str) -> LinkView {
        let links = self.running[of].links();
        links.into_iter().find(|link| link.region == region(to)).unwrap()
    }

    /// All hold the same rows, everything is confirmed by all, and nobody keeps anything for anyone.
    fn come_to_rest(&self, rows: u64) {
        wait_for("all regions hold the same", || {
            let digests: Vec<_> = self.names.iter().map(|name| self.digests(name)).collect();
            let counted: u64 = digests[0].values().map(|table| table.rows).sum();
            counted == rows && digests.iter().all(|of_one| *of_one == digests[0])
        });
        wait_for("all is confirmed", || self.names.iter().all(|name| self.outstanding(name) == 0));
        wait_for("what was kept for others is dropped", || {
            self.names.iter().all(|name| self.kept_for_others(name) == 0)
        });
        for name in &self.names {
            let kept = quarantine::counts(self.running[name].store()).unwrap();
            assert!(kept.is_empty(), "{name}: {kept:?}");
        }
    }

    fn kept_for_others(&self, name: &str) -> usize {
        let store = self.running[name].store();
        let others = self.names.iter().filter(|other| **other != name);
        let of = |other: &&str| -> usize {
            let count = |number| received::count(store, number, &region(other)).unwrap();
            (0..PARTITIONS).map(count).sum()
        };
        others.map(of).sum()
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn through_the_hub(reader: &str, other: &str) -> String {
    if reader == "hub" { other.to_owned() } else { "hub".to_owned() }
}

fn along_the_chain(reader: &str, other: &str) -> String {
    let (reader, other) = (reader.as_bytes()[0], other.as_bytes()[0]);
    let next = if other > reader { reader + 1 } else { reader - 1 };
    char::from(next).to_string()
}

#[test]
fn spokes_hear_each_other_through_the_hub() {
    let mut world = World::new(&["hub", "x", "y"], &["hub"], through_the_hub);
    world.write_all(1);
    world.come_to_rest(4);
    wait_for("the spokes hear each other", || world.link("x", "y").state == "up");
    assert_eq!(world.link("x", "y").via.as_deref(), Some("hub"));
    assert_eq!(world.link("hub", "y").via, None);
    let tags = ["y", "everywhere"].map(region);
    wait_for("tags are told", || world.link("x", "y").tags == tags);

    // One is cut off: the others go on, and it is sent what it missed.
    world.cuts.set(&region("hub"), &region("x"), true);
    assert_eq!((world.link("x", "y").state, world.link("x", "hub").state), ("cut", "cut"));
    world.write_all(2);
    wait_for("the others go on", || world.digests("hub") == world.digests("y"));
    assert_ne!(world.digests("x"), world.digests("y"));
    world.cuts.set(&region("hub"), &region("x"), false);
    world.come_to_rest(8);

    // Without the hub each writes on, alone; it brings everything together when it is back.
    world.stop("hub");
    world.write_all(3);
    world.start("hub");
    world.write_all(4);
    world.come_to_rest(8 + 3 + 4);
}

#[test]
fn a_change_goes_along_a_chain_and_does_not_go_in_circles() {
    let mut world = World::new(&["a", "b", "c", "d"], &["b", "c"], along_the_chain);
    world.write_all(1);
    world.come_to_rest(5);

    world.cuts.set(&region("b"), &region("c"), true);
    world.write_all(2);
    wait_for("each half goes on", || {
        world.digests("a") == world.digests("b") && world.digests("c") == world.digests("d")
    });
    world.cuts.set(&region("b"), &region("c"), false);
    world.come_to_rest(10);

    world.stop("c");
    world.write_all(3);
    world.stop("b");
    world.start("c");
    world.start("b");
    world.write_all(4);
    world.come_to_rest(10 + 4 + 5);
}

#[test]
fn what_a_forwarder_says_of_others_is_no_mistake_to_who_hears_them_elsewhere() {
    // Only y hears x through the hub; x reads all others itself.
    fn mixed(reader: &str, other: &str) -> String {
        if (reader, other) == ("y", "x") { "hub".to_owned() } else { other.to_owned() }
    }
    let mut world = World::new(&["hub", "x", "y"], &["hub"], mixed);
    world.write_all(1);
    world.come_to_rest(4);
    // One that is not told keeps what it did not expect, and loses nothing.
    world.stop("x");
    world.told = false;
    world.start("x");
    world.write_all(2);
    let kept = |world: &World| quarantine::counts(world.running["x"].store()).unwrap();
    wait_for("what was not expected is kept", || !kept(&world).is_empty());
    wait_for("nothing is lost", || world.digests("x") == world.digests("y"));
}
