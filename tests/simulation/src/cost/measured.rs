//! A partition with many rows, fed by two other regions that change the same rows at the same time.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;
use std::hint::black_box;
use std::time::{Duration, Instant};

use fastrand::Rng;
use syncline_core::{
    Absorbed, Change, ChangeId, ChangeRecord, Clock, Evidence, FunctionVersion, GuestFault,
    Heartbeat, Hlc, HostFault, Image, LoadError, MergeFunctions, MergeInput, Merged, Operation,
    Partition, PartitionMeta, PartitionSetup, PartitionSnapshot, Received, RegionId, Row, RowKey,
    RowState, RowWrite, Rows, Stamp, TableDigest, TableName, VersionVector,
};

use super::{CHANGES_PER_ROW, ROWS_PER_BATCH, ROWS_PER_STRETCH};
use crate::founding::table;
use crate::functions::{Function, image_of, numbers};

/// 2026, so that HLCs look like real ones. The wall clock stands still: only the counter moves.
const WALL_MS: u64 = 1_767_225_600_000;
/// Enough for any number of rows that is taken, so that all keys are equally long.
const KEY_DIGITS: usize = 8;

/// A row at rest: settled everywhere, and counted so far.
#[derive(Clone, Copy)]
struct Stored {
    count: u32,
    /// Each author's last change of it.
    last: [Hlc; CHANGES_PER_ROW],
}

/// All rows, by number: finding one costs the same however many there are. As in the product, those
/// in use are loaded; were all of them, each step of the core would take its memory from all over a
/// large heap, and the processor's caches would be what is measured.
struct StoredRows {
    authors: [RegionId; CHANGES_PER_ROW],
    stored: Vec<Stored>,
    loaded: HashMap<usize, Row, BuildHasherDefault<DefaultHasher>>,
}

impl Rows for StoredRows {
    fn row(&mut self, key: &RowKey) -> Result<&mut Row, LoadError> {
        let number = key.pk.as_str().parse::<usize>().ok();
        let row = number.and_then(|number| self.load(number));
        row.ok_or_else(|| LoadError { row: key.clone(), reason: "there is no such row".into() })
    }
}

impl StoredRows {
    fn load(&mut self, number: usize) -> Option<&mut Row> {
        let Self { authors, stored, loaded } = self;
        let stored = stored.get(number)?;
        Some(loaded.entry(number).or_insert_with(|| settled(authors, *stored)))
    }

    /// Stores what was committed, and keeps no row in memory.
    fn store(&mut self, written: &[(RowKey, RowWrite)]) {
        for (key, write) in written {
            let RowWrite::Put(state) = write else { panic!("row {key} is forgotten") };
            assert_eq!((&state.vv, &state.image), (&state.floor, &state.floor_image));
            let count = numbers(state.image.as_ref()).values().sum::<i64>();
            let number = key.pk.as_str().parse::<usize>().ok();
            let Some(stored) = number.and_then(|number| self.stored.get_mut(number)) else {
                panic!("there is no row {key}");
            };
            stored.count = u32::try_from(count).unwrap_or_else(|error| panic!("{error}"));
            stored.last = self.authors.each_ref().map(|author| state.vv.get(author));
        }
        self.loaded.clear();
    }
}

/// The counter, and how long it was at work: that is not the core's time.
struct Timed {
    version: FunctionVersion,
    spent: Cell<Duration>,
}

impl MergeFunctions for Timed {
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        if *version != self.version {
            return Err(HostFault::NotHere(*version));
        }
        let start = Instant::now();
        let merged = Function::Counter.merge(input);
        self.spent.set(self.spent.get() + start.elapsed());
        Ok(merged)
    }
}

/// A region that makes changes elsewhere.
struct Author {
    region: RegionId,
    last: Hlc,
}

/// What the authors know of a row. Apart from what is stored, so that making records does not bring
/// the row into the processor's caches.
#[derive(Clone, Copy)]
struct Known {
    row: Stored,
    /// The last stretch that it was changed in.
    stretch: u32,
}

/// The records of one batch: each author's changes, of the same rows.
pub(super) struct Records([Vec<ChangeRecord>; CHANGES_PER_ROW]);

/// A partition and all around it.
pub(super) struct Measured {
    partition: Partition,
    rows: StoredRows,
    functions: Timed,
    table: TableName,
    authors: [Author; CHANGES_PER_ROW],
    known: Vec<Known>,
    clock: Clock,
    rng: Rng,
    /// Counts the times between heartbeats. No row is changed twice in one: rows of a small table
    /// would meet history more often, and the work would differ, not only its cost.
    stretch: u32,
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn row_key(table: &TableName, number: usize) -> RowKey {
    let pk = format!("{number:0KEY_DIGITS$}").parse().unwrap_or_else(|error| panic!("{error}"));
    RowKey { table: table.clone(), pk }
}

fn image(count: u32) -> Image {
    image_of(&[("n".to_owned(), i64::from(count))].into())
}

fn settled(authors: &[RegionId; CHANGES_PER_ROW], stored: Stored) -> Row {
    let ids = authors.iter().cloned().zip(stored.last);
    let heads: Vec<ChangeId> = ids.map(|(region, hlc)| ChangeId { hlc, region }).collect();
    let vv: VersionVector = heads.iter().map(|id| (id.region.clone(), id.hlc)).collect();
    let image = Some(image(stored.count));
    let state = RowState { floor: vv.clone(), vv, heads, floor_image: image.clone(), image };
    Row::restore(state, [])
}

impl Measured {
    /// A partition with so many rows.
    pub(super) fn new(rows: usize) -> Self {
        let (me, table) = (region("a"), table(0));
        let clock = Clock::starting_after(Hlc::ZERO);
        let mut authors = ["b", "c"].map(|name| Author { region: region(name), last: Hlc::ZERO });
        let mut digest = TableDigest::default();
        let (mut stored, mut known) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for number in 0..rows {
            let row = Stored { count: 0, last: [tick(&clock), tick(&clock)] };
            digest.replace(&row_key(&table, number), None, Some(&image(row.count)));
            stored.push(row);
            known.push(Known { row, stretch: 0 });
            authors.iter_mut().zip(row.last).for_each(|(author, last)| author.last = last);
        }
        let seen = authors.iter().map(|author| (author.region.clone(), author.last));
        let seen: VersionVector = seen.collect();
        let links = authors.iter().map(|Author { region, last }| {
            let link = syncline_core::Link { taken: *last, ..Default::default() };
            (region.clone(), link)
        });
        let meta = PartitionMeta {
            watermarks: seen.clone(),
            stable: seen,
            links: links.collect(),
            ..PartitionMeta::default()
        };
        let setup = PartitionSetup {
            partition: 0,
            regions: [&me].into_iter().chain(authors.iter().map(|a| &a.region)).cloned().collect(),
            region: me,
            outstanding_max: usize::MAX,
            waiting_per_link_max: usize::MAX,
        };
        let digests = vec![(table.clone(), digest)];
        let snapshot = PartitionSnapshot { meta, digests, ..PartitionSnapshot::default() };
        Self {
            partition: Partition::restore(setup, snapshot),
            rows: StoredRows {
                authors: authors.each_ref().map(|author| author.region.clone()),
                stored,
                loaded: HashMap::with_capacity_and_hasher(ROWS_PER_STRETCH, Default::default()),
            },
            functions: Timed { version: Function::Counter.version(), spent: Cell::default() },
            table,
            authors,
            known,
            clock,
            rng: Rng::with_seed(rows as u64),
            stretch: 1,
        }
    }

    /// How long it takes to load random rows, without the core.
    pub(super) fn load_random(&mut self) -> Duration {
        let random = (0..ROWS_PER_STRETCH).map(|_| self.rng.usize(..self.known.len()));
        let random: Vec<usize> = random.collect();
        let start = Instant::now();
        self.load(&random);
        let took = start.elapsed();
        self.rows.loaded.clear();
        took
    }

    /// Loads rows before the core asks for them.
    pub(super) fn load(&mut self, picked: &[usize]) {
        for number in picked {
            black_box(self.rows.load(*number));
        }
    }

    /// Random rows, for one batch.
    pub(super) fn pick(&mut self) -> Vec<usize> {
        let mut picked = Vec::with_capacity(ROWS_PER_BATCH);
        while picked.len() < ROWS_PER_BATCH {
            let number = self.rng.usize(..self.known.len());
            if self.known[number].stretch != self.stretch {
                self.known[number].stretch = self.stretch;
                picked.push(number);
            }
        }
        picked
    }

    /// What the authors make of these rows, each without having seen the other's change.
    pub(super) fn records(&mut self, picked: &[usize]) -> Records {
        let Self { table, authors, known, clock, .. } = self;
        let stamp = Stamp::Function(self.functions.version);
        let regions = authors.each_ref().map(|author| author.region.clone());
        let mut made = authors.each_mut().map(|author| {
            let of = |number: &usize| {
                let Stored { count, last } = known[*number].row;
                let hlc = tick(clock);
                let change = Change {
                    id: ChangeId { hlc, region: author.region.clone() },
                    context: regions.iter().cloned().zip(last).collect(),
                    operation: Operation::Update,
                    before: Some(image(count)),
                    after: Some(image(count + 1)),
                    stamp,
                };
                let prev = std::mem::replace(&mut author.last, hlc);
                ChangeRecord { row: row_key(table, *number), change, prev }
            };
            picked.iter().map(of).collect::<Vec<_>>()
        });
        for (place, number) in picked.iter().enumerate() {
            known[*number].row.count += CHANGES_PER_ROW as u32;
            known[*number].row.last = made.each_mut().map(|made| made[place].change.id.hlc);
        }
        Records(made)
    }

    /// Applies a batch; answers how long that took without the merge function, and how long the
    /// function took.
    pub(super) fn apply(&mut self, records: Records) -> (Duration, Duration) {
        self.functions.spent.set(Duration::ZERO);
        let start = Instant::now();
        let mut batch = self.partition.batch(&mut self.rows, &self.functions, WALL_MS);
        for (author, records) in self.authors.iter().zip(records.0) {
            for record in records {
                let received = batch.receive(&author.region, record);
                assert_eq!(received, Received::Taken, "a change has its turn");
            }
            batch.read_to(&author.region, author.last.bits());
        }
        let commit = batch.finish(None).unwrap_or_else(|error| panic!("{error}"));
        let took = start.elapsed();
        // What is measured must be what is meant: each row applied, folded once, and nothing odd.
        assert_eq!(commit.rows.len(), ROWS_PER_BATCH, "each row is written once");
        assert_eq!(commit.conflicts.len(), ROWS_PER_BATCH, "each row had a conflict");
        assert_eq!(commit.history.len(), ROWS_PER_BATCH * CHANGES_PER_ROW, "all is applied");
        assert!(commit.alarms.is_empty(), "{:?}", commit.alarms);
        let spent = self.functions.spent.get();
        (took.saturating_sub(spent), spent)
    }

    /// Folds copies of the rows with the records absorbed; answers how long the folds alone took,
    /// without the merge function.
    pub(super) fn fold_copies(&mut self, picked: &[usize], records: &Records) -> Duration {
        let copies =
            picked.iter().filter_map(|number| self.rows.load(*number).map(|row| row.clone()));
        let mut copies: Vec<Row> = copies.collect();
        let keys: Vec<&RowKey> = records.0[0].iter().map(|record| &record.row).collect();
        for of_author in &records.0 {
            for (copy, record) in copies.iter_mut().zip(of_author) {
                let absorbed = copy.absorb(&record.change, self.partition.watermarks());
                assert_eq!(absorbed, Absorbed::Yes { diverged: false });
            }
        }
        self.functions.spent.set(Duration::ZERO);
        let start = Instant::now();
        for (copy, key) in copies.iter_mut().zip(keys) {
            let fold = copy.fold(key, &self.functions);
            assert!(fold.is_ok_and(|fold| fold.calls == 1));
        }
        start.elapsed().saturating_sub(self.functions.spent.get())
    }

    /// Ends a stretch: all regions tell that they have all, and the history goes. Answers how long
    /// that took.
    pub(super) fn settle(&mut self) -> Duration {
        let beats: Vec<Hlc> = self.authors.iter().map(|_| tick(&self.clock)).collect();
        let spoken = self.authors.iter().zip(&beats);
        let seen: VersionVector = spoken.map(|(a, hlc)| (a.region.clone(), *hlc)).collect();
        let beat = |(author, hlc): (&Author, &Hlc)| Heartbeat {
            region: author.region.clone(),
            hlc: *hlc,
            prev: author.last,
            watermarks: seen.clone(),
            taken: seen.clone(),
            evidence: Evidence::default(),
            wall_ms: hlc.millis(),
        };
        let beats: Vec<Heartbeat> = self.authors.iter().zip(&beats).map(beat).collect();
        let own = tick(&self.clock);
        let start = Instant::now();
        let mut batch = self.partition.batch(&mut self.rows, &self.functions, WALL_MS);
        for beat in &beats {
            assert_eq!(batch.hear(beat), Received::Heartbeat, "a heartbeat has its turn");
        }
        let commit = batch.finish(Some(own)).unwrap_or_else(|error| panic!("{error}"));
        let took = start.elapsed();
        assert_eq!(commit.rows.len(), self.rows.loaded.len(), "all rows settle");
        assert_eq!(self.partition.rows_with_history(), 0, "nothing of their history is left");
        self.rows.store(&commit.rows);
        self.stretch += 1;
        took
    }
}

fn tick(clock: &Clock) -> Hlc {
    clock.tick(WALL_MS).unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_up_and_settle() {
        let mut measured = Measured::new(ROWS_PER_BATCH * 3);
        for _ in 0..4 {
            for _ in 0..2 {
                let picked = measured.pick();
                let records = measured.records(&picked);
                measured.fold_copies(&picked, &records);
                measured.apply(records);
            }
            measured.settle();
        }
        let mut digest = TableDigest::default();
        for (number, known) in measured.known.iter().enumerate() {
            let Stored { count, last } = measured.rows.stored[number];
            assert_eq!((count, last), (known.row.count, known.row.last));
            digest.replace(&row_key(&measured.table, number), None, Some(&image(count)));
        }
        assert_eq!(measured.known.iter().map(|known| known.row.count).sum::<u32>(), 4 * 2 * 64);
        assert_eq!(measured.partition.digests().get(&measured.table), Some(&digest));
    }
}
