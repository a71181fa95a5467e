//! Rows that are written again as this region has them, where regions diverge and this one is right.

use syncline_core::{Image, Precondition, RowKey, RowPk, TableName, WriteRefused};
use syncline_store::StoreError;
use syncline_store::kv::row;

use super::Region;
use super::shard::WriteError;

/// A row that is to be written again.
#[derive(Clone, Debug)]
pub struct Rewrite {
    row: RowKey,
    image: Image,
    /// Of the row as it was read.
    tag: [u8; 16],
}

/// Some rows of a partition.
#[derive(Clone, Debug, Default)]
pub struct RewritePage {
    /// So many were looked at.
    pub looked_at: usize,
    /// Those that are there.
    pub rows: Vec<Rewrite>,
    /// To go on after; none at the end.
    pub next: Option<RowPk>,
}

impl Rewrite {
    /// The row's key.
    pub fn pk(&self) -> &RowPk {
        &self.row.pk
    }
}

impl Region {
    /// The rows that a table has in a partition here, behind `after`, and so many at most. Changes
    /// nothing.
    pub fn plan_rewrite(
        &self,
        table: &TableName,
        partition: u32,
        after: Option<&RowPk>,
        limit: usize,
    ) -> Result<RewritePage, StoreError> {
        let states = row::page(self.store(), partition, table, after, limit)?;
        let last = states.last().map(|(pk, _)| pk.clone());
        let next = last.filter(|_| states.len() == limit);
        let looked_at = states.len();
        let rewrite = |(pk, state): (RowPk, syncline_core::RowState)| {
            let tag = state.tag();
            let row = RowKey { table: table.clone(), pk };
            state.image.map(|image| Rewrite { row, image, tag })
        };
        Ok(RewritePage { looked_at, rows: states.into_iter().filter_map(rewrite).collect(), next })
    }

    /// Writes a row as it is here, by a new change that supersedes all others. Answers false where it
    /// was written since it was read.
    pub async fn rewrite(&self, planned: Rewrite) -> Result<bool, WriteError> {
        let Rewrite { row, image, tag } = planned;
        self.write_unless_written(row, Precondition::Tags(vec![tag]), Some(image)).await
    }

    /// Writes a row if it is still as it was read. Answers false where it is not.
    pub(super) async fn write_unless_written(
        &self,
        row: RowKey,
        as_read: Precondition,
        image: Option<Image>,
    ) -> Result<bool, WriteError> {
        match self.write(row, as_read, image).await {
            Ok(_) => Ok(true),
            Err(WriteError::NotTaken(syncline_applier::WriteError::Refused(
                WriteRefused::Precondition { .. } | WriteRefused::NotFound,
            ))) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
