//! What people should look after.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use syncline_store::kv::quarantine;

use super::{Api, blocking};
use crate::alerts::{Alert, Standing, alerts};
use crate::problem::Problem;
use crate::region::{PartitionView, now_ms};
use crate::text::rfc3339;

/// `GET /v1/alerts`
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    // A region that has stopped has no partitions to show, and an alert that says so.
    let views = api.region.inspect().await;
    let items: Vec<Value> = of_region(&api, &views).await?.iter().map(item).collect();
    Ok(Json(json!({ "items": items })))
}

pub(super) async fn of_region(api: &Api, views: &[PartitionView]) -> Result<Vec<Alert>, Problem> {
    let region = api.region.clone();
    let quarantine = blocking(move || Ok(quarantine::counts(region.store())?)).await?;
    Ok(alerts(&Standing {
        region: api.region.id(),
        members: &api.region.members(),
        now_ms: now_ms(),
        fatal: api.region.fatal_since(),
        disk_full: api.region.disk_full(),
        own_log: api.region.own_log(),
        views,
        links: &api.region.links(),
        quarantine: &quarantine,
        profile: api.region.profile(),
        other_profiles: &api.region.other_profiles(),
        dark: &api.region.dark_nodes(),
        limits: api.region.limits(),
        clock: api.region.clock(),
    }))
}

fn item(alert: &Alert) -> Value {
    let (code, severity, _) = alert.code.parts();
    json!({
        "code": code,
        "severity": severity,
        "subject": alert.subject,
        "detail": alert.detail,
        "since": alert.since_ms.map(rfc3339),
    })
}
