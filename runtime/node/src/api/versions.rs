//! Versions: retired, deleted, and what keeps them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_core::{
    ChangeId, FunctionVersion, RolloutText, VersionAsk, VersionHistory, VersionUse, VersionView,
};

use super::functions::{found, version_of};
use super::params::PathOf;
use super::rollouts::refused;
use super::{Api, body, text_or_null};
use crate::problem::{Code, Problem};
use crate::region::VersionStanding;
use crate::text::rfc3339;

/// Who asks, and why.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidForm {
    actor: Option<String>,
    why: Option<String>,
}

/// `POST /v1/merge-functions/{version}/{retire,reinstate,delete}`
pub(super) async fn command(
    State(api): State<Api>,
    at: PathOf<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (version, verb) = super::params::path(at)?;
    let version = version_of(&version)?;
    let ask = match verb.as_str() {
        "retire" => VersionAsk::Retire,
        "reinstate" => VersionAsk::Reinstate,
        "delete" => VersionAsk::Delete,
        other => {
            let detail = format!("a version has no {other:?}; it has retire, reinstate and delete");
            return Err(Problem::new(Code::RouteNotFound, detail));
        }
    };
    let form: SaidForm = body::json_or_default(&headers, &body)?;
    let text = |text: Option<String>| RolloutText::cut(text.as_deref().unwrap_or_default());
    asked(&api, version, ask, (text(form.actor), text(form.why))).await
}

/// `DELETE /v1/merge-functions/{version}`
pub(super) async fn delete(
    State(api): State<Api>,
    version: PathOf<String>,
) -> Result<Response, Problem> {
    let version = version_of(&super::params::path(version)?)?;
    let nobody = (RolloutText::default(), RolloutText::default());
    asked(&api, version, VersionAsk::Delete, nobody).await
}

async fn asked(
    api: &Api,
    version: FunctionVersion,
    ask: VersionAsk,
    said: (RolloutText, RolloutText),
) -> Result<Response, Problem> {
    // What nobody knows has no record.
    found(api, &version).await?;
    api.region.ask_version(version, ask, said).await.map_err(refused)?;
    let shown = shown_alone(api, version).await?;
    // A deletion is carried out once every region is done with the version.
    let under_way = ask == VersionAsk::Delete && shown["state"] != STATE_DELETED;
    let status = if under_way { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(shown)).into_response())
}

const STATE_DELETED: &str = "deleted";

/// How a version is kept: in a word.
pub(super) fn state(view: &VersionView, is_here: bool) -> &'static str {
    match view {
        VersionView { deletion: Some(_), .. } if is_here => "deleting",
        VersionView { deletion: Some(_), .. } => STATE_DELETED,
        _ if !is_here => "absent",
        VersionView { retired: Some(_), .. } => "retired",
        _ => "kept",
    }
}

/// An item of the list, and what only one version is asked about.
pub(super) async fn shown_alone(api: &Api, version: FunctionVersion) -> Result<Value, Problem> {
    let mut shown = found(api, &version).await?;
    let views = super::state::inspect(api).await?;
    let standing = api.region.version(version, &views).await;
    let VersionStanding { view, uses, waits_for, needed_by } = standing;
    let at = |id: &ChangeId| rfc3339(id.hlc.millis());
    shown["uses"] = uses.iter().map(used).collect();
    shown["retired_at"] = json!(view.retired.as_ref().map(at));
    shown["deletion"] = json!(view.deletion.as_ref().map(|id| json!({
        "since": at(id),
        "region": id.region.as_str(),
        "waits_for": waits_for.iter().map(|region| region.as_str()).collect::<Vec<_>>(),
        "needed_by": needed_by.map(|found| json!({
            "table_name": found.row.table.as_str(),
            "row_pk": found.row.pk.as_str(),
            "region": found.change.region.as_str(),
            "hlc": found.change.hlc.to_string(),
            "waits": found.waits,
        })),
    })));
    shown["history"] = view.history.iter().map(line).collect();
    Ok(shown)
}

fn line(line: &VersionHistory) -> Value {
    json!({
        "hlc": line.id.hlc.to_string(),
        "at": rfc3339(line.id.hlc.millis()),
        "region": line.id.region.as_str(),
        "actor": text_or_null(line.actor.as_str()),
        "what": line.what.as_str(),
        "why": text_or_null(line.why.as_str()),
    })
}

/// What keeps a version.
pub(super) fn used(used: &VersionUse) -> Value {
    match used {
        VersionUse::Open(rollout) => json!({"what": "open", "rollout_id": rollout.to_string()}),
        VersionUse::InForce(table) => json!({"what": "in-force", "table": table.as_str()}),
        VersionUse::Stamped { table, region } => {
            json!({"what": "stamped", "table": table.as_str(), "region": region.as_str()})
        }
        VersionUse::StampedUntil { table, region, until } => json!({
            "what": "stamped-until",
            "table": table.as_str(),
            "region": region.as_str(),
            "until": until.to_string(),
        }),
    }
}
