//! Measures contenders turn by turn, so that a busy moment of the machine meets all of them.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::contender::{Case, Contender, Kept, Rig};

/// How long a contender's turn takes, about.
const TURN: Duration = Duration::from_millis(40);

/// The stack of a thread that merges: what a call of the host asks for and as much again, or the
/// host would make a stack for each call.
const STACK_BYTES: usize = 8 << 20;

/// What was measured of one contender: merges a second, of all threads together, turn by turn.
#[derive(Clone, Debug)]
pub struct Paces(Vec<f64>);

impl Paces {
    /// That of the best turn: what there is where nobody else uses the machine.
    pub fn best(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// How many times the other's pace this is: of the best turns, and the median of what it was in
    /// each round.
    pub fn over(&self, other: &Self) -> (f64, f64) {
        let rounds = self.0.iter().zip(&other.0);
        (self.best() / other.best(), median(rounds.map(|(this, other)| this / other).collect()))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// One contender's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// How it merges.
    pub contender: Contender,
    /// How many threads do, at a time.
    pub threads: u32,
}

/// Lets all take their turns, in another order each round; their paces, in the order of `turns`.
pub fn measure<const N: usize>(
    rig: &Rig,
    case: &Case,
    turns: &[Turn; N],
    rounds: usize,
) -> Result<[Paces; N]> {
    let mut calls = [0; N];
    for (turn, calls) in turns.iter().zip(&mut calls) {
        // The first turn is for caches and branches, the second says how long a call takes.
        take(rig, case, *turn, 10)?;
        let pace = take(rig, case, *turn, 20)? / f64::from(turn.threads);
        *calls = ((pace * TURN.as_secs_f64()) as u32).max(1);
    }
    let mut paces = [const { Paces(Vec::new()) }; N];
    for round in 0..rounds {
        for at in (0..N).map(|at| (at + round) % N) {
            paces[at].0.push(take(rig, case, turns[at], calls[at])?);
        }
    }
    Ok(paces)
}

/// So many calls in each thread; merges a second.
fn take(rig: &Rig, case: &Case, turn: Turn, calls: u32) -> Result<f64> {
    let ready = Barrier::new(turn.threads as usize);
    let work = || {
        let mut kept = Kept::new();
        let first = rig.merge(turn.contender, case, &mut kept);
        ready.wait();
        first?;
        let start = Instant::now();
        for _ in 0..calls {
            black_box(rig.merge(turn.contender, black_box(case), &mut kept)?);
        }
        anyhow::Ok((start, Instant::now()))
    };
    let times = thread::scope(|scope| {
        let start = |_| thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let threads: Vec<_> = (0..turn.threads).map(start).collect::<Result<_, _>>()?;
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().map_err(|_| anyhow!("a thread panicked"))?
        };
        threads.into_iter().map(join).collect::<Result<Vec<(Instant, Instant)>>>()
    })?;
    let start = times.iter().map(|(start, _)| *start).min().context("no thread")?;
    let end = times.iter().map(|(_, end)| *end).max().context("no thread")?;
    Ok(f64::from(calls) * f64::from(turn.threads) / (end - start).as_secs_f64())
}
