//! What happened in runs, added up: a simulation that never meets a case is to be seen.

use std::collections::BTreeMap;

/// Counts of one run or of many.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Runs.
    pub seeds: u64,
    /// Milliseconds of simulated time, each region's added up.
    pub simulated_ms: u64,
    /// Steps carried out, those of healing included.
    pub events: u64,
    /// Changes made.
    pub changes: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Conflicts by number of heads.
    pub conflicts: BTreeMap<usize, u64>,
    /// Rare states, by name: how often they were met.
    pub states: BTreeMap<&'static str, u64>,
    /// The rounds of healing that the slowest run needed.
    pub rounds_max: u64,
}

impl Stats {
    /// Counts a fault.
    pub fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Counts a rare state.
    pub fn state(&mut self, name: &'static str) {
        *self.states.entry(name).or_default() += 1;
    }

    /// Adds another run's, or other runs'.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.simulated_ms += other.simulated_ms;
        self.events += other.events;
        self.changes += other.changes;
        self.rounds_max = self.rounds_max.max(other.rounds_max);
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (heads, count) in &other.conflicts {
            *self.conflicts.entry(*heads).or_default() += count;
        }
        for (name, count) in &other.states {
            *self.states.entry(name).or_default() += count;
        }
    }
}
