use super::*;
use crate::{Ancestor, ConflictOutcome, ConflictSide, Heartbeat, Hlc, Operation, VersionVector};

const NOW: u64 = 7;

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn row() -> RowKey {
    RowKey { table: "t".parse().unwrap(), pk: "k".parse().unwrap() }
}

fn image(text: &str) -> Option<Image> {
    Some(Image::opaque(text.as_bytes()))
}

fn record(number: u8, result: &str) -> ConflictRecord {
    let side = |bits| ConflictSide {
        change: ChangeId { hlc: Hlc::from_bits(bits).unwrap(), region: region("a") },
        operation: Operation::Update,
        image: image("side"),
        ancestor: Ancestor::Unknown,
    };
    ConflictRecord {
        id: ConflictId([number; 16]),
        row: row(),
        sides: vec![side(1), side(2)],
        stamp: Stamp::Lww,
        has_images: true,
        outcome: ConflictOutcome::Merged(image(result)),
        resolved_at_ms: 1,
    }
}

fn comparing() -> Comparing {
    let mut comparing = Comparing::restore(region("me"), 3, Vec::new());
    comparing.set_engine(Some("wasmtime 1, x86_64".parse().unwrap()));
    comparing
}

fn taken(bits: u64) -> VersionVector {
    [(region("a"), Hlc::from_bits(bits).unwrap())].into_iter().collect()
}

/// What `a` says: how conflicts ended, and what its rows come to with so many changes.
fn said(outcomes: &[ConflictRecord], at: u64, state: Option<u8>) -> Heartbeat {
    let outcome = |record: &ConflictRecord| Some((record.id, Outcome::of(record)?));
    let state = state.map(digest);
    Heartbeat {
        region: region("a"),
        hlc: Hlc::from_bits(99).unwrap(),
        prev: Hlc::ZERO,
        watermarks: VersionVector::new(),
        taken: taken(at),
        evidence: Evidence {
            engine: Some("wasmtime 2, aarch64".parse().unwrap()),
            outcomes: outcomes.iter().filter_map(outcome).collect(),
            state,
        },
        wall_ms: 0,
    }
}

fn digest(byte: u8) -> StateDigest {
    let tables = [("t".parse().unwrap(), ShortDigest([byte; 16]))];
    StateDigest { all: ShortDigest([byte; 16]), tables: tables.into_iter().collect() }
}

fn hear(comparing: &mut Comparing, beat: &Heartbeat) -> Vec<DivergenceWrite> {
    comparing.heard(beat, &mut |_| None, NOW);
    comparing.take_writes()
}

fn shown(writes: &[DivergenceWrite]) -> Vec<String> {
    let show = |write: &DivergenceWrite| match write {
        DivergenceWrite::Found(found) => format!("found: {found}"),
        DivergenceWrite::Over(over) => format!("over: {}", over.id()),
    };
    writes.iter().map(show).collect()
}

#[test]
fn one_conflict_with_two_outcomes_is_found_whoever_comes_first() {
    let mut first = comparing();
    first.met(&record(1, "x"), NOW);
    let found = hear(&mut first, &said(&[record(1, "y")], 1, None));
    let mut second = comparing();
    assert_eq!(hear(&mut second, &said(&[record(1, "y")], 1, None)), []);
    second.met(&record(1, "x"), NOW);
    assert_eq!(second.take_writes(), found);
    let (ours, theirs) = (image("x"), image("y"));
    let [ours, theirs] = [ours, theirs].map(|image| ShortDigest::of_image(image.as_ref()));
    let what = format!(
        "found: conflict {} of t/k ended otherwise: me has {ours} by lww on wasmtime 1, x86_64, a \
         has {theirs} by lww on wasmtime 2, aarch64",
        ConflictId([1; 16])
    );
    assert_eq!(shown(&found), [what]);
    // It is found once.
    assert_eq!(hear(&mut first, &said(&[record(1, "y")], 1, None)), []);
}

#[test]
fn equal_outcomes_and_those_of_what_waits_are_none() {
    let mut comparing = comparing();
    comparing.met(&record(1, "x"), NOW);
    let reason = "later".to_owned();
    let waits = ConflictRecord { outcome: ConflictOutcome::Waiting { reason }, ..record(2, "x") };
    comparing.met(&waits, NOW);
    assert_eq!(hear(&mut comparing, &said(&[record(1, "x"), record(2, "y")], 1, None)), []);
    let said = comparing.say(&taken(1), None);
    assert_eq!(said.outcomes.keys().collect::<Vec<_>>(), [&ConflictId([1; 16])]);
    assert!(comparing.say(&taken(1), None).outcomes.is_empty());
}

#[test]
fn what_is_no_longer_in_memory_comes_from_the_log() {
    let mut comparing = comparing();
    let beat = said(&[record(1, "y"), record(2, "y")], 1, None);
    let log = |id: &ConflictId| (*id == ConflictId([1; 16])).then(|| record(1, "x"));
    comparing.heard(&beat, &mut { log }, NOW);
    assert_eq!(comparing.take_writes().len(), 1);
}

#[test]
fn a_conflict_whose_images_are_not_kept_tells_nothing() {
    let mut comparing = comparing();
    let beat = said(&[record(1, "y")], 1, None);
    let log = |id: &ConflictId| {
        let mut record = record(id.0[0], "y");
        record.drop_images();
        Some(record)
    };
    comparing.heard(&beat, &mut { log }, NOW);
    assert_eq!(comparing.take_writes(), []);
}

#[test]
fn an_outcome_that_is_put_right_is_over() {
    let mut comparing = comparing();
    comparing.met(&record(1, "x"), NOW);
    let [DivergenceWrite::Found(found)] =
        &hear(&mut comparing, &said(&[record(1, "y")], 1, None))[..]
    else {
        panic!("nothing found");
    };
    let over = [DivergenceWrite::Over(found.clone())];
    // They fold it again, or we do.
    assert_eq!(hear(&mut comparing, &said(&[record(1, "x")], 1, None)), over);
    assert_eq!(hear(&mut comparing, &said(&[record(1, "y")], 1, None)).len(), 1);
    comparing.met(&record(1, "y"), NOW);
    assert_eq!(comparing.take_writes(), over);
    assert_eq!(comparing.known().count(), 0);
}

#[test]
fn states_are_compared_with_the_same_changes_only() {
    let mut comparing = comparing();
    comparing.say(&taken(1), Some(digest(1)));
    assert_eq!(hear(&mut comparing, &said(&[], 2, Some(9))), []);
    comparing.at_rest(&taken(3), || digest(1), NOW);
    assert_eq!(comparing.take_writes(), []);
    comparing.at_rest(&taken(2), || digest(1), NOW);
    let found = comparing.take_writes();
    let what = format!(
        "found: the same changes of partition 3 come to other rows (tables: t): me has {} on \
         wasmtime 1, x86_64, a has {} on wasmtime 2, aarch64",
        ShortDigest([1; 16]),
        ShortDigest([9; 16])
    );
    assert_eq!(shown(&found), [what]);
    // What this region had some heartbeats ago counts as well, and agreeing ends it.
    assert_eq!(hear(&mut comparing, &said(&[], 1, Some(1))).len(), 1);
    assert_eq!(comparing.known().count(), 0);
}

#[test]
fn what_is_kept_in_memory_and_on_disk_has_limits() {
    let mut comparing = comparing();
    for n in 0..DIVERGENCES_MAX as u64 + 9 {
        let mut conflict = record(0, "x");
        conflict.id.0[..8].copy_from_slice(&n.to_be_bytes());
        comparing.met(&conflict, NOW);
        let mut theirs = conflict.clone();
        theirs.outcome = ConflictOutcome::Merged(image("y"));
        hear(&mut comparing, &said(&[theirs], 1, None));
    }
    assert_eq!(comparing.known().count(), DIVERGENCES_MAX);
    assert_eq!(comparing.left_out(), 9);
    assert_eq!(comparing.say(&taken(1), None).outcomes.len(), OUTCOMES_MAX);
}

#[test]
fn outcomes_of_a_heartbeat_that_is_overtaken_go_with_the_next() {
    let mut next = said(&[record(2, "x")], 1, None).evidence;
    next.add_unsaid(said(&[record(1, "x"), record(2, "y")], 1, None).evidence);
    assert_eq!(next, said(&[record(1, "x"), record(2, "x")], 1, None).evidence);
}

#[test]
fn an_engine_has_a_short_plain_name() {
    assert!("".parse::<EngineName>().is_err());
    assert!("x".repeat(65).parse::<EngineName>().is_err());
    assert!("naïve".parse::<EngineName>().is_err());
    assert!("wasmtime 48.0.8, x86_64-linux".parse::<EngineName>().is_ok());
}
