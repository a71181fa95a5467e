//! Records in quarantine that are replayed or dropped: what that comes to, and that every record is
//! counted once, whatever is done with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use syncline_applier::{
    Broken, ControlApplier, ControlItem, ControlRead, KeptAction, KeptDone, KeptWork, Limits,
    Moment, PartitionApplier, PartitionDone, PartitionTurn, Read, ReadItem, ReadRecords,
    ReplayRefused, Replayed, Site, Sorted, restore,
};
use syncline_bus::{Envelope, Item, Lane, encode_change, encode_control, encode_heartbeat};
use syncline_core::{
    CONTROL_PARTITION, Change, ChangeId, ChangeRecord, ComponentChunk, ControlBody, ControlRecord,
    Evidence, FunctionVersion, Heartbeat, Hlc, HostFault, Image, LinkCounters, MergeInput,
    Operation, PartitionCount, RegionId, RowKey, Stamp, VersionVector,
};
use syncline_store::kv::quarantine::{self, QuarantineFilter, QuarantineId, Quarantined};
use syncline_store::{Batch, MemoryStore, Store as _};

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn hlc(n: u64) -> Hlc {
    if n == 0 { Hlc::ZERO } else { Hlc::new(1_795_000_000_000 + n, 0).unwrap() }
}

/// The n-th change of region b, from 1.
fn change(n: u64) -> ChangeRecord {
    let image = Image::canonicalize(format!("{{\"n\":{n}}}").as_bytes()).unwrap();
    ChangeRecord {
        row: RowKey { table: "t".parse().unwrap(), pk: format!("k{n}").parse().unwrap() },
        change: Change {
            id: ChangeId { hlc: hlc(n), region: region("b") },
            context: VersionVector::new(),
            operation: Operation::Insert,
            before: None,
            after: Some(image),
            stamp: Stamp::Lww,
        },
        prev: hlc(n - 1),
    }
}

struct World {
    site: Site<MemoryStore>,
    partition: PartitionApplier,
    control: ControlApplier,
}

impl World {
    fn new() -> Self {
        let limits = Limits {
            unconfirmed_changes: 1_000,
            waiting_changes: 1_000,
            conflicts: 1_000,
            conflict_bytes: 1 << 20,
        };
        let regions = vec![region("a"), region("b")];
        let partitions = PartitionCount::new(1).unwrap();
        Self::on(Site::new(region("a"), regions, partitions, limits, MemoryStore::new()))
    }

    fn on(site: Site<MemoryStore>) -> Self {
        let mut restored = restore(&site, |_, _| true).unwrap();
        let partition = restored.partitions.remove(0);
        Self { site, partition, control: restored.control }
    }

    /// As after a kill: what is on disk counts.
    fn restarted(self) -> Self {
        Self::on(self.site)
    }

    fn turn(&mut self, turn: PartitionTurn<()>) -> PartitionDone<()> {
        let no_functions =
            |version: &FunctionVersion, _: &MergeInput<'_>| Err(HostFault::NotHere(*version));
        let done = self.partition.turn(&self.site, &no_functions, turn, Moment::of(1_000)).unwrap();
        self.check();
        done
    }

    fn read(&mut self, position: u64, what: Read) {
        let items = vec![ReadItem { position, next_position: position + 1, what }];
        let read = ReadRecords { source: region("b"), partition: 0, items };
        self.turn(PartitionTurn { records: vec![read], ..PartitionTurn::default() });
    }

    fn read_record(&mut self, position: u64, envelope: Envelope) {
        match self.site.intake(&region("b")).sort(Lane::Changes(0), Item::Record(envelope)) {
            Ok(Sorted::Row(read)) => self.read(position, read),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, position: u64, action: KeptAction) -> KeptDone {
        let work = KeptWork { id: id(position), action };
        let turn = PartitionTurn { kept: Some(work), ..PartitionTurn::default() };
        let done = self.turn(turn);
        assert!(done.forked.is_empty() && done.alarms.is_empty());
        done.kept.unwrap()
    }

    fn replay(&mut self, position: u64) -> KeptDone {
        self.ask(position, KeptAction::Replay)
    }

    fn end_control(&mut self) {
        self.control.end(&self.site, false, Moment::of(1_000), 1_000).unwrap();
        self.check();
    }

    fn ask_control(&mut self, position: u64, action: KeptAction) -> KeptDone {
        let id = QuarantineId { partition: CONTROL_PARTITION, ..id(position) };
        let done = self.control.handle_kept(&self.site, &KeptWork { id, action }).unwrap();
        self.end_control();
        done
    }

    fn counters(&self) -> LinkCounters {
        self.partition.partition().links().next().unwrap().1.counters
    }

    /// (applied, duplicate, gap, quarantined, dropped)
    fn counted(&self) -> [u64; 5] {
        let c = self.counters();
        [c.applied, c.duplicate, c.gap, c.quarantined, c.dropped]
    }

    /// The identity, after every turn.
    fn check(&self) {
        let of_rows = self.partition.partition().links();
        let of_rows = of_rows.map(|(_, link, waiting)| (link.counters, waiting as u64));
        let of_control = self.control.control().links().map(|(_, link)| (link.counters, 0));
        for (c, waiting) in of_rows.chain(of_control) {
            let sum = c.applied + c.duplicate + c.gap + waiting + c.quarantined + c.dropped;
            assert_eq!(c.consumed, sum, "{c:?}, {waiting} wait");
        }
    }

    fn keep(&self, record: &Quarantined) {
        let mut batch = Batch::new();
        quarantine::put(&mut batch, record);
        self.site.store.commit(batch).unwrap();
    }

    fn kept(&self) -> Vec<Quarantined> {
        let all = QuarantineFilter::default();
        quarantine::page(&self.site.store, &all, None, 100).unwrap().records
    }

    fn position(&self) -> Option<u64> {
        self.partition.partition().position(&region("b"))
    }
}

fn id(position: u64) -> QuarantineId {
    QuarantineId { source: region("b"), partition: 0, position }
}

/// As it would be kept if software of another day had not understood it.
fn kept(position: u64, envelope: &Envelope) -> Quarantined {
    let raw = envelope.to_bytes();
    Quarantined {
        id: id(position),
        reason: "not understood then".into(),
        at_ms: 7,
        raw_bytes: raw.len() as u64,
        raw,
        whole: true,
    }
}

fn replayed(replayed: Replayed) -> KeptDone {
    KeptDone::Replayed(replayed)
}

#[test]
fn what_is_understood_now_is_applied_in_its_place_in_the_chain() {
    let mut world = World::new();
    let good = |n| encode_change(&change(n));
    world.read_record(10, good(1));
    world.keep(&kept(11, &good(2)));
    world.keep(&kept(12, &good(3)));
    // Behind it in the chain comes nothing before it.
    assert_eq!(world.replay(12), replayed(Replayed::Gap));
    assert_eq!((world.counted(), world.kept().len()), ([1, 0, 1, 0, 0], 2));
    assert_eq!(world.replay(11), replayed(Replayed::Applied));
    assert_eq!(world.replay(12), replayed(Replayed::Applied));
    assert_eq!((world.counted(), world.kept().len()), ([3, 0, 1, 0, 0], 0));
    assert_eq!(world.partition.partition().taken().get(&region("b")), hlc(3));
    // It was read where reading has been before.
    assert_eq!(world.position(), Some(11));
    // What its region sends again is known, and so is what is replayed after that.
    world.read_record(40, good(3));
    world.keep(&kept(12, &good(3)));
    assert_eq!(world.replay(12), replayed(Replayed::Duplicate));
    assert_eq!((world.counted(), world.kept().len()), ([3, 2, 1, 0, 0], 0));
    assert_eq!((world.replay(12), world.position()), (KeptDone::NotKept, Some(41)));
    let before = world.counters();
    assert_eq!(world.restarted().counters(), before);
}

#[test]
fn what_is_taken_and_waits_is_said_to_wait() {
    let mut world = World::new();
    let mut early = change(1);
    early.change.context.set(&region("c"), hlc(1).before());
    world.keep(&kept(3, &encode_change(&early)));
    assert_eq!(world.replay(3), replayed(Replayed::Waiting));
    assert_eq!((world.partition.partition().waiting(), world.counted()), (1, [0; 5]));
    assert_eq!(world.kept(), vec![]);
    world.restarted().check();
}

#[test]
fn what_still_cannot_be_read_stays_with_its_newest_reason() {
    let mut world = World::new();
    let good = encode_change(&change(1));
    let broken = Envelope { payload: b"{\"v\":1, not JSON".to_vec(), ..good.clone() };
    world.read_record(5, broken.clone());
    assert_eq!(world.counted(), [0, 0, 0, 1, 0]);
    let mut first = world.kept().remove(0);
    assert_eq!(
        (first.id.clone(), first.raw.clone(), first.whole),
        (id(5), broken.to_bytes(), true)
    );
    first.reason = "an older word for it".into();
    world.keep(&first);
    let KeptDone::Replayed(Replayed::Unreadable { reason }) = world.replay(5) else { panic!() };
    assert_eq!(world.counted(), [0, 0, 0, 2, 0]);
    assert_eq!(world.kept(), vec![Quarantined { reason, ..first }]);
    // Nor may another region's change stand in this log.
    let mut foreign = change(1);
    foreign.change.id.region = region("c");
    world.keep(&kept(6, &encode_change(&foreign)));
    assert!(matches!(world.replay(6), KeptDone::Replayed(Replayed::Unreadable { .. })));
    assert_eq!((world.counted(), world.kept().len()), ([0, 0, 0, 3, 0], 2));
    assert_eq!(world.ask(5, KeptAction::Drop), KeptDone::Dropped);
    assert_eq!(world.ask(5, KeptAction::Drop), KeptDone::NotKept);
    assert_eq!((world.counted(), world.kept().len()), ([0, 0, 0, 3, 0], 1));
    // What was dropped keeps its place in the chain: the record itself still comes.
    world.read_record(9, good);
    assert_eq!(world.counted(), [1, 0, 0, 3, 0]);
    world.restarted().check();
}

#[test]
fn what_cannot_be_read_once_more_is_refused_and_changes_nothing() {
    let mut world = World::new();
    (1..=3).for_each(|n| world.read_record(n, encode_change(&change(n))));
    let before = world.counters();
    let good = kept(0, &encode_change(&change(4)));
    let bytes = good.raw_bytes + 1;
    let large = Quarantined { raw_bytes: bytes, ..good.clone() };
    let damaged = Quarantined { whole: false, ..good.clone() };
    let no_record = Quarantined { raw: b"?".to_vec(), raw_bytes: 1, ..good.clone() };
    let later = ChangeRecord { prev: hlc(1), ..change(9) };
    let contradiction = kept(0, &encode_change(&later));
    let text = String::from_utf8(encode_change(&change(4)).payload).unwrap();
    let newer = text.replacen("\"v\":1", "\"v\":2", 1).into_bytes();
    let newer = kept(0, &Envelope { payload: newer, ..encode_change(&change(4)) });
    let strange = encode_change(&change(4)).to_bytes();
    let strange = strange.iter().map(|byte| if *byte == b'k' { 0xff } else { *byte }).collect();
    let strange = Quarantined { raw: strange, ..good.clone() };
    for (record, refused) in [
        (strange, ReplayRefused::NoText),
        (large, ReplayRefused::Truncated { kept: good.raw.len(), bytes }),
        (damaged, ReplayRefused::Damaged),
        (no_record, ReplayRefused::Damaged),
        (contradiction, ReplayRefused::Contradicts),
        (newer, ReplayRefused::NewerVersion { version: 2 }),
    ] {
        world.keep(&record);
        assert_eq!(world.replay(0), KeptDone::Refused(refused));
        assert_eq!((world.counters(), world.kept()), (before, vec![record]));
    }
}

#[test]
fn what_came_damaged_is_not_taken_for_what_it_was() {
    let mut world = World::new();
    let raw = encode_change(&change(1)).to_bytes();
    let broken = Broken { raw, whole: false, reason: "its checksum is another".into() };
    world.read(5, Read::Broken(broken));
    assert_eq!(world.replay(5), KeptDone::Refused(ReplayRefused::Damaged));
    assert_eq!(world.counted(), [0, 0, 0, 1, 0]);
}

#[test]
fn a_heartbeat_of_another_day_says_nothing_now() {
    let mut world = World::new();
    let beat = Heartbeat {
        region: region("b"),
        hlc: hlc(9),
        prev: Hlc::ZERO,
        watermarks: VersionVector::new(),
        taken: VersionVector::new(),
        evidence: Evidence::default(),
        wall_ms: 0,
    };
    world.keep(&kept(4, &encode_heartbeat(&beat)));
    assert_eq!(world.replay(4), replayed(Replayed::Duplicate));
    assert_eq!((world.kept().len(), world.counters()), (0, LinkCounters::default()));
    assert_eq!(world.partition.partition().watermarks().get(&region("b")), Hlc::ZERO);
}

#[test]
fn control_records_are_replayed_and_counted_as_well() {
    let mut world = World::new();
    let chunks = ComponentChunk::split(&[5; 600_000]);
    let record = |n: u64| {
        let id = ChangeId { hlc: hlc(n), region: region("b") };
        let body = ControlBody::Component(chunks[n as usize - 1].clone());
        ControlRecord { id, prev: hlc(n - 1), body }
    };
    let read = |position, what| ControlItem { position, next_position: position + 1, what };
    let broken = Broken { raw: b"?".to_vec(), whole: true, reason: "no record".into() };
    let items = vec![read(7, ControlRead::Broken(broken))];
    world.control.receive(&world.site, &region("b"), items, 1_000);
    world.end_control();
    assert_eq!(world.kept()[0].id.to_string(), "b.1.control.7");
    let refused = KeptDone::Refused(ReplayRefused::Damaged);
    assert_eq!(world.ask_control(7, KeptAction::Replay), refused);
    assert_eq!(world.ask_control(7, KeptAction::Drop), KeptDone::Dropped);
    assert_eq!(world.ask_control(7, KeptAction::Drop), KeptDone::NotKept);

    let keep = |world: &World, position, n| {
        let whole = kept(position, &encode_control(&record(n)));
        let id = QuarantineId { partition: CONTROL_PARTITION, ..whole.id };
        world.keep(&Quarantined { id, ..whole });
    };
    // The limit on what is kept cuts no chunk here: they are put there as they are.
    let mut small = record(1);
    small.body = ControlBody::Component(ComponentChunk {
        version: FunctionVersion([9; 32]),
        index: 0,
        count: 2,
        bytes: b"part".as_slice().into(),
    });
    let whole = kept(8, &encode_control(&small));
    let place = QuarantineId { partition: CONTROL_PARTITION, ..whole.id };
    world.keep(&Quarantined { id: place, ..whole });
    keep(&world, 9, 2);
    let bytes = encode_control(&record(2)).to_bytes().len() as u64;
    let large = ReplayRefused::Truncated { kept: quarantine::RAW_BYTES_MAX, bytes };
    assert_eq!(world.ask_control(9, KeptAction::Replay), KeptDone::Refused(large));
    assert_eq!(world.ask_control(8, KeptAction::Replay), replayed(Replayed::Applied));
    let counters = world.control.control().links().next().unwrap().1.counters;
    assert_eq!((counters.consumed, counters.applied, counters.quarantined), (2, 1, 1));
    let world = world.restarted();
    world.check();
    assert_eq!(world.control.control().links().next().unwrap().1.counters, counters);
    assert_eq!(world.kept().len(), 1);
}

#[test]
fn what_one_turn_has_dropped_it_does_not_bring_back() {
    let mut world = World::new();
    let unreadable = kept(7, &Envelope { payload: b"?".to_vec(), ..encode_change(&change(1)) });
    let id = QuarantineId { partition: CONTROL_PARTITION, ..id(7) };
    world.keep(&Quarantined { id: id.clone(), ..unreadable });
    let mut ask = |action| {
        world.control.handle_kept(&world.site, &KeptWork { id: id.clone(), action }).unwrap()
    };
    assert!(matches!(ask(KeptAction::Replay), KeptDone::Replayed(Replayed::Unreadable { .. })));
    assert_eq!(ask(KeptAction::Drop), KeptDone::Dropped);
    assert_eq!(ask(KeptAction::Replay), KeptDone::NotKept);
    assert_eq!(ask(KeptAction::Drop), KeptDone::NotKept);
    world.end_control();
    assert_eq!(world.kept(), vec![]);
}

#[test]
fn a_later_version_holds_the_link_only_where_its_region_is_heard_there() {
    let mut world = World::new();
    let later = |n| {
        let good = encode_change(&change(n));
        Envelope { payload: br#"{"v":2,"new":"way"}"#.to_vec(), ..good }
    };
    let intake = world.site.intake(&region("b"));
    let lane = Lane::Changes(0);
    assert!(matches!(intake.sort(lane, Item::Record(later(1))), Err(2)));
    let of_other = |name: &str, envelope: Envelope| {
        let of = |(header, value): (String, String)| match header.as_str() {
            "originating_region" => (header, name.to_owned()),
            _ => (header, value),
        };
        Envelope { headers: envelope.headers.into_iter().map(of).collect(), ..envelope }
    };
    world.read_record(3, Envelope { headers: Vec::new(), ..later(1) });
    world.read_record(4, of_other("c", later(1)));
    let reasons: Vec<String> = world.kept().into_iter().map(|kept| kept.reason).collect();
    assert!(
        reasons[1].contains("its version is 2, and c, which it is of, has no place in this log"),
        "{reasons:?}"
    );
    assert_eq!((reasons.len(), world.counted()), (2, [0, 0, 0, 2, 0]));
    // In the log of a region that passes on what it hears, any other's may stand.
    let passing = syncline_applier::Intake { forwards: true, ..intake };
    assert!(matches!(passing.sort(lane, Item::Record(of_other("c", later(1)))), Err(2)));
}
