//! Makes a failing scenario short: what does not matter for the failure is left out.
//!
//! Steps go in chunks that get smaller, as in delta debugging (Zeller and Hildebrandt, "Simplifying
//! and Isolating Failure-Inducing Input", 2002), then the setup is made plainer, and both once more
//! as long as that helps. What is left still fails, and mostly nothing can be taken from it.

use crate::scenario::{Scenario, Setup};
use crate::topology::Topology;

/// So many runs are played for it at the most: some tens of seconds.
pub const PLAYS_MAX: usize = 2000;

/// A scenario that was made short.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is left; it still fails.
    pub scenario: Scenario,
    /// How many steps there were.
    pub steps_before: usize,
    /// How many runs it took.
    pub plays: usize,
    /// No step can be left out by itself. False if [`PLAYS_MAX`] ended it before.
    pub is_minimal: bool,
}

/// Makes a scenario short for which `fails` is true, with at most `plays_max` calls of `fails`.
pub fn shrink(
    scenario: &Scenario,
    plays_max: usize,
    fails: impl FnMut(&Scenario) -> bool,
) -> Shrunk {
    let mut shrinker = Shrinker { best: scenario.clone(), plays: 0, plays_max, fails };
    loop {
        shrinker.leave_out_steps();
        // In a plainer setup other steps may do.
        if !shrinker.simplify_setup() || shrinker.is_spent() {
            break;
        }
    }
    Shrunk {
        steps_before: scenario.steps.len(),
        plays: shrinker.plays,
        is_minimal: !shrinker.is_spent(),
        scenario: shrinker.best,
    }
}

struct Shrinker<F> {
    best: Scenario,
    plays: usize,
    plays_max: usize,
    fails: F,
}

impl<F: FnMut(&Scenario) -> bool> Shrinker<F> {
    fn is_spent(&self) -> bool {
        self.plays >= self.plays_max
    }

    /// Takes the candidate if it fails as well.
    fn take(&mut self, candidate: Scenario) -> bool {
        if self.is_spent() {
            return false;
        }
        self.plays += 1;
        let fails = (self.fails)(&candidate);
        if fails {
            self.best = candidate;
        }
        fails
    }

    /// At the end none can be left out, if it was not ended before.
    fn leave_out_steps(&mut self) {
        let mut size = self.best.steps.len();
        while size > 0 && !self.is_spent() {
            let found = self.leave_out_chunks(size);
            // One that could go may have held another in place.
            if size > 1 || !found {
                size /= 2;
            }
        }
    }

    /// True if any could go. From the end, as what comes after the failure goes first.
    fn leave_out_chunks(&mut self, size: usize) -> bool {
        let mut found = false;
        let mut end = self.best.steps.len();
        while end > 0 && !self.is_spent() {
            let start = end.saturating_sub(size);
            let mut candidate = self.best.clone();
            candidate.steps.drain(start..end);
            found |= self.take(candidate);
            end = start;
        }
        found
    }

    /// True if anything could be made plainer.
    fn simplify_setup(&mut self) -> bool {
        let mut found = false;
        let mut tried = 0;
        while !self.is_spent() {
            // Each that is taken changes the list; what stood before it in there was tried.
            let Some(setup) = plainer(&self.best.setup).into_iter().nth(tried) else { break };
            if self.take(Scenario { setup, ..self.best.clone() }) {
                found = true;
            } else {
                tried += 1;
            }
        }
        found
    }
}

/// Setups that are plainer by one thing.
fn plainer(setup: &Setup) -> Vec<Setup> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Setup)| {
        let mut plainer = setup.clone();
        change(&mut plainer);
        all.push(plainer);
    };
    if setup.regions > 2 {
        add(&|setup| {
            setup.regions -= 1;
            setup.skews_ms.truncate(setup.regions);
        });
    }
    if setup.topology != Topology::Direct {
        add(&|setup| setup.topology = Topology::Direct);
    }
    if setup.partitions > 1 {
        add(&|setup| setup.partitions -= 1);
    }
    for table in (0..setup.tables.len()).rev().filter(|_| setup.tables.len() > 1) {
        add(&|setup| {
            setup.tables.remove(table);
        });
    }
    if setup.rows > 1 {
        add(&|setup| setup.rows -= 1);
    }
    for region in (0..setup.skews_ms.len()).filter(|region| setup.skews_ms[*region] != 0) {
        add(&|setup| setup.skews_ms[region] = 0);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Step;

    fn syncs(scenario: &Scenario) -> usize {
        scenario.steps.iter().filter(|step| matches!(step, Step::Sync { .. })).count()
    }

    #[test]
    fn only_what_matters_is_left() {
        for seed in 0..40 {
            let scenario = Scenario::of(seed);
            let needed = syncs(&scenario).min(3);
            let shrunk = shrink(&scenario, PLAYS_MAX, |candidate| syncs(candidate) >= needed);
            assert!(shrunk.is_minimal);
            assert_eq!(shrunk.scenario.steps.len(), needed, "{seed}");
            assert_eq!(shrunk.steps_before, scenario.steps.len());
            let setup = &shrunk.scenario.setup;
            assert_eq!((setup.regions, setup.partitions, setup.rows), (2, 1, 1));
            assert_eq!(setup.tables.len(), 1);
            assert!(setup.skews_ms.iter().all(|skew| *skew == 0));
        }
    }

    #[test]
    fn steps_that_only_go_together_go_one_after_the_other() {
        let mut scenario = Scenario::of(1);
        scenario.steps = (0..30).map(|ms| Step::Wait { ms }).collect();
        // The last three only matter as long as the one after them is there.
        let fails = |candidate: &Scenario| {
            let has = |ms| candidate.steps.contains(&Step::Wait { ms });
            has(11) && (!has(29) || has(28)) && (!has(28) || has(27))
        };
        let shrunk = shrink(&scenario, PLAYS_MAX, fails);
        assert_eq!(shrunk.scenario.steps, [Step::Wait { ms: 11 }]);
    }

    #[test]
    fn a_setup_that_matters_stays() {
        let mut scenario = Scenario::of(1);
        scenario.setup.regions = 5;
        scenario.setup.skews_ms = vec![7; 5];
        let fails =
            |candidate: &Scenario| candidate.setup.regions >= 3 && candidate.setup.skews_ms[1] == 7;
        let shrunk = shrink(&scenario, PLAYS_MAX, fails);
        assert_eq!(shrunk.scenario.setup.regions, 3);
        assert_eq!(shrunk.scenario.setup.skews_ms, [0, 7, 0]);
        assert!(shrunk.scenario.steps.is_empty());
    }

    #[test]
    fn it_ends_in_time_and_says_so() {
        let scenario = Scenario::of(1);
        let mut plays = 0;
        let shrunk = shrink(&scenario, 10, |candidate| {
            plays += 1;
            candidate.steps.len() > 3
        });
        assert_eq!((plays, shrunk.plays), (10, 10));
        assert!(!shrunk.is_minimal);
        assert!(shrunk.scenario.steps.len() > 3);
    }
}
