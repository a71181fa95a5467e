//! Requests from one node of a region to another.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, Method, Request, Response, StatusCode};
use ureq::{Agent, Body};

/// A node that is there takes a connection at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// What the nodes ask each other by themselves is answered at once as well.
const QUICK_TIMEOUT: Duration = Duration::from_secs(2);
/// Above every deadline that a node has of its own for what a client asks.
const PASSED_TIMEOUT: Duration = Duration::from_secs(60);
/// What the nodes tell each other: the standings of 1,024 partitions, with 64 regions each.
const TOLD_BYTES_MAX: u64 = 64 << 20;
/// A page of the largest rows; a guard against what is no node.
const PASSED_BYTES_MAX: u64 = 1 << 30;

/// Asks other nodes.
pub(crate) struct NodeClient {
    quick: Agent,
    patient: Agent,
}

/// A node's answer, as it came.
pub(crate) struct Passed {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why a node did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// It cannot be reached, or has not answered.
    Dark(String),
    /// It says no, or something else than a node would.
    Refused(String),
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dark(reason) | Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl NodeClient {
    pub(super) fn new() -> Self {
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .timeout_connect(Some(CONNECT_TIMEOUT))
                // A redirection is for the client that asked.
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(None)
                .user_agent(concat!("syncline-node/", env!("CARGO_PKG_VERSION")))
        };
        let quick = config().timeout_global(Some(QUICK_TIMEOUT)).build();
        let patient = config().timeout_recv_response(Some(PASSED_TIMEOUT)).build();
        Self { quick: quick.new_agent(), patient: patient.new_agent() }
    }

    /// What a node says, in JSON.
    pub(crate) fn get<T: DeserializeOwned>(&self, url: &str, path: &str) -> Result<T, Unanswered> {
        read(self.quick.get(format!("{url}{path}")).call())
    }

    /// Tells a node something in JSON; answers what it says to that.
    pub(super) fn tell<T: DeserializeOwned>(
        &self,
        url: &str,
        path: &str,
        what: &impl Serialize,
    ) -> Result<T, Unanswered> {
        read(self.quick.post(format!("{url}{path}")).send_json(what))
    }

    /// A component, which is still to be held against its version.
    pub(super) fn component(&self, url: &str, path: &str) -> Result<Vec<u8>, Unanswered> {
        let answer = taken(self.patient.get(format!("{url}{path}")).call(), TOLD_BYTES_MAX)?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(refusal(&answer)) }
    }

    /// Passes a client's request on.
    pub(crate) fn pass(
        &self,
        url: &str,
        (method, path): (Method, &str),
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Passed, Unanswered> {
        let has_body = method == Method::PUT || method == Method::POST;
        let mut request = Request::builder().method(method).uri(format!("{url}{path}"));
        if let Some(of_request) = request.headers_mut() {
            *of_request = headers;
        }
        let wrong = |error: ureq::http::Error| Unanswered::Refused(error.to_string());
        let sent = if has_body {
            self.patient.run(request.body(body).map_err(wrong)?)
        } else {
            self.patient.run(request.body(()).map_err(wrong)?)
        };
        taken(sent, PASSED_BYTES_MAX)
    }
}

fn taken(sent: Result<Response<Body>, ureq::Error>, limit: u64) -> Result<Passed, Unanswered> {
    let dark = |error: ureq::Error| {
        Unanswered::Dark(match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "the connection is refused".to_owned()
            }
            error => error.to_string(),
        })
    };
    let mut response = sent.map_err(dark)?;
    let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(dark)?;
    let (parts, _) = response.into_parts();
    Ok(Passed { status: parts.status, headers: parts.headers, body })
}

fn read<T: DeserializeOwned>(sent: Result<Response<Body>, ureq::Error>) -> Result<T, Unanswered> {
    let answer = taken(sent, TOLD_BYTES_MAX)?;
    if !answer.status.is_success() {
        return Err(refusal(&answer));
    }
    let read = serde_json::from_slice(&answer.body);
    read.map_err(|error| Unanswered::Refused(format!("it does not answer like a node: {error}")))
}

/// A node that starts or stops is as one that is not there.
fn refusal(answer: &Passed) -> Unanswered {
    let document: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let detail = document.as_ref().and_then(|document| document["detail"].as_str());
    let said = match detail {
        Some(detail) => detail.to_owned(),
        None => format!("it answers with status {}", answer.status.as_u16()),
    };
    if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        Unanswered::Dark(said)
    } else {
        Unanswered::Refused(said)
    }
}
