//! The conflict log: (partition, when, id) -> what a region notes of a conflict.
//!
//! A conflict belongs to the partition of its row, so one thread writes of it. Beside the log stand
//! where each id is in it, which note tells that a row waits, and how many notes a partition has:
//! the log is trimmed to a number of them, the oldest first, but never one that tells of waiting.
//! Before that, the oldest notes of a table lose their images where these are over its budget.

mod images;
mod log;
mod query;

use serde::{Deserialize, Serialize};
use syncline_core::{
    Ancestor, ConflictId, ConflictOutcome, ConflictRecord, ConflictSide, Image, RowKey, RowPk,
    TableName,
};

use super::codec::decode;
use super::dto::{ChangeIdV1, ImageV1, Made, OperationV1, StampV1};
use super::key::{Family, Key, KeyReader};
use crate::StoreError;

pub use images::{ConflictImages, images};
pub use log::write;
pub use query::{ConflictCursor, ConflictFilter, ConflictPage, Outcome, Strategy, get, query};

const VERSION: u8 = 1;
/// The same form, of a note that has lost its images.
const WITHOUT_IMAGES: u8 = 2;

#[derive(Serialize, Deserialize)]
struct ConflictV1<'a> {
    #[serde(borrow)]
    table: &'a str,
    pk: &'a str,
    sides: Vec<SideV1<'a>>,
    stamp: StampV1,
    /// 1 merged, 2 fallback, 3 waiting.
    outcome: u8,
    /// Of a merge.
    image: ImageV1<'a>,
    /// Of a fallback.
    code: &'a str,
    /// Of a fallback, or why it waits.
    text: &'a str,
}

#[derive(Serialize, Deserialize)]
struct SideV1<'a> {
    #[serde(borrow)]
    change: ChangeIdV1<'a>,
    operation: OperationV1,
    image: ImageV1<'a>,
    ancestor: ImageV1<'a>,
    ancestor_known: bool,
}

fn log_key(partition: u32, at_ms: u64, id: &ConflictId) -> Vec<u8> {
    Key::of(Family::Conflict).u32(partition).u64(at_ms).fixed(&id.0).done()
}

/// (partition, when, id) of a key of the log.
fn parse_log_key(key: &[u8]) -> Result<(u32, u64, ConflictId), StoreError> {
    let mut reader = KeyReader::new(key);
    let parsed = (reader.u32()?, reader.u64()?, ConflictId(reader.fixed()?));
    reader.end()?;
    Ok(parsed)
}

fn form_of(record: &ConflictRecord) -> ConflictV1<'_> {
    let (outcome, image, code, text) = match &record.outcome {
        ConflictOutcome::Merged(image) => (1, image.as_ref(), "", ""),
        ConflictOutcome::Fallback { code, text } => (2, None, code.as_str(), text.as_str()),
        ConflictOutcome::Waiting { reason } => (3, None, "", reason.as_str()),
    };
    ConflictV1 {
        table: record.row.table.as_str(),
        pk: record.row.pk.as_str(),
        sides: record.sides.iter().map(side_form).collect(),
        stamp: StampV1::of(record.stamp),
        outcome,
        image: ImageV1::of(image),
        code,
        text,
    }
}

fn side_form(side: &ConflictSide) -> SideV1<'_> {
    SideV1 {
        change: ChangeIdV1::of(&side.change),
        operation: OperationV1::of(side.operation),
        image: ImageV1::of(side.image.as_ref()),
        ancestor: ImageV1::of(side.ancestor.image()),
        ancestor_known: matches!(side.ancestor, Ancestor::Known(_)),
    }
}

fn decode_record(key: &[u8], value: &[u8]) -> Result<ConflictRecord, StoreError> {
    let (_, resolved_at_ms, id) = parse_log_key(key)?;
    let has_images = value.first() != Some(&WITHOUT_IMAGES);
    let version = if has_images { VERSION } else { WITHOUT_IMAGES };
    decode(key, version, value, |form: ConflictV1<'_>| {
        let image: Option<Image> = form.image.make();
        let side = |side: SideV1<'_>| {
            Ok(ConflictSide {
                change: side.change.make()?,
                operation: side.operation.make()?,
                image: side.image.make(),
                ancestor: match side.ancestor_known {
                    true => Ancestor::Known(side.ancestor.make()),
                    false => Ancestor::Unknown,
                },
            })
        };
        Ok(ConflictRecord {
            id,
            row: RowKey {
                table: form.table.parse::<TableName>().map_err(|error| error.to_string())?,
                pk: form.pk.parse::<RowPk>().map_err(|error| error.to_string())?,
            },
            sides: form.sides.into_iter().map(side).collect::<Made<_>>()?,
            stamp: form.stamp.make(),
            outcome: match form.outcome {
                1 => ConflictOutcome::Merged(image),
                2 => ConflictOutcome::Fallback { code: form.code.into(), text: form.text.into() },
                3 => ConflictOutcome::Waiting { reason: form.text.into() },
                n => return Err(format!("outcome {n}")),
            },
            resolved_at_ms,
            has_images,
        })
    })
}

const PLACE_VERSION: u8 = 2;

/// Where a conflict stands in the log, before images had a budget: those of these notes go with the
/// notes.
#[derive(Serialize, Deserialize)]
struct PlaceV1 {
    partition: u32,
    at_ms: u64,
    waits: bool,
}

/// Where a conflict stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlaceV2 {
    partition: u32,
    at_ms: u64,
    /// It tells that its row waits.
    waits: bool,
    /// Where its images count: the table, and how many bytes the note has.
    images: Option<(String, u64)>,
}

fn place_key(id: &ConflictId) -> Vec<u8> {
    Key::of(Family::ConflictById).fixed(&id.0).done()
}

fn decode_place(key: &[u8], value: &[u8]) -> Result<PlaceV2, StoreError> {
    if value.first() == Some(&VERSION) {
        return decode(key, VERSION, value, |PlaceV1 { partition, at_ms, waits }| {
            Ok(PlaceV2 { partition, at_ms, waits, images: None })
        });
    }
    decode(key, PLACE_VERSION, value, Ok)
}

/// The key under which stands which conflict a row waits in.
fn waits_key(partition: u32, row: &RowKey) -> Vec<u8> {
    Key::of(Family::ConflictOfRow).u32(partition).row(row).done()
}

fn decode_id(key: &[u8], value: &[u8]) -> Result<ConflictId, StoreError> {
    decode(key, VERSION, value, |id: [u8; 16]| Ok(ConflictId(id)))
}

fn count_key(partition: u32) -> Vec<u8> {
    Key::of(Family::ConflictCount).u32(partition).done()
}

fn decode_count(key: &[u8], value: &[u8]) -> Result<u64, StoreError> {
    decode(key, VERSION, value, Ok)
}

#[cfg(test)]
mod tests;
