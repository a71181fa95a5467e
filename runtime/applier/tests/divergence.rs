//! Two regions fold one conflict, and the engine of one of them is broken: what both say, keep and
//! do about it, and that a repair ends it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use syncline_applier::{
    ControlApplier, Limits, Loaded, MendDone, MendWork, Moment, PartitionApplier, PartitionDone,
    PartitionTurn, Read, ReadItem, ReadRecords, RepairWork, Site, Sorted, restore,
};
use syncline_bus::{Envelope, Item, Lane, encode_change, encode_heartbeat};
use syncline_core::{
    Alarm, Change, ChangeId, ChangeRecord, Diverged, Divergence, FunctionVersion, Hlc, Image,
    MergeInput, NewRollout, Operation, PartitionCount, RegionId, RolloutPlan, RolloutState,
    RolloutText, RowKey, Stamp, VersionVector,
};
use syncline_store::MemoryStore;
use syncline_store::kv::component::ComponentFacts;
use syncline_store::kv::{conflict, row};

const FUNCTION: &[u8] = b"the merge function";
/// When changes are made, and a moment later, in milliseconds since 1970.
const THEN_MS: u64 = 1_795_000_000_000;
const NOW_MS: u64 = THEN_MS + 1_000;

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn key() -> RowKey {
    RowKey { table: "t".parse().unwrap(), pk: "k".parse().unwrap() }
}

fn image(text: &str) -> Image {
    Image::canonicalize(format!("{{\"v\":\"{text}\"}}").as_bytes()).unwrap()
}

/// One region of four; the others are heard through what the test shows it.
struct World {
    site: Site<MemoryStore>,
    partition: PartitionApplier,
    control: ControlApplier,
    lies: bool,
    position: u64,
}

impl World {
    fn new(name: &str, lies: bool) -> Self {
        let limits = Limits {
            unconfirmed_changes: 9,
            waiting_changes: 9,
            conflicts: 1,
            conflict_bytes: 1 << 20,
        };
        let regions = ["a", "b", "c", "d"].map(region).into();
        let partitions = PartitionCount::new(1).unwrap();
        let site = Site::new(region(name), regions, partitions, limits, MemoryStore::new());
        let engine = format!("engine of {name}, x86_64");
        Self::on(site.with_engine(engine.parse().unwrap()), lies)
    }

    fn on(site: Site<MemoryStore>, lies: bool) -> Self {
        let mut restored = restore(&site, |_, _| true).unwrap();
        let partition = restored.partitions.remove(0);
        Self { site, partition, control: restored.control, lies, position: 0 }
    }

    fn turn(&mut self, turn: PartitionTurn<()>) -> PartitionDone<()> {
        let lies = self.lies;
        let merge = move |_: &FunctionVersion, input: &MergeInput<'_>| {
            let both = [input.older.image, input.newer.image].map(|side| side.unwrap().as_bytes());
            let text = String::from_utf8_lossy(&both.concat()).replace('"', "");
            Ok(Ok(Some(if lies { image("a lie") } else { image(&text) })))
        };
        self.partition.turn(&self.site, &merge, turn, Moment::of(NOW_MS)).unwrap()
    }

    /// Shows it what stands in the log of a region; answers what it found.
    fn read(&mut self, source: &str, record: Envelope) -> Vec<Divergence> {
        let sorted = self.site.intake(&region(source)).sort(Lane::Changes(0), Item::Record(record));
        let Ok(Sorted::Row(what @ (Read::Change(..) | Read::Heartbeat(..)))) = sorted else {
            panic!("{sorted:?}");
        };
        let item = ReadItem { position: self.position, next_position: self.position + 1, what };
        self.position += 1;
        let read = ReadRecords { source: region(source), partition: 0, items: vec![item] };
        let done = self.turn(PartitionTurn { records: vec![read], ..PartitionTurn::default() });
        let found = done.alarms.into_iter().map(|alarm| match alarm {
            Alarm::Divergence(found) => *found,
            other => panic!("{other:?}"),
        });
        found.collect()
    }

    fn meet(&mut self) {
        for (n, source) in [(1, "c"), (2, "d")] {
            assert_eq!(self.read(source, change(source, n)), []);
        }
    }

    /// Its next heartbeat, as it goes to the bus.
    fn beat(&mut self) -> Envelope {
        let done = self.turn(PartitionTurn { beats: true, ..PartitionTurn::default() });
        assert!(done.alarms.is_empty(), "{:?}", done.alarms);
        encode_heartbeat(&done.ticket.unwrap().heartbeat.unwrap())
    }

    fn known(&self) -> Vec<Divergence> {
        self.partition.partition().divergences().cloned().collect()
    }

    fn image(&self) -> Option<Image> {
        row::get(&self.site.store, 0, &key()).unwrap().unwrap().image
    }
}

fn change(from: &str, n: u64) -> Envelope {
    let id = ChangeId { hlc: Hlc::new(THEN_MS + n, 0).unwrap(), region: region(from) };
    encode_change(&ChangeRecord {
        row: key(),
        change: Change {
            id,
            context: VersionVector::new(),
            operation: Operation::Insert,
            before: None,
            after: Some(image(from)),
            stamp: Stamp::Function(FunctionVersion::of(FUNCTION)),
        },
        prev: Hlc::ZERO,
    })
}

#[test]
fn both_find_it_keep_it_and_forget_it_once_it_is_repaired() {
    let (mut a, mut b) = (World::new("a", false), World::new("b", true));
    a.meet();
    b.meet();
    let (of_a, of_b) = (a.beat(), b.beat());
    let (in_a, in_b) = (a.read("b", of_b), b.read("a", of_a));
    for (found, here, there) in [(&in_a, "a", "b"), (&in_b, "b", "a")] {
        let [outcome, state] = &found[..] else { panic!("{found:?}") };
        assert!(matches!(&outcome.what, Diverged::Outcome { row, .. } if *row == key()));
        assert_eq!(state.what, Diverged::State { tables: vec![key().table] });
        for found in [outcome, state] {
            assert_eq!((&found.here.region, &found.there.region), (&region(here), &region(there)));
            let engines = [&found.here, &found.there].map(|side| side.engine.clone().unwrap());
            let named = engines.map(|engine| engine.as_str().to_owned());
            assert_eq!(named, [here, there].map(|name| format!("engine of {name}, x86_64")));
        }
    }

    // A start forgets neither that nor the conflict.
    let mut b = World::on(b.site, false);
    assert_eq!(b.known().len(), 2);
    let id = b.known().iter().find_map(Divergence::conflict).unwrap();
    assert!(conflict::get(&b.site.store, &id).unwrap().is_some());

    // Its engine is mended with the start. What is planned changes nothing.
    let lie = b.image();
    for applies in [false, true] {
        assert_eq!(b.image(), lie);
        let table = key().table;
        let work = RepairWork { partition: 0, table, after: None, limit: 9, applies };
        let mend = Some(MendWork::Repair(work));
        let done = b.turn(PartitionTurn { mend, ..PartitionTurn::default() });
        let Some(MendDone::Repaired(page)) = done.mended else { panic!("{done:?}") };
        assert_eq!((page.looked_at, page.changed), (1, vec![key().pk]));
    }
    assert_eq!(b.image(), a.image());
    assert_eq!(a.read("b", b.beat()), []);
    assert_eq!(a.known(), []);
    assert_eq!(b.read("a", a.beat()), []);
    // What a said of the conflict went with the start of b: only people can tell that it is over.
    let left = b.known();
    assert!(matches!(&left[..], [Divergence { what: Diverged::Outcome { .. }, .. }]), "{left:?}");
    let mend = Some(MendWork::Acknowledge(left[0].id()));
    let done = b.turn(PartitionTurn { mend, ..PartitionTurn::default() });
    assert_eq!(done.mended, Some(MendDone::Acknowledged(true)));
    assert_eq!(World::on(b.site, false).known(), []);
}

#[test]
fn a_divergence_pauses_the_rollouts_of_its_table_once() {
    let (mut a, mut b) = (World::new("a", false), World::new("b", true));
    let version = FunctionVersion::of(FUNCTION);
    let facts = ComponentFacts {
        bytes: FUNCTION.len() as u64,
        name: "f".to_owned(),
        uploaded_by: "a".to_owned(),
        uploaded_at_ms: 0,
    };
    let none = RolloutText::default;
    let rollouts = ["t", "other"].map(|table| {
        let table = table.parse().unwrap();
        let (plan, version_of) = (RolloutPlan::default(), version.into());
        let new = NewRollout { table, version: version_of, plan, actor: none(), why: none() };
        let component = Loaded { version, bytes: FUNCTION.to_vec(), facts: facts.clone() };
        a.control.deploy(&a.site, new, component, THEN_MS).unwrap().0
    });
    a.control.end(&a.site, true, Moment::of(NOW_MS), 1).unwrap();
    a.meet();
    b.meet();
    assert_eq!(a.read("b", b.beat()).len(), 2);
    let states = |world: &World| {
        let control = world.control.control();
        rollouts.each_ref().map(|id| control.rollouts().get(id).unwrap().clone())
    };
    a.control.end(&a.site, true, Moment::of(NOW_MS), 2).unwrap();
    let [of_t, other] = states(&a);
    assert_eq!((of_t.state, other.state), (RolloutState::Paused, RolloutState::Distributing));
    let line = of_t.history.last().unwrap();
    assert_eq!(line.actor.as_str(), "syncline");
    assert!(line.why.as_str().starts_with("conflict "), "{line:?}");

    // Who resumes has seen it; a start does not take that back.
    let ask = syncline_core::RolloutAsk::Resume;
    a.control.ask(&a.site, &rollouts[0], ask, (none(), none()), NOW_MS).unwrap();
    a.control.end(&a.site, true, Moment::of(NOW_MS), 3).unwrap();
    let mut a = World::on(a.site, false);
    assert_eq!(a.known().len(), 2);
    a.control.end(&a.site, true, Moment::of(NOW_MS), 4).unwrap();
    assert_ne!(states(&a)[0].state, RolloutState::Paused);
}
