use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::kv::component::{self, ComponentFacts};
use crate::kv::node::{self, FORMAT, NodeFacts};
use crate::kv::quarantine::{self, QuarantineId, Quarantined};
use crate::kv::share::{self, NodeShare};
use crate::kv::{
    conflict, digest, divergence, golden, history, membership, meta, rollout, row, version, waiting,
};
use crate::{MemoryStore, Pair, SledStore};
use syncline_core::{
    Ancestor, CHUNK_BYTES_MAX, ComponentChunk, ConflictId, ConflictOutcome, ConflictRecord,
    ConflictSide, ConflictWrite, Diverged, DivergedSide, Divergence, DivergenceWrite,
    FunctionVersion, Hlc, Image, MembershipId, MembershipRecord, RolloutId, RolloutRecord,
    RolloutText, RowState, SelfTest, ShortDigest, Stamp, TableDigest, VersionRecord,
};

const RECEIVED: u8 = Family::Received as u8;

/// The families that a joiner has as the donor has them; of those received it has more.
const COPIED: [u8; 13] = [3, 4, 5, 6, 12, 13, 14, 15, 18, 19, 22, 30, 31];

fn hlc(n: u64) -> Hlc {
    Hlc::from_bits(n).unwrap()
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn partitions() -> PartitionCount {
    PartitionCount::new(2).unwrap()
}

fn copy(from: &MemoryStore, to: &impl Store) -> Result<(), StoreError> {
    copy_for_joiner(from, to, &region("donor"), partitions())
}

fn put_partition(batch: &mut Batch, store: &MemoryStore, partition: u32, fill: u8) {
    for n in 0..3 {
        let row = golden::row(&format!("c-{n}"));
        let large = Image::opaque(vec![fill; 400 << 10]);
        let state = RowState { image: Some(large), ..golden::row_state() };
        row::put(batch, partition, &row, &state);
        history::put(batch, partition, &row, &golden::held());
    }
    digest::put(batch, partition, &golden::row("c").table, &TableDigest { rows: 3, sum: [9; 4] });
    waiting::put(batch, partition, &golden::record());
    meta::put(batch, partition, &golden::meta());
    let side = |n: u64| ConflictSide {
        change: golden::id(n, "a"),
        operation: golden::held().operation,
        image: None,
        ancestor: Ancestor::Unknown,
    };
    let note = ConflictRecord {
        id: ConflictId([partition as u8; 16]),
        row: golden::row("c-1"),
        sides: vec![side(1), side(2)],
        stamp: Stamp::Lww,
        outcome: ConflictOutcome::Waiting { reason: "no function".to_owned() },
        resolved_at_ms: 7,
        has_images: true,
    };
    let resolved = ConflictRecord {
        id: ConflictId([partition as u8 + 100; 16]),
        outcome: ConflictOutcome::Merged(None),
        ..note.clone()
    };
    let writes = [ConflictWrite::Waits(note), ConflictWrite::Resolved(resolved)];
    let limit = crate::ConflictLimit { notes: 10, table_bytes: 1 << 20 };
    conflict::write(batch, store, partition, &writes, limit).unwrap();
    let side = || DivergedSide {
        region: region("other"),
        digest: ShortDigest([1; 16]),
        stamp: None,
        engine: None,
    };
    let conflict = ConflictId([partition as u8; 16]);
    let what = Diverged::Outcome { conflict, row: golden::row("c-1") };
    let found = Divergence { partition, what, here: side(), there: side(), found_at_ms: 7 };
    divergence::write(batch, &[DivergenceWrite::Found(found)]);
}

fn facts_of_gone() -> ComponentFacts {
    ComponentFacts { bytes: 4, name: String::new(), uploaded_by: String::new(), uploaded_at_ms: 1 }
}

/// A region's store with something in every family.
fn full_store(me: &str, fill: u8) -> MemoryStore {
    let store = MemoryStore::new();
    let mut batch = Batch::new();
    let facts = NodeFacts { format: FORMAT, region: region(me), partitions: partitions() };
    node::put(&mut batch, &facts);
    share::put(&mut batch, &NodeShare { node: "a".into(), place: 0, partitions: vec![0, 1] });
    share::put_directives(&mut batch, me);
    (0..2).for_each(|partition| put_partition(&mut batch, &store, partition, fill));
    for partition in [0, 1, CONTROL_PARTITION] {
        for n in 1..=1500 {
            outbox::put(&mut batch, partition, hlc(n), &[fill, n as u8]);
        }
        received::put(&mut batch, partition, &region("other"), hlc(3), &[fill]);
    }
    let component = vec![fill; 2 * CHUNK_BYTES_MAX + 1];
    let version = FunctionVersion([fill; 32]);
    let facts = ComponentFacts {
        bytes: component.len() as u64,
        name: "cart.wasm".to_owned(),
        uploaded_by: "team-carts".to_owned(),
        uploaded_at_ms: 1,
    };
    component::put_whole(&mut batch, &store, &version, &component, &facts).unwrap();
    let part = FunctionVersion([fill + 1; 32]);
    let bytes = b"\0as".as_slice().into();
    component::put_chunk(&mut batch, &ComponentChunk { version: part, index: 0, count: 2, bytes });
    let rollout = RolloutId(golden::id(1, "a"));
    let self_test = SelfTest { digest: [1; 32], profile: 1 };
    let ready = RolloutRecord::Ready { rollout: rollout.clone(), self_test };
    let report = RolloutRecord::Report { rollout, counters: Box::default() };
    rollout::put(&mut batch, &golden::id(2, "a"), &report);
    rollout::put(&mut batch, &golden::id(u64::from(fill), "a"), &ready);
    let done = MembershipRecord::Done { change: MembershipId(golden::id(1, "a")) };
    membership::put(&mut batch, &golden::id(u64::from(fill), "a"), &done);
    membership::put_founders(&mut batch, &[region(me), region("other")]);
    let gone = FunctionVersion([fill ^ 0x80; 32]);
    let mut earlier = Batch::new();
    component::put_whole(&mut earlier, &store, &gone, b"gone", &facts_of_gone()).unwrap();
    store.commit(earlier).unwrap();
    component::drop_whole(&mut batch, &store, &gone).unwrap();
    let upload = VersionRecord::Upload { version: gone, actor: RolloutText::default() };
    version::put(&mut batch, &golden::id(7, "a"), &upload);
    let garbage = Quarantined {
        id: QuarantineId { source: region("other"), partition: 0, position: 1 },
        reason: "not JSON".to_owned(),
        at_ms: 1,
        raw_bytes: 1,
        raw: vec![fill],
        whole: true,
    };
    quarantine::put(&mut batch, &garbage);
    store.commit(batch).unwrap();
    for family in Family::ALL {
        assert!(!of_family(&store, *family as u8).is_empty(), "nothing in {family:?}");
    }
    store
}

fn of_family(store: &impl Store, family: u8) -> Vec<Pair> {
    store.scan(&Scan::prefix(&[family])).unwrap()
}

/// Checks that `joiner` holds what it is to have of the donor, and of all else what `before` held.
fn check(joiner: &impl Store, donor: &MemoryStore, before: &MemoryStore) {
    let families = Family::ALL.iter().map(|family| *family as u8);
    for family in families.filter(|family| *family != RECEIVED) {
        let source = if COPIED.contains(&family) { donor } else { before };
        assert!(of_family(joiner, family) == of_family(source, family), "family {family}");
    }
    let mut count = 0;
    for partition in [0, 1, CONTROL_PARTITION] {
        let of_other = of_family(donor, RECEIVED)[0].1.split_off(1);
        let other = received::page(joiner, partition, &region("other"), hlc(0), hlc(9), 9, 99);
        assert_eq!(other, Ok(vec![(hlc(3), of_other)]));
        let of_donor =
            received::page(joiner, partition, &region("donor"), hlc(0), Hlc::MAX, 9999, 1 << 20);
        let sent = outbox::page(donor, partition, hlc(0), Hlc::MAX, 9999, 1 << 20);
        assert!(of_donor == sent, "records of partition {partition}");
        count += 1 + sent.unwrap().len();
    }
    assert_eq!(of_family(joiner, RECEIVED).len(), count);
}

/// Passes all on, and has one commit find no space.
struct FailsOnce {
    store: MemoryStore,
    commits_before: AtomicUsize,
}

impl Store for FailsOnce {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        self.store.scan(scan)
    }

    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.keys(scan)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        assert!(batch.bytes() < 2 * BATCH_BYTES && batch.len() <= BATCH_KEYS);
        if self.commits_before.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.store.fail_next_commit();
        }
        self.store.commit(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }
}

#[test]
fn a_joiner_has_what_the_donor_has() {
    let donor = full_store("donor", 1);
    let joiner = MemoryStore::new();
    copy(&donor, &joiner).unwrap();
    check(&joiner, &donor, &MemoryStore::new());

    let folder = tempfile::tempdir().unwrap();
    let on_disk = SledStore::open(folder.path()).unwrap();
    copy(&donor, &on_disk).unwrap();
    check(&on_disk, &donor, &MemoryStore::new());
}

#[test]
fn what_the_joiner_had_is_replaced() {
    let (donor, before) = (full_store("donor", 1), full_store("joiner", 7));
    let joiner = full_store("joiner", 7);
    copy(&donor, &joiner).unwrap();
    check(&joiner, &donor, &before);
    copy(&donor, &joiner).unwrap();
    check(&joiner, &donor, &before);
}

#[test]
fn a_copy_that_failed_is_made_again() {
    let (donor, before) = (full_store("donor", 1), full_store("joiner", 7));
    for commits_before in 0.. {
        let store = full_store("joiner", 7);
        let joiner = FailsOnce { store, commits_before: commits_before.into() };
        let Err(error) = copy(&donor, &joiner) else {
            assert!(commits_before > 20, "only {commits_before} commits could fail");
            break;
        };
        assert!(matches!(error, StoreError::NoSpace { .. }));
        copy(&donor, &joiner.store).unwrap();
        check(&joiner.store, &donor, &before);
    }
}

#[test]
fn a_partition_that_is_not_there_is_refused() {
    let put: [fn(&mut Batch); 2] = [
        |batch| row::put(batch, 2, &golden::row("c"), &golden::row_state()),
        |batch| outbox::put(batch, 2, hlc(1), b"record"),
    ];
    for put in put {
        let donor = MemoryStore::new();
        let mut batch = Batch::new();
        put(&mut batch);
        donor.commit(batch).unwrap();
        let joiner = MemoryStore::new();
        assert!(matches!(copy(&donor, &joiner), Err(StoreError::Corrupt { .. })));
    }
}
