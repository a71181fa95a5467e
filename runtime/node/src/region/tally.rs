//! What conflicts came to since the region's start, by table and version, for monitoring.

use std::collections::BTreeMap;

use syncline_core::{CallCounters, Stamp, TableName};

use super::merging::Used;

/// So many versions of a table are told apart, the last ones that were used: the one in force, one
/// on its way, and those that came back. What monitoring keeps of a series it keeps for long.
pub const COUNTED_VERSIONS_MAX: usize = 4;
/// So many series there are at the most over all tables.
pub const COUNTED_SERIES_MAX: usize = 2_000;

/// What a version's merges came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Conflicts, faults, shares of fuel and latencies.
    pub calls: CallCounters,
    /// Fuel that all calls took together, as far as it is known: of one that traps it is not.
    pub fuel: u64,
    /// How long all calls took together.
    pub micros: u64,
}

/// What became of a table's conflicts under one stamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionCounts {
    /// Conflicts that it resolved.
    pub live: Counted,
    /// Conflicts that it ran for in the shadow.
    pub shadow: Counted,
    /// Of these, those that would have left another row.
    pub different: u64,
    /// Conflicts for which the shadow had no room.
    pub dropped: u64,
}

/// All counts. What was not used for long gives way, and begins at zero when it is used again.
#[derive(Default)]
pub(super) struct Tally {
    counts: BTreeMap<(TableName, Stamp), (VersionCounts, u64)>,
    uses: u64,
}

impl Counted {
    pub(super) fn count(&mut self, fault: Option<&str>, used: &Used) {
        self.calls.count(fault, used.fuel_ppm, used.micros());
        self.fuel = self.fuel.saturating_add(used.fuel);
        self.micros = self.micros.saturating_add(used.micros());
    }
}

impl Tally {
    /// The counts of a table's conflicts under a stamp.
    pub(super) fn of(&mut self, table: &TableName, stamp: Stamp) -> &mut VersionCounts {
        self.uses += 1;
        let key = (table.clone(), stamp);
        if !self.counts.contains_key(&key) {
            self.make_room(table);
        }
        let (counts, used) = self.counts.entry(key).or_default();
        *used = self.uses;
        counts
    }

    fn make_room(&mut self, table: &TableName) {
        let of_table = |key: &&(TableName, Stamp)| key.0 == *table;
        let full_table = self.counts.keys().filter(of_table).count() >= COUNTED_VERSIONS_MAX;
        if !full_table && self.counts.len() < COUNTED_SERIES_MAX {
            return;
        }
        let candidates = self.counts.iter().filter(|(key, _)| !full_table || of_table(key));
        let oldest = candidates.min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.counts.remove(&oldest);
        }
    }

    pub(super) fn all(&self) -> Vec<(TableName, Stamp, VersionCounts)> {
        let counts = self.counts.iter();
        counts.map(|((table, stamp), (counts, _))| (table.clone(), *stamp, *counts)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::FunctionVersion;

    fn table(n: usize) -> TableName {
        format!("t{n}").parse().unwrap()
    }

    fn version(n: u8) -> Stamp {
        Stamp::Function(FunctionVersion([n; 32]))
    }

    #[test]
    fn of_a_tables_versions_the_last_used_are_told_apart() {
        let mut tally = Tally::default();
        for n in [1, 2, 3, 4, 1, 5] {
            tally.of(&table(0), version(n)).different += 1;
        }
        let kept: Vec<_> =
            tally.all().iter().map(|(_, stamp, counts)| (*stamp, counts.different)).collect();
        assert_eq!(kept, [(1, 2), (3, 1), (4, 1), (5, 1)].map(|(n, count)| (version(n), count)));
    }

    #[test]
    fn series_are_bounded_over_all_tables() {
        let mut tally = Tally::default();
        for n in 0..COUNTED_SERIES_MAX + 50 {
            tally.of(&table(n), Stamp::Lww).dropped += 1;
        }
        assert_eq!(tally.all().len(), COUNTED_SERIES_MAX);
        assert!(!tally.all().iter().any(|(name, ..)| *name == table(0)));
    }
}
