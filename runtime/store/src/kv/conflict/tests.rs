use super::*;
use crate::kv::{arbitrary, codec, golden};
use crate::{Batch, ConflictLimit, MemoryStore, Store};
use proptest::prelude::*;
use syncline_core::{
    Ancestor, ConflictWrite, DivergenceWrite, FunctionVersion, Operation, PartitionCount, Stamp,
};

proptest! {
    #[test]
    fn reads_back(record in arbitrary::conflict()) {
        let key = log_key(3, record.resolved_at_ms, &record.id);
        let value = codec::encode(VERSION, &form_of(&record));
        prop_assert_eq!(decode_record(&key, &value).unwrap(), record.clone());
        let (at_ms, table) = (record.resolved_at_ms, record.row.table.as_str().to_owned());
        let images = Some((table, 7));
        let place = PlaceV2 { partition: 3, at_ms, waits: true, images };
        let value = codec::encode(PLACE_VERSION, &place);
        prop_assert_eq!(decode_place(b"k", &value).unwrap(), place.clone());
        let value = codec::encode(VERSION, &PlaceV1 { partition: 3, at_ms, waits: true });
        prop_assert_eq!(decode_place(b"k", &value).unwrap(), PlaceV2 { images: None, ..place });
        let mut stripped = record.clone();
        stripped.drop_images();
        let value = codec::encode(WITHOUT_IMAGES, &form_of(&stripped));
        prop_assert_eq!(decode_record(&key, &value).unwrap(), stripped);
        let value = codec::encode(VERSION, &record.id.0);
        prop_assert_eq!(decode_id(b"k", &value).unwrap(), record.id);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..80)) {
        let place = [&[PLACE_VERSION], &value[..]].concat();
        let _ = decode_place(b"k", &place);
        let value = [&[VERSION], &value[..]].concat();
        let _ = decode_record(&log_key(0, 0, &ConflictId([0; 16])), &value);
        let _ = decode_place(b"k", &value);
        let _ = decode_id(b"k", &value);
        let _ = parse_log_key(&value);
    }
}

fn side(hlc: u64, region: &str) -> ConflictSide {
    ConflictSide {
        change: golden::id(hlc << 16, region),
        operation: Operation::Update,
        image: Some(golden::image(r#"{"items":3}"#)),
        ancestor: Ancestor::Unknown,
    }
}

fn record(n: u8, at_ms: u64, outcome: ConflictOutcome) -> ConflictRecord {
    ConflictRecord {
        id: ConflictId([n; 16]),
        row: golden::row(&format!("c-{n}")),
        sides: vec![side(100, "a"), side(101, "b")],
        stamp: if n.is_multiple_of(2) {
            Stamp::Lww
        } else {
            Stamp::Function(FunctionVersion([1; 32]))
        },
        outcome,
        resolved_at_ms: at_ms,
        has_images: true,
    }
}

fn merged(n: u8, at_ms: u64) -> ConflictRecord {
    record(n, at_ms, ConflictOutcome::Merged(None))
}

fn waits(n: u8, at_ms: u64) -> ConflictRecord {
    record(n, at_ms, ConflictOutcome::Waiting { reason: "not here".to_owned() })
}

fn note(store: &MemoryStore, partition: u32, writes: &[ConflictWrite], max: u64) {
    let mut batch = Batch::new();
    write(&mut batch, store, partition, writes, roomy(max)).unwrap();
    store.commit(batch).unwrap();
}

fn roomy(notes: u64) -> ConflictLimit {
    ConflictLimit { notes, table_bytes: 1 << 20 }
}

fn found(store: &MemoryStore, filter: &ConflictFilter, limit: usize) -> Vec<(u8, u64)> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let partitions = PartitionCount::new(4).unwrap();
        let page = query(store, partitions, filter, after.as_ref(), limit).unwrap();
        found.extend(page.conflicts.iter().map(|record| (record.id.0[0], record.resolved_at_ms)));
        after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
        if after.is_none() {
            return found;
        }
    }
}

fn all(store: &MemoryStore) -> Vec<(u8, u64)> {
    found(store, &ConflictFilter::default(), 100)
}

#[test]
fn conflicts_are_found_newest_first_and_by_what_they_are() {
    let store = MemoryStore::new();
    for n in 0..40u8 {
        let fallback =
            ConflictOutcome::Fallback { code: "trap".to_owned(), text: "unreachable".to_owned() };
        let outcome = if n % 5 == 0 { fallback } else { ConflictOutcome::Merged(None) };
        let at_ms = 1000 + u64::from(n / 2);
        note(&store, u32::from(n % 4), &[ConflictWrite::Resolved(record(n, at_ms, outcome))], 99);
    }
    let newest_first: Vec<(u8, u64)> =
        (0..40u8).rev().map(|n| (n, 1000 + u64::from(n / 2))).collect();
    for limit in [1, 3, 100] {
        assert_eq!(found(&store, &ConflictFilter::default(), limit), newest_first);
    }
    let ids = |filter: ConflictFilter| -> Vec<u8> {
        found(&store, &filter, 2).into_iter().map(|(n, _)| n).collect()
    };
    let no = ConflictFilter::default;
    assert_eq!(
        ids(ConflictFilter { from_ms: Some(1003), to_ms: Some(1005), ..no() }),
        [9, 8, 7, 6]
    );
    assert_eq!(
        ids(ConflictFilter { outcome: Some(Outcome::Fallback), to_ms: Some(1006), ..no() }),
        [10, 5, 0]
    );
    let lww = ConflictFilter { strategy: Some(super::Strategy::Lww), to_ms: Some(1002), ..no() };
    assert_eq!(ids(lww), [2, 0]);
    assert_eq!(ids(ConflictFilter { row_pk: Some("c-7".parse().unwrap()), ..no() }), [7]);
    assert!(ids(ConflictFilter { table: Some("x".parse().unwrap()), ..no() }).is_empty());
    assert_eq!(get(&store, &ConflictId([7; 16])).unwrap().unwrap().row, golden::row("c-7"));
    assert_eq!(get(&store, &ConflictId([99; 16])).unwrap(), None);
}

#[test]
fn a_conflict_stands_once_and_moves() {
    let store = MemoryStore::new();
    note(&store, 1, &[ConflictWrite::Waits(waits(1, 10))], 99);
    assert_eq!(all(&store), [(1, 10)]);
    // The note replaces an earlier one of the row, also of another conflict.
    let mut other = waits(2, 11);
    other.row = golden::row("c-1");
    note(&store, 1, &[ConflictWrite::Waits(other)], 99);
    assert_eq!(all(&store), [(2, 11)]);
    let no_longer = ConflictWrite::WaitsNoLonger(golden::row("c-1"));
    let mut resolved = merged(2, 11);
    resolved.row = golden::row("c-1");
    note(&store, 1, &[ConflictWrite::Resolved(resolved), no_longer.clone()], 99);
    assert_eq!(all(&store), [(2, 11)]);
    note(&store, 1, &[ConflictWrite::Resolved(merged(3, 12)), no_longer], 99);
    assert_eq!(all(&store), [(3, 12), (2, 11)]);
    note(&store, 1, &[ConflictWrite::Resolved(merged(2, 13))], 99);
    assert_eq!(all(&store), [(2, 13), (3, 12)]);
    // What stays is two notes, where their ids are, how many bytes they have, and two sums.
    assert_eq!(store.len(), 8);
}

#[test]
fn a_row_that_stops_waiting_leaves_no_note_of_it() {
    let store = MemoryStore::new();
    let writes = [
        ConflictWrite::Waits(waits(1, 10)),
        ConflictWrite::WaitsNoLonger(golden::row("c-1")),
        ConflictWrite::WaitsNoLonger(golden::row("c-9")),
    ];
    note(&store, 1, &writes, 99);
    assert_eq!(store.len(), 1);
}

#[test]
fn the_oldest_are_trimmed_but_what_waits_stays() {
    let store = MemoryStore::new();
    note(&store, 0, &[ConflictWrite::Waits(waits(100, 0))], 3);
    for n in 0..10 {
        note(&store, 0, &[ConflictWrite::Resolved(merged(n, 10 + u64::from(n)))], 3);
        note(&store, 1, &[ConflictWrite::Resolved(merged(50 + n, 10))], 99);
    }
    let kept: Vec<u8> =
        all(&store).iter().map(|(n, _)| *n).filter(|n| !(50..60).contains(n)).collect();
    assert_eq!(kept, [9, 8, 100]);
    assert_eq!(all(&store).len(), 13);
    assert_eq!(get(&store, &ConflictId([5; 16])).unwrap(), None);
}

#[test]
fn two_commits_in_one_batch_count_on() {
    let store = MemoryStore::new();
    let mut batch = Batch::new();
    for writes in [
        [ConflictWrite::Waits(waits(1, 10)), ConflictWrite::Resolved(merged(2, 11))],
        [ConflictWrite::WaitsNoLonger(golden::row("c-1")), ConflictWrite::Resolved(merged(2, 12))],
    ] {
        write(&mut batch, &store, 1, &writes, roomy(99)).unwrap();
    }
    store.commit(batch).unwrap();
    assert_eq!(all(&store), [(2, 12)]);
    let key = count_key(1);
    assert_eq!(decode_count(&key, &store.get(&key).unwrap().unwrap()).unwrap(), 1);
    assert_eq!(store.len(), 5);
}

#[test]
fn a_tables_oldest_conflicts_lose_their_images_and_stay() {
    let store = MemoryStore::new();
    let other = ConflictRecord {
        row: syncline_core::RowKey { table: "other".parse().unwrap(), ..golden::row("c-99") },
        ..merged(99, 1)
    };
    note(&store, 0, &[ConflictWrite::Resolved(other)], 99);
    let bytes = images(&store).unwrap().bytes;
    let limit = ConflictLimit { notes: 12, table_bytes: 3 * bytes };
    for n in 0..20u8 {
        let writes = [ConflictWrite::Resolved(merged(n, 10 + u64::from(n)))];
        let mut batch = Batch::new();
        write(&mut batch, &store, 0, &writes, limit).unwrap();
        store.commit(batch).unwrap();
        let kept = images(&store).unwrap();
        // The other table's is not touched.
        assert!(kept.bytes <= limit.table_bytes + bytes, "{kept:?}");
    }
    let found = |n: u8| get(&store, &ConflictId([n; 16])).unwrap();
    for n in 9..20u8 {
        let record = found(n).unwrap();
        assert_eq!(record.has_images, n > 16, "{n}");
        assert_eq!(record.sides.iter().all(|side| side.image.is_some()), n > 16);
        assert_eq!(record.sides.len(), 2);
    }
    assert!(found(5).is_none() && found(99).is_none(), "both are trimmed by number");
    let kept = images(&store).unwrap();
    assert_eq!(kept.dropped, 17);
    // Met again, it has its images again.
    note(&store, 0, &[ConflictWrite::Resolved(merged(10, 90))], 99);
    assert!(found(10).unwrap().has_images);
    assert!(images(&store).unwrap().bytes > kept.bytes);
}

#[test]
fn the_form_stays() {
    let store = MemoryStore::new();
    let mut batch = Batch::new();
    let fallback = ConflictOutcome::Fallback { code: "trap".into(), text: "oops".into() };
    let image = Some(golden::image("{}"));
    let writes = [
        ConflictWrite::Resolved(record(1, 1000, ConflictOutcome::Merged(image))),
        ConflictWrite::Resolved(record(2, 1001, fallback)),
        ConflictWrite::Waits(waits(3, 1002)),
    ];
    write(&mut batch, &store, 5, &writes, roomy(99)).unwrap();
    golden::check("conflict", &batch);
}

#[test]
fn a_conflict_that_a_divergence_is_about_is_kept_until_that_is_over() {
    let store = MemoryStore::new();
    let write = |n: u8, at_ms| note(&store, 3, &[ConflictWrite::Resolved(merged(n, at_ms))], 2);
    let side = |name: &str| syncline_core::DivergedSide {
        region: name.parse().unwrap(),
        digest: syncline_core::ShortDigest([1; 16]),
        stamp: None,
        engine: None,
    };
    let about = |n: u8, there: &str| syncline_core::Divergence {
        partition: 3,
        what: syncline_core::Diverged::Outcome {
            conflict: ConflictId([n; 16]),
            row: golden::row("c"),
        },
        here: side("a"),
        there: side(there),
        found_at_ms: 1,
    };
    let commit = |writes: &[DivergenceWrite], conflict: Option<ConflictRecord>| {
        let mut batch = Batch::new();
        crate::kv::divergence::write(&mut batch, writes);
        let writes: Vec<_> = conflict.into_iter().map(ConflictWrite::Resolved).collect();
        super::write(&mut batch, &store, 3, &writes, roomy(2)).unwrap();
        store.commit(batch).unwrap();
    };
    write(1, 1001);
    write(2, 1002);
    // Found with the same commit that would have trimmed it.
    let (b, c) = (about(1, "b"), about(1, "c"));
    let found = [b.clone(), c.clone()].map(DivergenceWrite::Found);
    commit(&found, Some(merged(3, 1003)));
    write(4, 1004);
    assert_eq!(all(&store), [(4, 1004), (1, 1001)]);
    commit(&[DivergenceWrite::Over(b)], Some(merged(5, 1005)));
    assert_eq!(all(&store), [(5, 1005), (1, 1001)]);
    let mut batch = Batch::new();
    let no_room = ConflictLimit { notes: 2, table_bytes: 0 };
    super::write(&mut batch, &store, 3, &[ConflictWrite::Resolved(merged(5, 1005))], no_room)
        .unwrap();
    store.commit(batch).unwrap();
    assert!(get(&store, &ConflictId([1; 16])).unwrap().unwrap().has_images);
    commit(&[DivergenceWrite::Over(c)], Some(merged(6, 1006)));
    assert_eq!(all(&store), [(6, 1006), (5, 1005)]);
}
