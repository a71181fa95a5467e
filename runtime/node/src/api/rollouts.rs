//! Rollouts: created, shown, steered.

mod form;
mod remerge;
mod view;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_core::{AskRefused, CreateRefused, RolloutAsk, RolloutText, VersionRefused};

use super::params::{self, Params, PathOf, QueryOf};
use super::versions::used;
use super::{Api, body};
use crate::problem::{Code, Problem};
use crate::region::{DeployError, RolloutView};

pub(super) use form::RolloutForm;
pub(super) use remerge::{of_node, remerge};
pub(super) use view::{names, shown};

/// How long a client is asked to wait for a region that starts or stops.
const SOON_SECONDS: u32 = 1;

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
    let view = found(&api, &id).await?;
    let samples = api.region.samples(&view.rollout.id);
    Ok(Json(view::shown_alone(&view, &samples)))
}

async fn found(api: &Api, id: &str) -> Result<RolloutView, Problem> {
    let rollouts = api.region.rollouts().await;
    let found = rollouts.into_iter().find(|view| view.rollout.id.to_string() == id);
    found.ok_or_else(|| {
        Problem::new(Code::RolloutNotFound, "this region knows of no rollout with this id")
    })
}

/// `POST /v1/rollouts[?plan=true]`
pub(super) async fn create(
    State(api): State<Api>,
    query: QueryOf,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let plan = Params::of(query, &["plan"])?.flag("plan")?;
    body::check_json(&headers)?;
    let form = RolloutForm::read(&body)?;
    let (table, version) = form.subject()?;
    let new = form.rollout(table, version)?;
    if plan {
        return Ok(Json(super::plan::of(&api, &new).await?).into_response());
    }
    let view = api.region.roll_out(new).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(shown(&view))).into_response())
}

/// What a command may say beside its name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandForm {
    /// Of a promotion: to this stage instead of the next.
    to_stage: Option<u8>,
    actor: Option<String>,
    why: Option<String>,
}

/// `POST /v1/rollouts/{id}/{promote,pause,resume,abort,claim}`
pub(super) async fn command(
    State(api): State<Api>,
    at: PathOf<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let (id, verb) = params::path(at)?;
    let form: CommandForm = body::json_or_default(&headers, &body)?;
    let view = found(&api, &id).await?;
    let ask = match verb.as_str() {
        "promote" => RolloutAsk::Promote { to_stage: form.to_stage },
        "pause" => RolloutAsk::Pause,
        "resume" => RolloutAsk::Resume,
        "abort" => RolloutAsk::Abort,
        "claim" => RolloutAsk::Claim { owner_is_silent: api.region.is_silent(&view.rollout.owner) },
        other => {
            let detail = format!(
                "a rollout has no {other:?}; it has promote, pause, resume, abort and claim"
            );
            return Err(Problem::new(Code::RouteNotFound, detail));
        }
    };
    if form.to_stage.is_some() && verb != "promote" {
        let detail = "to_stage goes with promote alone";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let text = |text: Option<String>| RolloutText::cut(text.as_deref().unwrap_or_default());
    let said = (text(form.actor), text(form.why));
    let view = api.region.ask(view.rollout.id, ask, said).await.map_err(refused)?;
    Ok(Json(shown(&view)))
}

/// Why a rollout is not created, or not steered.
pub(super) fn refused(error: DeployError) -> Problem {
    match &error {
        DeployError::Create(CreateRefused::Open { id, .. }) => {
            let id = id.to_string();
            Problem::new(Code::RolloutOpen, error).with("rollout_id", id)
        }
        DeployError::Create(CreateRefused::Retired { .. }) => {
            Problem::new(Code::VersionRetired, error)
        }
        DeployError::Create(CreateRefused::Deleted { .. })
        | DeployError::Version(VersionRefused::Deleted) => {
            Problem::new(Code::VersionDeleted, error)
        }
        DeployError::Version(VersionRefused::InUse { uses }) => {
            let uses: Vec<_> = uses.iter().map(used).collect();
            Problem::new(Code::VersionInUse, error).with("uses", uses)
        }
        DeployError::Create(CreateRefused::Plan(_)) => Problem::new(Code::PlanRefused, error),
        DeployError::Ask(AskRefused::Unknown) => Problem::new(Code::RolloutNotFound, error),
        DeployError::Ask(AskRefused::Ended { state }) => {
            let state = state.as_str();
            Problem::new(Code::RolloutEnded, error).with("state", state)
        }
        DeployError::Ask(AskRefused::NoStage { .. }) => Problem::new(Code::PlanRefused, error),
        DeployError::Ask(_) => Problem::new(Code::RolloutNotThere, error),
        DeployError::NotHere(_) => Problem::new(Code::FunctionNotFound, error),
        DeployError::Silent { regions } => {
            let regions: Vec<_> = regions.iter().map(ToString::to_string).collect();
            Problem::new(Code::RegionsSilent, error).with("regions", regions)
        }
        DeployError::Load(_) => Problem::new(Code::ComponentRefused, error),
        DeployError::ClockExhausted => Problem::new(Code::ClockAhead, error),
        DeployError::NotAMember(_) => Problem::new(Code::NotAMember, error),
        DeployError::Store(_) => Problem::new(Code::StoreUnavailable, error).retry_after(10),
        DeployError::Starting { .. } => {
            Problem::new(Code::Starting, error).retry_after(SOON_SECONDS)
        }
        DeployError::Stopping => Problem::new(Code::Stopping, error).retry_after(5),
    }
}
