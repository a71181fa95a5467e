//! What a rollout would do, without doing it.

use serde_json::{Value, json};
use syncline_core::{CreateRefused, NewRollout, Stamp};
use syncline_host::Manifest;
use syncline_verifier::Report;

use super::{Api, blocking};
use crate::problem::Problem;
use crate::region::DeployError;

/// Of a version that is here.
pub(super) async fn of(api: &Api, new: &NewRollout) -> Result<Value, Problem> {
    let refused = api.region.would_refuse(new).await.map(super::rollouts::refused);
    plan(api, new, refused, None).await
}

/// Of a version that was uploaded for this plan alone.
pub(super) async fn of_upload(
    api: &Api,
    new: &NewRollout,
    verified: Option<&Report>,
) -> Result<Value, Problem> {
    let refused = api.region.would_refuse(new).await;
    // That it is not here, or is deleted, is what an upload changes.
    let is_mended = |error: &DeployError| {
        matches!(
            error,
            DeployError::NotHere(_) | DeployError::Create(CreateRefused::Deleted { .. })
        )
    };
    let refused = refused.filter(|error| !is_mended(error));
    plan(api, new, refused.map(super::rollouts::refused), Some(verified)).await
}

async fn plan(
    api: &Api,
    new: &NewRollout,
    refused: Option<Problem>,
    verified: Option<Option<&Report>>,
) -> Result<Value, Problem> {
    let region = api.region.clone();
    let (table, version) = (new.table.clone(), new.version);
    let replayed = blocking(move || Ok(region.replay_recorded(&table, version)?)).await?;
    let rollouts = api.region.rollouts().await;
    let mut of_table = rollouts.iter().filter(|view| view.rollout.table == new.table);
    let in_force = of_table.rfind(|view| view.rollout.state.as_str() == "complete");
    let replaces = in_force.map_or(Stamp::Lww, |view| view.rollout.version);
    let manifest = |stamp: Stamp| stamp.function().and_then(|v| api.region.manifest(&v));
    let (then, now) = (manifest(version), manifest(replaces));
    let changes = match (&now, &then) {
        (Some(now), Some(then)) => changes(now, then),
        _ => Vec::new(),
    };
    let has_it = |name: &str| {
        let tests = rollouts.iter().filter(|view| view.rollout.version == version);
        let mut tests = tests.flat_map(|view| &view.rollout.regions);
        tests.any(|(region, at)| region.as_str() == name && at.is_ready()).then_some(true)
    };
    let links = api.region.links();
    let regions = links.iter().map(|link| {
        let has_it = match version {
            Stamp::Lww => Some(true),
            Stamp::Function(_) if link.own => Some(then.is_some()),
            Stamp::Function(_) => has_it(link.region.as_str()),
        };
        json!({
            "region": link.region.as_str(),
            "stage": new.plan.stage_of(&link.region),
            "link": link.state,
            "has_it": has_it,
        })
    });
    let stages: Vec<Vec<&str>> = new.plan.stages.iter().map(super::rollouts::names).collect();
    let mut plan = json!({
        "table": new.table.as_str(),
        "version": version.to_string(),
        "replaces": replaces.to_string(),
        "stages": stages,
        "regions": regions.collect::<Vec<_>>(),
        "changes": changes,
        "replayed": replayed,
        "refused": refused.map(|problem| {
            json!({"code": problem.code().parts().0, "detail": problem.detail()})
        }),
    });
    if let Some(verified) = verified {
        plan["verified"] = json!(verified);
    }
    Ok(plan)
}

/// In what the manifests differ.
fn changes(now: &Manifest, then: &Manifest) -> Vec<Value> {
    let shown = |manifest: &Manifest| {
        [
            ("name", json!(manifest.name)),
            ("version", json!(manifest.version)),
            ("needs_ancestor", json!(manifest.needs_ancestor)),
            ("limits.fuel", json!(manifest.limits.fuel)),
            ("limits.memory_bytes", json!(manifest.limits.memory_bytes)),
            ("limits.output_bytes", json!(manifest.limits.output_bytes)),
        ]
    };
    let pairs = shown(now).into_iter().zip(shown(then));
    let differing = pairs.filter(|((_, from), (_, to))| from != to);
    differing.map(|((what, from), (_, to))| json!({"what": what, "from": from, "to": to})).collect()
}
