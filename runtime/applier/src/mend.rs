//! What people do about regions that diverge: a table's rows folded again, a divergence seen to.

use syncline_core::{
    Batch as CoreBatch, ConflictId, DivergenceId, Recounted, RowKey, RowPk, RowRepair, Suspect,
    TableName,
};
use syncline_store::kv::{conflict, row};
use syncline_store::{Store, StoreError, load_row};

use crate::Site;

/// Rows of a table that are to be folded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairWork {
    /// The partition.
    pub partition: u32,
    /// The table.
    pub table: TableName,
    /// Those behind this one.
    pub after: Option<RowPk>,
    /// So many at most.
    pub limit: usize,
    /// They become what they are folded to; else it is only said which would change.
    pub applies: bool,
}

/// What is asked of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MendWork {
    /// Fold rows again.
    Repair(RepairWork),
    /// A divergence is seen to, and is to be kept no longer.
    Acknowledge(DivergenceId),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MendDone {
    /// Rows were looked at.
    Repaired(RepairPage),
    /// True if the divergence was known.
    Acknowledged(bool),
}

/// Some rows that were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairPage {
    /// So many.
    pub looked_at: usize,
    /// Those that changed, or would.
    pub changed: Vec<RowPk>,
    /// So many have nothing left that they could be folded from.
    pub settled: usize,
    /// For so many no function could be asked.
    pub waiting: usize,
    /// To go on after; none at the end.
    pub next: Option<RowPk>,
    /// At the end, and only where it was gone through from the beginning without a restart: what the
    /// rows come to.
    pub recounted: Option<Recounted>,
}

pub(crate) fn mend<S: Store>(
    site: &Site<S>,
    batch: &mut CoreBatch<'_>,
    work: MendWork,
) -> Result<MendDone, StoreError> {
    match work {
        MendWork::Repair(work) => repair(site, batch, &work).map(MendDone::Repaired),
        MendWork::Acknowledge(id) => Ok(MendDone::Acknowledged(batch.acknowledge(&id))),
    }
}

fn repair<S: Store>(
    site: &Site<S>,
    batch: &mut CoreBatch<'_>,
    work: &RepairWork,
) -> Result<RepairPage, StoreError> {
    let RepairWork { partition, table, after, limit, applies } = work;
    let states = row::page(&site.store, *partition, table, after.as_ref(), *limit)?;
    let last = states.last().map(|(pk, _)| pk.clone());
    let next = last.filter(|_| states.len() == *limit);
    let mut page = RepairPage { next, looked_at: states.len(), ..RepairPage::default() };
    let mut images = Vec::with_capacity(states.len());
    for (pk, state) in states {
        let key = RowKey { table: table.clone(), pk: pk.clone() };
        images.push((key.clone(), state.image));
        let Some(row) = load_row(&site.store, *partition, &key)? else { continue };
        let recorded = match &state.heads[..] {
            [_, _, ..] => conflict::get(&site.store, &ConflictId::of(&key, &state.heads))?,
            _ => None,
        };
        let suspect = Suspect { key, row, recorded };
        match batch.repair(suspect, *applies).map_err(crate::partition::lost)? {
            RowRepair::Right => {}
            RowRepair::Changed => page.changed.push(pk),
            RowRepair::Settled => page.settled += 1,
            RowRepair::Waits(_) => page.waiting += 1,
        }
    }
    batch.recount(table, after.as_ref(), &images, page.next.as_ref(), *applies);
    Ok(page)
}
