//! Rows that a version has merged, folded again by the one that came after it.

use std::collections::BTreeSet;

use syncline_core::{
    ConflictId, ConflictOutcome, ConflictRecord, Image, Precondition, Replayed, RowKey, Stamp,
    TableName, partition_of,
};
use syncline_store::StoreError;
use syncline_store::kv::conflict::{ConflictFilter, query};
use syncline_store::kv::{row, waiting};

use super::Region;
use super::shard::WriteError;
use crate::replay::{Metered, needs_ancestor};

/// So many rows are folded again at once: an answer that people can read, and that comes soon.
const ROWS_MAX: usize = 500;
/// So many bytes of rows, before and after.
const BYTES_MAX: usize = 8 << 20;
/// So many conflicts are read at a time.
const PAGE: usize = 500;

/// A row that would be another one.
#[derive(Clone, Debug)]
pub struct Remerge {
    /// The row.
    pub row: RowKey,
    /// The conflict that it was left by.
    pub conflict: ConflictId,
    /// The row as it is; none where it is not there.
    pub before: Option<Image>,
    /// The row as it would be.
    pub after: Option<Image>,
    /// Why it is its newest head: the version did not answer.
    pub fault: Option<String>,
    /// Of the row as it is.
    tag: [u8; 16],
}

/// What folding again comes to.
#[derive(Clone, Debug, Default)]
pub struct RemergePlan {
    /// Rows that would be other ones.
    pub rows: Vec<Remerge>,
    /// Rows that stay as they are, by either version.
    pub same: u64,
    /// Rows that were written since, or of which something waits.
    pub written_since: u64,
    /// Rows of which nothing can be said: images or an ancestor are not kept, or the version could
    /// not be called.
    pub unknown: u64,
    /// There are more rows than are looked at once.
    pub more: bool,
}

/// What becomes of one conflict's row.
enum Found {
    Other(Remerge),
    Same,
    WrittenSince,
    Unknown,
}

impl Region {
    /// The rows of a table whose last outcome came from `bad`, folded again by `good`. As far as this
    /// region's conflict log goes. Changes nothing.
    pub fn plan_remerge(
        &self,
        table: &TableName,
        bad: Stamp,
        good: Stamp,
    ) -> Result<RemergePlan, StoreError> {
        let filter = ConflictFilter { table: Some(table.clone()), ..ConflictFilter::default() };
        let (mut plan, mut after, mut bytes) = (RemergePlan::default(), None, 0);
        let mut seen = BTreeSet::new();
        loop {
            let page = query(self.store(), self.partitions(), &filter, after.as_ref(), PAGE)?;
            for record in &page.conflicts {
                // The newest of a row is what it was left by.
                if !seen.insert(record.row.pk.clone()) || record.stamp != bad {
                    continue;
                }
                match self.folded_again(record, good)? {
                    Found::Same => plan.same += 1,
                    Found::WrittenSince => plan.written_since += 1,
                    Found::Unknown => plan.unknown += 1,
                    Found::Other(remerge) => {
                        let size = |image: &Option<Image>| {
                            image.as_ref().map_or(0, |image| image.as_bytes().len())
                        };
                        bytes += size(&remerge.before) + size(&remerge.after);
                        plan.rows.push(remerge);
                        if plan.rows.len() == ROWS_MAX || bytes >= BYTES_MAX {
                            plan.more = true;
                            return Ok(plan);
                        }
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(plan);
            }
        }
    }

    fn folded_again(&self, record: &ConflictRecord, good: Stamp) -> Result<Found, StoreError> {
        let partition = partition_of(&record.row, self.partitions());
        let Some(state) = row::get(self.store(), partition, &record.row)? else {
            return Ok(Found::WrittenSince);
        };
        let heads = record.sides.iter().map(|side| &side.change);
        let is_left = state.heads.iter().eq(heads)
            && waiting::of_row(self.store(), partition, &record.row)?.is_empty();
        if !is_left {
            return Ok(Found::WrittenSince);
        }
        if !record.has_images || matches!(record.outcome, ConflictOutcome::Waiting { .. }) {
            return Ok(Found::Unknown);
        }
        let host = &self.shared.host;
        let Some(needs_ancestor) = needs_ancestor(host, good) else { return Ok(Found::Unknown) };
        let outcome = match record.replay(good, needs_ancestor, &Metered::new(host)) {
            Ok(Replayed::Outcome(outcome)) => outcome,
            Ok(Replayed::AncestorUnknown | Replayed::NoImages) | Err(_) => {
                return Ok(Found::Unknown);
            }
        };
        let after = record.result_of(&outcome).cloned();
        if after == state.image {
            return Ok(Found::Same);
        }
        let fault = match &outcome {
            ConflictOutcome::Fallback { code, text } => Some(format!("{code}: {text}")),
            _ => None,
        };
        Ok(Found::Other(Remerge {
            row: record.row.clone(),
            conflict: record.id,
            tag: state.tag(),
            before: state.image,
            after,
            fault,
        }))
    }

    /// Writes a row as it was planned, by a new change of this region. Answers false where it was
    /// written since.
    pub async fn remerge(&self, planned: &Remerge) -> Result<bool, WriteError> {
        let precondition = match planned.before {
            Some(_) => Precondition::Tags(vec![planned.tag]),
            None => Precondition::Absent,
        };
        self.write_unless_written(planned.row.clone(), precondition, planned.after.clone()).await
    }
}
