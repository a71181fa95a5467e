//! The engines of the store beside each other, for the page that says when to take which: commits of
//! several sizes that are synced one by one, in turns; and, one engine after the other, rows written
//! in large commits, read and scanned, the processor's time, the size on disk, and how long it takes
//! to open the store again.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use syncline_bench::commits::{CHANGES, PARTITION, commit, outbox_form, row};
use syncline_core::{Commit, PartitionCount};
use syncline_store::kv::row;
use syncline_store::{Batch, ConflictLimit, DiskStore, Engine, Store, rows_of_table, write_commit};
use tempfile::TempDir;

/// Large commits; one turn of an engine writes them all.
const COMMITS: u64 = 96;
/// A sync after so many of them.
const SYNC_EVERY: u64 = 16;
const READS: u64 = 20_000;
const PAGE: usize = 500;
/// How many values of 1 KiB a synced commit puts, and how many of these commits there are.
const SYNCED: [(u64, u64); 3] = [(1, 600), (100, 200), (1000, 60)];
const TURNS: u64 = 3;
/// The pace of the clock in which the system counts a process's time.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filtered = arguments.iter().find(|argument| !argument.starts_with('-'));
    if filtered.is_some_and(|filter| !"engines".contains(filter.as_str())) {
        return;
    }
    // As one of the tests it only has to run.
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let (count, turns) = if is_test { (2, 1) } else { (COMMITS, TURNS) };
    for (puts, count) in SYNCED {
        measure_synced(puts, if is_test { 2 } else { count });
    }
    let commits: Vec<Commit> = (0..count).map(commit).collect();
    for turn in 0..turns {
        let mut engines = [Engine::Sled, Engine::Fjall];
        engines.rotate_left(turn as usize % 2);
        for engine in engines {
            measure(engine, &commits);
        }
    }
}

fn measure(engine: Engine, commits: &[Commit]) {
    let dir = TempDir::new().expect("a folder");
    let store = DiskStore::open(engine, dir.path()).expect("a new store");
    let processor = processor_time();
    let load = timed(|| load(&store, commits));
    let update = timed(|| load_again(&store, commits));
    let read = timed(|| read(&store, commits.len() as u64 * CHANGES));
    let scan = timed(|| scan(&store));
    let size = size_of(dir.path());
    drop(store);
    let processor = processor_time() - processor;
    let open = timed(|| drop(DiskStore::open(engine, dir.path()).expect("its own store")));
    let changes = commits.len() as f64 * CHANGES as f64;
    println!(
        "{engine}: {:.0} new rows/s, {:.0} updates/s, a read {:.1} us, \
         a scan {:.0} rows/s, {} MiB on disk, opened in {:.0} ms, processor {processor:.1} s",
        changes / load.as_secs_f64(),
        changes / update.as_secs_f64(),
        read.as_secs_f64() * 1e6 / READS as f64,
        changes / scan.as_secs_f64(),
        size >> 20,
        open.as_secs_f64() * 1e3,
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn load(store: &DiskStore, commits: &[Commit]) {
    for (n, commit) in (1..).zip(commits) {
        let mut batch = Batch::new();
        write_commit(&mut batch, store, commit, ConflictLimit::default(), outbox_form)
            .expect("a healthy store");
        store.commit(batch).expect("a healthy store");
        if n % SYNC_EVERY == 0 {
            store.sync().expect("a healthy disk");
        }
    }
    store.sync().expect("a healthy disk");
}

/// The same rows, in another order than they were made in.
fn load_again(store: &DiskStore, commits: &[Commit]) {
    let (first, second) = commits.split_at(commits.len() / 2);
    load(store, second);
    load(store, first);
}

fn read(store: &DiskStore, rows: u64) {
    for n in 0..READS {
        // A large prime: every row comes up, and none near the one before.
        let found = row::get(store, PARTITION, &row(n * 1_000_003 % rows));
        assert!(found.expect("a healthy store").is_some());
    }
}

/// All rows, a page at a time, as the API lists them.
fn scan(store: &DiskStore) {
    let table = row(0).table;
    let partitions = PartitionCount::new(PARTITION + 1).expect("within the bounds");
    let mut after = None;
    loop {
        let page = rows_of_table(store, partitions, &table, "", after.as_ref(), PAGE);
        after = page.expect("a healthy store").next;
        if after.is_none() {
            break;
        }
    }
}

/// One engine after the other does each commit, so that a busy machine slows both.
fn measure_synced(puts: u64, count: u64) {
    let dirs = [(); 2].map(|()| TempDir::new().expect("a folder"));
    let open = |engine, dir: &TempDir| DiskStore::open(engine, dir.path()).expect("a new store");
    let stores = [open(Engine::Sled, &dirs[0]), open(Engine::Fjall, &dirs[1])];
    let mut took = [Vec::new(), Vec::new()];
    for n in 0..count {
        for (store, took) in stores.iter().zip(&mut took) {
            let batch = scattered(n * puts..(n + 1) * puts);
            took.push(timed(|| {
                store.commit(batch).expect("a healthy store");
                store.sync().expect("a healthy disk");
            }));
        }
    }
    let [sled, fjall] = took.map(|mut took| {
        took.sort();
        took[took.len() / 2].as_secs_f64() * 1e6
    });
    let ratio = sled / fjall;
    println!("{puts} puts and a sync: sled {sled:.0} us, fjall {fjall:.0} us, pace {ratio:.2}");
}

/// In random places of the key space, as rows are.
fn scattered(puts: Range<u64>) -> Batch {
    let mut batch = Batch::new();
    for put in puts {
        let key = [b"synced", &put.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[..]];
        batch.put(key.concat(), vec![put as u8; 1024]);
    }
    batch
}

/// Blocks that the files of a folder take; journals are longer than what is in them.
fn size_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut size = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        size += match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => size_of(&path),
            Ok(found) => found.blocks() * 512,
            // The engine deletes what it has merged.
            Err(_) => 0,
        };
    }
    size
}

/// What this process, with the engines' threads, has taken of the processors, in seconds.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a system with /proc");
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap_or_default()).sum::<f64>() / TICKS_PER_SECOND
}
