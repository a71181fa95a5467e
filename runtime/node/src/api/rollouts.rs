//! Rollouts.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use syncline_core::{RegionId, RegionProgress, RolloutPlace, RolloutStage};

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
        _ if progress.is_active() => "active",
        _ if progress.is_ready() => "ready",
        RegionProgress { unready: Some(_), .. } => "refused",
        _ => "fetching",
    };
    let regions: Map<String, Value> = rollout
        .regions
        .iter()
        .map(|(region, at)| {
            (region.to_string(), json!({"state": state(at), "active": at.is_active()}))
        })
        .collect();
    let stage = match rollout.place {
        RolloutPlace::Stage(number) => Some(number),
        RolloutPlace::Complete => Some(rollout.plan.last_stage()),
        RolloutPlace::Distributing | RolloutPlace::Shadow => None,
    };
    let names = |stage: &RolloutStage| {
        let regions = stage.regions.iter().map(RegionId::to_string);
        regions.chain(stage.rest.then(|| "*".to_owned())).collect::<Vec<_>>()
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
        "stages": rollout.plan.stages.iter().map(names).collect::<Vec<_>>(),
        "owner_region": rollout.owner.as_str(),
        "regions": regions,
        "reason": rollout.reason.as_ref().map(|reason| reason.as_str()),
        "created_at": rfc3339(created.hlc.millis()),
    })
}
