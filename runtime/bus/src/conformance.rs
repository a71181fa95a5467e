//! One suite for every implementation of [`Bus`]: what the node relies on, and nothing that only
//! one of them does.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use syncline_core::RegionId;

use crate::{
    Bus, BusError, Delivery, Envelope, Item, Lane, Outgoing, Reader, SNAPSHOT_PAGE_BYTES_MAX,
    SnapshotReader,
};

/// Longer than anything takes that is not broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough to see that nothing comes.
const A_MOMENT: Duration = Duration::from_millis(60);

const A: Lane = Lane::Changes(0);
const B: Lane = Lane::Changes(1);

type Case = (&'static str, fn(&dyn Bus));

const CASES: &[Case] = &[
    ("records keep their order within each lane", order_within_lanes),
    ("records arrive as they were sent", records_arrive_unchanged),
    ("positions grow", positions_grow),
    ("batches keep to their limits", batches_are_limited),
    ("a reader goes on from kept positions", reader_restart),
    ("a paused lane is not read, and loses nothing", pause_and_resume),
    ("a reader can go back", seek_back),
    ("a new record wakes a reader that waits", wake_up),
    ("a source that appears later is waited for", late_source),
    ("each region has a log of its own", regions_are_apart),
    ("readers do not disturb each other", two_readers),
    ("a log has one owner at a time", one_owner),
    ("the ends are where a reader that is done stands", ends),
    ("a tail is read to the end of its log", tails),
    ("a new owner goes on where the last one was", next_owner),
    ("lanes that are not there are refused", unknown_lanes),
    ("no busy lane starves another", no_lane_starves),
    ("a position beyond the end is not waited for", beyond_the_end),
    ("a snapshot is read page by page, and gone once it is dropped", snapshot),
    ("another attempt at a snapshot follows the one before", snapshot_again),
];

/// Runs the suite. `make_bus` makes a fresh and empty bus of two partitions for each case.
///
/// # Panics
///
/// Where the bus does not do what the trait promises.
pub fn check<B: Bus>(mut make_bus: impl FnMut() -> B) {
    for (name, case) in CASES {
        eprintln!("bus conformance: {name}");
        case(&make_bus());
    }
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn ok<T>(result: Result<T, BusError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

fn record(lane: Lane, text: &str) -> Outgoing {
    let headers = vec![("kind".to_owned(), "change".to_owned())];
    let envelope =
        Envelope { key: format!("t/{text}"), headers, payload: text.as_bytes().to_vec() };
    Outgoing { lane, envelope }
}

fn numbered(lane: Lane, numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    numbers.map(|n| record(lane, &n.to_string())).collect()
}

fn produce(bus: &dyn Bus, source: &str, records: &[Outgoing]) {
    ok(ok(bus.publisher(&region(source))).produce(records));
}

/// Reads until there are `count` deliveries, all of them records.
fn read(reader: &mut dyn Reader, count: usize) -> Vec<Delivery> {
    let mut read = Vec::new();
    while read.len() < count {
        let batch = ok(reader.poll(count - read.len(), 1 << 20, PATIENCE));
        assert!(!batch.is_empty(), "only {} of {count} records came", read.len());
        read.extend(batch);
    }
    assert_eq!(read.len(), count);
    read
}

fn assert_silent(reader: &mut dyn Reader) {
    assert_eq!(ok(reader.poll(10, 1 << 20, A_MOMENT)), Vec::new());
}

/// The records' payloads, by lane.
fn texts(deliveries: &[Delivery], lane: Lane) -> Vec<String> {
    let text = |delivery: &Delivery| match &delivery.item {
        Item::Record(envelope) => String::from_utf8_lossy(&envelope.payload).into_owned(),
        other => panic!("expected a record, found {other:?}"),
    };
    deliveries.iter().filter(|delivery| delivery.lane == lane).map(text).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn order_within_lanes(bus: &dyn Bus) {
    let mut publisher = ok(bus.publisher(&region("a")));
    let mut reader = ok(bus.reader(&region("a"), &[]));
    for n in 0..100 {
        let lanes = [A, B, Lane::Control];
        let batch: Vec<_> = lanes.into_iter().flat_map(|l| numbered(l, n * 3..n * 3 + 3)).collect();
        ok(publisher.produce(&batch));
    }
    let all = read(&mut *reader, 900);
    for lane in [A, B, Lane::Control] {
        assert_eq!(texts(&all, lane), numbers(0..300), "{lane}");
    }
    assert_silent(&mut *reader);
}

fn records_arrive_unchanged(bus: &dyn Bus) {
    let large = vec![0xa5; 3 << 20];
    let envelopes = [
        Envelope { key: String::new(), headers: Vec::new(), payload: Vec::new() },
        Envelope {
            key: "t/\u{1f600}\"".to_owned(),
            headers: vec![("é".to_owned(), String::new()), ("é".to_owned(), "2".to_owned())],
            payload: (0..=255).collect(),
        },
        Envelope { key: "t/large".to_owned(), headers: Vec::new(), payload: large },
    ];
    let out: Vec<_> = envelopes.iter().map(|e| Outgoing { lane: A, envelope: e.clone() }).collect();
    produce(bus, "a", &out);
    let mut reader = ok(bus.reader(&region("a"), &[]));
    let found = read(&mut *reader, 3).into_iter().map(|delivery| delivery.item);
    assert!(found.eq(envelopes.map(Item::Record)));
}

fn positions_grow(bus: &dyn Bus) {
    produce(bus, "a", &numbered(A, 0..50));
    let mut reader = ok(bus.reader(&region("a"), &[]));
    let all = read(&mut *reader, 50);
    assert_eq!(all[0].position, 0);
    assert!(all.iter().all(|delivery| delivery.position < delivery.next_position));
    assert!(all.windows(2).all(|pair| pair[0].next_position <= pair[1].position));
}

fn batches_are_limited(bus: &dyn Bus) {
    produce(bus, "a", &numbered(A, 0..20));
    let mut reader = ok(bus.reader(&region("a"), &[]));
    assert_eq!(ok(reader.poll(0, 1 << 20, PATIENCE)), Vec::new());
    assert_eq!(ok(reader.poll(7, 1 << 20, PATIENCE)).len(), 7);
    // A record of more than the limit comes, but alone.
    assert_eq!(ok(reader.poll(7, 1, PATIENCE)).len(), 1);
    assert_eq!(texts(&read(&mut *reader, 12), A), numbers(8..20));
}

fn reader_restart(bus: &dyn Bus) {
    produce(bus, "a", &[numbered(A, 0..10), numbered(B, 0..10)].concat());
    let mut reader = ok(bus.reader(&region("a"), &[]));
    let all = read(&mut *reader, 20);
    let behind = |lane, count: usize| {
        let next = all.iter().filter(|d| d.lane == lane).nth(count - 1).map(|d| d.next_position);
        (lane, next.unwrap_or_default())
    };
    let mut reader = ok(bus.reader(&region("a"), &[behind(A, 3), behind(B, 10)]));
    assert_eq!(texts(&read(&mut *reader, 7), A), numbers(3..10));
    assert_silent(&mut *reader);
    // A lane that is not named is read from its start.
    let mut reader = ok(bus.reader(&region("a"), &[behind(A, 10)]));
    assert_eq!(texts(&read(&mut *reader, 10), B), numbers(0..10));
}

fn pause_and_resume(bus: &dyn Bus) {
    let mut publisher = ok(bus.publisher(&region("a")));
    let mut reader = ok(bus.reader(&region("a"), &[]));
    reader.pause(A);
    ok(publisher.produce(&[numbered(A, 0..5), numbered(B, 0..5)].concat()));
    assert_eq!(texts(&read(&mut *reader, 5), B), numbers(0..5));
    assert_silent(&mut *reader);
    ok(publisher.produce(&numbered(A, 5..8)));
    assert_silent(&mut *reader);
    reader.resume(A);
    assert_eq!(texts(&read(&mut *reader, 4), A), numbers(0..4));
    reader.pause(A);
    assert_silent(&mut *reader);
    reader.resume(A);
    assert_eq!(texts(&read(&mut *reader, 4), A), numbers(4..8));
}

fn seek_back(bus: &dyn Bus) {
    produce(bus, "a", &[numbered(A, 0..10), numbered(B, 0..4)].concat());
    let mut reader = ok(bus.reader(&region("a"), &[]));
    let all = read(&mut *reader, 14);
    let sixth = all.iter().filter(|d| d.lane == A).nth(6).map(|d| d.position);
    reader.seek(A, sixth.unwrap_or_default());
    let again = read(&mut *reader, 4);
    assert_eq!(texts(&again, A), numbers(6..10));
    let first: Vec<_> = all.iter().filter(|d| d.lane == A).skip(6).cloned().collect();
    assert_eq!(again, first, "the same records stand at the same positions");
    reader.seek(B, 0);
    assert_eq!(texts(&read(&mut *reader, 4), B), numbers(0..4));
    assert_silent(&mut *reader);
}

fn wake_up(bus: &dyn Bus) {
    let mut publisher = ok(bus.publisher(&region("a")));
    let mut reader = ok(bus.reader(&region("a"), &[]));
    let (asked, ask) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in ask {
                ok(publisher.produce(&[record(Lane::Control, &format!("{n}"))]));
            }
        });
        for n in 0..50 {
            // Most of these are produced while the poll waits; each must end it.
            assert!(asked.send(n).is_ok());
            let found = read(&mut *reader, 1);
            assert_eq!(texts(&found, Lane::Control), numbers(n..n + 1));
        }
        drop(asked);
    });
}

fn late_source(bus: &dyn Bus) {
    let mut reader = ok(bus.reader(&region("late"), &[]));
    assert_silent(&mut *reader);
    assert!(ok(bus.ends(&region("late"))).iter().all(|(_, end)| *end == 0));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(A_MOMENT);
            produce(bus, "late", &numbered(B, 0..3));
        });
        assert_eq!(texts(&read(&mut *reader, 3), B), numbers(0..3));
    });
}

fn regions_are_apart(bus: &dyn Bus) {
    produce(bus, "a", &numbered(A, 0..3));
    produce(bus, "a#2", &numbered(A, 3..6));
    for (source, range) in [("a", 0..3), ("a#2", 3..6)] {
        let mut reader = ok(bus.reader(&region(source), &[]));
        assert_eq!(texts(&read(&mut *reader, 3), A), numbers(range));
        assert_silent(&mut *reader);
    }
}

fn two_readers(bus: &dyn Bus) {
    produce(bus, "a", &numbered(A, 0..6));
    let mut first = ok(bus.reader(&region("a"), &[]));
    let mut second = ok(bus.reader(&region("a"), &[]));
    assert_eq!(texts(&read(&mut *first, 4), A), numbers(0..4));
    second.pause(B);
    assert_eq!(texts(&read(&mut *second, 6), A), numbers(0..6));
    assert_eq!(texts(&read(&mut *first, 2), A), numbers(4..6));
}

fn one_owner(bus: &dyn Bus) {
    let owner = ok(bus.publisher(&region("a")));
    assert!(matches!(bus.publisher(&region("a")), Err(BusError::Owned { .. })));
    drop(ok(bus.publisher(&region("b"))));
    drop(owner);
    drop(ok(bus.publisher(&region("a"))));
}

fn ends(bus: &dyn Bus) {
    let mut publisher = ok(bus.publisher(&region("a")));
    let lanes: Vec<_> = ok(bus.ends(&region("a"))).into_iter().map(|(lane, _)| lane).collect();
    assert_eq!(lanes, [A, B, Lane::Control]);
    ok(publisher.produce(&[numbered(A, 0..9), numbered(Lane::Control, 0..2)].concat()));
    let mut reader = ok(bus.reader(&region("a"), &[]));
    let all = read(&mut *reader, 11);
    let done = |lane| {
        let last = all.iter().rfind(|delivery| delivery.lane == lane);
        (lane, last.map_or(0, |delivery| delivery.next_position))
    };
    let expected = vec![done(A), done(B), done(Lane::Control)];
    assert_eq!(ok(bus.ends(&region("a"))), expected);
    drop(publisher);
    assert_eq!(ok(bus.ends(&region("a"))), expected, "also once the owner is gone");
    let _owner = ok(bus.publisher(&region("a")));
    assert_eq!(ok(bus.ends(&region("a"))), expected, "and when the next one has said nothing yet");
}

fn tails(bus: &dyn Bus) {
    assert!(ok(bus.tails(&region("a"))).iter().all(|(_, tail)| *tail == 0));
    let end = |lane| ok(bus.ends(&region("a"))).iter().find(|(l, _)| *l == lane).map(|(_, e)| *e);
    for round in 0..3 {
        produce(bus, "a", &numbered(A, round * 700..round * 700 + 700));
        let mut reader = ok(bus.reader(&region("a"), &ok(bus.tails(&region("a")))));
        let mut last = None;
        while last.as_ref().is_none_or(|d: &Delivery| Some(d.next_position) != end(A)) {
            last = ok(reader.poll(1_000, 1 << 20, PATIENCE)).pop().or(last);
        }
        let last: Vec<Delivery> = last.into_iter().collect();
        assert_eq!(texts(&last, A), [format!("{}", round * 700 + 699)]);
        assert_silent(&mut *reader);
    }
    // An owner that has written nothing yet does not hide what the last one wrote.
    let _publisher = ok(bus.publisher(&region("a")));
    let mut reader = ok(bus.reader(&region("a"), &ok(bus.tails(&region("a")))));
    assert!(!read(&mut *reader, 1).is_empty());
}

fn next_owner(bus: &dyn Bus) {
    let mut reader = ok(bus.reader(&region("a"), &[]));
    let mut all = Vec::new();
    for n in 0..5 {
        produce(bus, "a", &numbered(A, n * 2..n * 2 + 2));
        if n % 2 == 0 {
            all.extend(read(&mut *reader, if n == 0 { 2 } else { 4 }));
        }
    }
    assert_eq!(texts(&all, A), numbers(0..10));
    assert!(all.windows(2).all(|pair| pair[0].next_position <= pair[1].position));
    let mut fresh = ok(bus.reader(&region("a"), &[]));
    assert_eq!(read(&mut *fresh, 10), all);
    let mut middle = ok(bus.reader(&region("a"), &[(A, all[3].next_position)]));
    assert_eq!(read(&mut *middle, 6), all[4..]);
}

fn unknown_lanes(bus: &dyn Bus) {
    let none = Lane::Changes(2);
    let refused = bus.reader(&region("a"), &[(none, 0)]);
    assert!(matches!(refused, Err(BusError::UnknownLane { partitions: 2, .. })));
    let mut publisher = ok(bus.publisher(&region("a")));
    let batch = [record(A, "0"), record(none, "1")];
    let refused = publisher.produce(&batch);
    assert!(matches!(refused, Err(BusError::UnknownLane { partitions: 2, .. })));
    let mut reader = ok(bus.reader(&region("a"), &[]));
    reader.seek(none, 7);
    reader.pause(none);
    reader.resume(none);
    ok(publisher.produce(&numbered(B, 0..1)));
    // Of the batch that was refused nothing was taken.
    assert_eq!(texts(&read(&mut *reader, 1), B), numbers(0..1));
    assert_silent(&mut *reader);
}

fn no_lane_starves(bus: &dyn Bus) {
    const BACKLOG: usize = 5_000;
    produce(bus, "a", &[numbered(A, 0..BACKLOG), numbered(B, 0..1)].concat());
    let mut reader = ok(bus.reader(&region("a"), &[]));
    let mut seen = Vec::new();
    while texts(&seen, B).is_empty() {
        seen.extend(ok(reader.poll(100, 1 << 20, PATIENCE)));
        assert!(texts(&seen, A).len() < BACKLOG, "the other lane's backlog came first");
    }
    assert_eq!(texts(&seen, B), numbers(0..1));
}

fn beyond_the_end(bus: &dyn Bus) {
    let mut publisher = ok(bus.publisher(&region("a")));
    ok(publisher.produce(&numbered(A, 0..3)));
    let end = ok(bus.ends(&region("a")))[0].1;
    let mut reader = ok(bus.reader(&region("a"), &[(A, end + 1_000)]));
    let found = ok(reader.poll(10, 1 << 20, PATIENCE));
    assert_eq!(found.len(), 1);
    let Item::Moved { asked, start, .. } = found[0].item else { panic!("{:?}", found[0]) };
    assert_eq!((asked, start), (end + 1_000, end));
    assert_eq!((found[0].position, found[0].next_position), (asked, start));
    ok(publisher.produce(&numbered(A, 3..5)));
    assert_eq!(texts(&read(&mut *reader, 2), A), numbers(3..5));
}

/// Reads pages until there are `count`; gives them with the position behind the last.
fn pages(reader: &mut dyn SnapshotReader, count: usize) -> (Vec<Vec<u8>>, u64) {
    let (mut read, mut position) = (Vec::new(), 0);
    while read.len() < count {
        let batch = ok(reader.poll(count - read.len(), PATIENCE));
        assert!(!batch.is_empty(), "only {} of {count} pages came", read.len());
        for page in batch {
            position = page.next_position;
            read.push(page.bytes);
        }
    }
    (read, position)
}

fn numbered_pages(numbers: std::ops::Range<u8>) -> Vec<Vec<u8>> {
    numbers.map(|n| vec![n; usize::from(n) * 1000]).collect()
}

fn snapshot(bus: &dyn Bus) {
    let (donor, joiner) = (region("a"), region("b#2"));
    // It is waited for.
    let mut reader = ok(bus.snapshot_reader(&donor, &joiner, 0));
    assert_eq!(ok(reader.poll(1, A_MOMENT)), Vec::new());
    let mut writer = ok(bus.snapshot_writer(&donor, &joiner));
    ok(writer.append(&numbered_pages(0..5)));
    let (first, behind) = pages(&mut *reader, 3);
    assert_eq!(first, numbered_pages(0..3));
    let largest = vec![vec![7; SNAPSHOT_PAGE_BYTES_MAX]];
    ok(writer.append(&largest));
    // Another reader goes on where the first one was.
    let mut reader = ok(bus.snapshot_reader(&donor, &joiner, behind));
    let (rest, _) = pages(&mut *reader, 3);
    assert_eq!(rest, [numbered_pages(3..5), largest].concat());
    let others = ok(bus.snapshot_reader(&donor, &region("late"), 0)).poll(1, A_MOMENT);
    assert_eq!(ok(others), Vec::new());
    ok(bus.drop_snapshot(&donor, &joiner));
    ok(bus.drop_snapshot(&donor, &joiner));
}

fn snapshot_again(bus: &dyn Bus) {
    let (donor, joiner) = (region("a"), region("b"));
    let mut writer = ok(bus.snapshot_writer(&donor, &joiner));
    ok(writer.append(&numbered_pages(0..9)));
    let mut reader = ok(bus.snapshot_reader(&donor, &joiner, 0));
    let (_, behind) = pages(&mut *reader, 2);
    drop(writer);
    let mut writer = ok(bus.snapshot_writer(&donor, &joiner));
    ok(writer.append(&numbered_pages(20..22)));
    // Whether what was left of the first comes as well, is the bus's business.
    let mut reader = ok(bus.snapshot_reader(&donor, &joiner, behind));
    let mut read = Vec::new();
    while read.last() != numbered_pages(21..22).last() {
        read.extend(pages(&mut *reader, 1).0);
    }
    assert!(read.ends_with(&numbered_pages(20..22)), "{} pages", read.len());
    // A position that is not there is left for one that is.
    let mut reader = ok(bus.snapshot_reader(&donor, &joiner, 1 << 40));
    pages(&mut *reader, 2);
}
