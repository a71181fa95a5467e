//! Reading a request's body, within limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem};

/// A body that has not arrived by then is given up.
pub(super) const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// The whole body, at most `limit` bytes.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIME_MAX, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(broken(&error, limit)),
        Err(_) => Err(too_slow()),
    }
}

pub(super) fn too_slow() -> Problem {
    let seconds = BODY_TIME_MAX.as_secs();
    Problem::new(Code::BodyTooSlow, format!("the body did not arrive within {seconds} s"))
}

/// What broke off a body.
pub(super) fn broken(error: &(dyn std::error::Error + 'static), limit: usize) -> Problem {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            let detail = format!("the body is larger than {limit} bytes");
            return Problem::new(Code::BodyTooLarge, detail).with("limit", limit);
        }
        cause = error.source();
    }
    Problem::new(Code::BodyIncomplete, "the body ended before its end")
}

/// What a body says in JSON; nothing at all stands for the default.
pub(super) fn json_or_default<T: Default + DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    check_json(headers)?;
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))
}

/// Checks that the body is announced as JSON. curl's default for -d is let pass: the body is read as
/// JSON all the same.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or("?").to_ascii_lowercase();
    let essence = kind.split(';').next().unwrap_or("").trim();
    let is_json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
        || essence == "application/x-www-form-urlencoded";
    if is_json {
        return Ok(());
    }
    let detail = format!("a row is application/json, not {essence}");
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}
