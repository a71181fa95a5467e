//! Regions that join, and regions that are evicted.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use syncline_core::{MembershipChange, MembershipView, ProposeRefused, RegionId};

use super::params::{Params, QueryOf};
use super::{Api, body};
use crate::problem::{Code, Problem};
use crate::region::{Members, Plan, ProposeError, Proposed, waits_for};
use crate::text::rfc3339;

/// A request names 64 regions at most, of 64 letters each.
const REQUEST_BYTES: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JoinRequest {
    region: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvictRequest {
    regions: Vec<String>,
}

/// `POST /v1/topology/join[?plan=true]`
pub(super) async fn join(
    State(api): State<Api>,
    query: QueryOf,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let plan = is_plan(query)?;
    let JoinRequest { region } = read(&headers, content).await?;
    carry_out(&api, MembershipChange::Join { region: named(&region)? }, plan).await
}

/// `POST /v1/topology/evict[?plan=true]`
pub(super) async fn evict(
    State(api): State<Api>,
    query: QueryOf,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let plan = is_plan(query)?;
    let EvictRequest { regions } = read(&headers, content).await?;
    let gone = regions.iter().map(|name| named(name)).collect::<Result<BTreeSet<_>, _>>()?;
    carry_out(&api, MembershipChange::Evict { gone }, plan).await
}

fn is_plan(query: QueryOf) -> Result<bool, Problem> {
    match Params::of(query, &["plan"])?.text("plan") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let detail = format!("plan is true or false, not {other:?}");
            Err(Problem::new(Code::InvalidRequest, detail))
        }
    }
}

async fn read<T: for<'a> Deserialize<'a>>(
    headers: &HeaderMap,
    content: Body,
) -> Result<T, Problem> {
    body::check_json(headers)?;
    let bytes = body::read(content, REQUEST_BYTES).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("the body: {error}")))
}

fn named(name: &str) -> Result<RegionId, Problem> {
    name.parse().map_err(|error| Problem::new(Code::InvalidRequest, error))
}

async fn carry_out(api: &Api, change: MembershipChange, plan: bool) -> Result<Response, Problem> {
    if plan {
        let plan = api.region.plan(change).await.map_err(problem)?;
        return Ok(Json(planned(api, &plan)).into_response());
    }
    let Proposed { view, .. } = api.region.propose(change).await.map_err(problem)?;
    Ok((StatusCode::ACCEPTED, Json(shown(&view))).into_response())
}

fn planned(api: &Api, plan: &Plan) -> Value {
    // Whoever is not heard cannot answer either.
    let links = api.region.links();
    let silent = links.iter().filter(|link| !link.own && link.state != "up");
    let silent = silent.filter(|link| plan.participants.contains(&link.region));
    let mut document = change_of(&plan.change);
    document["participants"] = json!(names(&plan.participants));
    document["silent"] = silent.map(|link| link.region.to_string()).collect();
    document["members"] = json!(names(&plan.members));
    document
}

fn change_of(change: &MembershipChange) -> Value {
    match change {
        MembershipChange::Join { region } => {
            json!({"change": "join", "regions": [region.as_str()]})
        }
        MembershipChange::Evict { gone } => json!({"change": "evict", "regions": names(gone)}),
    }
}

fn names(regions: &BTreeSet<RegionId>) -> Vec<&str> {
    regions.iter().map(RegionId::as_str).collect()
}

fn shown(view: &MembershipView) -> Value {
    let refused = view.refused.iter();
    let refused = refused.map(|(region, by)| (region.to_string(), json!(by.to_string())));
    let mut document = change_of(&view.change);
    document["id"] = json!(view.id.to_string());
    document["state"] = json!(view.state.as_str());
    document["proposed_by"] = json!(view.id.0.region.as_str());
    document["proposed_at"] = json!(rfc3339(view.id.0.hlc.millis()));
    document["participants"] = json!(names(&view.participants));
    document["accepted"] = json!(names(&view.accepted));
    document["refused"] = Value::Object(refused.collect());
    document["done"] = json!(names(&view.done));
    document["waits_for"] = json!(names(&waits_for(view)));
    document
}

/// What `GET /v1/topology` says of the members, and of what was proposed lately: what is under way,
/// and the last change that is not.
pub(super) fn of_topology(members: &Members) -> (Vec<&str>, Vec<Value>) {
    let ended = members.changes.iter().rev().find(|view| waits_for(view).is_empty());
    let mut shown_views: Vec<&MembershipView> = members.under_way().chain(ended).collect();
    shown_views.sort_by(|a, b| b.id.cmp(&a.id));
    shown_views.dedup();
    (names(&members.members), shown_views.into_iter().map(shown).collect())
}

fn problem(error: ProposeError) -> Problem {
    let detail = error.to_string();
    let code = match error {
        ProposeError::Refused(refused) => match refused {
            ProposeRefused::UnderWay { id, must, .. } => {
                let problem = Problem::new(Code::MembershipUnderWay, detail);
                let problem = problem.with("membership_id", id.to_string());
                return problem.with("must_also_evict", names(&must));
            }
            ProposeRefused::NotHereYet { .. } => {
                return Problem::new(Code::MembershipUnderWay, detail).retry_after(1);
            }
            ProposeRefused::Used { next, .. } => {
                let problem = Problem::new(Code::IncarnationUsed, detail);
                return problem.with("next", next.as_str());
            }
            ProposeRefused::OldIncarnation { .. } => Code::OldIncarnation,
            ProposeRefused::Full => Code::TooManyRegions,
            ProposeRefused::Nobody => Code::InvalidRequest,
            ProposeRefused::NotMember { .. } => Code::RegionNotFound,
            ProposeRefused::Myself => Code::EvictsItself,
            ProposeRefused::MeGone | ProposeRefused::MeNotMember => Code::NotAMember,
        },
        ProposeError::NoCluster { .. } => Code::NoCluster,
        ProposeError::SeveralNodes { .. } => Code::SeveralNodes,
        ProposeError::ClockExhausted => Code::ClockAhead,
        ProposeError::Store(_) => Code::StoreUnavailable,
        ProposeError::Starting { .. } => Code::Starting,
        ProposeError::Stopping => Code::Stopping,
    };
    let waits = matches!(code, Code::Starting | Code::Stopping | Code::StoreUnavailable);
    let problem = Problem::new(code, detail);
    if waits { problem.retry_after(5) } else { problem }
}
