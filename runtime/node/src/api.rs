//! The HTTP API of a region. Handlers convert, call, convert.

mod alerts;
mod body;
mod conflicts;
mod divergences;
mod functions;
mod joining;
mod links;
mod members;
mod metrics;
mod nodes;
mod params;
mod pass;
mod plan;
mod quarantine;
mod rollouts;
mod rows;
mod state;
mod tables;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};

use crate::problem::{Code, Problem};
use crate::region::Region;

pub use joining::joining_router;
pub use links::DevLinks;
pub(crate) use routes::{NODE, NODE_EXCHANGE};

/// What handlers work on.
#[derive(Clone)]
pub struct Api {
    /// The region.
    pub region: Arc<Region>,
    /// All regions of the process can be cut from each other; only in development.
    pub dev: Option<DevLinks>,
}

/// The routes, in the version of the API that stands in front of them.
mod routes {
    pub const TABLES: &str = "/v1/tables";
    pub const TABLE: &str = "/v1/tables/{table}";
    pub const TABLE_HISTORY: &str = "/v1/tables/{table}/history";
    pub const ROW: &str = "/v1/tables/{table}/rows/{pk}";
    pub const ROWS: &str = "/v1/tables/{table}/rows";
    pub const FUNCTIONS: &str = "/v1/merge-functions";
    pub const FUNCTIONS_UNVERSIONED: &str = "/merge-functions";
    pub const FUNCTION: &str = "/v1/merge-functions/{version}";
    pub const FUNCTION_COMMAND: &str = "/v1/merge-functions/{version}/{verb}";
    pub const COMPONENT: &str = "/v1/merge-functions/{version}/component";
    pub const FUNCTION_LOG: &str = "/v1/merge-functions/{version}/log";
    pub const ROLLOUTS: &str = "/v1/rollouts";
    pub const ROLLOUT: &str = "/v1/rollouts/{id}";
    pub const REMERGE: &str = "/v1/rollouts/{id}/remerge";
    pub const ROLLOUT_COMMAND: &str = "/v1/rollouts/{id}/{verb}";
    pub const CONFLICTS: &str = "/v1/conflicts";
    pub const CONFLICT: &str = "/v1/conflicts/{id}";
    pub const DIGESTS: &str = "/v1/digests";
    pub const DIVERGENCES: &str = "/v1/divergences";
    pub const DIVERGENCE: &str = "/v1/divergences/{id}";
    pub const REPAIR: &str = "/v1/repair";
    pub const TOPOLOGY: &str = "/v1/topology";
    pub const JOIN: &str = "/v1/topology/join";
    pub const EVICT: &str = "/v1/topology/evict";
    pub const ALERTS: &str = "/v1/alerts";
    pub const QUARANTINE: &str = "/v1/quarantine";
    pub const QUARANTINED: &str = "/v1/quarantine/{id}";
    pub const REPLAY: &str = "/v1/quarantine/{id}/replay";
    pub const METRICS: &str = "/metrics";
    pub const NODE: &str = "/v1/node";
    pub const NODE_EXCHANGE: &str = "/v1/node/exchange";
    pub const NODE_PARTITIONS: &str = "/v1/node/partitions";
    pub const NODE_REMERGE: &str = "/v1/node/remerge";
    pub const DEV_LINK: &str = "/v1/dev/links/{a}/{b}/{verb}";
    pub const HEALTH: &str = "/healthz";
    pub const READY: &str = "/readyz";
}

/// The API of a region.
pub fn router(api: Api) -> Router {
    let is_dev = api.dev.is_some();
    let mut router = Router::new()
        .route(routes::TABLES, get(tables::list))
        .route(routes::TABLE, get(tables::show))
        .route(routes::TABLE_HISTORY, get(tables::history))
        .route(routes::ROW, get(rows::get).put(rows::put).delete(rows::delete))
        .route(routes::ROWS, get(rows::list))
        .route(routes::FUNCTIONS, get(functions::list).merge(upload()))
        .route(routes::FUNCTIONS_UNVERSIONED, upload())
        .route(routes::FUNCTION, get(functions::show).delete(versions::delete))
        .route(routes::FUNCTION_COMMAND, post(versions::command))
        .route(routes::COMPONENT, get(functions::component))
        .route(routes::FUNCTION_LOG, get(functions::log))
        .route(routes::ROLLOUTS, get(rollouts::list).post(rollouts::create))
        .route(routes::ROLLOUT, get(rollouts::show))
        .route(routes::REMERGE, post(rollouts::remerge))
        .route(routes::ROLLOUT_COMMAND, post(rollouts::command))
        .route(routes::CONFLICTS, get(conflicts::list))
        .route(routes::CONFLICT, get(conflicts::show))
        .route(routes::DIGESTS, get(state::digests))
        .route(routes::DIVERGENCES, get(divergences::list))
        .route(routes::DIVERGENCE, delete(divergences::acknowledge))
        .route(routes::REPAIR, post(divergences::repair))
        .route(routes::TOPOLOGY, get(state::topology))
        .route(routes::JOIN, post(members::join))
        .route(routes::EVICT, post(members::evict))
        .route(routes::ALERTS, get(alerts::list))
        .route(routes::QUARANTINE, get(quarantine::list))
        .route(routes::QUARANTINED, get(quarantine::show).delete(quarantine::drop_kept))
        .route(routes::REPLAY, post(quarantine::replay))
        .route(routes::NODE, get(nodes::show))
        .route(routes::NODE_EXCHANGE, exchange())
        .route(routes::NODE_PARTITIONS, get(nodes::partitions))
        .route(routes::NODE_REMERGE, post(rollouts::of_node))
        .route(routes::METRICS, get(metrics::scrape))
        .route(routes::HEALTH, get(state::health))
        .route(routes::READY, get(state::ready));
    if is_dev {
        router = router.route(routes::DEV_LINK, post(links::set));
    }
    router
        .fallback(|request: Request| async move {
            let detail = format!("there is no route {}", request.uri().path());
            Problem::new(Code::RouteNotFound, detail)
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let detail = format!("{} has no {}", request.uri().path(), request.method());
            Problem::new(Code::MethodNotAllowed, detail)
        })
        .layer(from_fn_with_state(api.clone(), pass::pass))
        .layer(from_fn(take_small_body))
        .with_state(api)
}

/// An upload limits itself to what a component may have; axum would to 2 MiB.
fn upload() -> MethodRouter<Api> {
    post(functions::upload).layer(DefaultBodyLimit::disable())
}

/// What nodes tell each other limits itself.
fn exchange() -> MethodRouter<Api> {
    post(nodes::exchange).layer(DefaultBodyLimit::disable())
}

/// Bodies up to this size are read before anything is checked.
const SMALL_BODY_BYTES_MAX: usize = 1 << 20;

/// A request that is refused for its path or its headers is answered before its body has arrived, and
/// the connection closes: a client that is still sending would see that, and not the answer. So what
/// is small is let arrive first.
async fn take_small_body(request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if !announced.is_some_and(|length| (1..=SMALL_BODY_BYTES_MAX).contains(&length)) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    match body::read(body, SMALL_BODY_BYTES_MAX).await {
        Ok(bytes) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Err(problem) => problem.into_response(),
    }
}

/// Serves a region's API until the listener fails.
pub async fn serve(api: Api, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    axum::serve(listener, router(api)).await
}

/// Runs what reads the disk where it holds up nobody.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(read).await {
        Ok(done) => done,
        Err(_) => Err(Problem::new(Code::Internal, "the request could not be finished")),
    }
}

/// What nobody said is null.
fn text_or_null(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl From<syncline_store::StoreError> for Problem {
    fn from(error: syncline_store::StoreError) -> Self {
        tracing::error!(%error, "read for the API");
        Self::new(Code::StoreUnavailable, "the region's store could not be read").retry_after(5)
    }
}
