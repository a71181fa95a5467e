//! What records of every kind have in common, read and checked.

use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::{ChangeId, FunctionVersion, Hlc, Image, RegionId, Stamp};

use super::CONTENT_TYPE;
use super::entries::{Tags, Text};
use crate::Envelope;

/// Why a record is refused, for people. [`super::DecodeError`] is made of it at the edge.
pub(super) type Reason = String;

/// More headers than this are refused: this software writes five, a newer one may write more.
const HEADERS_MAX: usize = 64;
/// And so are headers of more bytes altogether.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// The headers that this software knows. Others are ignored.
#[derive(Default)]
pub(super) struct Headers<'a> {
    pub(super) kind: Option<&'a str>,
    pub(super) region: Option<&'a str>,
    event_id: Option<&'a str>,
    table: Option<&'a str>,
    pub(super) content_type: Option<&'a str>,
}

impl<'a> Headers<'a> {
    pub(super) fn of(envelope: &'a Envelope) -> Result<Self, Reason> {
        let bytes = envelope.headers.iter().map(|(name, value)| name.len() + value.len());
        if envelope.headers.len() > HEADERS_MAX || bytes.sum::<usize>() > HEADER_BYTES_MAX {
            return Err(format!(
                "its headers are over the limit of {HEADERS_MAX} or {HEADER_BYTES_MAX} bytes"
            ));
        }
        let mut headers = Self::default();
        for (name, value) in &envelope.headers {
            let known = match name.as_str() {
                "kind" => &mut headers.kind,
                "originating_region" => &mut headers.region,
                "event_id" => &mut headers.event_id,
                "table_name" => &mut headers.table,
                "content-type" => &mut headers.content_type,
                _ => continue,
            };
            if known.replace(value).is_some() {
                return Err(format!("header {name} stands twice"));
            }
        }
        Ok(headers)
    }

    /// Headers are what filters and tools go by, so they must say what the payload says.
    /// `event_id` is the payload's, where its kind has one.
    pub(super) fn check(
        &self,
        id: &ChangeId,
        event_id: Option<&Text<'_>>,
        table: Option<&str>,
    ) -> Result<(), Reason> {
        let expected = id.event_id();
        same("header originating_region", self.region, Some(id.region.as_str()))?;
        same("header event_id", self.event_id, Some(&expected))?;
        if let Some(event_id) = event_id {
            check_same("event_id", &event_id.0, &expected)?;
        }
        same("header table_name", self.table, table)?;
        same("header content-type", self.content_type, Some(CONTENT_TYPE))
    }
}

fn same(what: &str, found: Option<&str>, expected: Option<&str>) -> Result<(), Reason> {
    match (found, expected) {
        _ if found == expected => Ok(()),
        (None, _) => Err(format!("{what} is missing")),
        (Some(_), None) => Err(format!("{what} is out of place")),
        (Some(found), Some(expected)) => {
            let found: String = found.chars().take(80).collect();
            Err(format!("{what} is {found:?}, not {expected:?}"))
        }
    }
}

/// Fails unless a text of the record is the one that follows from the rest of it.
pub(super) fn check_same(what: &str, found: &str, expected: &str) -> Result<(), Reason> {
    same(what, Some(found), Some(expected))
}

/// Reads a JSON object into a struct. Serde alone would take a list for one as well.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Reason> {
    let first = json.bytes().find(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
    if first != Some(b'{') {
        return Err("it is not a JSON object".to_owned());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

pub(super) fn region(name: &Text<'_>, incarnation: u32) -> Result<RegionId, Reason> {
    let region = RegionId::with_incarnation(&name.0, incarnation).map_err(|e| e.to_string())?;
    // Otherwise `a#2` with incarnation 1 were a second way to write `a` with incarnation 2.
    check_same("region_id", &name.0, region.name())?;
    Ok(region)
}

pub(super) fn hlc(what: &str, text: &Text<'_>) -> Result<Hlc, Reason> {
    text.0.parse().map_err(|error| format!("{what}: {error}"))
}

#[derive(Deserialize)]
struct RecordIdJson<'a> {
    #[serde(borrow)]
    region: Text<'a>,
    #[serde(borrow)]
    hlc: Text<'a>,
}

/// The identity of a record that another one speaks of.
pub(super) fn record_id(what: &str, json: &str) -> Result<ChangeId, Reason> {
    let json: RecordIdJson<'_> = object(json).map_err(|reason| format!("{what}: {reason}"))?;
    let region = json.region.0.parse().map_err(|error| format!("{what}: {error}"))?;
    let hlc = hlc(what, &json.hlc)?;
    if hlc.is_zero() {
        return Err(format!("{what}: no record has the HLC zero"));
    }
    Ok(ChangeId { hlc, region })
}

pub(super) fn record_id_or_null(what: &str, json: &RawValue) -> Result<Option<ChangeId>, Reason> {
    match json.get() {
        "null" => Ok(None),
        json => record_id(what, json).map(Some),
    }
}

/// Everywhere on the bus a version has its `sha256:` in front.
pub(super) fn version(text: &str) -> Result<FunctionVersion, Reason> {
    if !text.starts_with("sha256:") {
        let shown: String = text.chars().take(80).collect();
        return Err(format!("{shown:?} is no version of a function"));
    }
    text.parse().map_err(|error: syncline_core::InvalidId| error.to_string())
}

pub(super) fn stamp(text: &str) -> Result<Stamp, Reason> {
    if text == "lww" { Ok(Stamp::Lww) } else { version(text).map(Stamp::Function) }
}

pub(super) fn image(what: &str, json: &RawValue) -> Result<Option<Image>, Reason> {
    match json.get() {
        "null" => Ok(None),
        text => Image::from_canonical(text.as_bytes())
            .map(Some)
            .map_err(|error| format!("{what}: {error}")),
    }
}

pub(super) fn check_tags(tags: &Tags, origin: &RegionId) -> Result<(), Reason> {
    if tags.0.contains(origin) {
        Ok(())
    } else {
        Err(format!("region_tags does not name {origin}, where it was written"))
    }
}
