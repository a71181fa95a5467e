//! Requests to a region, and what its answers mean for the command.

use std::io;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, Method, Request, Response, header};
use ureq::unversioned::multipart::{Form, Part};
use ureq::{Agent, Body};

use super::failure::{Failure, Problem, Refusal};

/// A region that is there takes a connection at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Above every deadline that a region has of its own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A page of the largest rows; a guard against what is no region.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// All that may not stand as it is in a segment of a path or a value of a query.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One region.
pub(super) struct Client {
    agent: Agent,
    url: String,
    authorization: Option<String>,
}

/// A region's answer to a request that it carried out.
pub(super) struct Answer {
    /// The HTTP status, 200 to 299.
    pub(super) status: u16,
    headers: HeaderMap,
    /// The body as it came.
    pub(super) body: Vec<u8>,
}

/// What an upload says.
pub(super) struct Upload<'a> {
    pub(super) component: &'a [u8],
    pub(super) table: &'a str,
    /// Cases to verify it with, as JSON.
    pub(super) cases: Option<String>,
    /// How it is to be rolled out, as JSON.
    pub(super) rollout: Option<String>,
}

impl Client {
    /// A client of the region at `url`, which has no slash at its end.
    pub(super) fn new(url: &str, token: Option<&str>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            // A region is named by its own address; a proxy meant for the web would not find it.
            .proxy(None)
            .user_agent(concat!("syncline/", env!("CARGO_PKG_VERSION")))
            .build();
        let authorization = token.map(|token| format!("Bearer {token}"));
        Self { agent: config.new_agent(), url: url.to_owned(), authorization }
    }

    /// Asks for something. A parameter without a value is left out.
    pub(super) fn get(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
    ) -> Result<Answer, Failure> {
        let mut path = path.to_owned();
        let given = query.iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        for (i, (name, value)) in given.enumerate() {
            path.push_str(if i == 0 { "?" } else { "&" });
            path.push_str(&format!("{name}={}", encode(value)));
        }
        self.send(Method::GET, &path, &[], Vec::new())
    }

    /// Sends a request with these headers and this body.
    pub(super) fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let has_body = method == Method::PUT || method == Method::POST;
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        let authorization = self.authorization.iter().map(|value| ("authorization", value));
        for (name, value) in headers.iter().map(|(name, value)| (*name, value)).chain(authorization)
        {
            request = request.header(name, value);
        }
        let wrong = |error: ureq::http::Error| {
            Failure::Usage(format!("this cannot be sent as an HTTP request: {error}"))
        };
        let sent = if has_body {
            self.agent.run(request.body(body).map_err(wrong)?)
        } else {
            self.agent.run(request.body(()).map_err(wrong)?)
        };
        self.answer(sent)
    }

    /// Uploads a component, or asks what would come of that.
    pub(super) fn upload(&self, upload: Upload<'_>, plan: bool) -> Result<Answer, Failure> {
        let Upload { component, table, cases, rollout } = upload;
        let file = Part::bytes(component)
            .file_name("component.wasm")
            .mime_str("application/wasm")
            .map_err(|error| self.unreachable(&error))?;
        // The table first, so that a region can refuse it before it reads the component.
        let mut form = Form::new().text("table", table);
        if let Some(cases) = &cases {
            form = form.text("cases", cases);
        }
        if let Some(rollout) = &rollout {
            form = form.text("rollout", rollout);
        }
        let form = form.part("component", file);
        let query = if plan { "?plan=true" } else { "" };
        let mut request = self.agent.post(format!("{}/v1/merge-functions{query}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.answer(request.send(form))
    }

    fn answer(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<Answer, Failure> {
        let mut response = sent.map_err(|error| self.unreachable(&error))?;
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| self.unreachable(&error))?;
        let (parts, _) = response.into_parts();
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
        if parts.status.is_success() { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    fn refusal(&self, answer: &Answer) -> Failure {
        let document: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
        let document = document.filter(serde_json::Value::is_object);
        let problem = document.as_ref().and_then(Problem::read);
        match (document, problem) {
            (Some(document), Some(problem)) => Failure::Refused(Box::new(Refusal {
                status: answer.status,
                problem,
                retry_after: answer.header("retry-after").map(str::to_owned),
                document,
            })),
            _ => self.not_a_region(&format!("status {} without a reason", answer.status)),
        }
    }

    /// Nothing came, or not to the end.
    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let reason = match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "the connection is refused".to_owned()
            }
            ureq::Error::HostNotFound => "there is no such host".to_owned(),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                return Failure::Usage(format!("{} is not an address: {error}", self.url));
            }
            error => error.to_string(),
        };
        Failure::Unreachable { url: self.url.clone(), reason }
    }

    fn not_a_region(&self, what: &str) -> Failure {
        let url = &self.url;
        Failure::Failed(format!("{url} does not answer like a region of Syncline: {what}"))
    }

    /// Reads an answer's JSON.
    pub(super) fn decode<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        serde_json::from_slice(&answer.body).map_err(|error| self.not_a_region(&error.to_string()))
    }
}

impl Problem {
    fn read(document: &serde_json::Value) -> Option<Self> {
        let problem: Self = serde_json::from_value(document.clone()).ok()?;
        // Every problem has a code; JSON without one is some other server's.
        (!problem.code.is_empty()).then_some(problem)
    }
}

impl Answer {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The row's ETag.
    pub(super) fn etag(&self) -> Option<&str> {
        self.header(header::ETAG.as_str())
    }
}

/// One segment of a path, or one value of a query.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_segment_whatever_is_in_it() {
        assert_eq!(encode("c-17_a.b~"), "c-17_a.b~");
        assert_eq!(encode("../a b?c#d%é"), "..%2Fa%20b%3Fc%23d%25%C3%A9");
    }
}
