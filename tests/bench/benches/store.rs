//! What the store costs over bare sled: one commit of the core with 256 changes, encoded and
//! committed, beside sled applying the very same keys and values.
//!
//! Both are measured in turns within one run, so that a busy machine slows both; the ratio is
//! printed first. The goal is 0.8.

use std::fs::File;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use syncline_core::{
    Change, ChangeId, ChangeRecord, Commit, ConflictId, ConflictOutcome, ConflictRecord,
    ConflictSide, ConflictWrite, FunctionVersion, Held, HistoryWrite, Hlc, Image, Operation,
    PartitionMeta, RegionId, RowKey, RowState, RowWrite, Stamp, TableDigest, VersionVector,
};
use syncline_store::{Batch, ConflictLimit, SledStore, Store, write_commit};
use tempfile::TempDir;

const CHANGES: u64 = 256;
/// So many different commits are made, again and again: rows are inserted first, then updated.
const COMMITS: u64 = 32;
const TURNS: u64 = 640;

fn hlc(n: u64) -> Hlc {
    Hlc::new(1_795_203_212_955 + n, 0).expect("within the bound")
}

fn region(name: &str) -> RegionId {
    name.parse().expect("a region's name")
}

/// An image of about 1 KB.
fn image(n: u64) -> Image {
    let items: Vec<String> =
        (0..24).map(|i| format!("{{\"n\":{n},\"sku\":\"sku-{i:020}\"}}")).collect();
    let json = format!("{{\"items\":[{}],\"owner\":\"customer {n}\"}}", items.join(","));
    Image::canonicalize(json.as_bytes()).expect("an object")
}

/// What a partition's thread hands over after 256 changes: half of them written here, half from two
/// other regions, some in conflict.
fn commit(number: u64) -> Commit {
    let (me, others) = (region("eu-west-1"), [region("us-east-1"), region("ap-south-1")]);
    let stamp = Stamp::Function(FunctionVersion([7; 32]));
    let mut commit = Commit { partition: 3, ..Commit::default() };
    for n in number * CHANGES..(number + 1) * CHANGES {
        let author = if n % 2 == 0 { &me } else { &others[(n / 2 % 2) as usize] };
        let id = ChangeId { hlc: hlc(n), region: author.clone() };
        let row = RowKey {
            table: "carts".parse().expect("a table's name"),
            pk: format!("customer-{n:012}").parse().expect("a row's key"),
        };
        let (before, after) = (image(n), image(n + 1));
        let floor: VersionVector = [(others[0].clone(), hlc(0))].into_iter().collect();
        let mut vv = floor.clone();
        vv.set(&id.region, id.hlc);
        let state = RowState {
            vv: vv.clone(),
            heads: vec![id.clone()],
            image: Some(after.clone()),
            floor,
            floor_image: Some(before.clone()),
        };
        let held = Held {
            id: id.clone(),
            vv: vv.clone(),
            operation: Operation::Update,
            after: Some(after.clone()),
            stamp,
        };
        commit.rows.push((row.clone(), RowWrite::Put(state)));
        commit.history.push((row.clone(), HistoryWrite::Put(Arc::new(held))));
        if n % 16 == 0 {
            commit.conflicts.push(ConflictWrite::Resolved(conflict(&row, &id, stamp, &after)));
        }
        if n % 2 == 0 {
            let (before, after) = (Some(before), Some(after));
            let operation = Operation::Update;
            let change = Change { id, context: vv, operation, before, after, stamp };
            commit.outbox.push(ChangeRecord { row, change, prev: hlc(n.saturating_sub(2)) });
        }
    }
    commit.digests.push(("carts".parse().expect("a name"), TableDigest { rows: 9, sum: [3; 4] }));
    let watermarks: VersionVector = others.iter().map(|r| (r.clone(), hlc(number))).collect();
    let positions = others.iter().map(|region| (region.clone(), number * 4096)).collect();
    let stable = watermarks.clone();
    commit.meta = PartitionMeta { watermarks, stable, positions, ..PartitionMeta::default() };
    commit
}

fn conflict(row: &RowKey, id: &ChangeId, stamp: Stamp, image: &Image) -> ConflictRecord {
    let other = ChangeId { hlc: id.hlc.before(), region: region("ap-south-1") };
    let side = |change: &ChangeId| ConflictSide {
        change: change.clone(),
        operation: Operation::Update,
        image: Some(image.clone()),
        ancestor: None,
    };
    ConflictRecord {
        id: ConflictId::of(row, &[other.clone(), id.clone()]),
        row: row.clone(),
        sides: vec![side(&other), side(id)],
        stamp,
        outcome: ConflictOutcome::Merged(Some(image.clone())),
        resolved_at_ms: id.hlc.millis(),
    }
}

/// Stands for the wire form, which belongs to the bus: bytes of the same size, for a copy.
fn outbox_form(record: &ChangeRecord) -> Vec<u8> {
    let images = [&record.change.before, &record.change.after].into_iter().flatten();
    let mut bytes = Vec::with_capacity(4096);
    bytes.resize(700, b' ');
    images.for_each(|image| bytes.extend_from_slice(image.as_bytes()));
    bytes
}

fn encode(store: &SledStore, commit: &Commit) -> Batch {
    let mut batch = Batch::new();
    write_commit(&mut batch, store, commit, ConflictLimit::default(), outbox_form)
        .expect("a healthy store");
    batch
}

fn apply(bare: &sled::Db, batch: &Batch) {
    let mut writes = sled::Batch::default();
    for (key, value) in batch.iter() {
        match value {
            Some(value) => writes.insert(key, value),
            None => writes.remove(key),
        }
    }
    bare.apply_batch(writes).expect("a healthy store");
}

fn through_the_store(store: &SledStore, commit: &Commit) {
    let batch = encode(store, commit);
    store.commit(batch).expect("a healthy store");
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn print_ratio(store: &SledStore, bare: &sled::Db, bare_log: &File, commits: &[Commit]) {
    let (mut encoding, mut whole, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let commit = &commits[(turn % COMMITS) as usize];
        let pairs = encode(store, commit);
        encoding.push(timed(|| drop(black_box(encode(store, commit)))));
        // Who comes second finds the processor's caches warm.
        if turn % 2 == 0 {
            alone.push(timed(|| apply(bare, &pairs)));
        }
        whole.push(timed(|| through_the_store(store, commit)));
        if turn % 2 == 1 {
            alone.push(timed(|| apply(bare, &pairs)));
        }
        if turn % 16 == 15 {
            // Beside the clock, and the same for both: neither may pile up what it has not written.
            store.sync().expect("a healthy disk");
            bare.flush().expect("a healthy disk");
            bare_log.sync_data().expect("a healthy disk");
        }
    }
    let pairs = encode(store, &commits[0]);
    let (encoding, whole, alone) = (median(encoding), median(whole), median(alone));
    println!(
        "{CHANGES} changes, {} keys, {} KiB: store {whole:?}, of it encoding {encoding:?}; bare \
         sled {alone:?}; ratio {:.2}",
        pairs.len(),
        pairs.bytes() >> 10,
        alone.as_secs_f64() / whole.as_secs_f64(),
    );
}

fn bench(c: &mut Criterion) {
    let (dir, bare_dir) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let store = SledStore::open(dir.path()).expect("a new store");
    let bare = sled::Config::new().path(bare_dir.path()).cache_capacity(128 << 20);
    let bare = bare.flush_every_ms(None).open().expect("a new store");
    let commits: Vec<Commit> = (0..COMMITS).map(commit).collect();
    let bare_log = File::open(bare_dir.path().join("db")).expect("sled's log");
    print_ratio(&store, &bare, &bare_log, &commits);

    let mut group = c.benchmark_group("commit of 256 changes");
    group.throughput(Throughput::Elements(CHANGES)).sample_size(20);
    let mut turns = commits.iter().cycle();
    let mut next = || turns.next().expect("a cycle has no end");
    group.bench_function("store", |b| {
        b.iter_batched(
            &mut next,
            |commit| through_the_store(&store, commit),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("bare sled", |b| {
        let pairs = || encode(&store, next());
        b.iter_batched(pairs, |pairs| apply(&bare, &pairs), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
