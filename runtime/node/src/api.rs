//! The HTTP API of a region. Handlers convert, call, convert.

mod body;
mod conflicts;
mod functions;
mod links;
mod params;
mod rollouts;
mod rows;
mod state;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};

use crate::problem::{Code, Problem};
use crate::region::Region;

pub use links::DevLinks;

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
    pub const ROW: &str = "/v1/tables/{table}/rows/{pk}";
    pub const ROWS: &str = "/v1/tables/{table}/rows";
    pub const FUNCTIONS: &str = "/v1/merge-functions";
    pub const FUNCTIONS_UNVERSIONED: &str = "/merge-functions";
    pub const FUNCTION: &str = "/v1/merge-functions/{version}";
    pub const COMPONENT: &str = "/v1/merge-functions/{version}/component";
    pub const ROLLOUTS: &str = "/v1/rollouts";
    pub const ROLLOUT: &str = "/v1/rollouts/{id}";
    pub const CONFLICTS: &str = "/v1/conflicts";
    pub const CONFLICT: &str = "/v1/conflicts/{id}";
    pub const DIGESTS: &str = "/v1/digests";
    pub const TOPOLOGY: &str = "/v1/topology";
    pub const DEV_LINK: &str = "/v1/dev/links/{a}/{b}/{verb}";
    pub const HEALTH: &str = "/healthz";
    pub const READY: &str = "/readyz";
}

/// The API of a region.
pub fn router(api: Api) -> Router {
    let is_dev = api.dev.is_some();
    let mut router = Router::new()
        .route(routes::ROW, get(rows::get).put(rows::put).delete(rows::delete))
        .route(routes::ROWS, get(rows::list))
        .route(routes::FUNCTIONS, get(functions::list).post(functions::upload))
        .route(routes::FUNCTIONS_UNVERSIONED, post(functions::upload))
        .route(routes::FUNCTION, get(functions::show))
        .route(routes::COMPONENT, get(functions::component))
        .route(routes::ROLLOUTS, get(rollouts::list))
        .route(routes::ROLLOUT, get(rollouts::show))
        .route(routes::CONFLICTS, get(conflicts::list))
        .route(routes::CONFLICT, get(conflicts::show))
        .route(routes::DIGESTS, get(state::digests))
        .route(routes::TOPOLOGY, get(state::topology))
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
        .with_state(api)
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

impl From<syncline_store::StoreError> for Problem {
    fn from(error: syncline_store::StoreError) -> Self {
        tracing::error!(%error, "read for the API");
        Self::new(Code::StoreUnavailable, "the region's store could not be read").retry_after(5)
    }
}
