//! A client of one region.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request};
use ureq::unversioned::multipart::{Form, Part};

use crate::answer::{Answer, Row};
use crate::digests::Digests;
use crate::wait::{PATIENCE, wait_for};

/// A region that takes longer has hung, and so would the test.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// One region. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Region {
    /// The region's name.
    pub name: String,
    /// Where its API is.
    pub url: String,
    agent: Agent,
}

/// What must be true of a row for a write to be carried out.
#[derive(Clone, Copy, Debug)]
pub enum If<'a> {
    /// Nothing.
    Always,
    /// It has this ETag.
    Match(&'a str),
    /// There is no such row.
    Absent,
}

impl Region {
    /// A client of the region at `url`.
    pub fn new(name: &str, url: &str) -> Self {
        Self::with_timeout(name, url, ANSWER_TIMEOUT)
    }

    /// A client that gives up on an answer after so long.
    pub fn with_timeout(name: &str, url: &str, timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .proxy(None)
            .build();
        Self { name: name.to_owned(), url: url.to_owned(), agent: config.new_agent() }
    }

    /// Sends any request. An error means that no answer came, so whether the request was carried out
    /// is not known.
    ///
    /// # Errors
    /// No answer came.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer> {
        let method: Method = method.parse()?;
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = match body {
            Some(body) => self.agent.run(request.body(body)?),
            None => self.agent.run(request.body(())?),
        };
        read(sent).with_context(|| format!("ask {} for {path}", self.name))
    }

    /// A resource of the API.
    ///
    /// # Errors
    /// The region does not give it.
    pub fn get_json(&self, path: &str) -> Result<Value> {
        Ok(self.request("GET", path, &[], None)?.success()?.json())
    }

    /// Reads a row; none where there is none.
    ///
    /// # Errors
    /// No answer came, or another than a row or its absence.
    pub fn get(&self, table: &str, row_pk: &str) -> Result<Option<Row>> {
        self.request("GET", &row_path(table, row_pk), &[], None)?.row()
    }

    /// Writes a row.
    ///
    /// # Errors
    /// No answer came.
    pub fn put(&self, table: &str, row_pk: &str, image: &str, only_if: If<'_>) -> Result<Answer> {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(only_if.header());
        self.request("PUT", &row_path(table, row_pk), &headers, Some(image.as_bytes()))
    }

    /// Deletes a row.
    ///
    /// # Errors
    /// No answer came.
    pub fn delete(&self, table: &str, row_pk: &str, only_if: If<'_>) -> Result<Answer> {
        let headers: Vec<_> = only_if.header().into_iter().collect();
        self.request("DELETE", &row_path(table, row_pk), &headers, None)
    }

    /// Every row of a table: key and row, in the order of keys.
    ///
    /// # Errors
    /// The region does not give them.
    pub fn rows(&self, table: &str) -> Result<Vec<(String, Value)>> {
        let items = self.all_pages(&format!("/v1/tables/{}/rows?limit=500", encoded(table)))?;
        let row = |item: Value| {
            (item["row_pk"].as_str().unwrap_or_default().to_owned(), item["image"].clone())
        };
        Ok(items.into_iter().map(row).collect())
    }

    /// Uploads a merge function for a table.
    ///
    /// # Errors
    /// No answer came.
    pub fn upload(&self, table: &str, component: &[u8]) -> Result<Answer> {
        self.upload_with(table, component, &Value::Null)
    }

    /// As [`Region::upload`], with how it is to be rolled out, as the API takes it.
    ///
    /// # Errors
    /// No answer came.
    pub fn upload_with(&self, table: &str, component: &[u8], rollout: &Value) -> Result<Answer> {
        let part =
            Part::bytes(component).file_name("function.wasm").mime_str("application/wasm")?;
        let rollout = (!rollout.is_null()).then(|| rollout.to_string());
        let mut form = Form::new().text("table", table);
        if let Some(rollout) = &rollout {
            form = form.text("rollout", rollout);
        }
        let form = form.part("component", part);
        let sent = self.agent.post(format!("{}/v1/merge-functions", self.url)).send(form);
        read(sent).with_context(|| format!("upload to {}", self.name))
    }

    /// Uploads a merge function for a table and waits until it is active in all regions; gives its
    /// version.
    ///
    /// # Errors
    /// It is refused, or the rollout does not come to its end.
    pub fn deploy(&self, table: &str, component: &[u8]) -> Result<String> {
        let uploaded = self.upload(table, component)?.success()?.json();
        let id = uploaded["rollout_id"].as_str().context("an upload has a rollout")?.to_owned();
        wait_for("the rollout to be complete", PATIENCE, || {
            let rollout = self.get_json(&format!("/v1/rollouts/{id}"))?;
            ensure!(rollout["state"] == "complete", "{rollout}");
            Ok(())
        })?;
        Ok(uploaded["version"].as_str().context("an upload has a version")?.to_owned())
    }

    /// The merge functions that the region knows.
    ///
    /// # Errors
    /// The region does not give them.
    pub fn functions(&self) -> Result<Vec<Value>> {
        Ok(items(&self.get_json("/v1/merge-functions")?))
    }

    /// Every conflict in the region's log that a query selects, such as `table=carts`.
    ///
    /// # Errors
    /// The region does not give them.
    pub fn conflicts(&self, query: &str) -> Result<Vec<Value>> {
        self.all_pages(&format!("/v1/conflicts?limit=500&{query}"))
    }

    /// One conflict, with ancestor, sides and result.
    ///
    /// # Errors
    /// The region does not have it.
    pub fn conflict(&self, id: &str) -> Result<Value> {
        self.get_json(&format!("/v1/conflicts/{id}"))
    }

    /// The region's digests.
    ///
    /// # Errors
    /// The region does not give them.
    pub fn digests(&self) -> Result<Digests> {
        let answer = self.request("GET", "/v1/digests", &[], None)?.success()?;
        serde_json::from_slice(&answer.body).context("read the digests")
    }

    /// The region's links to the others.
    ///
    /// # Errors
    /// The region does not give them.
    pub fn topology(&self) -> Result<Value> {
        self.get_json("/v1/topology")
    }

    /// Cuts the link between two regions of the process.
    ///
    /// # Errors
    /// It cannot be cut.
    pub fn cut(&self, a: &str, b: &str) -> Result<()> {
        self.set_link(a, b, "cut")
    }

    /// Heals the link between two regions of the process.
    ///
    /// # Errors
    /// It cannot be healed.
    pub fn heal(&self, a: &str, b: &str) -> Result<()> {
        self.set_link(a, b, "heal")
    }

    fn set_link(&self, a: &str, b: &str, verb: &str) -> Result<()> {
        let path = format!("/v1/dev/links/{}/{}/{verb}", encoded(a), encoded(b));
        self.request("POST", &path, &[], Some(b""))?.success()?;
        Ok(())
    }

    fn all_pages(&self, path: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get_json(&format!("{path}{cursor}"))?;
            all.extend(items(&page));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", encoded(next)),
                None => return Ok(all),
            }
        }
    }
}

impl<'a> If<'a> {
    fn header(self) -> Option<(&'static str, &'a str)> {
        match self {
            Self::Always => None,
            Self::Match(etag) => Some(("if-match", etag)),
            Self::Absent => Some(("if-none-match", "*")),
        }
    }
}

fn read(sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut response = sent?;
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
    let (parts, _) = response.into_parts();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

fn items(page: &Value) -> Vec<Value> {
    page["items"].as_array().cloned().unwrap_or_default()
}

fn row_path(table: &str, row_pk: &str) -> String {
    format!("/v1/tables/{}/rows/{}", encoded(table), encoded(row_pk))
}

/// One segment of a path, or one value of a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
