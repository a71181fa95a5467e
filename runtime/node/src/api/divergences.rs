//! Regions that hold what cannot be both right, and what people do about it.

mod rewrite;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use syncline_applier::{MendDone, MendWork, RepairPage, RepairWork};
use syncline_core::{
    Diverged, DivergedSide, Divergence, DivergenceId, RowKey, TableDigest, TableName,
};

use super::params::{self, Params, PathOf, QueryOf};
use super::{Api, body};
use crate::problem::{Code, Problem};
use crate::region::{KeptError, Region};
use crate::text::rfc3339;

/// A request names a table and a row.
const REQUEST_BYTES: usize = 16 << 10;
/// One request looks at so many rows at most, and says where to go on: some seconds' work.
const ROWS_LOOKED_AT_MAX: usize = 50_000;
/// So many rows are looked at in one turn of a partition, so that its writes do not wait for long.
const ROWS_A_TURN: usize = 256;
/// So many of the rows that changed are named; the others are counted.
const ROWS_NAMED_MAX: usize = 1_000;

/// `GET /v1/divergences`
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let views = super::state::inspect_own(&api).await?;
    let mut all: Vec<&Divergence> = views.iter().flat_map(|view| &view.divergences).collect();
    all.sort_by_key(|divergence| std::cmp::Reverse(divergence.found_at_ms));
    Ok(Json(json!({ "items": all.into_iter().map(item).collect::<Vec<_>>() })))
}

fn item(divergence: &Divergence) -> Value {
    let row = |row: &RowKey| json!({"table_name": row.table.as_str(), "row_pk": row.pk.as_str()});
    let (kind, of) = match &divergence.what {
        Diverged::Outcome { conflict, row: key } => {
            let mut of = row(key);
            of["conflict_id"] = json!(conflict.to_string());
            ("outcome", of)
        }
        Diverged::State { tables } => {
            let tables: Vec<&str> = tables.iter().map(TableName::as_str).collect();
            ("state", json!({ "tables": tables }))
        }
        Diverged::Before { row: key, change } => {
            let mut of = row(key);
            of["event_id"] = json!(change.event_id());
            ("before-image", of)
        }
    };
    let mut item = of;
    item["id"] = json!(divergence.id().to_string());
    item["kind"] = json!(kind);
    item["partition"] = json!(divergence.partition);
    item["here"] = side(&divergence.here);
    item["there"] = side(&divergence.there);
    item["found_at"] = json!(rfc3339(divergence.found_at_ms));
    item
}

fn side(side: &DivergedSide) -> Value {
    json!({
        "region": side.region.as_str(),
        "digest": side.digest.to_string(),
        "merge_function": side.stamp.map(|stamp| stamp.to_string()),
        "engine": side.engine.as_ref().map(|engine| engine.as_str()),
    })
}

/// `DELETE /v1/divergences/{id}`
pub(super) async fn acknowledge(
    State(api): State<Api>,
    id: PathOf<String>,
) -> Result<Json<Value>, Problem> {
    let id: DivergenceId =
        params::path(id)?.parse().map_err(|error| Problem::new(Code::InvalidRequest, error))?;
    let views = super::state::inspect_own(&api).await?;
    let of = views.iter().find(|view| view.divergences.iter().any(|known| known.id() == id));
    let not_found =
        || Problem::new(Code::DivergenceNotFound, format!("no divergence {id} is known"));
    let partition = of.ok_or_else(not_found)?.partition;
    match mend(&api.region, partition, MendWork::Acknowledge(id)).await? {
        MendDone::Acknowledged(false) => Err(not_found()),
        _ => Ok(Json(json!({"id": id.to_string(), "kept": false}))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RepairRequest {
    table: String,
    #[serde(default)]
    partition: Option<u32>,
    /// The region that is asked, where its rows are right and it is to write them again.
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Repaired {
    table: String,
    plan: bool,
    rows_looked_at: usize,
    rows_changed: usize,
    changed: Vec<String>,
    rows_settled: usize,
    rows_waiting: usize,
    /// From this region: somebody else wrote them first.
    rows_written_since: usize,
    digests: Vec<Value>,
    next_cursor: Option<String>,
}

/// `POST /v1/repair[?plan=true]`
pub(super) async fn repair(
    State(api): State<Api>,
    query: QueryOf,
    headers: HeaderMap,
    content: Body,
) -> Result<Json<Repaired>, Problem> {
    let plan = Params::of(query, &["plan"])?.flag("plan")?;
    body::check_json(&headers)?;
    let bytes = body::read(content, REQUEST_BYTES).await?;
    let request: RepairRequest = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("the body: {error}")))?;
    let table = params::table(&request.table)?;
    if let Some(from) = request.from.clone() {
        return rewrite::repair_from(&api, request, (&from, table), plan).await;
    }
    let mut place = Place::of(&request, &api.region)?;
    let mut repaired = Repaired::of(request.table, plan);
    while repaired.rows_looked_at < ROWS_LOOKED_AT_MAX {
        let work = RepairWork {
            partition: place.partition,
            table: table.clone(),
            after: place.after.clone(),
            limit: ROWS_A_TURN,
            applies: !plan,
        };
        let done = mend(&api.region, place.partition, MendWork::Repair(work)).await?;
        let MendDone::Repaired(page) = done else { break };
        let is_last = !place.go_on(&page);
        repaired.add(place.looked_at, page);
        if is_last {
            return Ok(Json(repaired));
        }
    }
    repaired.next_cursor = Some(place.to_string());
    Ok(Json(repaired))
}

impl Repaired {
    /// Nothing yet.
    fn of(table: String, plan: bool) -> Self {
        Self {
            table,
            plan,
            rows_looked_at: 0,
            rows_changed: 0,
            changed: Vec::new(),
            rows_settled: 0,
            rows_waiting: 0,
            rows_written_since: 0,
            digests: Vec::new(),
            next_cursor: None,
        }
    }

    fn add(&mut self, partition: u32, page: RepairPage) {
        self.rows_looked_at += page.looked_at;
        self.rows_changed += page.changed.len();
        self.rows_settled += page.settled;
        self.rows_waiting += page.waiting;
        let room = ROWS_NAMED_MAX.saturating_sub(self.changed.len());
        self.changed.extend(page.changed.iter().take(room).map(|pk| pk.as_str().to_owned()));
        if let Some(recounted) = page.recounted {
            let shown = |of: TableDigest| json!({"rows": of.rows, "digest": of.hex()});
            self.digests.push(json!({
                "partition": partition,
                "kept": shown(recounted.kept),
                "counted": shown(recounted.counted),
                "equal": recounted.kept == recounted.counted,
            }));
        }
    }
}

/// How far a repair is.
struct Place {
    partition: u32,
    after: Option<syncline_core::RowPk>,
    /// One partition only; else up to the last.
    only: bool,
    /// Those of this node.
    own: BTreeSet<u32>,
    /// Where the page was that was looked at last.
    looked_at: u32,
}

impl Place {
    fn of(request: &RepairRequest, region: &Region) -> Result<Self, Problem> {
        let (partitions, own) = (region.partitions().get(), region.own_partitions().clone());
        let first = own.first().copied().unwrap_or_default();
        let (mut partition, mut after) = (request.partition.unwrap_or(first), None);
        if let Some(cursor) = &request.cursor {
            let wrong = || Problem::new(Code::InvalidCursor, "the cursor is not one of a repair");
            let (number, pk) = cursor.split_once('/').ok_or_else(wrong)?;
            partition = number.parse().map_err(|_| wrong())?;
            after = (!pk.is_empty()).then(|| params::row_pk(pk)).transpose()?;
        }
        let is_other = request.partition.is_some_and(|asked| asked != partition);
        if partition >= partitions || is_other {
            let detail = format!("there are {partitions} partitions, from 0");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        if !own.contains(&partition) {
            let owner = region.peers().map_or("", |peers| peers.nodes().owner_of(partition));
            let detail =
                format!("partition {partition} is that of node {owner}: ask with ?node={owner}");
            return Err(Problem::new(Code::SeveralNodes, detail).with("node", owner));
        }
        let only = request.partition.is_some();
        Ok(Self { partition, after, only, own, looked_at: partition })
    }

    /// Answers false at the end.
    fn go_on(&mut self, page: &RepairPage) -> bool {
        self.looked_at = self.partition;
        self.after = page.next.clone();
        if self.after.is_some() {
            return true;
        }
        let next = self.own.range(self.partition + 1..).next().copied();
        self.partition = next.unwrap_or(self.partition);
        !self.only && next.is_some()
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.partition, self.after.as_ref().map_or("", |pk| pk.as_str()))
    }
}

async fn mend(region: &Arc<Region>, partition: u32, work: MendWork) -> Result<MendDone, Problem> {
    region.mend(partition, work).await.map_err(|error| match &error {
        KeptError::NoSpace(_) => Problem::new(Code::NoSpace, error).retry_after(10),
        KeptError::Store(_) => Problem::new(Code::StoreUnavailable, error).retry_after(10),
        KeptError::Stopping => Problem::new(Code::Stopping, error).retry_after(5),
    })
}
