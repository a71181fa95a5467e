//! Merge functions: upload, and what is here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest as _, Multipart, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use syncline_core::{FunctionVersion, RolloutState, Stamp, TableName};
use syncline_host::{Admitted, COMPONENT_BYTES_MAX, LoadError, Refused};
use syncline_store::kv::component::{self, ComponentFacts};
use syncline_verifier::{Case, Report};

use super::body::{BODY_TIME_MAX, broken, too_slow};
use super::params::{self, Params, PathOf, QueryOf};
use super::rollouts::RolloutForm;
use super::{Api, blocking};
use crate::cases;
use crate::problem::{Code, Problem};
use crate::region::{Deployed, Region, RolloutView, VerifyError};
use crate::text::rfc3339;

/// The component, and room for the rest of the form.
const FORM_BYTES_MAX: usize = COMPONENT_BYTES_MAX + CASES_BYTES_MAX + (64 << 10);
/// A text field of the form.
const FIELD_BYTES_MAX: usize = 1 << 10;
/// The rollout of the form: far more than one with as many stages as there can be.
const ROLLOUT_BYTES_MAX: usize = 64 << 10;
/// All cases of the form.
const CASES_BYTES_MAX: usize = 1 << 20;
/// An upload is answered within 20 seconds; what is left of these after the compiler is the verifier's.
const ANSWER_MS_MAX: u64 = 19_500;

/// How long a client is asked to wait for a compiler that is busy or can't be started.
const COMPILER_BUSY_SECONDS: u32 = 10;

/// What the form holds.
#[derive(Default)]
struct Form {
    component: Option<Vec<u8>>,
    table: Option<String>,
    checksum: Option<String>,
    /// A file of cases, as the verifier reads it.
    cases: Option<String>,
    /// How it is to be rolled out, as `POST /v1/rollouts` takes it.
    rollout: Option<String>,
}

/// `POST /v1/merge-functions[?plan=true]`
pub(super) async fn upload(
    State(api): State<Api>,
    query: QueryOf,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let plan = Params::of(query, &["plan"])?.flag("plan")?;
    let form = match tokio::time::timeout(BODY_TIME_MAX, read_form(&headers, request)).await {
        Ok(form) => form?,
        Err(_) => return Err(too_slow()),
    };
    let missing = |field: &str| {
        let detail = format!(
            "the form lacks the field {field}; send it as: curl -F component=@function.wasm -F \
             table=carts"
        );
        Problem::new(Code::InvalidRequest, detail)
    };
    let table = params::table(&form.table.ok_or_else(|| missing("table"))?)?;
    let component = form.component.ok_or_else(|| missing("component"))?;
    check_sum(form.checksum.as_deref(), &component)?;
    let mut cases = given_cases(form.cases.as_deref())?;
    let rollout = match &form.rollout {
        Some(json) => RolloutForm::read(json.as_bytes())?,
        None => RolloutForm::default(),
    };
    rollout.check_beside_upload()?;
    let region = api.region.clone();
    let its_table = table.clone();
    let (admitted, was_loaded, component, verified) = blocking(move || {
        let deadline = Instant::now() + Duration::from_millis(ANSWER_MS_MAX);
        let admitted = region.admit(&component).map_err(|refused| refused_upload(&refused))?;
        cases.extend(cases::given(&component).map_err(|refused| refused_upload(&refused))?);
        let was_loaded = region.is_loaded(&admitted.version);
        let verified = verified(&region, &its_table, &admitted, &component, &cases, deadline)?;
        Ok((admitted, was_loaded, component, verified))
    })
    .await?;
    let new = rollout.rollout(table, admitted.version.into())?;
    if plan {
        let planned = super::plan::of_upload(&api, &new, verified.as_ref()).await;
        if !was_loaded {
            api.region.forget(&admitted);
        }
        return Ok(Json(planned?).into_response());
    }
    let size = component.len();
    let deployed = api.region.deploy(new, admitted.clone(), component).await;
    let Deployed { rollout, known } = deployed.map_err(super::rollouts::refused)?;
    let status = if known { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(uploaded(&rollout, &admitted, size, verified.as_ref()))).into_response())
}

fn given_cases(text: Option<&str>) -> Result<Vec<Case>, Problem> {
    let cases = text.map(Case::read).transpose();
    let cases = cases.map_err(|e| Problem::new(Code::InvalidRequest, format!("cases: {e}")))?;
    Ok(cases.unwrap_or_default())
}

/// Refuses what would fail on conflicts that it is known to meet. None: nothing could be found out here
/// and now, which is no reason against the function.
fn verified(
    region: &Region,
    table: &TableName,
    admitted: &Admitted,
    component: &[u8],
    cases: &[Case],
    deadline: Instant,
) -> Result<Option<Report>, Problem> {
    let was_loaded = region.is_loaded(&admitted.version);
    let report = match region.verify(table, admitted, component, cases, deadline) {
        Ok(report) => report,
        Err(VerifyError::Load(LoadError::Refused(refused))) => {
            return Err(refused_upload(&refused));
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(version = %admitted.version, error, "an upload is not verified");
            return Ok(None);
        }
    };
    // A version that is in use already is not taken out of use by uploading it again.
    if was_loaded || report.blocking.is_empty() {
        return Ok(Some(report));
    }
    region.forget(admitted);
    let reasons = report
        .blocking
        .iter()
        .map(|reason| format!("{}: not {}: {}", reason.case, reason.law, reason.what));
    let detail = format!(
        "{}; `syncline function verify` shows it before an upload",
        reasons.collect::<Vec<_>>().join("; ")
    );
    Err(Problem::new(Code::VerificationFailed, detail).with("report", json!(report)))
}

fn uploaded(
    view: &RolloutView,
    admitted: &Admitted,
    size: usize,
    verified: Option<&Report>,
) -> Value {
    let manifest = &admitted.manifest;
    json!({
        "version": view.rollout.version.to_string(),
        "table": view.rollout.table.as_str(),
        "state": view.rollout.state.as_str(),
        "rollout_id": view.rollout.id.to_string(),
        "report": {
            "size": size,
            "name": manifest.name,
            "needs_ancestor": manifest.needs_ancestor,
            "limits": {
                "fuel": manifest.limits.fuel,
                "memory_bytes": manifest.limits.memory_bytes,
                "output_bytes": manifest.limits.output_bytes,
            },
            "verified": verified,
        },
    })
}

async fn read_form(headers: &HeaderMap, mut request: Request) -> Result<Form, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data")) {
        let detail = "an upload is multipart/form-data, with the fields component and table";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = axum::body::Body::new(http_limit(body));
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| Problem::new(Code::InvalidRequest, rejection.body_text()))?;
    let mut form = Form::default();
    loop {
        let field = multipart.next_field().await.map_err(|e| cut_off(&e))?;
        let Some(mut field) = field else { return Ok(form) };
        let name = field.name().unwrap_or_default().to_owned();
        let limit = match name.as_str() {
            "component" => COMPONENT_BYTES_MAX,
            "cases" => CASES_BYTES_MAX,
            "rollout" => ROLLOUT_BYTES_MAX,
            _ => FIELD_BYTES_MAX,
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(|e| cut_off(&e))? {
            add(&mut bytes, &chunk, &name, limit)?;
        }
        let text = |bytes: Vec<u8>| {
            let wrong = || Problem::new(Code::InvalidRequest, format!("{name} is not UTF-8"));
            String::from_utf8(bytes).map_err(|_| wrong())
        };
        match name.as_str() {
            "component" => form.component = Some(bytes),
            "table" => form.table = Some(text(bytes)?),
            "checksum" => form.checksum = Some(text(bytes)?),
            "cases" => form.cases = Some(text(bytes)?),
            "rollout" => form.rollout = Some(text(bytes)?),
            _ => {
                let detail = format!(
                    "the form has no field {name:?}; it has: component, table, checksum, cases, \
                     rollout"
                );
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
        }
    }
}

/// What is too large for a form is too large for a component.
fn cut_off(error: &(dyn std::error::Error + 'static)) -> Problem {
    let problem = broken(error, FORM_BYTES_MAX);
    if problem.code() != Code::BodyTooLarge {
        return problem;
    }
    let detail = format!("component is larger than {COMPONENT_BYTES_MAX} bytes");
    Problem::new(Code::ComponentTooLarge, detail).with("limit", COMPONENT_BYTES_MAX)
}

/// Ends a body that is larger than any form. The component's own limit is checked as it arrives.
fn http_limit(
    body: axum::body::Body,
) -> impl axum::body::HttpBody<Data = Bytes, Error = axum::BoxError> {
    http_body_util::Limited::new(body, FORM_BYTES_MAX)
}

fn add(bytes: &mut Vec<u8>, chunk: &Bytes, name: &str, limit: usize) -> Result<(), Problem> {
    if bytes.len() + chunk.len() <= limit {
        bytes.extend_from_slice(chunk);
        return Ok(());
    }
    let code = if name == "component" { Code::ComponentTooLarge } else { Code::InvalidRequest };
    let detail = format!("{name} is larger than {limit} bytes");
    Err(Problem::new(code, detail).with("limit", limit))
}

fn check_sum(announced: Option<&str>, component: &[u8]) -> Result<(), Problem> {
    let Some(announced) = announced else { return Ok(()) };
    let announced: FunctionVersion = announced
        .trim()
        .parse()
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("checksum: {error}")))?;
    let found = FunctionVersion::of(component);
    if found == announced {
        return Ok(());
    }
    let detail = format!("what arrived has the checksum {found}");
    Err(Problem::new(Code::ChecksumMismatch, detail))
}

fn refused_upload(refused: &Refused) -> Problem {
    let code = match refused {
        Refused::TooLarge { .. } => Code::ComponentTooLarge,
        Refused::NotNow { .. } => Code::TooManyRequests,
        _ => Code::ComponentRefused,
    };
    let problem = Problem::new(code, refused).with("reason", refused.code());
    if code == Code::TooManyRequests { problem.retry_after(COMPILER_BUSY_SECONDS) } else { problem }
}

/// `GET /v1/merge-functions`
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({"items": all(&api).await?})))
}

/// `GET /v1/merge-functions/{version}`
pub(super) async fn show(
    State(api): State<Api>,
    version: PathOf<String>,
) -> Result<Json<Value>, Problem> {
    let version = version_of(&params::path(version)?)?;
    super::versions::shown_alone(&api, version).await.map(Json)
}

/// One item of the list.
pub(super) async fn found(api: &Api, version: &FunctionVersion) -> Result<Value, Problem> {
    let text = version.to_string();
    let found = all(api).await?.into_iter().find(|item| item["version"] == text.as_str());
    found.ok_or_else(|| not_here(version))
}

/// `GET /v1/merge-functions/{version}/component`
pub(super) async fn component(
    State(api): State<Api>,
    version: PathOf<String>,
) -> Result<Response, Problem> {
    let version = version_of(&params::path(version)?)?;
    let region = api.region;
    let bytes = blocking(move || Ok(component::bytes(region.store(), &version)?)).await?;
    let bytes = bytes.ok_or_else(|| not_here(&version))?;
    Ok(([(header::CONTENT_TYPE, "application/wasm")], bytes).into_response())
}

/// `GET /v1/merge-functions/{version}/log`
pub(super) async fn log(
    State(api): State<Api>,
    version: PathOf<String>,
) -> Result<Json<Value>, Problem> {
    let version = version_of(&params::path(version)?)?;
    let log = api.region.function_log(&version).ok_or_else(|| not_here(&version))?;
    let items = log.entries.iter().map(|entry| {
        json!({
            "table_name": entry.row.table.as_str(),
            "row_pk": entry.row.pk.as_str(),
            "lines": entry.text.lines().collect::<Vec<_>>(),
        })
    });
    Ok(Json(json!({"items": items.collect::<Vec<_>>(), "dropped": log.dropped})))
}

pub(super) fn version_of(text: &str) -> Result<FunctionVersion, Problem> {
    text.parse().map_err(|error| Problem::new(Code::InvalidRequest, error))
}

fn not_here(version: &FunctionVersion) -> Problem {
    Problem::new(Code::FunctionNotFound, format!("{version} is not here"))
}

/// Every component that is or was here, and those that a rollout waits for.
async fn all(api: &Api) -> Result<Vec<Value>, Problem> {
    let region = api.region.clone();
    let (here, dropped) = blocking(move || {
        let store = region.store();
        Ok((component::all(store)?, component::dropped(store)?))
    })
    .await?;
    let mut versions = api.region.versions().await;
    let mut tables: BTreeMap<FunctionVersion, BTreeMap<TableName, RolloutView>> = BTreeMap::new();
    // Of several rollouts of a version to a table the last counts.
    for view in api.region.rollouts().await {
        if view.rollout.state != RolloutState::Superseded {
            let Stamp::Function(version) = view.rollout.version else { continue };
            let of_version = tables.entry(version).or_default();
            of_version.insert(view.rollout.table.clone(), view);
        }
    }
    let is_here: BTreeSet<FunctionVersion> = here.iter().map(|(version, _)| *version).collect();
    let mut facts: BTreeMap<FunctionVersion, ComponentFacts> =
        here.into_iter().chain(dropped).collect();
    let known: BTreeSet<FunctionVersion> =
        facts.keys().chain(tables.keys()).chain(versions.keys()).copied().collect();
    let items = known.into_iter().map(|version| {
        let facts = facts.remove(&version);
        let view = versions.remove(&version).unwrap_or_default();
        let of_version = tables.remove(&version).unwrap_or_default();
        let named = facts.as_ref().filter(|facts| !facts.name.is_empty());
        json!({
            "version": version.to_string(),
            "state": super::versions::state(&view, is_here.contains(&version)),
            "name": named.map(|facts| &facts.name),
            "size": facts.as_ref().map(|facts| facts.bytes),
            "uploaded_at": facts.as_ref().map(|facts| rfc3339(facts.uploaded_at_ms)),
            "tables": of_version.values().map(of_table).collect::<Vec<_>>(),
        })
    });
    Ok(items.collect())
}

fn of_table(view: &RolloutView) -> Value {
    let rollout = &view.rollout;
    let active = rollout.regions.iter().filter(|(_, progress)| progress.is_active());
    json!({
        "table": rollout.table.as_str(),
        "state": rollout.state.as_str(),
        "rollout_id": rollout.id.to_string(),
        "active_in": active.map(|(region, _)| region.as_str()).collect::<Vec<_>>(),
    })
}
