//! Plays seeds: one, one twice, or many on several threads.
//!
//! A run is one thread's; several threads play several runs. What they find is put back into the
//! order of the seeds before it is added up, so that the result is the same on any number of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::scenario::Scenario;
use crate::stats::Stats;
use crate::world::{Failure, Outcome, play};

/// The check that the product did not panic.
pub const PANIC: &str = "panic";
/// The check that the same seed is the same run.
pub const REPLAY: &str = "replay";

/// How often `progress` is asked at the least.
const TICK: Duration = Duration::from_millis(200);

/// How scenarios are played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Player {
    /// Each is played a second time, and must be the same run again.
    pub twice: bool,
    /// The bug that is planted while it is played.
    #[cfg(feature = "planted-bugs")]
    pub bug: Option<syncline_core::planted::Bug>,
}

impl Player {
    /// Plays each once, or twice.
    pub fn new(twice: bool) -> Self {
        Self {
            twice,
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// Plays a scenario. A panic in it is a failure of the check [`PANIC`]; a second run that
    /// differs from the first one is a failure of [`REPLAY`].
    pub fn play(&self, scenario: &Scenario, story: bool) -> Outcome {
        let first = self.play_once(scenario, story);
        if !self.twice {
            return first;
        }
        let second = self.play_once(scenario, false);
        let found = |outcome: &Outcome| {
            outcome.failure.as_ref().map(|failure| format!("{}: {}", failure.check, failure.what))
        };
        if (first.trace, found(&first)) == (second.trace, found(&second)) {
            return first;
        }
        let ends = [&first, &second].map(|outcome| {
            let ended = found(outcome).unwrap_or_else(|| "clean".into());
            format!("{:016x}, {ended}", outcome.trace)
        });
        let what = format!("the first run came to {}; the second to {}", ends[0], ends[1]);
        Outcome { failure: Some(Failure { check: REPLAY, what, step: None }), ..first }
    }

    fn play_once(&self, scenario: &Scenario, story: bool) -> Outcome {
        #[cfg(feature = "planted-bugs")]
        syncline_core::planted::plant(self.bug);
        let mut outcome = caught(|| play(scenario, story)).unwrap_or_else(|what| {
            let story = if story { until_panic(scenario) } else { Vec::new() };
            let failure = Failure { check: PANIC, what, step: None };
            Outcome { failure: Some(failure), stats: Stats::default(), trace: 0, story }
        });
        #[cfg(feature = "planted-bugs")]
        syncline_core::planted::plant(None);
        outcome.stats.seeds = 1;
        outcome
    }
}

/// What happened before a panic: it took the story of its run with it, so this is that of the
/// longest beginning that does not panic.
fn until_panic(scenario: &Scenario) -> Vec<String> {
    for count in (0..scenario.steps.len()).rev() {
        let mut shorter = scenario.clone();
        let rest = shorter.steps.split_off(count);
        let Ok(outcome) = caught(|| play(&shorter, true)) else { continue };
        // From there on the shorter run heals, which the longer one did not do yet.
        let heals = outcome.story.iter().rposition(|line| line.ends_with("everything heals"));
        let mut story = outcome.story;
        story.truncate(heals.unwrap_or(story.len()));
        story.push("the panic came in what follows, or in the healing after it:".into());
        story.extend(rest.iter().map(|step| format!("  {step:?}")));
        return story;
    }
    vec!["it panics whatever happens".into()]
}

thread_local! {
    /// A panic in this thread is a finding, and is not to be printed.
    static PLAYS: Cell<bool> = const { Cell::new(false) };
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The error is what a panic said, and where.
fn caught<T>(play: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    // One hook for the whole process, as there can be only one: it keeps what the threads that play
    // say, and leaves every other panic to the hook before.
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if PLAYS.get() {
                PANICKED.set(Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
    PLAYS.set(true);
    let played = catch_unwind(AssertUnwindSafe(play));
    PLAYS.set(false);
    played.map_err(|_| PANICKED.take().unwrap_or_else(|| "a panic that said nothing".into()))
}

/// A seed whose run failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub failure: Failure,
}

/// What came of many runs, in the order of their seeds.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// All of them added up, the failing ones included.
    pub stats: Stats,
    /// Those that failed, by seed.
    pub failures: Vec<Failed>,
}

/// Plays seeds on `jobs` threads until `failures_max` have failed or all are played; the seeds after
/// the last failure that counts are as if they had not been played. `progress` is asked several
/// times a second, with all seeds so far.
pub fn run_all(
    seeds: Range<u64>,
    jobs: usize,
    failures_max: usize,
    play: impl Fn(u64) -> Outcome + Sync,
    mut progress: impl FnMut(&Ran),
) -> Ran {
    let mut ran = Ran::default();
    let next = AtomicU64::new(seeds.start);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..jobs.max(1) {
            let (sender, play, next, enough) = (sender.clone(), &play, &next, &enough);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || sender.send((seed, play(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut due = seeds.start;
        loop {
            match receiver.recv_timeout(TICK) {
                Ok((seed, outcome)) => {
                    early.insert(seed, outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Some(outcome) = early.remove(&due) {
                ran.add(due, outcome);
                due += 1;
                if ran.failures.len() >= failures_max {
                    enough.store(true, Ordering::Relaxed);
                    return;
                }
            }
            progress(&ran);
        }
    });
    ran
}

impl Ran {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.stats.add(&outcome.stats);
        self.failures.extend(outcome.failure.map(|failure| Failed { seed, failure }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each seventh seed fails, and each third one is slow.
    fn fake(seed: u64) -> Outcome {
        if seed.is_multiple_of(3) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let stats = Stats { seeds: 1, events: seed, ..Stats::default() };
        let failed = Failure { check: "seven", what: format!("{seed}"), step: None };
        let failure = seed.is_multiple_of(7).then_some(failed);
        Outcome { failure, stats, trace: seed, story: vec![] }
    }

    #[test]
    fn the_number_of_threads_does_not_show() {
        for (failures_max, expected) in [(1, (1, 7)), (3, (3, 21)), (100, (14, 100))] {
            for jobs in [1, 2, 7] {
                let ran = run_all(1..101, jobs, failures_max, fake, |_| {});
                let seeds: Vec<u64> = ran.failures.iter().map(|failed| failed.seed).collect();
                assert!(seeds.is_sorted());
                assert_eq!((seeds.len(), ran.stats.seeds), expected, "{jobs} jobs");
                let (_, last) = expected;
                assert_eq!(ran.stats.events, (1..=last).sum::<u64>(), "{jobs} jobs");
            }
        }
    }

    #[test]
    fn a_panic_is_caught_with_its_place_and_the_next_run_is_not_concerned() {
        let error = caught(|| assert_eq!(1, 2, "as the test asked")).unwrap_err();
        assert!(error.contains("as the test asked"), "{error}");
        assert!(error.contains("run.rs"), "{error}");
        assert_eq!(caught(|| 7), Ok(7));
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        for seed in 1..6 {
            let scenario = Scenario::of(seed);
            let twice = Player::new(true).play(&scenario, false);
            assert!(twice.failure.is_none_or(|failure| failure.check != REPLAY), "{seed}");
        }
    }
}
