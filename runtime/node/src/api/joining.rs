//! What a region answers that is only joining: it has no store yet.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use super::routes;
use super::state::health;
use crate::problem::{Code, Problem};
use crate::region::Joining;

/// The API of a region that joins.
pub fn joining_router(joining: Arc<Joining>) -> Router {
    Router::new()
        .route(routes::HEALTH, get(health))
        .route(routes::READY, get(ready))
        .fallback(
            |State(joining): State<Arc<Joining>>, _: Request| async move { problem(&joining) },
        )
        .with_state(joining)
}

async fn ready(State(joining): State<Arc<Joining>>) -> Response {
    problem(&joining).into_response()
}

fn problem(joining: &Joining) -> Problem {
    let progress = joining.progress();
    let (me, donor) = (&joining.me, &joining.donor);
    let detail = match (progress.is_loading, progress.pages) {
        (true, _) => format!("{me} has all that {donor} gave it, and makes its store of that"),
        (false, 0) => format!(
            "{me} waits for what {donor} has. That comes once all regions have agreed that it \
             joins: say `syncline topology join '{me}'` at {donor}, if nobody has. A region that \
             lost its disk joins as its next incarnation"
        ),
        (false, _) => format!("{me} takes over what {donor} has"),
    };
    let detail = match &progress.trouble {
        Some(trouble) => format!("{detail}. It does not go on: {trouble}"),
        None => detail,
    };
    // Of nothing there is no share.
    let percent = (progress.bytes * 100).checked_div(progress.total);
    Problem::new(Code::Joining, detail)
        .with("donor", donor.as_str())
        .with("pages", progress.pages)
        .with("bytes", progress.bytes)
        .with("bytes_total", progress.total)
        .with("percent", json!(percent))
        .retry_after(1)
}
