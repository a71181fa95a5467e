//! What a row's apply and fold costs by how many rows there are: it must not grow with them.
//!
//! Each size is a partition of its own, held in memory. The sizes take turns, many times, so that
//! what else the machine does falls on all of them alike; what is told is the median of the turns,
//! and the median of the ratios within a turn. A time is told, never judged.
//!
//! As in the product, rows lie in a store until they are asked for. What the core does is measured
//! with the rows loaded by it, and with rows that were loaded before; the loading is measured alone
//! too. The store of the measurement costs the same for any number of rows, but for the processor's
//! caches: what the product's costs is the business of its own benchmark.

mod measured;

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::report::columns;
use measured::Measured;

/// Each row of a batch is changed once by each of two regions.
const CHANGES_PER_ROW: usize = 2;
/// In one batch: 64 changes, as much as a region takes at once that keeps up.
const ROWS_PER_BATCH: usize = 32;
/// Between two heartbeats, and as many as give each way of measuring the same number of batches.
const BATCHES_PER_STRETCH: usize = 30;
/// No row is changed twice in a stretch, from one heartbeat to the next.
const ROWS_PER_STRETCH: usize = ROWS_PER_BATCH * BATCHES_PER_STRETCH;
/// So many stretches make a turn.
const STRETCHES_PER_TURN: usize = 4;
/// Enough that the figures settle, in well under a minute for the sizes by default.
const TURNS: usize = 51;
/// So often random rows are loaded before a turn, so that a store that fits into the processor's
/// caches is in them again, and then again, timed.
const LOADS_PER_TURN: usize = 20;

/// What is measured where nothing else is asked for.
pub const ROWS: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Fewer rows could not be changed once each between two heartbeats.
pub const ROWS_MIN: usize = 4 * ROWS_PER_STRETCH;
/// All sizes together: a row takes about 60 bytes of memory, and a microsecond to make.
pub const ROWS_MAX: usize = 20_000_000;

/// What is measured; each in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    /// Taking in, applying and folding a row's two changes, without the merge function.
    Row,
    /// As above, of rows that were loaded before.
    RowLoaded,
    /// Of that the fold, without the merge function.
    Fold,
    /// Dropping a row's history.
    Settle,
    /// One call of the merge function.
    Function,
    /// Loading a random row, without the core.
    Load,
}

impl Figure {
    const ALL: [Self; 6] =
        [Self::Row, Self::RowLoaded, Self::Fold, Self::Settle, Self::Function, Self::Load];

    /// Its name in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::RowLoaded => "row_loaded",
            Self::Fold => "fold",
            Self::Settle => "settle",
            Self::Function => "function",
            Self::Load => "load",
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Row => "apply and fold",
            Self::RowLoaded => "row in memory",
            Self::Fold => "fold alone",
            Self::Settle => "settle",
            Self::Function => "(function)",
            Self::Load => "(load a row)",
        }
    }
}

/// The figures of one turn, in the order of [`Figure::ALL`].
type Turn = [f64; Figure::ALL.len()];

/// One number of rows.
#[derive(Debug)]
struct Size {
    rows: usize,
    turns: Vec<Turn>,
}

/// What was measured.
#[derive(Debug)]
pub struct Costs(Vec<Size>);

/// Measures, for each number of rows. `progress` is told how much is done, and of how much.
pub fn measure(rows: &[usize], mut progress: impl FnMut(usize, usize)) -> Result<Costs, String> {
    let mut sizes = rows.to_vec();
    sizes.sort_unstable();
    sizes.dedup();
    if let Some(few) = sizes.first().filter(|rows| **rows < ROWS_MIN) {
        return Err(format!("{few} rows are too few to measure, it takes at least {ROWS_MIN}"));
    }
    let all = sizes.iter().fold(0_usize, |all, rows| all.saturating_add(*rows));
    if all > ROWS_MAX {
        return Err(format!("{all} rows are too many for the memory, the limit is {ROWS_MAX}"));
    }
    let mut partitions: Vec<Measured> = sizes.iter().map(|rows| Measured::new(*rows)).collect();
    let sizes = sizes.into_iter().map(|rows| Size { rows, turns: Vec::new() });
    let mut costs = Costs(sizes.collect());
    for turn in 0..TURNS {
        progress(turn, TURNS);
        for (partition, size) in partitions.iter_mut().zip(&mut costs.0) {
            size.turns.push(take_turn(partition));
        }
    }
    Ok(costs)
}

fn take_turn(partition: &mut Measured) -> Turn {
    for _ in 0..LOADS_PER_TURN {
        partition.load_random();
    }
    let loads = (0..LOADS_PER_TURN).map(|_| nanoseconds(partition.load_random()));
    let mut load: Vec<f64> = loads.map(|took| took / ROWS_PER_STRETCH as f64).collect();
    let per_row = |took: Duration| nanoseconds(took) / ROWS_PER_BATCH as f64;
    let [mut row, mut loaded, mut fold, mut function, mut settle] = [const { Vec::new() }; 5];
    for _ in 0..STRETCHES_PER_TURN {
        for batch in 0..BATCHES_PER_STRETCH {
            let picked = partition.pick();
            let records = partition.records(&picked);
            let into = match batch % 3 {
                0 => &mut row,
                1 => {
                    partition.load(&picked);
                    &mut loaded
                }
                _ => {
                    fold.push(per_row(partition.fold_copies(&picked, &records)));
                    // Copying has done more than load the rows: this one is not counted.
                    &mut Vec::new()
                }
            };
            let (took, spent) = partition.apply(records);
            into.push(per_row(took));
            function.push(per_row(spent));
        }
        settle.push(nanoseconds(partition.settle()) / ROWS_PER_STRETCH as f64);
    }
    Figure::ALL.map(|figure| match figure {
        Figure::Row => median(&mut row),
        Figure::RowLoaded => median(&mut loaded),
        Figure::Fold => median(&mut fold),
        Figure::Settle => median(&mut settle),
        Figure::Function => median(&mut function),
        Figure::Load => median(&mut load),
    })
}

fn nanoseconds(took: Duration) -> f64 {
    took.as_nanos() as f64
}

/// The one in the middle: what the machine did in between does not show.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Costs {
    /// A figure of a size: nanoseconds, and how many times that of the smallest size.
    fn figure(&self, size: &Size, figure: Figure) -> (f64, f64) {
        let of = |size: &Size| size.turns.iter().map(|turn| turn[figure as usize]).collect();
        let mut nanoseconds: Vec<f64> = of(size);
        let smallest: Vec<f64> = self.0.first().map(of).unwrap_or_default();
        let pairs = nanoseconds.iter().zip(smallest);
        let mut ratios: Vec<f64> = pairs.map(|(own, smallest)| own / smallest.max(1.0)).collect();
        (median(&mut nanoseconds), median(&mut ratios))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let of_size = |size: &Size| {
            let figures = Figure::ALL.into_iter().map(|figure| {
                let (nanoseconds, ratio) = self.figure(size, figure);
                (figure.name().to_owned(), json!({ "ns": nanoseconds, "ratio": ratio }))
            });
            let mut object = Value::Object(figures.collect());
            object["rows"] = size.rows.into();
            object
        };
        json!({
            "turns": TURNS,
            "changes_per_row": CHANGES_PER_ROW,
            "changes_per_batch": ROWS_PER_BATCH * CHANGES_PER_ROW,
            "rows_per_heartbeat": ROWS_PER_STRETCH,
            "sizes": self.0.iter().map(of_size).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WIDTH: usize = Figure::ALL.len() + 1;
        let mut lines: Vec<[String; WIDTH]> = Vec::new();
        let line = |first: String, word: &dyn Fn(Figure) -> String| {
            let mut words = Figure::ALL.map(word).into_iter();
            let mut first = Some(first);
            std::array::from_fn(|_| first.take().or_else(|| words.next()).unwrap_or_default())
        };
        lines.push(line("rows".into(), &|figure| figure.heading().into()));
        for size in &self.0 {
            lines.push(line(size.rows.to_string(), &|figure| {
                let (nanoseconds, ratio) = self.figure(size, figure);
                format!("{nanoseconds:.0} ns  x{ratio:.2}")
            }));
        }
        writeln!(
            f,
            "\nCost of a row: two conflicting changes of it, in batches of {} changes, without the \
             merge function\n",
            ROWS_PER_BATCH * CHANGES_PER_ROW
        )?;
        f.write_str(&columns(&lines))?;
        writeln!(
            f,
            "\nMedians of {TURNS} turns, and of the ratios to the smallest size. The first figure \
             includes the loading of\nthe row, the second does not; both include the fold. What is \
             in brackets is not the core's."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_at_its_own_place() {
        for (place, figure) in Figure::ALL.into_iter().enumerate() {
            assert_eq!(figure as usize, place);
        }
    }

    #[test]
    fn costs_are_told_by_size() {
        let turn = |ns: f64| Figure::ALL.map(|_| ns);
        let size = |rows, ns: [f64; 3]| Size { rows, turns: ns.map(turn).into() };
        let costs =
            Costs(vec![size(10_000, [100.0, 110.0, 900.0]), size(20_000, [110.0, 110.0, 900.0])]);
        let json = costs.json();
        assert_eq!(json["sizes"][1]["rows"], 20_000);
        assert_eq!(json["sizes"][1]["row"]["ns"], 110.0);
        assert_eq!(json["sizes"][1]["row"]["ratio"], 1.0);
        let text = costs.to_string();
        assert!(text.contains("\n20000  110 ns  x1.00 "), "{text}");
    }

    #[test]
    fn sizes_have_limits() {
        let of = |rows| measure(&[rows], |_, _| {}).map(|_| ());
        assert!(of(ROWS_MIN - 1).is_err_and(|why| why.contains("too few")));
        assert!(of(ROWS_MAX + 1).is_err_and(|why| why.contains("too many")));
    }
}
