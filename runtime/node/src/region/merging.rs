//! Merging on a partition's thread, without letting one table take it from the others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_core::{
    FunctionVersion, GuestFault, HostFault, MergeFunctions, MergeInput, Merged, RowKey, TableName,
};
use syncline_host::Host;

/// How long the merges of one table may take of one batch. What is more waits, and is tried again
/// when the other tables have had their turn.
const SHARE_OF_A_BATCH: Duration = Duration::from_millis(20);

/// A single call that takes longer has its table rest.
const SLOW_CALL: Duration = Duration::from_millis(5);

/// A table with slow calls rests so many times as long as they took: it has a fifth of the thread at
/// the most, however many of its conflicts come in.
const REST_FACTOR: u32 = 4;

/// The tables of a shard that rest after slow calls, and until when.
#[derive(Default)]
pub(super) struct Resting(BTreeMap<TableName, Instant>);

/// The host, with an account of the time that each table's merges take in one batch.
pub(super) struct Merging<'a> {
    host: &'a Host,
    resting: &'a Resting,
    other_profiles: Arc<BTreeMap<FunctionVersion, u32>>,
    spent: RefCell<BTreeMap<TableName, Spent>>,
    calls: RefCell<Calls>,
}

/// What a batch's merges used, by row.
#[derive(Default)]
pub(super) struct Calls(BTreeMap<RowKey, Used>);

/// What the merges of one row used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// The largest share of its limit on fuel that one of them took, in parts per million.
    pub(super) fuel_ppm: u32,
    /// The fuel of all of them, as far as it is known.
    pub(super) fuel: u64,
    pub(super) took: Duration,
}

impl Calls {
    /// Nothing where the row was not merged: its image was at hand.
    pub(super) fn of(&self, row: &RowKey) -> Used {
        self.0.get(row).copied().unwrap_or_default()
    }
}

impl Used {
    /// How long they took, all together.
    pub(super) fn micros(&self) -> u64 {
        u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)
    }
}

#[derive(Clone, Copy, Default)]
struct Spent {
    total: Duration,
    longest: Duration,
}

/// What a batch's merges took, by table.
pub(super) struct Account(BTreeMap<TableName, Spent>);

impl Resting {
    /// Has the tables with slow calls rest from now on.
    pub(super) fn settle(&mut self, account: Account, now: Instant) {
        self.0.retain(|_, until| *until > now);
        for (table, spent) in account.0 {
            if spent.longest > SLOW_CALL {
                self.0.insert(table, now + spent.total * REST_FACTOR);
            }
        }
    }

    pub(super) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }
}

impl<'a> Merging<'a> {
    /// `other_profiles` are the versions that this build may not run, and what they go by.
    pub(super) fn new(
        host: &'a Host,
        resting: &'a Resting,
        other_profiles: Arc<BTreeMap<FunctionVersion, u32>>,
    ) -> Self {
        let (spent, calls) = (RefCell::default(), RefCell::default());
        Self { host, resting, other_profiles, spent, calls }
    }

    pub(super) fn finish(self) -> (Account, Calls) {
        (Account(self.spent.into_inner()), self.calls.into_inner())
    }

    fn is_put_off(&self, table: &TableName) -> bool {
        let spent = self.spent.borrow();
        let share = spent.get(table).is_some_and(|spent| spent.total >= SHARE_OF_A_BATCH);
        share || self.resting.0.get(table).is_some_and(|until| *until > Instant::now())
    }
}

impl MergeFunctions for Merging<'_> {
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        let table = &input.row.table;
        if self.is_put_off(table) {
            return Err(HostFault::Deferred);
        }
        if let Some(needs) = self.other_profiles.get(version) {
            return Err(HostFault::OtherProfile { version: *version, needs: *needs });
        }
        let start = Instant::now();
        let run = self.host.merge_metered(version, input);
        let took = start.elapsed();
        if let Ok(run) = &run {
            let mut calls = self.calls.borrow_mut();
            let used = calls.0.entry(input.row.clone()).or_default();
            used.fuel_ppm = used.fuel_ppm.max(run.fuel_ppm());
            used.fuel = used.fuel.saturating_add(run.usage.map_or(0, |usage| usage.fuel));
            used.took += took;
        }
        let mut spent = self.spent.borrow_mut();
        let of_table = spent.entry(table.clone()).or_default();
        of_table.total += took;
        of_table.longest = of_table.longest.max(took);
        run.map(|run| run.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        name.parse().unwrap()
    }

    #[test]
    fn only_tables_with_slow_calls_rest_and_as_long_as_they_took() {
        let ms = Duration::from_millis;
        let mut resting = Resting::default();
        let now = Instant::now();
        let account = [
            (table("slow"), Spent { total: ms(120), longest: ms(100) }),
            (table("busy"), Spent { total: ms(300), longest: ms(1) }),
        ];
        resting.settle(Account(account.into()), now);
        assert_eq!(resting.0, BTreeMap::from([(table("slow"), now + ms(480))]));
        resting.settle(Account(BTreeMap::new()), now + ms(481));
        assert!(!resting.is_any());
    }
}
