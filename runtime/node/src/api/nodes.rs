//! What the nodes of a region ask each other.

use axum::Json;
use axum::body::Body;
use axum::extract::State;

use super::state::inspect_own;
use super::{Api, body};
use crate::problem::{Code, Problem};
use crate::region::{Answer, ExchangeRefused, NodeForm, Report, ViewForm};

/// How 1,024 partitions stand, with 64 regions each.
const REPORT_BYTES_MAX: usize = 64 << 20;

/// `GET /v1/node`
pub(super) async fn show(State(api): State<Api>) -> Json<NodeForm> {
    Json(api.region.node().clone())
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
    let report: Report = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("the report: {error}")))?;
    let answer = api.region.exchange(report).await.map_err(|refused| match refused {
        ExchangeRefused::Stopping => Problem::new(Code::Stopping, refused).retry_after(1),
        _ => Problem::new(Code::NodeRefused, refused),
    });
    answer.map(Json)
}
