//! What a region answers.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use ureq::http::HeaderMap;

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// A row as a region holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The image's bytes.
    pub image: Vec<u8>,
    /// The row's ETag, with its quotes.
    pub etag: String,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The code of a problem document; empty where the answer is none.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The ETag, with its quotes.
    ///
    /// # Errors
    /// There is none.
    pub fn etag(&self) -> Result<String> {
        Ok(self.header("etag").with_context(|| format!("no ETag in {self}"))?.to_owned())
    }

    /// True if the region did what it was asked for.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer, if the region did what it was asked for.
    ///
    /// # Errors
    /// It refused.
    pub fn success(self) -> Result<Self> {
        ensure!(self.is_success(), "refused with {self}");
        Ok(self)
    }

    /// The row that was read; none where there is none.
    ///
    /// # Errors
    /// The answer is neither.
    pub fn row(self) -> Result<Option<Row>> {
        match self.status {
            200 => Ok(Some(Row { etag: self.etag()?, image: self.body })),
            404 if self.code() == "row-not-found" => Ok(None),
            _ => bail!("a row was asked for, and the answer is {self}"),
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
