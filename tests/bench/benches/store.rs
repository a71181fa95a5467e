//! What the store costs over the bare engine: one commit of the core with 256 changes, encoded and
//! committed, beside sled and fjall applying the very same keys and values.
//!
//! The two of an engine are measured in turns within one run, so that a busy machine slows both;
//! the ratio is printed first. The goal is 0.8.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use syncline_bench::commits::{Arrived, CHANGES, commit, outbox_form};
use syncline_core::Commit;
use syncline_store::{Batch, ConflictLimit, DiskStore, Engine, Store, write_commit};
use tempfile::TempDir;

/// So many different commits are made, again and again: rows are inserted first, then updated.
const COMMITS: u64 = 32;
const TURNS: u64 = 640;

/// An engine without the store around it.
enum Bare {
    Sled { db: sled::Db, log: File },
    Fjall { db: Database, keys: Keyspace },
}

impl Bare {
    fn open(engine: Engine, path: &Path) -> Self {
        match engine {
            Engine::Sled => {
                let config = sled::Config::new().path(path).cache_capacity(128 << 20);
                let db = config.flush_every_ms(None).open().expect("a new store");
                Self::Sled { db, log: File::open(path.join("db")).expect("sled's log") }
            }
            Engine::Fjall => {
                let db = Database::builder(path).cache_size(128 << 20).worker_threads(2);
                let db = db.open().expect("a new store");
                let options = || KeyspaceCreateOptions::default().max_memtable_size(32 << 20);
                let keys = db.keyspace("bare", options).expect("a new key space");
                Self::Fjall { db, keys }
            }
        }
    }

    fn apply(&self, batch: &Batch) {
        match self {
            Self::Sled { db, .. } => {
                let mut writes = sled::Batch::default();
                for (key, value) in batch.iter() {
                    match value {
                        Some(value) => writes.insert(key, value),
                        None => writes.remove(key),
                    }
                }
                db.apply_batch(writes).expect("a healthy store");
            }
            Self::Fjall { db, keys } => {
                let mut writes = db.batch();
                for (key, value) in batch.iter() {
                    match value {
                        Some(value) => writes.insert(keys, key, value),
                        None => writes.remove(keys, key),
                    }
                }
                writes.commit().expect("a healthy store");
            }
        }
    }

    fn sync(&self) {
        match self {
            Self::Sled { db, log } => {
                db.flush().expect("a healthy disk");
                log.sync_data().expect("a healthy disk");
            }
            Self::Fjall { db, .. } => db.persist(PersistMode::SyncData).expect("a healthy disk"),
        }
    }
}

fn encode(store: &DiskStore, commit: &Commit) -> Batch {
    let mut batch = Batch::new();
    write_commit(&mut batch, store, commit, ConflictLimit::default(), outbox_form)
        .expect("a healthy store");
    batch
}

fn through_the_store(store: &DiskStore, commit: &Commit) {
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

fn print_ratio(engine: Engine, store: &DiskStore, bare: &Bare, commits: &[Commit]) {
    let (mut encoding, mut whole, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let commit = &commits[(turn % COMMITS) as usize];
        let pairs = encode(store, commit);
        encoding.push(timed(|| drop(black_box(encode(store, commit)))));
        // Who comes second finds the processor's caches warm.
        if turn % 2 == 0 {
            alone.push(timed(|| bare.apply(&pairs)));
        }
        whole.push(timed(|| through_the_store(store, commit)));
        if turn % 2 == 1 {
            alone.push(timed(|| bare.apply(&pairs)));
        }
        if turn % 16 == 15 {
            // Beside the clock, and the same for both: neither may pile up what it has not written.
            store.sync().expect("a healthy disk");
            bare.sync();
        }
    }
    let pairs = encode(store, &commits[0]);
    let (encoding, whole, alone) = (median(encoding), median(whole), median(alone));
    println!(
        "{CHANGES} changes, {} keys, {} KiB: store {whole:?}, of it encoding {encoding:?}; bare \
         {engine} {alone:?}; ratio {:.2}",
        pairs.len(),
        pairs.bytes() >> 10,
        alone.as_secs_f64() / whole.as_secs_f64(),
    );
}

/// What history costs a table that needs none: each row is written with it and once more without it,
/// in place of once.
fn print_history(engine: Engine, arrived: &[Arrived]) {
    let stores = [(); 2].map(|()| TempDir::new().expect("a folder"));
    let [with, without] =
        [0, 1].map(|n| DiskStore::open(engine, stores[n].path()).expect("a new store"));
    let (mut kept, mut plain) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let Arrived { kept: first, settled, plain: once } = &arrived[(turn % COMMITS) as usize];
        kept.push(timed(|| [first, settled].iter().for_each(|c| through_the_store(&with, c))));
        plain.push(timed(|| through_the_store(&without, once)));
        if turn % 16 == 15 {
            with.sync().expect("a healthy disk");
            without.sync().expect("a healthy disk");
        }
    }
    let (kept, plain) = (median(kept), median(plain));
    println!(
        "{CHANGES} changes on {engine}: with history {kept:?}, without {plain:?}; ratio {:.2}",
        kept.as_secs_f64() / plain.as_secs_f64(),
    );
}

fn bench_engine(c: &mut Criterion, engine: Engine, commits: &[Commit]) {
    let (dir, bare_dir) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let store = DiskStore::open(engine, dir.path()).expect("a new store");
    let bare = Bare::open(engine, bare_dir.path());
    print_ratio(engine, &store, &bare, commits);

    let mut group = c.benchmark_group("commit of 256 changes");
    group.throughput(Throughput::Elements(CHANGES)).sample_size(20);
    let mut turns = commits.iter().cycle();
    let mut next = || turns.next().expect("a cycle has no end");
    group.bench_function(format!("store on {engine}"), |b| {
        b.iter_batched(
            &mut next,
            |commit| through_the_store(&store, commit),
            BatchSize::PerIteration,
        );
    });
    group.bench_function(format!("bare {engine}"), |b| {
        let pairs = || encode(&store, next());
        b.iter_batched(pairs, |pairs| bare.apply(&pairs), BatchSize::PerIteration);
    });
    group.finish();
}

fn bench(c: &mut Criterion) {
    let commits: Vec<Commit> = (0..COMMITS).map(commit).collect();
    let arrived: Vec<Arrived> = (0..COMMITS).map(Arrived::of).collect();
    for engine in [Engine::Sled, Engine::Fjall] {
        print_history(engine, &arrived);
        bench_engine(c, engine, &commits);
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
