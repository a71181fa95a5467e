//! Requests from one node of a region to another.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, Method, Request, Response, StatusCode};
use ureq::{Agent, Body, Timeout};

use super::form::{self, NodeForm};
use crate::api::NODE;
use crate::problem::Code;

/// A node that is there takes a connection at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// What the nodes ask each other by themselves is answered at once as well.
const QUICK_TIMEOUT: Duration = Duration::from_secs(2);
/// From the first byte sent to the last one read. Above every deadline that a node has of its own
/// for what a client asks.
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
    /// It cannot be reached, and so was not asked.
    Unreached(String),
    /// It has not answered, or not as a node does.
    Dark(String),
    /// It leads, or is taken for it, and does not take this one for the node that it says it is.
    Refused(String),
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreached(reason) | Self::Dark(reason) | Self::Refused(reason) => {
                f.write_str(reason)
            }
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
        let patient = config().timeout_global(Some(PASSED_TIMEOUT)).build();
        Self { quick: quick.new_agent(), patient: patient.new_agent() }
    }

    /// What a node shows of itself.
    pub(super) fn node(&self, url: &str) -> Result<NodeForm, Unanswered> {
        let answer = answered(self.quick.get(format!("{url}{NODE}")).call())?;
        form::read_node(&answer).map_err(Unanswered::Dark)
    }

    /// Tells a node something in JSON; answers what it says to that.
    pub(super) fn tell<T: DeserializeOwned>(
        &self,
        url: &str,
        path: &str,
        what: &impl Serialize,
    ) -> Result<T, Unanswered> {
        let answer = answered(self.quick.post(format!("{url}{path}")).send_json(what))?;
        let read = serde_json::from_slice(&answer);
        read.map_err(|error| Unanswered::Dark(format!("it does not answer like a node: {error}")))
    }

    /// A component, which is still to be held against its version.
    pub(super) fn component(&self, url: &str, path: &str) -> Result<Vec<u8>, Unanswered> {
        answered(self.patient.get(format!("{url}{path}")).call())
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
        let wrong = |error: ureq::http::Error| Unanswered::Unreached(error.to_string());
        let sent = if has_body {
            self.patient.run(request.body(body).map_err(wrong)?)
        } else {
            self.patient.run(request.body(()).map_err(wrong)?)
        };
        taken(sent, PASSED_BYTES_MAX)
    }
}

fn taken(sent: Result<Response<Body>, ureq::Error>, limit: u64) -> Result<Passed, Unanswered> {
    let dark = |error: ureq::Error| match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Unanswered::Unreached("the connection is refused".into())
        }
        error @ (ureq::Error::Timeout(Timeout::Connect) | ureq::Error::HostNotFound) => {
            Unanswered::Unreached(error.to_string())
        }
        error => Unanswered::Dark(error.to_string()),
    };
    let mut response = sent.map_err(dark)?;
    let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(dark)?;
    let (parts, _) = response.into_parts();
    Ok(Passed { status: parts.status, headers: parts.headers, body })
}

fn answered(sent: Result<Response<Body>, ureq::Error>) -> Result<Vec<u8>, Unanswered> {
    let answer = taken(sent, TOLD_BYTES_MAX)?;
    if answer.status.is_success() { Ok(answer.body) } else { Err(refusal(&answer)) }
}

/// A node that starts or stops is as one that is not there, and so is what is no node: only a
/// process that knows what it is asked can refuse it.
fn refusal(answer: &Passed) -> Unanswered {
    let document: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let text = |key: &str| document.as_ref().and_then(|document| document[key].as_str());
    let said = match text("detail") {
        Some(detail) => detail.to_owned(),
        None => format!("it answers with status {}", answer.status.as_u16()),
    };
    if answer.status == StatusCode::CONFLICT && text("code") == Some(Code::NodeRefused.parts().0) {
        Unanswered::Refused(said)
    } else {
        Unanswered::Dark(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_node_that_says_so_refuses() {
        let said = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            refusal(&Passed { status, headers: HeaderMap::new(), body: body.into() })
        };
        let refused = r#"{"code":"node-refused","detail":"it claims partition 1"}"#;
        assert_eq!(said(409, refused), Unanswered::Refused("it claims partition 1".into()));
        for (status, body, why) in [
            (503, r#"{"code":"starting","detail":"it starts"}"#, "it starts"),
            (409, r#"{"code":"rollout-open","detail":"one is open"}"#, "one is open"),
            (400, r#"{"code":"invalid-request","detail":"the report: ?"}"#, "the report: ?"),
            (404, "<html>", "it answers with status 404"),
            (500, "", "it answers with status 500"),
        ] {
            assert_eq!(said(status, body), Unanswered::Dark(why.into()));
        }
    }
}
