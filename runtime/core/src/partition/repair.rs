//! Folding rows again that an engine or a disk has spoiled, and counting what a table's rows come to.

use super::advance::conflict_record;
use super::batch::{Batch, Touched};
use super::commit::{ConflictWrite, LoadError};
use crate::{
    ConflictRecord, HostFault, Image, Replayed, Row, RowKey, RowPk, TableDigest, TableName,
};

/// What became of a row that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowRepair {
    /// It is what its heads come to.
    Right,
    /// It was not, and is now, or would be.
    Changed,
    /// Its history is dropped, and the conflict log does not have what it was folded from: it cannot
    /// be told from here.
    Settled,
    /// No function could be asked.
    Waits(HostFault),
}

/// A row as the disk has it, and what the conflict log holds of the conflict between its heads.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The row's key.
    pub key: RowKey,
    /// The row, fresh from the disk: what is in memory may build on what is wrong.
    pub row: Row,
    /// How the conflict between its heads was resolved.
    pub recorded: Option<ConflictRecord>,
}

/// What a table's rows in the partition come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recounted {
    /// As it was kept from change to change.
    pub kept: TableDigest,
    /// As it is by the rows.
    pub counted: TableDigest,
}

/// Counting goes through a table by key, while writes go on: what is behind is kept up to date.
#[derive(Clone, Debug)]
pub(crate) struct Recount {
    table: TableName,
    upto: Option<RowPk>,
    digest: TableDigest,
    /// The last row was counted.
    complete: bool,
    /// The kept digest is to be replaced.
    applies: bool,
}

impl Recount {
    /// A row that was counted has changed.
    pub(super) fn replace(&mut self, row: &RowKey, old: Option<&Image>, new: Option<&Image>) {
        let counted = self.complete || self.upto.as_ref().is_some_and(|upto| row.pk <= *upto);
        if row.table == self.table && counted {
            self.digest.replace(row, old, new);
        }
    }
}

impl Batch<'_> {
    /// Folds a row again: from its heads, or, where its history is dropped, from what the conflict
    /// log holds of them. Where `applies`, the row becomes that.
    pub fn repair(&mut self, suspect: Suspect, applies: bool) -> Result<RowRepair, LoadError> {
        let Suspect { key, mut row, recorded } = suspect;
        let image_before = row.image().cloned();
        let folded = match row.folds_again(&key, recorded, self.functions, self.now_ms) {
            Ok(Some(folded)) => folded,
            Ok(None) => return Ok(RowRepair::Settled),
            Err(fault) => return Ok(RowRepair::Waits(fault)),
        };
        let is_right = image_before.as_ref() == row.image();
        if applies {
            if let Some(conflict) = folded {
                self.partition.comparing.met(&conflict, self.now_ms);
                self.commit.conflicts.push(ConflictWrite::Resolved(conflict));
            }
            // Right or not: what memory has of the row may have been folded by a broken engine.
            *self.rows.row(&key)? = row;
        }
        if is_right {
            return Ok(RowRepair::Right);
        }
        if applies {
            self.partition.comparing.forget_states();
            self.partition.to_settle.insert(key.clone());
            self.touched
                .entry(key)
                .or_insert_with(|| Touched { image_before, ..Touched::default() });
        }
        Ok(RowRepair::Changed)
    }

    /// Goes on counting what a table's rows come to: with these, as the disk has them, which stand
    /// behind `after` and are all up to `upto`, or up to the end of the table.
    pub fn recount(
        &mut self,
        table: &TableName,
        after: Option<&RowPk>,
        rows: &[(RowKey, Option<Image>)],
        upto: Option<&RowPk>,
        applies: bool,
    ) {
        let recount = &mut self.partition.recount;
        if after.is_none() {
            let (table, digest) = (table.clone(), TableDigest::default());
            *recount = Some(Recount { table, upto: None, digest, complete: false, applies });
        }
        let goes_on = |recount: &&mut Recount| {
            recount.table == *table && recount.upto.as_ref() == after && recount.applies == applies
        };
        let Some(recount) = recount.as_mut().filter(goes_on) else { return };
        for (key, image) in rows {
            recount.digest.replace(key, None, image.as_ref());
        }
        recount.upto = upto.cloned();
        recount.complete = upto.is_none();
    }

    /// What the rows come to replaces what was kept, once all are counted.
    pub(super) fn end_recount(&mut self) {
        let Some(Recount { table, digest, applies, .. }) =
            self.partition.recount.take_if(|recount| recount.complete)
        else {
            return;
        };
        let kept = self.partition.digests.get(&table).copied().unwrap_or_default();
        self.commit.recounted = Some(Recounted { kept, counted: digest });
        if applies && kept != digest {
            self.partition.comparing.forget_states();
            self.partition.digests.insert(table.clone(), digest);
            self.changed_tables.insert(table);
        }
    }
}

impl Row {
    /// Answers the conflict that it folded, if there is one; nothing where there is nothing to fold
    /// the row from.
    fn folds_again(
        &mut self,
        key: &RowKey,
        recorded: Option<ConflictRecord>,
        functions: &dyn crate::MergeFunctions,
        now_ms: u64,
    ) -> Result<Option<Option<ConflictRecord>>, HostFault> {
        if self.state().heads.iter().all(|head| self.held(head).is_some()) {
            let fold = self.fold(key, functions)?;
            return Ok(Some(conflict_record(key, &fold, self.image().cloned(), now_ms)));
        }
        let sides = |record: &ConflictRecord| {
            let heads = record.sides.iter().map(|side| &side.change);
            heads.eq(self.state().heads.iter())
        };
        let Some(mut record) = recorded.filter(sides) else { return Ok(None) };
        let replayed = record.replay(record.stamp, true, functions)?;
        let Replayed::Outcome(outcome) = replayed else { return Ok(None) };
        record.outcome = outcome;
        record.resolved_at_ms = now_ms;
        self.settle_as(record.result().cloned());
        Ok(Some(Some(record)))
    }
}
