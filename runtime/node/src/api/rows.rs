//! Rows.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use syncline_applier::WriteError as NotTaken;
use syncline_core::{
    Behind, IMAGE_BYTES_MAX, Image, NotCanonical, Operation, RowPk, WriteRefused, partition_of,
};
use syncline_store::kv::{row, waiting};
use syncline_store::rows_of_table;

use super::params::{self, Params, PathOf, QueryOf, etag};
use super::{Api, blocking, body, pass};
use crate::problem::{Code, Problem};
use crate::region::{Acknowledged, Region, WriteError, clock_ahead};
use crate::text::rfc3339;

/// A row may come with white space and escapes that its canonical form has not.
pub(super) const BODY_BYTES_MAX: usize = 4 * IMAGE_BYTES_MAX;

const HLC: HeaderName = HeaderName::from_static("syncline-hlc");
const WAITING: HeaderName = HeaderName::from_static("syncline-waiting");

fn header_value(text: String) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(text).map_err(|error| Problem::new(Code::Internal, error))
}

/// `GET /v1/tables/{table}/rows/{pk}`
pub(super) async fn get(
    State(api): State<Api>,
    parts: PathOf<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = params::row(parts)?;
    let region = api.region;
    let read = move || {
        let partition = partition_of(&key, region.partitions());
        let state = row::get(region.store(), partition, &key)?;
        let waits = waiting::of_row(region.store(), partition, &key)?.len();
        Ok((key, state, waits))
    };
    let (key, state, waits) = blocking(read).await?;
    let mut response = match state.as_ref().and_then(|state| state.image.clone().zip(Some(state))) {
        None => {
            let detail = format!("table {} has no row {}", key.table, key.pk);
            Problem::new(Code::RowNotFound, detail).into_response()
        }
        Some((image, state)) => {
            let known = params::is_known(&headers, state.tag())?;
            let mut response = if known {
                StatusCode::NOT_MODIFIED.into_response()
            } else {
                let json = [(header::CONTENT_TYPE, "application/json")];
                (json, image.as_bytes().to_vec()).into_response()
            };
            let headers = response.headers_mut();
            headers.insert(header::ETAG, header_value(etag(state.tag()))?);
            headers.insert(HLC, header_value(state.hlc().to_string())?);
            response
        }
    };
    if waits > 0 {
        response.headers_mut().insert(WAITING, waits.into());
    }
    Ok(response)
}

/// `PUT /v1/tables/{table}/rows/{pk}`
pub(super) async fn put(
    State(api): State<Api>,
    parts: PathOf<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = params::row(parts)?;
    body::check_json(&headers)?;
    let precondition = params::precondition(&headers)?;
    let bytes = body::read(body, BODY_BYTES_MAX).await?;
    let image = Image::canonicalize(&bytes).map_err(not_a_row)?;
    let written = api.region.write(key, precondition, Some(image)).await;
    acknowledge(&api.region, written.map_err(|error| refused(&api.region, error))?)
}

/// `DELETE /v1/tables/{table}/rows/{pk}`
pub(super) async fn delete(
    State(api): State<Api>,
    parts: PathOf<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = params::row(parts)?;
    let precondition = params::precondition(&headers)?;
    let written = api.region.write(key, precondition, None).await;
    acknowledge(&api.region, written.map_err(|error| refused(&api.region, error))?)
}

fn not_a_row(error: NotCanonical) -> Problem {
    let code = match error {
        NotCanonical::TooLarge { .. } => Code::RowTooLarge,
        _ => Code::InvalidRow,
    };
    Problem::new(code, error)
}

fn acknowledge(region: &Region, acknowledged: Acknowledged) -> Result<Response, Problem> {
    let Acknowledged { partition, written } = acknowledged;
    let status = match written.operation {
        Operation::Insert => StatusCode::CREATED,
        Operation::Update | Operation::Delete => StatusCode::OK,
    };
    let token = format!("{}/{partition}@{}", region.id(), written.hlc);
    let tag = header_value(etag(written.tag))?;
    let hlc = written.hlc.to_string();
    Ok((status, [(header::ETAG, tag)], Json(json!({"token": token, "hlc": hlc}))).into_response())
}

/// Why the region did not take a write, and what to do.
pub(super) fn refused(region: &Region, error: WriteError) -> Problem {
    let own_log = region.own_log().map(|(reason, _)| reason);
    refusal(error, own_log.as_deref())
}

/// `own_log` says why the region's own log cannot be written, if it cannot.
fn refusal(error: WriteError, own_log: Option<&str>) -> Problem {
    match error {
        WriteError::NotTaken(error) => not_taken(error, own_log),
        WriteError::Overloaded => Problem::new(Code::TooManyRequests, error).retry_after(1),
        WriteError::TooManyTables { .. } => Problem::new(Code::TooManyTables, error),
        WriteError::Starting { .. } => Problem::new(Code::Starting, error).retry_after(1),
        WriteError::Stopping => Problem::new(Code::Stopping, error).retry_after(5),
    }
}

fn not_taken(error: NotTaken, own_log: Option<&str>) -> Problem {
    match error {
        NotTaken::Refused(WriteRefused::Precondition { current }) => {
            let problem = Problem::new(Code::PreconditionFailed, "read the row again, and decide");
            problem.with("etag", current.map(etag))
        }
        NotTaken::Refused(WriteRefused::NotFound) => {
            Problem::new(Code::RowNotFound, "there is no such row to delete")
        }
        NotTaken::Refused(WriteRefused::OutboxFull { outstanding, behind }) => {
            regions_behind(outstanding, &behind, own_log)
        }
        NotTaken::Refused(WriteRefused::NotAMember) => {
            let detail = "this region is joining, or was evicted, which /readyz tells: write to \
                          another one";
            Problem::new(Code::NotAMember, detail).retry_after(5)
        }
        NotTaken::ClockAhead { by_ms } => {
            let problem = Problem::new(Code::ClockAhead, clock_ahead(by_ms)).retry_after(5);
            problem.with("ahead_ms", by_ms)
        }
        NotTaken::Refused(WriteRefused::ClockBehind) | NotTaken::ClockExhausted => {
            Problem::new(Code::ClockAhead, "set the clock of this region right").retry_after(5)
        }
        NotTaken::NoSpace(_) => Problem::new(Code::NoSpace, error).retry_after(10),
        NotTaken::Store(_) => Problem::new(Code::StoreUnavailable, error).retry_after(10),
    }
}

fn regions_behind(outstanding: usize, behind: &[Behind], own_log: Option<&str>) -> Problem {
    let names: Vec<String> = behind.iter().map(|behind| behind.region.to_string()).collect();
    let since = behind.iter().map(|behind| rfc3339(behind.since.bits() >> 16)).min();
    let from = since.as_deref().unwrap_or_default();
    let detail = match own_log {
        // Nobody can confirm what does not get there, however the others are.
        Some(reason) => format!(
            "{outstanding} changes of this partition, from {from} on, are not confirmed, and cannot \
             be while this region's own log cannot be written: {reason}"
        ),
        None => format!(
            "{outstanding} changes of this partition, from {from} on, are not confirmed by {}: bring \
             that back, or evict it",
            names.join(", ")
        ),
    };
    let problem = Problem::new(Code::RegionsBehind, detail);
    problem.with("behind", names).with("behind_since", since).retry_after(5)
}

#[derive(Serialize, Deserialize)]
struct Page {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Item {
    row_pk: String,
    image: Box<RawValue>,
    etag: String,
}

/// `GET /v1/tables/{table}/rows?prefix=&limit=&cursor=`
pub(super) async fn list(
    State(api): State<Api>,
    name: PathOf<String>,
    query: QueryOf,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let table = params::table(&params::path(name)?)?;
    let params = Params::of(query, &["prefix", "limit", "cursor"])?;
    let limit = params.limit(100, 1000)?;
    let prefix = params.text("prefix").unwrap_or_default().to_owned();
    let after = match params.text("cursor") {
        None => None,
        Some(cursor) => Some(cursor_of(cursor)?),
    };
    let region = Arc::clone(&api.region);
    let read = move || {
        let (store, partitions) = (region.store(), region.partitions());
        Ok(rows_of_table(store, partitions, &table, &prefix, after.as_ref(), limit)?)
    };
    let page = blocking(read).await?;
    let mut items = Vec::with_capacity(page.rows.len());
    for (pk, state) in page.rows {
        let Some(image) = &state.image else { continue };
        items.push(Item { row_pk: pk.to_string(), image: raw(image)?, etag: etag(state.tag()) });
    }
    let next_cursor = page.next.map(|pk| hex::encode(pk.as_str()));
    let mut pages = vec![Page { items, next_cursor }];
    if !headers.contains_key(&pass::PASSED_BY) {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        for answer in pass::ask_others(&api, path).await? {
            pages.push(answer.json()?);
        }
    }
    Ok(Json(Page::of_all(pages, limit)?).into_response())
}

impl Page {
    /// One page of those of all nodes. Where one of them goes on, nothing is known of what is behind
    /// its last row, whatever the others have there.
    fn of_all(pages: Vec<Self>, limit: usize) -> Result<Self, Problem> {
        let (mut items, mut upto) = (Vec::new(), None);
        for page in pages {
            if let Some(cursor) = &page.next_cursor {
                let last = cursor_of(cursor)?;
                upto = Some(upto.map_or(last.clone(), |upto: RowPk| upto.min(last)));
            }
            items.extend(page.items);
        }
        items.sort_by(|a: &Item, b: &Item| a.row_pk.cmp(&b.row_pk));
        if let Some(upto) = &upto {
            items.retain(|item| item.row_pk.as_str() <= upto.as_str());
        }
        if items.len() > limit {
            items.truncate(limit);
            upto = items.last().and_then(|item| item.row_pk.parse().ok());
        }
        let next_cursor = upto.map(|pk| hex::encode(pk.as_str()));
        Ok(Self { items, next_cursor })
    }
}

fn cursor_of(cursor: &str) -> Result<RowPk, Problem> {
    let wrong = || Problem::new(Code::InvalidCursor, "use next_cursor as it was given");
    let pk = hex::decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    pk.and_then(|pk| pk.parse().ok()).ok_or_else(wrong)
}

/// An image as it stands, for use within another document.
pub(super) fn raw(image: &Image) -> Result<Box<RawValue>, Problem> {
    let text = std::str::from_utf8(image.as_bytes()).unwrap_or_default().to_owned();
    RawValue::from_string(text).map_err(|error| Problem::new(Code::StoreUnavailable, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::Hlc;

    async fn document(problem: Problem) -> (u16, String, serde_json::Value) {
        let response = problem.into_response();
        let retry = response.headers().get(header::RETRY_AFTER);
        let retry = retry.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let status = response.status().as_u16();
        let bytes = body::read(response.into_body(), 1 << 16).await.unwrap();
        (status, retry, serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn pages_of_all_nodes_are_one_page_without_a_hole() {
        let page = |keys: &[&str], next: Option<&str>| Page {
            items: keys
                .iter()
                .map(|pk| Item {
                    row_pk: pk.to_string(),
                    image: RawValue::from_string("{}".into()).unwrap(),
                    etag: String::new(),
                })
                .collect(),
            next_cursor: next.map(hex::encode),
        };
        let merged = |pages: Vec<Page>, limit| {
            let page = Page::of_all(pages, limit).unwrap();
            let next = page.next_cursor.map(|next| cursor_of(&next).unwrap().to_string());
            (page.items.into_iter().map(|item| item.row_pk).collect::<Vec<_>>(), next)
        };
        let next = |pk: &str| Some(pk.to_owned());
        let all = merged(vec![page(&["b", "d"], None), page(&["a", "c"], None)], 10);
        assert_eq!(all, (vec!["a".into(), "b".into(), "c".into(), "d".into()], None));
        let cut = merged(vec![page(&["b", "d"], None), page(&["a", "c"], None)], 2);
        assert_eq!(cut, (vec!["a".into(), "b".into()], next("b")));
        // The first node may have more behind b2, where it stopped: d is for the next page.
        let short = merged(vec![page(&["b"], Some("b2")), page(&["a", "d"], Some("e"))], 10);
        assert_eq!(short, (vec!["a".into(), "b".into()], next("b2")));
        let empty = merged(vec![page(&[], Some("x")), page(&["y"], None)], 10);
        assert_eq!(empty, (vec![], next("x")));
    }

    #[tokio::test]
    async fn at_a_limit_a_writer_learns_who_is_behind_and_when_to_come_again() {
        let since = Hlc::new(1_795_203_212_955, 3).unwrap();
        let behind = |name: &str| Behind { region: name.parse().unwrap(), since };
        let behind = vec![behind("ap-south-1"), behind("eu-west-1#2")];
        let full = WriteRefused::OutboxFull { outstanding: 7, behind };
        let full = || WriteError::NotTaken(full.clone().into());
        let (status, retry, problem) = document(refusal(full(), None)).await;
        assert_eq!((status, retry.as_str()), (503, "5"));
        assert_eq!(problem["code"], "regions-behind");
        assert_eq!(problem["behind"], json!(["ap-south-1", "eu-west-1#2"]));
        assert_eq!(problem["behind_since"], "2026-11-20T19:33:32.955Z");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("ap-south-1, eu-west-1#2") && detail.contains("2026-11-20"));

        // What does not get there is nobody's fault but this region's.
        let (status, _, problem) = document(refusal(full(), Some("no way there"))).await;
        assert_eq!((status, &problem["code"]), (503, &json!("regions-behind")));
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.ends_with("own log cannot be written: no way there"), "{detail}");
        assert!(!detail.contains("ap-south-1") && !detail.contains("evict"), "{detail}");

        let ahead = NotTaken::ClockAhead { by_ms: 9_000 };
        let ahead = refusal(WriteError::NotTaken(ahead), None);
        let (status, retry, problem) = document(ahead).await;
        assert_eq!((status, retry.as_str()), (503, "5"));
        assert_eq!(
            (&problem["code"], &problem["ahead_ms"]),
            (&json!("clock-ahead"), &json!(9_000))
        );

        let (status, retry, problem) = document(refusal(WriteError::Overloaded, None)).await;
        assert_eq!((status, retry.as_str()), (429, "1"));
        assert_eq!(problem["code"], "too-many-requests");
    }
}
