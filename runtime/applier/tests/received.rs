//! Which received records are kept as they came.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use syncline_applier::{
    Intake, Limits, Moment, PartitionTurn, ReadItem, ReadRecords, Site, Sorted, restore,
};
use syncline_bus::{Item, Lane, encode_change};
use syncline_core::{
    Change, ChangeId, ChangeRecord, FunctionVersion, Hlc, HostFault, Image, MergeInput, Operation,
    PartitionCount, RegionId, RowKey, Stamp, VersionVector,
};
use syncline_store::MemoryStore;
use syncline_store::kv::received;

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

fn change() -> ChangeRecord {
    ChangeRecord {
        row: RowKey { table: "t".parse().unwrap(), pk: "k".parse().unwrap() },
        change: Change {
            id: ChangeId { hlc: Hlc::new(1_795_000_000_000, 0).unwrap(), region: region("b") },
            context: VersionVector::new(),
            operation: Operation::Insert,
            before: None,
            after: Some(Image::canonicalize(b"{}").unwrap()),
            stamp: Stamp::Lww,
        },
        prev: Hlc::ZERO,
    }
}

/// Region a, one of these, reads a change of b; answers how many records it keeps.
fn kept_among(regions: &[&str]) -> usize {
    let limits = Limits {
        unconfirmed_changes: 9,
        waiting_changes: 9,
        conflicts: 9,
        conflict_bytes: 1 << 20,
    };
    let regions = regions.iter().map(|name| region(name)).collect();
    let partitions = PartitionCount::new(1).unwrap();
    let site = Site::new(region("a"), regions, partitions, limits, MemoryStore::new());
    let mut partition = restore(&site, |_, _| true).unwrap().partitions.remove(0);
    let intake = Intake { source: region("b"), partitions, forwards: false };
    let sorted = intake.sort(Lane::Changes(0), Item::Record(encode_change(&change())));
    let Ok(Sorted::Row(what)) = sorted else { panic!("{sorted:?}") };
    let items = vec![ReadItem { position: 0, next_position: 1, what }];
    let records = vec![ReadRecords { source: region("b"), partition: 0, items }];
    let no_functions =
        |version: &FunctionVersion, _: &MergeInput<'_>| Err(HostFault::NotHere(*version));
    let turn = PartitionTurn::<()> { records, ..PartitionTurn::default() };
    let done = partition.turn(&site, &no_functions, turn, Moment::of(1_000)).unwrap();
    assert_eq!(done.changed.len(), 1);
    received::count(&site.store, 0, &region("b")).unwrap()
}

#[test]
fn a_record_is_kept_where_a_third_region_may_need_it() {
    assert_eq!(kept_among(&["a", "b"]), 0);
    assert_eq!(kept_among(&["a", "b", "c"]), 1);
}
