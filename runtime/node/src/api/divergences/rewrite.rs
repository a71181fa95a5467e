//! A repair from a named region: it writes its rows again, and all others take them.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use syncline_core::{RegionId, RowPk, TableName};
use tokio::task::JoinSet;

use super::super::{Api, blocking, rows, state};
use super::{Place, ROWS_A_TURN, ROWS_NAMED_MAX, RepairRequest, Repaired};
use crate::problem::{Code, Problem};
use crate::region::{Region, Rewrite, WriteError};

/// One request writes so many rows at most, and says where to go on: some seconds' work.
const ROWS_WRITTEN_MAX: usize = 5_000;
/// So many are written at once, as many share one sync.
const WRITES_AT_ONCE: usize = 64;

/// Rows that are here alone cannot be named by any other region, so each writes its own.
fn check(me: &RegionId, from: &str) -> Result<(), Problem> {
    if from == me.as_str() || from == me.name() {
        return Ok(());
    }
    let detail = format!(
        "this is {me}, and {from} has the rows: regions share nothing but their logs, so {from} \
         writes them again and all others take them. Ask the same of {from}"
    );
    Err(Problem::new(Code::RepairNotOffered, detail))
}

/// The partitions of this node in which regions are known to differ about a table.
async fn diverged(api: &Api, table: &TableName) -> Result<BTreeSet<u32>, Problem> {
    let views = state::inspect_own(api).await?;
    let of_table = views.iter().flat_map(|view| &view.divergences).filter(|divergence| {
        // Where too many tables differ none is named.
        divergence.tables().is_empty() || divergence.tables().contains(table)
    });
    Ok(of_table.map(|divergence| divergence.partition).collect())
}

pub(super) async fn repair_from(
    api: &Api,
    request: RepairRequest,
    (from, table): (&str, TableName),
    plan: bool,
) -> Result<Json<Repaired>, Problem> {
    check(api.region.id(), from)?;
    let Place { partition, mut after, only, .. } = Place::of(&request, &api.region)?;
    let mut partitions = BTreeSet::from([partition]);
    if !only {
        // With a cursor its own partition, which may have been set right meanwhile.
        let begins = request.cursor.is_none();
        partitions.retain(|_| !begins);
        partitions.extend(diverged(api, &table).await?.range(partition..));
    }
    let mut repaired = Repaired::of(request.table, plan);
    let mut left = partitions.into_iter().peekable();
    while let Some(&partition) = left.peek() {
        if repaired.rows_looked_at >= ROWS_WRITTEN_MAX {
            let pk = after.as_ref().map_or("", RowPk::as_str);
            repaired.next_cursor = Some(format!("{partition}/{pk}"));
            break;
        }
        let (region, of_table, behind) = (api.region.clone(), table.clone(), after.clone());
        let read =
            move || Ok(region.plan_rewrite(&of_table, partition, behind.as_ref(), ROWS_A_TURN)?);
        let page = blocking(read).await?;
        repaired.rows_looked_at += page.looked_at;
        if plan {
            page.rows.iter().for_each(|row| repaired.name(row.pk()));
        } else {
            write(&api.region, page.rows, &mut repaired).await?;
        }
        after = page.next;
        if after.is_none() {
            left.next();
        }
    }
    Ok(Json(repaired))
}

async fn write(
    region: &Arc<Region>,
    rows: Vec<Rewrite>,
    repaired: &mut Repaired,
) -> Result<(), Problem> {
    let mut left = rows.into_iter();
    let mut writing: JoinSet<(RowPk, Result<bool, WriteError>)> = JoinSet::new();
    let mut trouble = None;
    loop {
        while trouble.is_none() && writing.len() < WRITES_AT_ONCE {
            let Some(row) = left.next() else { break };
            let region = Arc::clone(region);
            writing.spawn(async move { (row.pk().clone(), region.rewrite(row).await) });
        }
        match writing.join_next().await {
            None => break,
            Some(Ok((pk, Ok(true)))) => repaired.name(&pk),
            Some(Ok((_, Ok(false)))) => repaired.rows_written_since += 1,
            Some(Ok((_, Err(error)))) => trouble = Some(rows::refused(region, error)),
            Some(Err(error)) => trouble = Some(Problem::new(Code::Internal, error)),
        }
    }
    repaired.changed.sort();
    trouble.map_or(Ok(()), Err)
}

impl Repaired {
    /// A row was written again, or would be.
    fn name(&mut self, pk: &RowPk) {
        self.rows_changed += 1;
        if self.changed.len() < ROWS_NAMED_MAX {
            self.changed.push(pk.as_str().to_owned());
        }
    }
}
