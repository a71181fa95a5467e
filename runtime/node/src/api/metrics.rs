//! What monitoring scrapes.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use syncline_store::kv::{conflict, quarantine};

use super::state::inspect_own;
use super::{Api, alerts, blocking};
use crate::metrics::{CONTENT_TYPE, Figures, text};
use crate::problem::{Code, Problem};

/// `GET /metrics`
pub(super) async fn scrape(State(api): State<Api>) -> Result<Response, Problem> {
    let views = inspect_own(&api).await?;
    let stopping = || Problem::new(Code::Stopping, "the region is stopping").retry_after(5);
    let control = api.region.inspect_control().await.ok_or_else(stopping)?;
    let alerts = alerts::of_region(&api, &views).await?;
    let region = api.region.clone();
    let (quarantine, images) = blocking(move || {
        let store = region.store();
        Ok((quarantine::counts(store)?, conflict::images(store)?))
    })
    .await?;
    let page = text(&Figures {
        region: api.region.id(),
        views: &views,
        control: &control,
        links: &api.region.links(),
        quarantine: &quarantine,
        alerts: &alerts,
        limits: api.region.limits(),
        clock: api.region.clock(),
        images,
        merges: &api.region.counted(),
    });
    let page = page.map_err(|error| Problem::new(Code::Internal, error))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response())
}
