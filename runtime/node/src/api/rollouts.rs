//! Rollouts.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use syncline_core::{RegionProgress, RolloutState};

use super::Api;
use super::params::{self, Params, PathOf, QueryOf};
use crate::problem::{Code, Problem};
use crate::region::RolloutView;
use crate::text::rfc3339;

/// `GET /v1/rollouts[?table=]`
pub(super) async fn list(State(api): State<Api>, query: QueryOf) -> Result<Json<Value>, Problem> {
    let params = Params::of(query, &["table"])?;
    let table = params.text("table").map(params::table).transpose()?;
    let rollouts = api.region.rollouts().await;
    let of_table =
        rollouts.iter().filter(|view| table.as_ref().is_none_or(|t| *t == view.rollout.table));
    Ok(Json(json!({"items": of_table.map(shown).collect::<Vec<_>>()})))
}

/// `GET /v1/rollouts/{id}`
pub(super) async fn show(
    State(api): State<Api>,
    id: PathOf<String>,
) -> Result<Json<Value>, Problem> {
    let id = params::path(id)?;
    let rollouts = api.region.rollouts().await;
    let found = rollouts.iter().find(|view| view.rollout.id.to_string() == id);
    found.map(|view| Json(shown(view))).ok_or_else(|| {
        Problem::new(Code::RolloutNotFound, "this region knows of no rollout with this id")
    })
}

fn shown(view: &RolloutView) -> Value {
    let rollout = &view.rollout;
    let state = |progress: &RegionProgress| match progress {
        RegionProgress { active: true, .. } => "active",
        RegionProgress { ready: true, .. } => "ready",
        RegionProgress { .. } => "fetching",
    };
    let regions: Map<String, Value> = rollout
        .regions
        .iter()
        .map(|(region, at)| (region.to_string(), json!({"state": state(at), "active": at.active})))
        .collect();
    let stage = match rollout.state {
        RolloutState::Stage | RolloutState::Complete => Some(1),
        RolloutState::Distributing | RolloutState::Superseded => None,
    };
    let created = &rollout.id.0;
    json!({
        "rollout_id": rollout.id.to_string(),
        "table": rollout.table.as_str(),
        "version": rollout.version.to_string(),
        "previous_version": rollout.previous_version.map(|version| version.to_string()),
        "name": view.manifest.as_ref().and_then(|manifest| manifest.name.clone()),
        "state": rollout.state.as_str(),
        "stage": stage,
        "stages": [["*"]],
        "owner_region": created.region.as_str(),
        "regions": regions,
        "created_at": rfc3339(created.hlc.millis()),
    })
}
