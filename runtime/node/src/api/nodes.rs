//! What the nodes of a region ask each other.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use serde::Serialize;

use super::state::inspect_own;
use super::{Api, body};
use crate::problem::{Code, Problem};
use crate::region::{Answer, ExchangeRefused, NodeForm, Report, ViewForm};

/// How 1,024 partitions stand, with 64 regions each.
const REPORT_BYTES_MAX: usize = 64 << 20;

/// A node, and what it goes by.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    node: NodeForm,
    /// None in a region that is one node, and before the node was ever told anything.
    goes_by: Option<String>,
}

/// `GET /v1/node`
pub(super) async fn show(State(api): State<Api>) -> Json<Shown> {
    let goes_by = api.region.peers().and_then(|peers| peers.goes_by());
    Json(Shown { node: api.region.node().clone(), goes_by })
}

/// `GET /v1/node/partitions`
pub(super) async fn partitions(State(api): State<Api>) -> Result<Json<Vec<ViewForm>>, Problem> {
    Ok(Json(inspect_own(&api).await?.iter().map(ViewForm::of).collect()))
}

/// `POST /v1/node/exchange`
pub(super) async fn exchange(
    State(api): State<Api>,
    content: Body,
) -> Result<Json<Answer>, Problem> {
    let bytes = body::read(content, REPORT_BYTES_MAX).await?;
    let report = Report::read(&bytes);
    let report = report.map_err(|reason| Problem::new(Code::InvalidRequest, reason))?;
    let answer = api.region.exchange(report).await.map_err(|refused| match refused {
        ExchangeRefused::Starting => Problem::new(Code::Starting, refused).retry_after(1),
        ExchangeRefused::Stopping => Problem::new(Code::Stopping, refused).retry_after(1),
        ExchangeRefused::NotTheLead
        | ExchangeRefused::Conflict(_)
        | ExchangeRefused::OtherRun { .. } => Problem::new(Code::NodeRefused, refused),
    });
    answer.map(Json)
}
