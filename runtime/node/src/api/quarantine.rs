//! Records that could not be read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Value, json};
use syncline_applier::{KeptAction, KeptDone, KeptWork, Replayed};
use syncline_bus::Envelope;
use syncline_core::{CONTROL_PARTITION, RegionId};
use syncline_store::kv::quarantine::{self, QuarantineFilter, QuarantineId, Quarantined};

use super::params::{self, Params, PathOf, QueryOf};
use super::{Api, blocking};
use crate::problem::{Code, Problem};
use crate::region::KeptError;
use crate::text::rfc3339;

#[derive(Serialize)]
struct Item {
    id: String,
    source: String,
    lane: &'static str,
    /// None in the control lane, which has no partitions.
    partition: Option<u32>,
    /// Of the bus, where it has such; what the id ends with need not be one.
    offset: Option<u64>,
    reason: String,
    quarantined_at: String,
    raw_bytes: u64,
    truncated: bool,
}

#[derive(Serialize)]
pub(super) struct Page {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    item: Item,
    damaged: bool,
    raw_base64: String,
    /// Where it is UTF-8.
    raw_text: Option<String>,
    /// Where it is one.
    record: Option<Record>,
}

/// A record, taken apart.
#[derive(Serialize)]
struct Record {
    key: String,
    headers: Vec<Header>,
    payload_base64: String,
    /// Where it is UTF-8.
    payload_text: Option<String>,
}

#[derive(Serialize)]
struct Header {
    name: String,
    value: String,
}

/// The lane, and the partition where the lane has partitions.
pub(super) fn lane(partition: u32) -> (&'static str, Option<u32>) {
    match partition {
        CONTROL_PARTITION => ("control", None),
        partition => ("changes", Some(partition)),
    }
}

/// `GET /v1/quarantine?source=&partition=&limit=&cursor=`
pub(super) async fn list(State(api): State<Api>, query: QueryOf) -> Result<Json<Page>, Problem> {
    let params = Params::of(query, &["source", "partition", "limit", "cursor"])?;
    let filter = filter(&params)?;
    let limit = params.limit(100, 1000)?;
    let after: Option<QuarantineId> = params.cursor()?;
    let region = Arc::clone(&api.region);
    let read = move || Ok(quarantine::page(region.store(), &filter, after.as_ref(), limit)?);
    let page = blocking(read).await?;
    let offset = |kept: &Quarantined| api.region.offset(kept.id.position);
    Ok(Json(Page {
        items: page.records.iter().map(|kept| item(kept, offset(kept))).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

fn filter(params: &Params) -> Result<QuarantineFilter, Problem> {
    let wrong = |what: String| Problem::new(Code::InvalidRequest, what);
    let source = params.text("source").map(str::parse::<RegionId>).transpose();
    let partition = match params.text("partition") {
        None => None,
        Some("control") => Some(CONTROL_PARTITION),
        Some(text) => Some(
            text.parse::<u32>()
                .map_err(|_| wrong(format!("partition is a number or control, not {text:?}")))?,
        ),
    };
    Ok(QuarantineFilter { source: source.map_err(|error| wrong(error.to_string()))?, partition })
}

/// `GET /v1/quarantine/{id}`
pub(super) async fn show(
    State(api): State<Api>,
    id: PathOf<String>,
) -> Result<Json<Whole>, Problem> {
    let id = id_of(id)?;
    let region = Arc::clone(&api.region);
    let key = id.clone();
    let kept = blocking(move || Ok(quarantine::get(region.store(), &key)?)).await?;
    let kept = kept.ok_or_else(|| not_kept(&id))?;
    Ok(Json(whole(&kept, api.region.offset(id.position))))
}

/// `POST /v1/quarantine/{id}/replay`
pub(super) async fn replay(
    State(api): State<Api>,
    id: PathOf<String>,
) -> Result<Json<Value>, Problem> {
    let id = id_of(id)?;
    let replayed = match handle(&api, &id, KeptAction::Replay).await? {
        KeptDone::Replayed(replayed) => replayed,
        KeptDone::Refused(why) => return Err(Problem::new(Code::NotReplayable, why)),
        KeptDone::NotKept | KeptDone::Dropped => return Err(not_kept(&id)),
    };
    let kept = !replayed.is_settled();
    let (outcome, reason) = match replayed {
        Replayed::Applied => ("applied", None),
        Replayed::Waiting => ("waiting", None),
        Replayed::Duplicate => ("duplicate", None),
        Replayed::Dropped => ("dropped", None),
        Replayed::Gap => ("gap", None),
        Replayed::Unreadable { reason } => ("unreadable", Some(reason)),
    };
    let id = id.to_string();
    Ok(Json(json!({"id": id, "outcome": outcome, "reason": reason, "kept": kept})))
}

/// `DELETE /v1/quarantine/{id}`
pub(super) async fn drop_kept(
    State(api): State<Api>,
    id: PathOf<String>,
) -> Result<Json<Value>, Problem> {
    let id = id_of(id)?;
    match handle(&api, &id, KeptAction::Drop).await? {
        KeptDone::NotKept => Err(not_kept(&id)),
        _ => Ok(Json(json!({"id": id.to_string(), "kept": false}))),
    }
}

async fn handle(api: &Api, id: &QuarantineId, action: KeptAction) -> Result<KeptDone, Problem> {
    let done = api.region.handle_kept(KeptWork { id: id.clone(), action }).await;
    done.map_err(|error| match &error {
        KeptError::NoSpace(_) => Problem::new(Code::NoSpace, error).retry_after(10),
        KeptError::Store(_) => Problem::new(Code::StoreUnavailable, error).retry_after(10),
        KeptError::Stopping => Problem::new(Code::Stopping, error).retry_after(5),
    })
}

fn id_of(id: PathOf<String>) -> Result<QuarantineId, Problem> {
    params::path(id)?.parse().map_err(|error| Problem::new(Code::InvalidRequest, error))
}

fn not_kept(id: &QuarantineId) -> Problem {
    let detail = format!(
        "no record {id} is kept: it was taken or dropped, or gave way to {} newer ones",
        quarantine::QUARANTINED_MAX
    );
    Problem::new(Code::QuarantinedNotFound, detail)
}

fn item(kept: &Quarantined, offset: Option<u64>) -> Item {
    let (lane, partition) = lane(kept.id.partition);
    Item {
        id: kept.id.to_string(),
        source: kept.id.source.to_string(),
        lane,
        partition,
        offset,
        reason: kept.reason.clone(),
        quarantined_at: rfc3339(kept.at_ms),
        raw_bytes: kept.raw_bytes,
        truncated: kept.is_truncated(),
    }
}

fn whole(kept: &Quarantined, offset: Option<u64>) -> Whole {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    // Of a record that came whole, texts that are none are shown as far as they go.
    let envelope = match kept.whole {
        true => Envelope::from_bytes_lossy(&kept.raw),
        false => Envelope::from_bytes(&kept.raw),
    };
    let envelope = envelope.ok().filter(|_| !kept.is_truncated());
    let record = envelope.map(|Envelope { key, headers, payload }| Record {
        key,
        headers: headers.into_iter().map(|(name, value)| Header { name, value }).collect(),
        payload_base64: BASE64.encode(&payload),
        payload_text: text(&payload),
    });
    Whole {
        item: item(kept, offset),
        damaged: !kept.whole,
        raw_base64: BASE64.encode(&kept.raw),
        raw_text: text(&kept.raw),
        record,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_shown_as_it_came_and_taken_apart_where_it_can_be() {
        let envelope = Envelope {
            key: "carts/c-1".into(),
            headers: vec![("kind".into(), "change".into())],
            payload: b"{not JSON".to_vec(),
        };
        let raw = envelope.to_bytes();
        let id = "eu-west-1.2.control.7".parse().unwrap();
        let kept = Quarantined {
            id,
            reason: "its payload is not JSON".into(),
            at_ms: 1_795_203_212_955,
            raw_bytes: raw.len() as u64,
            raw: raw.clone(),
            whole: true,
        };
        let shown = serde_json::to_value(whole(&kept, Some(7))).unwrap();
        assert_eq!(shown["id"], "eu-west-1.2.control.7");
        assert_eq!((&shown["source"], &shown["lane"]), (&json!("eu-west-1#2"), &json!("control")));
        assert_eq!((&shown["partition"], &shown["offset"]), (&Value::Null, &json!(7)));
        assert_eq!(shown["quarantined_at"], "2026-11-20T19:33:32.955Z");
        assert_eq!((&shown["truncated"], &shown["damaged"]), (&json!(false), &json!(false)));
        assert_eq!(BASE64.decode(shown["raw_base64"].as_str().unwrap()).unwrap(), raw);
        let record = json!({"key": "carts/c-1", "headers": [{"name": "kind", "value": "change"}],
            "payload_text": "{not JSON", "payload_base64": BASE64.encode(b"{not JSON")});
        assert_eq!(shown["record"], record);

        let cut = Quarantined { raw: vec![0xff, 0x00], raw_bytes: 70_000, whole: false, ..kept };
        let shown = serde_json::to_value(whole(&cut, None)).unwrap();
        assert_eq!((&shown["truncated"], &shown["damaged"]), (&json!(true), &json!(true)));
        assert_eq!((&shown["raw_text"], &shown["record"]), (&Value::Null, &Value::Null));
        assert_eq!(shown["offset"], Value::Null);
        assert_eq!((&shown["raw_base64"], &shown["raw_bytes"]), (&json!("/wA="), &json!(70_000)));
    }
}
