//! Envelopes into records.

use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::{
    Change, ChangeId, ChangeRecord, ControlRecord, Heartbeat, Operation, RegionId, RowKey, RowPk,
};

use super::civil::rfc3339;
use super::control;
use super::encode::operation_word;
use super::entries::{Entries, Tags, Text};
use super::evidence::{self, Outcomes};
use super::fields::{self, Headers, Reason, check_same, check_tags};
use super::{
    CONTENT_TYPE, CONTROL_KEY, DecodeError, Decoded, HEARTBEAT_KEY, PAYLOAD_BYTES_MAX, WIRE_VERSION,
};
use crate::Envelope;

/// A reason is kept with the quarantined bytes and shown in logs; what a stranger wrote must not
/// make it longer than this.
const REASON_CHARS_MAX: usize = 300;

/// The longest key: the longest table name, `/`, the longest `row_pk`.
const KEY_BYTES_MAX: usize = 128 + 1 + RowPk::BYTES_MAX;

/// Understands a record, or says why not. What is returned has passed the record's own `check()`.
pub fn decode(envelope: &Envelope) -> Result<Decoded, DecodeError> {
    read(envelope).map_err(|reason| match (version_of(envelope), origin_of(envelope)) {
        (Some(version), Some(origin)) if version > WIRE_VERSION => {
            DecodeError::UnknownVersion { version, origin }
        }
        _ => DecodeError::Undecodable(bounded(reason)),
    })
}

/// Who made the record, if its headers are as Syncline writes them, in any version of the format:
/// a kind, the content's type, and the region. A stranger's JSON may well have a field `v`.
fn origin_of(envelope: &Envelope) -> Option<RegionId> {
    let headers = Headers::of(envelope).ok()?;
    headers.kind.filter(|_| headers.content_type == Some(CONTENT_TYPE))?;
    headers.region?.parse().ok()
}

fn bounded(reason: Reason) -> Reason {
    match reason.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason,
    }
}

#[derive(Deserialize)]
struct VersionAlone {
    v: u64,
}

/// The record's version, whatever else is in it. Looked at only when a record was refused, as the
/// usual one is of the version that this software reads.
fn version_of(envelope: &Envelope) -> Option<u64> {
    let json = payload_text(envelope).ok()?;
    fields::object::<VersionAlone>(json).ok().map(|alone| alone.v)
}

fn payload_text(envelope: &Envelope) -> Result<&str, Reason> {
    let bytes = envelope.payload.len();
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(format!("its payload has {bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}"));
    }
    std::str::from_utf8(&envelope.payload)
        .map_err(|error| format!("its payload is not UTF-8 at byte {}", error.valid_up_to()))
}

fn read(envelope: &Envelope) -> Result<Decoded, Reason> {
    let json = payload_text(envelope)?;
    let bytes = envelope.key.len();
    if bytes > KEY_BYTES_MAX {
        return Err(format!("its key has {bytes} bytes, the limit is {KEY_BYTES_MAX}"));
    }
    let headers = Headers::of(envelope)?;
    match headers.kind {
        Some("change") => change(envelope, &headers, json).map(Decoded::Change),
        Some("heartbeat") => heartbeat(envelope, &headers, json).map(Decoded::Heartbeat),
        Some("control") => control_record(envelope, &headers, json).map(Decoded::Control),
        Some(kind) => {
            let shown: String = kind.chars().take(80).collect();
            Err(format!("this software does not know the kind {shown:?}"))
        }
        None => Err("header kind is missing".to_owned()),
    }
}

fn check_version(v: u64) -> Result<(), Reason> {
    if v == WIRE_VERSION { Ok(()) } else { Err(format!("its version is {v}")) }
}

#[derive(Deserialize)]
struct ChangeJson<'a> {
    v: u64,
    #[serde(borrow)]
    event_id: Text<'a>,
    #[serde(borrow)]
    region_id: Text<'a>,
    incarnation: u32,
    #[serde(borrow)]
    table_name: Text<'a>,
    #[serde(borrow)]
    row_pk: Text<'a>,
    #[serde(borrow)]
    operation: Text<'a>,
    #[serde(borrow)]
    hlc_timestamp: Text<'a>,
    #[serde(borrow)]
    prev: Text<'a>,
    #[serde(borrow)]
    committed_at: Text<'a>,
    context: Entries,
    #[serde(borrow)]
    before_image: &'a RawValue,
    #[serde(borrow)]
    after_image: &'a RawValue,
    #[serde(borrow)]
    merge_function: Text<'a>,
    schema_version: u32,
    region_tags: Tags,
}

fn change(envelope: &Envelope, headers: &Headers<'_>, json: &str) -> Result<ChangeRecord, Reason> {
    let json: ChangeJson<'_> = fields::object(json)?;
    check_version(json.v)?;
    let region = fields::region(&json.region_id, json.incarnation)?;
    let id = ChangeId { hlc: fields::hlc("hlc_timestamp", &json.hlc_timestamp)?, region };
    let table = json.table_name.0.parse().map_err(invalid)?;
    let row = RowKey { table, pk: json.row_pk.0.parse().map_err(invalid)? };
    let key = envelope.key.strip_prefix(row.table.as_str()).and_then(|key| key.strip_prefix('/'));
    if key != Some(row.pk.as_str()) {
        check_same("the key", &envelope.key, &row.to_string())?;
    }
    headers.check(&id, Some(&json.event_id), Some(row.table.as_str()))?;
    check_same("committed_at", &json.committed_at.0, &rfc3339(id.hlc.millis()))?;
    if json.schema_version == 0 {
        return Err("schema_version is 0, the first is 1".to_owned());
    }
    check_tags(&json.region_tags, &id.region)?;
    let before = fields::image("before_image", json.before_image)?;
    let after = fields::image("after_image", json.after_image)?;
    let operation = Operation::of(before.as_ref(), after.as_ref());
    check_same("operation", &json.operation.0, operation_word(operation))?;
    let stamp = fields::stamp(&json.merge_function.0)?;
    let change = Change { id, context: json.context.0, operation, before, after, stamp };
    let prev = fields::hlc("prev", &json.prev)?;
    let record = ChangeRecord { row, change, prev };
    record.check().map_err(|error| error.to_string())?;
    Ok(record)
}

fn invalid(error: syncline_core::InvalidId) -> Reason {
    error.to_string()
}

#[derive(Deserialize)]
struct HeartbeatJson<'a> {
    v: u64,
    #[serde(borrow)]
    region_id: Text<'a>,
    incarnation: u32,
    #[serde(borrow)]
    hlc_timestamp: Text<'a>,
    #[serde(borrow)]
    prev: Text<'a>,
    watermarks: Entries,
    taken: Entries,
    #[serde(borrow, default)]
    engine: Option<Text<'a>>,
    #[serde(default)]
    outcomes: Option<Outcomes>,
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
    #[serde(default)]
    wall_ms: Option<u64>,
    region_tags: Tags,
}

fn heartbeat(envelope: &Envelope, headers: &Headers<'_>, json: &str) -> Result<Heartbeat, Reason> {
    let json: HeartbeatJson<'_> = fields::object(json)?;
    check_version(json.v)?;
    let region = fields::region(&json.region_id, json.incarnation)?;
    let id = ChangeId { hlc: fields::hlc("hlc_timestamp", &json.hlc_timestamp)?, region };
    check_same("the key", &envelope.key, HEARTBEAT_KEY)?;
    headers.check(&id, None, None)?;
    check_tags(&json.region_tags, &id.region)?;
    let beat = Heartbeat {
        region: id.region,
        hlc: id.hlc,
        prev: fields::hlc("prev", &json.prev)?,
        watermarks: json.watermarks.0,
        taken: json.taken.0,
        evidence: evidence::read(json.engine, json.outcomes, json.state)?,
        wall_ms: json.wall_ms.unwrap_or(id.hlc.millis()),
    };
    beat.check().map_err(|error| error.to_string())?;
    Ok(beat)
}

#[derive(Deserialize)]
struct ControlJson<'a> {
    v: u64,
    #[serde(borrow)]
    event_id: Text<'a>,
    #[serde(borrow)]
    region_id: Text<'a>,
    incarnation: u32,
    #[serde(borrow)]
    hlc_timestamp: Text<'a>,
    #[serde(borrow)]
    prev: Text<'a>,
    #[serde(borrow)]
    body: &'a RawValue,
}

fn control_record(
    envelope: &Envelope,
    headers: &Headers<'_>,
    json: &str,
) -> Result<ControlRecord, Reason> {
    let json: ControlJson<'_> = fields::object(json)?;
    check_version(json.v)?;
    let region = fields::region(&json.region_id, json.incarnation)?;
    let id = ChangeId { hlc: fields::hlc("hlc_timestamp", &json.hlc_timestamp)?, region };
    check_same("the key", &envelope.key, CONTROL_KEY)?;
    headers.check(&id, Some(&json.event_id), None)?;
    let prev = fields::hlc("prev", &json.prev)?;
    let record = ControlRecord { id, prev, body: control::body(json.body.get())? };
    record.check().map_err(|error| error.to_string())?;
    Ok(record)
}

#[derive(Deserialize)]
struct TagsAlone {
    region_tags: Tags,
}

/// The tags that a change or a heartbeat carries, its region's name among them; none where it has
/// none that can be read.
pub fn region_tags(envelope: &Envelope) -> Vec<RegionId> {
    let json = payload_text(envelope).ok();
    let alone = json.and_then(|json| fields::object::<TagsAlone>(json).ok());
    alone.map(|alone| alone.region_tags.0).unwrap_or_default()
}
