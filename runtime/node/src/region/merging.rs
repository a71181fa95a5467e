//! Merging on a partition's thread, without letting one table take it from the others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use syncline_core::{
    FunctionVersion, GuestFault, HostFault, MergeFunctions, MergeInput, Merged, TableName,
};
use syncline_host::Host;

/// How long the merges of one table may take of one batch. What is more waits, and is tried again
/// when the other tables have had their turn.
const SHARE_OF_A_BATCH: Duration = Duration::from_millis(20);

/// The host, with an account of the time that each table's merges take.
pub(super) struct Merging<'a> {
    host: &'a Host,
    spent: RefCell<BTreeMap<TableName, Duration>>,
}

impl<'a> Merging<'a> {
    pub(super) fn new(host: &'a Host) -> Self {
        Self { host, spent: RefCell::default() }
    }

    /// The time that merges took.
    pub(super) fn spent(&self) -> Duration {
        self.spent.borrow().values().sum()
    }
}

impl MergeFunctions for Merging<'_> {
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        let table = &input.row.table;
        if self.spent.borrow().get(table).is_some_and(|spent| *spent >= SHARE_OF_A_BATCH) {
            return Err(HostFault::Deferred);
        }
        let start = Instant::now();
        let merged = self.host.merge(version, input);
        *self.spent.borrow_mut().entry(table.clone()).or_default() += start.elapsed();
        merged
    }
}
