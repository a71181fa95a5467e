//! Holds the checks to account: plants one bug after the other and counts the runs until a check
//! fails.

use std::fmt;
use std::ops::Range;

use syncline_core::planted::Bug;

use crate::report::{Progress, columns};
use crate::run::{Player, run_all};
use crate::scenario::Scenario;
use crate::world::Outcome;

/// The state that a seed fails without a bug too.
const FAILS_ANYWAY: &str = "a seed failed without the bug too";

/// What became of one planted bug.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// The bug.
    pub bug: Bug,
    /// The first seed that failed, and its check.
    pub found: Option<(u64, &'static str)>,
    /// So many seeds were played, the failing one included.
    pub seeds: u64,
    /// Seeds among them that fail without the bug too: what they find proves nothing.
    pub spoiled: u64,
}

/// Plays seeds with the bug planted until one fails that does not fail without it. All threads work
/// on the same bug: so the one that takes longest does not keep one thread alone.
pub fn hunt(bug: Bug, seeds: Range<u64>, jobs: usize, progress: &mut Progress) -> Hunted {
    let play = |seed| {
        let scenario = Scenario::of(seed);
        let mut outcome = Player { bug: Some(bug), twice: false }.play(&scenario, false);
        if outcome.failure.is_some() && fails_anyway(&scenario) {
            outcome.failure = None;
            outcome.stats.state(FAILS_ANYWAY);
        }
        outcome
    };
    let ran = run_all(seeds, jobs, 1, play, |ran| progress.at(ran));
    Hunted {
        bug,
        found: ran.failures.first().map(|failed| (failed.seed, failed.failure.check)),
        seeds: ran.stats.seeds,
        spoiled: ran.stats.states.get(FAILS_ANYWAY).copied().unwrap_or_default(),
    }
}

fn fails_anyway(scenario: &Scenario) -> bool {
    let Outcome { failure, .. } = Player::default().play(scenario, false);
    failure.is_some()
}

/// All that became of the bugs.
#[derive(Clone, Debug)]
pub struct Hunt(pub Vec<Hunted>);

impl Hunt {
    /// Those that no check found.
    pub fn not_found(&self) -> usize {
        self.0.iter().filter(|hunted| hunted.found.is_none()).count()
    }
}

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["bug", "found by", "seeds", "replay", "what is wrong"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.0.iter().map(|hunted| {
            let Hunted { bug, found, seeds, .. } = hunted;
            let (check, seed) = match found {
                Some((seed, check)) => ((*check).to_owned(), seed.to_string()),
                None => (format!("NOT FOUND in {seeds}"), "-".to_owned()),
            };
            [bug.name().to_owned(), check, seeds.to_string(), seed, bug.what().to_owned()]
        }));
        f.write_str(&columns(&rows))?;
        let spoiled = self.0.iter().map(|hunted| hunted.spoiled).max().unwrap_or_default();
        if spoiled > 0 {
            writeln!(
                f,
                "\nWARNING: {spoiled} of the seeds fail without any bug, and count for none."
            )?;
        }
        if self.not_found() < self.0.len() {
            let replay = "cargo xtask sim --bugs replay SEED --bug NAME --shrunk";
            writeln!(f, "\nTo see how one was found: {replay}")?;
        }
        match self.not_found() {
            0 => writeln!(f, "\nOK: each of the {} bugs was found.", self.0.len()),
            count => writeln!(f, "\nWRONG: {count} of {} bugs were not found.", self.0.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_found_and_what_was_not() {
        let found = Hunted {
            bug: Bug::ArrivalOrder,
            found: Some((107, "converged")),
            seeds: 8,
            spoiled: 0,
        };
        let not = Hunted { bug: Bug::GapUncounted, found: None, seeds: 50, spoiled: 2 };
        let hunt = Hunt(vec![found, not]);
        let expected = "\
bug            found by         seeds  replay  what is wrong
arrival-order  converged        8      107     Heads are folded in the order in which they arrived.
gap-uncounted  NOT FOUND in 50  50     -       A gap is not counted.

WARNING: 2 of the seeds fail without any bug, and count for none.

To see how one was found: cargo xtask sim --bugs replay SEED --bug NAME --shrunk

WRONG: 1 of 2 bugs were not found.
";
        assert_eq!(hunt.to_string(), expected);
    }

    #[test]
    fn a_bug_is_planted_in_its_own_runs_only() {
        let player = Player { bug: Some(Bug::ArrivalOrder), twice: false };
        player.play(&Scenario::of(1), false);
        assert!(!syncline_core::planted::is(Bug::ArrivalOrder));
    }
}
