mod processes;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::segment::Segment;
use super::*;
use crate::{Delivery, Envelope, Item, Outgoing, conformance};
use processes::ManyProcesses;

const LANE: Lane = Lane::Changes(0);
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(60);

fn partitions(count: u32) -> PartitionCount {
    PartitionCount::new(count).unwrap()
}

fn source() -> RegionId {
    "us-east-1".parse().unwrap()
}

fn record(n: usize) -> Outgoing {
    let payload = format!("{{\"n\":{n}}}").into_bytes();
    Outgoing { lane: LANE, envelope: Envelope { key: "t/1".into(), headers: vec![], payload } }
}

fn records(numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    numbers.map(record).collect()
}

/// A bus in a folder of its own. Each call of [`Scene::bus`] is as another process.
struct Scene {
    dir: tempfile::TempDir,
    retention: Retention,
}

impl Scene {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), retention: Retention::default() }
    }

    fn with_small_segments(bytes_max: u64) -> Self {
        Self { retention: Retention { bytes_max, segment_bytes: 256 }, ..Self::new() }
    }

    fn bus(&self) -> EmbeddedBus {
        EmbeddedBus::open_with(self.dir.path(), partitions(2), self.retention).unwrap()
    }

    fn produce(&self, numbers: std::ops::Range<usize>) {
        self.bus().publisher(&source()).unwrap().produce(&records(numbers)).unwrap();
    }

    fn reader(&self, position: u64) -> Box<dyn Reader> {
        self.bus().reader(&source(), &[(LANE, position)]).unwrap()
    }

    fn lane_dir(&self) -> PathBuf {
        self.bus().log(&source()).lane(LANE)
    }

    fn segments(&self) -> Vec<Segment> {
        Segment::list(&self.lane_dir()).unwrap()
    }

    fn last_segment(&self) -> PathBuf {
        self.segments().pop().unwrap().path
    }

    fn size(&self) -> u64 {
        let size = |segment: &Segment| segment.path.metadata().unwrap().len();
        self.segments().iter().map(size).sum()
    }

    fn end(&self) -> u64 {
        self.bus().ends(&source()).unwrap()[0].1
    }

    /// Everything that a fresh reader finds, from a position.
    fn read_all(&self, position: u64) -> Vec<Delivery> {
        drain(&mut *self.reader(position))
    }
}

fn drain(reader: &mut dyn Reader) -> Vec<Delivery> {
    let mut all = Vec::new();
    loop {
        let batch = reader.poll(100, 1 << 20, SHORT).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch);
    }
}

/// What was found: the number of a record, or a word.
fn shown(deliveries: &[Delivery]) -> Vec<String> {
    let show = |delivery: &Delivery| match &delivery.item {
        Item::Record(envelope) => {
            let text = std::str::from_utf8(&envelope.payload).unwrap();
            text.trim_start_matches("{\"n\":").trim_end_matches('}').to_owned()
        }
        Item::Corrupt { .. } => "corrupt".to_owned(),
        Item::Moved { .. } => "moved".to_owned(),
    };
    deliveries.iter().map(show).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn change_file(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn conforms() {
    let mut dirs = Vec::new();
    conformance::check(|| {
        let dir = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::open(dir.path(), partitions(2)).unwrap();
        dirs.push(dir);
        bus
    });
}

#[test]
fn conforms_across_processes_and_segments() {
    let mut dirs = Vec::new();
    conformance::check(|| {
        let dir = tempfile::tempdir().unwrap();
        let retention = Retention { segment_bytes: 500, ..Retention::default() };
        let open = |_| EmbeddedBus::open_with(dir.path(), partitions(2), retention).unwrap();
        let buses = (0..3).map(open).collect();
        dirs.push(dir);
        ManyProcesses::new(buses)
    });
}

#[test]
fn a_torn_tail_is_never_read_and_cut_by_the_next_owner() {
    let scene = Scene::new();
    scene.produce(0..3);
    let whole = std::fs::read(scene.last_segment()).unwrap();
    let two = scene.read_all(0)[1].next_position;
    for cut in two + 1..whole.len() as u64 {
        let scene = Scene::new();
        scene.produce(0..3);
        change_file(&scene.last_segment(), |bytes| bytes.truncate(cut as usize));
        let mut reader = scene.reader(0);
        let before = reader.poll(10, 1 << 20, Duration::ZERO).unwrap();
        assert_eq!(shown(&before), numbers(0..2), "cut at {cut}");
        assert_eq!(scene.end(), two, "cut at {cut}");
        scene.produce(3..5);
        assert_eq!(shown(&drain(&mut *reader)), numbers(3..5), "cut at {cut}");
        assert_eq!(shown(&scene.read_all(0)), ["0", "1", "3", "4"], "cut at {cut}");
    }
}

#[test]
fn a_frame_is_read_once_it_is_complete() {
    let scene = Scene::new();
    scene.produce(0..3);
    let path = scene.last_segment();
    let whole = std::fs::read(&path).unwrap();
    let two = scene.read_all(0)[1].next_position as usize;
    std::fs::write(&path, &whole[..two]).unwrap();
    let mut reader = scene.reader(0);
    assert_eq!(shown(&drain(&mut *reader)), numbers(0..2));
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    let (last, rest) = whole[two..].split_last().unwrap();
    for piece in rest.chunks(7) {
        file.write_all(piece).unwrap();
        assert_eq!(reader.poll(10, 1 << 20, Duration::from_millis(15)).unwrap(), Vec::new());
    }
    file.write_all(&[*last]).unwrap();
    assert_eq!(shown(&reader.poll(10, 1 << 20, LONG).unwrap()), ["2"]);
}

#[test]
fn a_corrupt_frame_is_delivered_once_and_reading_goes_on() {
    let scene = Scene::new();
    scene.produce(0..4);
    let all = scene.read_all(0);
    let (start, end) = (all[1].position as usize, all[1].next_position as usize);
    let good = std::fs::read(scene.last_segment()).unwrap();
    for at in start..end {
        std::fs::write(scene.last_segment(), &good).unwrap();
        change_file(&scene.last_segment(), |bytes| bytes[at] ^= 0x10);
        let damaged = std::fs::read(scene.last_segment()).unwrap();
        let found = scene.read_all(0);
        assert_eq!(shown(&found), ["0", "corrupt", "2", "3"], "byte {at}");
        let Item::Corrupt { raw, reason, .. } = &found[1].item else { panic!() };
        assert_eq!((raw.as_slice(), reason.is_empty()), (&damaged[start..end], false));
        assert_eq!((found[1].position, found[1].next_position), (start as u64, end as u64));
        assert_eq!(shown(&scene.read_all(found[1].next_position)), ["2", "3"]);
    }
    scene.produce(4..5);
    assert_eq!(shown(&scene.read_all(0)), ["0", "corrupt", "2", "3", "4"]);
}

#[test]
fn a_damaged_end_does_not_stop_the_log() {
    // The header of the last record is damaged while its owner lives, so nobody cuts it off.
    let scene = Scene::new();
    let bus = scene.bus();
    let mut publisher = bus.publisher(&source()).unwrap();
    publisher.produce(&records(0..2)).unwrap();
    let second = scene.read_all(0)[1].position as usize;
    let mut file = OpenOptions::new().write(true).open(scene.last_segment()).unwrap();
    std::io::Seek::seek(&mut file, io::SeekFrom::Start(second as u64)).unwrap();
    file.write_all(b"????").unwrap();
    let (mut own, mut foreign) = (bus.reader(&source(), &[]).unwrap(), scene.reader(0));
    for reader in [&mut own, &mut foreign] {
        assert_eq!(shown(&drain(&mut **reader)), ["0"]);
    }
    publisher.produce(&records(2..4)).unwrap();
    for reader in [&mut own, &mut foreign] {
        assert_eq!(shown(&drain(&mut **reader)), ["corrupt", "2", "3"]);
    }
}

#[test]
fn a_segment_that_lost_its_end_shows_as_damaged_and_as_moved() {
    let scene = Scene::with_small_segments(1 << 20);
    scene.produce(0..40);
    let segments = scene.segments();
    assert!(segments.len() > 3);
    change_file(&segments[1].path, |bytes| bytes.truncate(bytes.len() - 5));
    let found = scene.read_all(0);
    let words = shown(&found);
    let at = words.iter().position(|word| word == "corrupt").unwrap();
    assert_eq!(words[at + 1], "moved");
    assert_eq!(words[..at], numbers(0..at));
    assert_eq!(words[at + 2..], numbers(at + 1..40));
    assert_eq!(found[at + 1].next_position, segments[2].base);
}

#[test]
fn a_segment_that_lost_everything_shows_as_moved() {
    let scene = Scene::with_small_segments(1 << 20);
    scene.produce(0..40);
    let segments = scene.segments();
    for (at, lost) in segments.iter().enumerate().take(segments.len() - 1) {
        let bytes = std::fs::read(&lost.path).unwrap();
        std::fs::write(&lost.path, []).unwrap();
        let words = shown(&scene.read_all(0));
        let moved = words.iter().position(|word| word == "moved").unwrap();
        assert_eq!(words[..moved], numbers(0..moved), "segment {at}");
        assert_eq!(words[moved + 1..], numbers(40 - (words.len() - moved - 1)..40));
        std::fs::write(&lost.path, bytes).unwrap();
    }
    assert_eq!(shown(&scene.read_all(0)), numbers(0..40));
}

#[test]
fn retention_keeps_the_newest_and_says_so() {
    let scene = Scene::with_small_segments(1_000);
    let bus = scene.bus();
    let mut publisher = bus.publisher(&source()).unwrap();
    let mut keeps_up = bus.reader(&source(), &[]).unwrap();
    for n in 0..200 {
        publisher.produce(&[record(n)]).unwrap();
        assert!(scene.size() <= 1_000, "{} bytes", scene.size());
        assert_eq!(shown(&keeps_up.poll(10, 1 << 20, LONG).unwrap()), [n.to_string()]);
    }
    let found = scene.read_all(0);
    let first = 200 - (found.len() - 1);
    assert!(first > 100);
    assert_eq!(shown(&found)[1..], numbers(first..200));
    let Item::Moved { asked, start, reason } = &found[0].item else { panic!("{:?}", found[0]) };
    assert_eq!((*asked, *start), (0, scene.segments()[0].base));
    assert!(!reason.is_empty());
    assert_eq!((found[0].position, found[0].next_position), (0, *start));
    assert_eq!(found[1].position, *start);
}

#[test]
fn a_reader_may_read_the_segment_that_is_deleted_under_it() {
    let scene = Scene::with_small_segments(1_000);
    let bus = scene.bus();
    let mut publisher = bus.publisher(&source()).unwrap();
    publisher.produce(&records(0..5)).unwrap();
    let mut slow = bus.reader(&source(), &[]).unwrap();
    assert_eq!(shown(&slow.poll(2, 1 << 20, LONG).unwrap()), numbers(0..2));
    publisher.produce(&records(5..100)).unwrap();
    let found = shown(&drain(&mut *slow));
    let moved = found.iter().position(|word| word == "moved").unwrap();
    assert_eq!(found[..moved], numbers(2..2 + moved));
    assert_eq!(found[moved + 1..], numbers(100 - (found.len() - moved - 1)..100));
}

#[test]
fn two_buses_on_one_folder_are_one() {
    let scene = Scene::with_small_segments(1 << 20);
    let (here, there) = (scene.bus(), scene.bus());
    let mut publisher = here.publisher(&source()).unwrap();
    assert!(matches!(there.publisher(&source()), Err(BusError::Owned { .. })));
    let mut reader = there.reader(&source(), &[]).unwrap();
    for n in 0..100 {
        publisher.produce(&[record(n)]).unwrap();
        assert_eq!(shown(&reader.poll(10, 1 << 20, LONG).unwrap()), [n.to_string()]);
    }
    assert_eq!(here.ends(&source()).unwrap(), there.ends(&source()).unwrap());
    drop(publisher);
    let mut publisher = there.publisher(&source()).unwrap();
    publisher.produce(&records(100..110)).unwrap();
    assert_eq!(shown(&drain(&mut *reader)), numbers(100..110));
    let mut here = here.reader(&source(), &[]).unwrap();
    assert_eq!(shown(&drain(&mut *here)), numbers(0..110));
}

#[test]
fn a_writer_and_readers_at_full_speed() {
    let scene = Scene::with_small_segments(64 << 20);
    let bus = scene.bus();
    let mut publisher = bus.publisher(&source()).unwrap();
    thread::scope(|scope| {
        for bus in [bus.clone(), scene.bus()] {
            scope.spawn(move || {
                let mut reader = bus.reader(&source(), &[]).unwrap();
                let mut seen = Vec::new();
                while seen.len() < 5_000 {
                    seen.extend(shown(&reader.poll(37, 1_500, LONG).unwrap()));
                }
                assert_eq!(seen, numbers(0..5_000));
            });
        }
        for n in 0..1_000 {
            publisher.produce(&records(n * 5..n * 5 + 5)).unwrap();
        }
    });
}

/// What a power cut does to a log that is not synced: its tail is gone, at the end of a record.
#[test]
fn after_a_lost_tail_no_position_stands_for_another_record() {
    let scene = Scene::new();
    scene.produce(0..10);
    let all = scene.read_all(0);
    let (kept, end) = (all[3].next_position, all[9].next_position);
    change_file(&scene.last_segment(), |bytes| bytes.truncate(kept as usize));

    // The reader is there first: it waits at the end that there is.
    let mut early = scene.reader(end);
    let moved = early.poll(10, 1 << 20, LONG).unwrap();
    assert_eq!((moved[0].position, moved[0].next_position), (end, kept));
    // The origin is there first, and has written more than was lost.
    scene.produce(4..30);
    assert!(scene.end() > end);
    assert_eq!(shown(&drain(&mut *early)), numbers(4..30));
    // A position in what was lost leads to the beginning of what was written since.
    for delivery in &all[4..] {
        let found = scene.read_all(delivery.next_position);
        assert_eq!(shown(&found)[0], "moved");
        assert_eq!(shown(&found)[1..], numbers(4..30));
    }
    assert_eq!(shown(&scene.read_all(kept)), numbers(4..30));
}

#[test]
fn a_log_that_was_made_anew_and_is_shorter() {
    for live in [false, true] {
        let scene = Scene::new();
        scene.produce(0..10);
        let mut reader = scene.reader(0);
        let all = drain(&mut *reader);
        std::fs::remove_dir_all(scene.dir.path().join("us-east-1")).unwrap();
        if !live {
            // Where it sees no log at all, it waits for one.
            reader = scene.reader(all[9].next_position);
            assert_eq!(reader.poll(10, 1 << 20, SHORT).unwrap(), Vec::new());
        }
        let bus = scene.bus();
        let mut publisher = bus.publisher(&source()).unwrap();
        let found = reader.poll(10, 1 << 20, LONG).unwrap();
        assert_eq!(shown(&found), ["moved"], "live {live}");
        assert_eq!(found[0].next_position, 0);
        publisher.produce(&records(10..13)).unwrap();
        assert_eq!(shown(&drain(&mut *reader)), numbers(10..13), "live {live}");

        let late = scene.read_all(all[9].next_position);
        assert_eq!(shown(&late), ["moved"]);
        assert_eq!(late[0].next_position, scene.end());
    }
}

#[test]
fn an_owner_that_said_nothing_leaves_nothing() {
    let scene = Scene::new();
    scene.produce(0..2);
    let end = scene.end();
    for _ in 0..3 {
        scene.produce(0..0);
        assert_eq!((scene.end(), scene.segments().len()), (end, 1));
    }
    scene.produce(2..4);
    assert_eq!(shown(&scene.read_all(end)), numbers(2..4));
    assert_eq!(scene.segments()[1].follows, end);
}

#[test]
fn an_empty_segment_is_stepped_over() {
    let scene = Scene::new();
    scene.produce(0..2);
    let end = scene.end();
    let empty = Segment::new(&scene.lane_dir(), 7 << 36, end);
    std::fs::write(&empty.path, []).unwrap();
    assert_eq!(scene.end(), end);
    let mut reader = scene.reader(end);
    assert_eq!(drain(&mut *reader), Vec::new());
    scene.produce(2..4);
    assert!(scene.segments()[1].base > empty.base);
    assert_eq!(shown(&drain(&mut *reader)), numbers(2..4));
    // The same where it could not be taken away.
    std::fs::write(&empty.path, []).unwrap();
    assert_eq!(shown(&scene.read_all(0)), numbers(0..4));
}

#[test]
fn the_number_of_partitions_is_permanent() {
    let scene = Scene::new();
    scene.produce(0..1);
    let other = EmbeddedBus::open(scene.dir.path(), partitions(3)).unwrap();
    let mismatch = BusError::Partitions { region: source(), expected: 3, found: 2 }.to_string();
    assert_eq!(other.publisher(&source()).err().unwrap().to_string(), mismatch);
    let mut reader = other.reader(&source(), &[]).unwrap();
    assert_eq!(reader.poll(1, 1, SHORT).unwrap_err().to_string(), mismatch);
    // A log of a later format is not guessed at; one whose description is damaged is.
    let description = scene.dir.path().join("us-east-1/log");
    std::fs::write(&description, "syncline-log 2\n").unwrap();
    assert!(matches!(scene.bus().publisher(&source()), Err(BusError::Format { .. })));
    for damaged in ["", "\u{0}\u{0}", "syncline-log 1\npartitions 2\ngener"] {
        std::fs::write(&description, damaged).unwrap();
        scene.produce(1..2);
        std::fs::write(&description, damaged).unwrap();
    }
    assert_eq!(shown(&scene.read_all(0)), ["0", "1", "1", "1"]);
}

#[test]
fn a_record_that_is_too_large_takes_nothing_with_it() {
    let scene = Scene::new();
    let mut large = record(1);
    large.envelope.payload = vec![0; 5 << 20];
    let mut publisher = scene.bus().publisher(&source()).unwrap();
    let refused = publisher.produce(&[record(0), large]);
    assert!(matches!(refused, Err(BusError::TooLarge { .. })));
    publisher.produce(&[record(2)]).unwrap();
    assert_eq!(shown(&scene.read_all(0)), ["2"]);
}

#[test]
fn a_refused_append_takes_nothing_and_heals() {
    // A file stands where the lane's folder should be made.
    let scene = Scene::new();
    let bus = scene.bus();
    let mut publisher = bus.publisher(&source()).unwrap();
    std::fs::write(scene.lane_dir(), []).unwrap();
    assert!(matches!(publisher.produce(&records(0..3)), Err(BusError::Io { .. })));
    std::fs::remove_file(scene.lane_dir()).unwrap();
    publisher.produce(&records(0..3)).unwrap();
    assert_eq!(shown(&scene.read_all(0)), numbers(0..3));
}

#[derive(Clone, Debug)]
enum Damage {
    Flip { at: prop::sample::Index, bit: u8 },
    Cut { at: prop::sample::Index },
    Empty,
    Insert { at: prop::sample::Index, bytes: Vec<u8> },
    Remove,
    Rename { base: u64, follows: u64 },
}

fn any_damage() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let at = any::<prop::sample::Index>;
    let position = prop_oneof![0..3_000u64, any::<u64>()];
    let damage = prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        2 => at().prop_map(|at| Damage::Cut { at }),
        1 => Just(Damage::Empty),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..80))
            .prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        1 => Just(Damage::Remove),
        1 => (position.clone(), position).prop_map(|(base, follows)| Damage::Rename { base, follows }),
    ];
    (at(), damage)
}

fn do_damage(scene: &Scene, which: prop::sample::Index, damage: Damage) {
    let mut segments = scene.segments();
    if segments.is_empty() {
        return;
    }
    let path = segments.swap_remove(which.index(segments.len())).path;
    match damage {
        Damage::Flip { at, bit } => change_file(&path, |bytes| {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
        }),
        Damage::Cut { at } => change_file(&path, |bytes| bytes.truncate(at.index(bytes.len() + 1))),
        Damage::Empty => std::fs::write(&path, []).unwrap(),
        Damage::Insert { at, bytes: new } => change_file(&path, |bytes| {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, new);
        }),
        Damage::Remove => std::fs::remove_file(path).unwrap(),
        Damage::Rename { base, follows } => {
            std::fs::rename(path, Segment::new(&scene.lane_dir(), base, follows).path).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever happens to the files: nothing panics, readers come to an end, what they deliver as
    /// a record was produced, no record comes twice, and a new owner can go on.
    #[test]
    fn no_damage_makes_up_records(
        damages in prop::collection::vec(any_damage(), 1..5),
        from in prop_oneof![3 => Just(0), 1 => 0..3_000u64, 1 => any::<u64>()],
    ) {
        let scene = Scene::with_small_segments(1 << 20);
        scene.produce(0..15);
        scene.produce(15..25);
        for (which, damage) in damages {
            do_damage(&scene, which, damage);
        }
        let read = |from: u64| -> Result<Vec<usize>, TestCaseError> {
            let mut reader = scene.reader(from);
            let mut found = Vec::new();
            for _ in 0..1_000 {
                let batch = reader.poll(10, 1 << 20, Duration::ZERO).unwrap();
                if batch.is_empty() {
                    let records = shown(&found).into_iter().filter_map(|word| word.parse().ok());
                    return Ok(records.collect());
                }
                found.extend(batch);
            }
            Err(TestCaseError::fail("the reader does not come to an end"))
        };
        let mut before = read(from)?;
        prop_assert!(before.iter().all(|n| *n < 25));
        before.sort_unstable();
        prop_assert!(before.windows(2).all(|pair| pair[0] < pair[1]));
        scene.bus().ends(&source()).unwrap();
        scene.produce(100..110);
        let after = read(0)?;
        prop_assert!(after.ends_with(&(100..110).collect::<Vec<_>>()), "{:?}", after);
    }
}
