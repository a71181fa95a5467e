//! What a change costs in the core alone: to be taken and applied, and to be folded with others.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use syncline_core::{
    Change, ChangeId, ChangeRecord, FunctionVersion, GuestFault, Hlc, HostFault, Image, LoadError,
    MergeInput, Merged, Operation, Partition, PartitionSetup, PartitionSnapshot, RegionId, Row,
    RowKey, Rows, Stamp, VersionVector,
};

const SUM: FunctionVersion = FunctionVersion([1; 32]);

/// Adds up three-way, as a counter does, in a few nanoseconds: what is measured is the core.
fn sum(
    _: &FunctionVersion,
    input: &MergeInput<'_>,
) -> Result<Result<Merged, GuestFault>, HostFault> {
    let number = |image: Option<&Image>| image.map_or(0, |image| i64::from(image.as_bytes()[0]));
    let sum = number(input.older.image) + number(input.newer.image) - number(input.ancestor);
    Ok(Ok(Some(Image::opaque(vec![sum as u8]))))
}

#[derive(Default)]
struct OneRow(Row);

impl Rows for OneRow {
    fn row(&mut self, _: &RowKey) -> Result<&mut Row, LoadError> {
        Ok(&mut self.0)
    }
}

fn region(n: u64) -> RegionId {
    format!("region-{n:02}").parse().expect("a region")
}

fn key() -> RowKey {
    RowKey { table: "carts".parse().expect("a name"), pk: "c-1".parse().expect("a key") }
}

fn hlc(n: u64) -> Hlc {
    Hlc::from_bits(n).expect("a small HLC")
}

fn change(writer: u64, at: u64, context: VersionVector) -> Change {
    Change {
        id: ChangeId { hlc: hlc(at), region: region(writer) },
        context,
        operation: Operation::Update,
        before: None,
        after: Some(Image::opaque(vec![at as u8])),
        stamp: Stamp::Function(SUM),
    }
}

fn partition() -> Partition {
    let setup = PartitionSetup {
        partition: 0,
        region: region(0),
        regions: (0..3).map(region).collect(),
        outstanding_max: usize::MAX,
        waiting_per_link_max: usize::MAX,
    };
    Partition::restore(setup, PartitionSnapshot::default())
}

/// A row on which one region has written `count` times, of which nothing is settled.
fn with_history(count: u64) -> (Partition, OneRow) {
    let (mut partition, mut row) = (partition(), OneRow::default());
    for at in 1..=count {
        take(&mut partition, &mut row, at);
    }
    (partition, row)
}

fn take(partition: &mut Partition, row: &mut OneRow, at: u64) {
    let mut context = VersionVector::new();
    context.set(&region(1), hlc(at - 1));
    let record = ChangeRecord { row: key(), change: change(1, at, context), prev: hlc(at - 1) };
    let mut batch = partition.batch(row, &sum, 0);
    black_box(batch.receive(&record.change.id.region.clone(), record));
    drop(black_box(batch.finish(None).expect("nothing is loaded")));
}

fn row_apply(c: &mut Criterion) {
    let mut group = c.benchmark_group("row_apply");
    for history in [0, 1_000, 100_000] {
        let (mut partition, mut row) = with_history(history);
        let mut at = history;
        group.bench_function(BenchmarkId::new("no_conflict", history), |b| {
            b.iter(|| {
                at += 1;
                take(&mut partition, &mut row, at);
            });
        });
    }
    group.finish();
}

fn fold(c: &mut Criterion) {
    let mut group = c.benchmark_group("fold");
    for heads in [2u64, 5, 20] {
        let mut row = Row::default();
        for writer in 1..=heads {
            row.absorb(&change(writer, writer, VersionVector::new()), &VersionVector::new());
        }
        group.bench_with_input(BenchmarkId::new("heads", heads), &row, |b, row| {
            b.iter_batched_ref(
                || row.clone(),
                |row| black_box(row.fold(&key(), &sum).map(|fold| fold.calls)),
                BatchSize::SmallInput,
            );
        });
        // The same heads again: their pairwise ancestors are in the cache.
        let mut warm = row.clone();
        group.bench_function(BenchmarkId::new("heads_warm", heads), |b| {
            b.iter(|| black_box(warm.fold(&key(), &sum).map(|fold| fold.calls)));
        });
    }
    group.finish();
}

criterion_group!(benches, row_apply, fold);
criterion_main!(benches);
