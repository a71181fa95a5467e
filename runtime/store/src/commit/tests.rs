use super::*;
use crate::MemoryStore;
use std::collections::BTreeMap;
use syncline_core::{FunctionVersion, GuestFault, Hlc};
use syncline_core::{
    Heartbeat, HostFault, Image, LoadError, MergeInput, Merged, Partition, PartitionSetup,
    Precondition, RegionId, Rows, Stamp,
};

fn hlc(n: u64) -> Hlc {
    Hlc::from_bits(n).unwrap()
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn key(pk: &str) -> RowKey {
    RowKey { table: "t".parse().unwrap(), pk: pk.parse().unwrap() }
}

/// Rows from a store, kept while the partition is.
struct FromStore<'a> {
    store: &'a MemoryStore,
    cache: BTreeMap<RowKey, Row>,
}

impl Rows for FromStore<'_> {
    fn row(&mut self, key: &RowKey) -> Result<&mut Row, LoadError> {
        if !self.cache.contains_key(key) {
            let row = load_row(self.store, 0, key)
                .map_err(|error| LoadError { row: key.clone(), reason: error.to_string() })?;
            self.cache.insert(key.clone(), row.unwrap_or_default());
        }
        Ok(self.cache.get_mut(key).unwrap())
    }
}

fn no_function(
    version: &FunctionVersion,
    _: &MergeInput<'_>,
) -> Result<Result<Merged, GuestFault>, HostFault> {
    Err(HostFault::NotHere(*version))
}

/// One region whose every batch starts from the disk.
struct Region {
    me: RegionId,
    store: MemoryStore,
}

impl Region {
    fn new(name: &str) -> Self {
        Self { me: region(name), store: MemoryStore::new() }
    }

    fn partition(&self) -> Partition {
        let setup = PartitionSetup {
            partition: 0,
            region: self.me.clone(),
            regions: vec![region("a"), region("b")],
            outstanding_max: 100,
            waiting_per_link_max: 100,
        };
        Partition::restore(setup, load_partition(&self.store, 0).unwrap())
    }

    fn batch(&self, work: impl FnOnce(&mut syncline_core::Batch<'_>), beat: Option<Hlc>) -> Commit {
        let mut partition = self.partition();
        let mut rows = FromStore { store: &self.store, cache: BTreeMap::new() };
        let mut core = partition.batch(&mut rows, &no_function, 1000);
        work(&mut core);
        let commit = core.finish(beat).unwrap();
        let mut batch = Batch::new();
        let encode = |record: &ChangeRecord| record.row.to_string().into_bytes();
        write_commit(
            &mut batch,
            &self.store,
            &commit,
            ConflictLimit { notes: 9, table_bytes: 1 << 20 },
            encode,
        )
        .unwrap();
        self.store.commit(batch).unwrap();
        commit
    }

    fn write(&self, at: u64, pk: &str, image: Option<&str>, stamp: Stamp) -> Commit {
        let image = image.map(|json| Image::canonicalize(json.as_bytes()).unwrap());
        self.batch(
            |core| {
                core.write(hlc(at), &key(pk), &Precondition::None, image, stamp).unwrap().unwrap();
            },
            None,
        )
    }

    fn receive(&self, records: &[ChangeRecord], beats: &[Heartbeat], beat: Option<Hlc>) -> Commit {
        self.batch(
            |core| {
                for record in records {
                    core.receive(&record.change.id.region, record.clone());
                }
                for beat in beats {
                    core.hear(beat);
                }
            },
            beat,
        )
    }

    fn image(&self, pk: &str) -> Option<String> {
        let row = load_row(&self.store, 0, &key(pk)).unwrap()?;
        row.image().map(|image| String::from_utf8(image.as_bytes().to_vec()).unwrap())
    }
}

#[test]
fn two_regions_that_live_from_disk_alone_converge_and_forget() {
    let (a, b) = (Region::new("a"), Region::new("b"));
    let from_a = a.write(10, "k", Some(r#"{"n":1}"#), Stamp::Lww).outbox;
    let from_b = b.write(11, "k", Some(r#"{"n":2}"#), Stamp::Lww).outbox;
    assert_eq!(outbox::page(&a.store, 0, hlc(0), hlc(99), 9, 999).unwrap()[0].1, b"t/k");
    let at_a = a.receive(&from_b, &[], None);
    let at_b = b.receive(&from_a, &[], None);
    assert_eq!((at_a.conflicts.len(), at_b.conflicts.len()), (1, 1));
    assert_eq!(
        (a.image("k"), b.image("k")),
        (Some(r#"{"n":2}"#.into()), Some(r#"{"n":2}"#.into()))
    );
    let digests = |region: &Region| load_partition(&region.store, 0).unwrap().digests;
    assert_eq!(digests(&a), digests(&b));
    assert_eq!(load_partition(&a.store, 0).unwrap().unsettled[0].1.len(), 2);

    let deleted = a.write(20, "k", None, Stamp::Lww).outbox;
    let _ = b.receive(&deleted, &[], None);
    let mut beats: Vec<Heartbeat> = Vec::new();
    for round in 0..4 {
        let beat = a.receive(&[], &beats, Some(hlc(100 + round * 10))).heartbeat;
        beats = beat.into_iter().collect();
        let beat = b.receive(&[], &beats, Some(hlc(105 + round * 10))).heartbeat;
        beats = beat.into_iter().collect();
    }
    for region in [&a, &b] {
        let kept = load_partition(&region.store, 0).unwrap();
        assert!(kept.outbox.is_empty(), "confirmed by everyone");
        assert!(kept.unsettled.is_empty() && kept.waiting.is_empty());
        assert!(load_row(&region.store, 0, &key("k")).unwrap().is_none(), "deleted everywhere");
        assert!(kept.digests.is_empty());
        let partitions = syncline_core::PartitionCount::new(1).unwrap();
        let all = crate::ConflictFilter::default();
        let log = conflict::query(&region.store, partitions, &all, None, 9).unwrap();
        assert_eq!(log.conflicts.len(), 1);
    }
}

#[test]
fn what_waits_outlives_a_restart() {
    let (a, b) = (Region::new("a"), Region::new("b"));
    let stamp = Stamp::Function(FunctionVersion([1; 32]));
    let from_a = a.write(10, "k", Some(r#"{"n":1}"#), stamp).outbox;
    let _ = b.write(11, "k", Some(r#"{"n":2}"#), Stamp::Lww);
    // The newer head decides: last writer wins at b, where a's change is the older.
    let _ = b.receive(&from_a, &[], None);
    assert_eq!(b.image("k").as_deref(), Some(r#"{"n":2}"#));
    let again = a.write(30, "k", Some(r#"{"n":3}"#), stamp).outbox;
    let _ = b.write(25, "k", Some(r#"{"n":4}"#), Stamp::Lww);
    let _ = b.receive(&again, &[], None);
    let kept = load_partition(&b.store, 0).unwrap();
    assert_eq!(kept.waiting, again, "no function is here");
    assert_eq!(b.partition().waiting(), 1);
    let waiting = crate::ConflictFilter {
        outcome: Some(crate::Outcome::Waiting),
        ..crate::ConflictFilter::default()
    };
    let partitions = syncline_core::PartitionCount::new(1).unwrap();
    let listed = || conflict::query(&b.store, partitions, &waiting, None, 9).unwrap().conflicts;
    assert_eq!(listed().len(), 1);
}
