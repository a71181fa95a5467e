//! How the region stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use syncline_core::{RegionId, TableDigest, TableName};
use syncline_store::kv::quarantine;

use super::members::of_topology;
use super::{Api, blocking, pass, routes};
use crate::alerts::no_writes;
use crate::config::ranges;
use crate::problem::{Code, Problem};
use crate::region::{ClockView, DarkNode, PartitionView, ViewForm, clock_ahead};
use crate::text::rfc3339;

/// `GET /v1/digests`
pub(super) async fn digests(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let views = inspect(&api).await?;
    let mut tables: BTreeMap<&TableName, TableDigest> = BTreeMap::new();
    for (table, digest) in views.iter().flat_map(|view| &view.digests) {
        tables.entry(table).or_default().merge(digest);
    }
    let tables: Map<String, Value> = tables
        .into_iter()
        .map(|(table, digest)| {
            (table.to_string(), json!({"rows": digest.rows, "digest": digest.hex()}))
        })
        .collect();
    let taken = |region: &RegionId| -> Vec<String> {
        views.iter().map(|view| view.taken.get(region).to_string()).collect()
    };
    // Those that are gone as well, as the survivors do not have all of them at the same moment.
    let had = views.iter().flat_map(|view| view.taken.iter()).map(|(region, _)| region);
    let members = api.region.members();
    let regions: BTreeSet<&RegionId> = members.members.iter().chain(had).collect();
    let applied: Map<String, Value> =
        regions.into_iter().map(|region| (region.to_string(), json!(taken(region)))).collect();
    Ok(Json(json!({
        "region": api.region.id().as_str(),
        "applied": applied,
        "waiting": waiting(&views),
        "tables": tables,
    })))
}

/// `GET /v1/topology`
pub(super) async fn topology(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let views = inspect(&api).await?;
    let region = Arc::clone(&api.region);
    let quarantine = blocking(move || Ok(quarantine::counts(region.store())?)).await?;
    let region = &api.region;
    let of_link = |link: crate::region::LinkView| {
        let waiting: usize = views.iter().filter_map(|v| v.waiting.get(&link.region)).sum();
        let kept = quarantine.iter().filter(|count| count.source == link.region);
        // For display a region's figure is the least of its partitions'.
        let watermark = views.iter().map(|view| view.watermarks.get(&link.region)).min();
        let counters: Vec<_> = views.iter().filter_map(|v| v.counters.get(&link.region)).collect();
        let sum = |field: fn(&syncline_core::LinkCounters) -> u64| -> u64 {
            counters.iter().map(|counters| field(counters)).sum()
        };
        json!({
            "region": link.region.as_str(),
            "self": link.own,
            "via": link.via,
            "tags": link.tags.iter().map(RegionId::as_str).collect::<Vec<_>>(),
            "link": link.state,
            "reason": link.reason,
            "moved": link.moved.map(|moved| json!({
                "lane": moved.lane.to_string(),
                "reason": moved.reason,
                "at": rfc3339(moved.at_ms),
            })),
            "lag_ms": link.lag_ms,
            "waiting": waiting,
            "in_quarantine": kept.map(|count| count.kept).sum::<usize>(),
            "watermark": watermark.unwrap_or_default().to_string(),
            "records": {
                "consumed": sum(|c| c.consumed),
                "applied": sum(|c| c.applied),
                "duplicate": sum(|c| c.duplicate),
                "gap": sum(|c| c.gap),
                "waiting": waiting,
                "quarantined": sum(|c| c.quarantined),
                "dropped": sum(|c| c.dropped),
            },
        })
    };
    let (members, clock) = (region.members(), region.clock());
    let (named, changes) = of_topology(&members);
    Ok(Json(json!({
        "region": region.id().name(),
        "incarnation": region.id().incarnation(),
        "partitions": region.partitions().get(),
        "forwards": region.routes().forwards(),
        "outbox": views.iter().map(|view| view.outstanding).sum::<usize>(),
        "waiting": waiting(&views),
        "rows_with_history": views.iter().map(|view| view.rows_with_history).sum::<usize>(),
        "members": named,
        "takes_writes": members.may_write && clock.refused_since_ms.is_none(),
        "clock_ahead_ms": clock.ahead_ms,
        "membership": changes,
        "snapshot": region.donation().map(|donation| json!({
            "for": donation.joiner.as_str(),
            "state": donation.state,
            "bytes": donation.bytes,
            "bytes_total": donation.total,
            "trouble": donation.trouble,
        })),
        "regions": region.links().into_iter().map(of_link).collect::<Vec<_>>(),
    })))
}

/// `GET /healthz`: the process lives.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the region takes requests.
pub(super) async fn ready(State(api): State<Api>) -> Response {
    if let Some(reason) = api.region.fatal() {
        return Problem::new(Code::StoreUnavailable, reason).into_response();
    }
    if let Some(awaited) = api.region.starting() {
        let detail = format!("the region is starting, and waits to hear: {awaited}");
        return Problem::new(Code::Starting, detail).retry_after(1).into_response();
    }
    let members = api.region.members();
    if !members.may_write {
        return Problem::new(Code::NotAMember, no_writes(api.region.id(), &members))
            .into_response();
    }
    if let ClockView { ahead_ms: Some(ahead_ms), refused_since_ms: Some(_) } = api.region.clock() {
        return Problem::new(Code::ClockAhead, clock_ahead(ahead_ms)).into_response();
    }
    if let Some((detail, _)) = api.region.disk_full() {
        return Problem::new(Code::NoSpace, detail).retry_after(10).into_response();
    }
    // It takes writes all the same.
    let own_log = api.region.own_log().map(|(reason, since_ms)| {
        json!({"link": "unwritable", "reason": reason, "since": rfc3339(since_ms)})
    });
    let mut state = json!({"region": api.region.id().as_str(), "ready": true, "own_log": own_log});
    if let Some(peers) = api.region.peers() {
        let nodes = peers.nodes();
        let dark = |dark: &DarkNode| {
            json!({
                "node": dark.node,
                "partitions": ranges(&dark.partitions),
                "reason": dark.reason,
                "since": rfc3339(dark.since_ms),
            })
        };
        state["node"] = json!(nodes.me());
        state["lead"] = json!(nodes.lead());
        state["partitions"] = json!(ranges(api.region.own_partitions()));
        state["dark"] = peers.dark().iter().map(dark).collect();
    }
    Json(state).into_response()
}

fn waiting(views: &[PartitionView]) -> usize {
    views.iter().flat_map(|view| view.waiting.values()).sum()
}

/// All partitions of the region, those of its other nodes included.
pub(super) async fn inspect(api: &Api) -> Result<Vec<PartitionView>, Problem> {
    let mut views = inspect_own(api).await?;
    for answer in pass::ask_others(api, routes::NODE_PARTITIONS).await? {
        let forms: Vec<ViewForm> = answer.json()?;
        views.extend(forms.into_iter().map(ViewForm::make));
    }
    views.sort_by_key(|view| view.partition);
    Ok(views)
}

/// The partitions of this node.
pub(super) async fn inspect_own(api: &Api) -> Result<Vec<PartitionView>, Problem> {
    let views = api.region.inspect().await;
    if views.len() == api.region.own_partitions().len() {
        return Ok(views);
    }
    Err(Problem::new(Code::Stopping, "the region is stopping").retry_after(5))
}
