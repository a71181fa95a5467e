//! A conflict as the API tells it, read back.

use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::{
    Ancestor, ChangeId, ConflictOutcome, ConflictRecord, ConflictSide, Hlc, Image, Operation,
    RowKey, Stamp,
};

/// A conflict as a region shows it alone, and `syncline conflicts show --output json` prints it.
#[derive(Deserialize)]
pub(crate) struct Recorded {
    conflict_id: String,
    table_name: String,
    row_pk: String,
    outcome: String,
    merge_function: Option<String>,
    sides: Vec<Side>,
    result: Option<Box<RawValue>>,
    fault: Option<Fault>,
    /// Not said where they always are.
    #[serde(default = "kept")]
    images_kept: bool,
}

const fn kept() -> bool {
    true
}

#[derive(Deserialize)]
struct Side {
    region: String,
    hlc: String,
    operation: String,
    image: Option<Box<RawValue>>,
    ancestor: Option<Box<RawValue>>,
    ancestor_known: bool,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
    text: String,
}

impl Recorded {
    /// An error is what can't be understood.
    pub(crate) fn record(self) -> Result<ConflictRecord, String> {
        let parsed = |error: &dyn std::fmt::Display| error.to_string();
        let result = image(self.result.as_deref())?;
        let fault = self.fault.unwrap_or(Fault { code: String::new(), text: String::new() });
        Ok(ConflictRecord {
            id: self.conflict_id.parse().map_err(|e| parsed(&e))?,
            row: RowKey {
                table: self.table_name.parse().map_err(|e| parsed(&e))?,
                pk: self.row_pk.parse().map_err(|e| parsed(&e))?,
            },
            sides: self.sides.into_iter().map(Side::made).collect::<Result<_, _>>()?,
            stamp: match self.merge_function {
                Some(version) => Stamp::Function(version.parse().map_err(|e| parsed(&e))?),
                None => Stamp::Lww,
            },
            outcome: match self.outcome.as_str() {
                "merged" => ConflictOutcome::Merged(result),
                "fallback" => ConflictOutcome::Fallback { code: fault.code, text: fault.text },
                "waiting" => ConflictOutcome::Waiting { reason: fault.text },
                other => return Err(format!("outcome {other:?}")),
            },
            resolved_at_ms: 0,
            has_images: self.images_kept,
        })
    }
}

impl Side {
    fn made(self) -> Result<ConflictSide, String> {
        let hlc: Hlc = self.hlc.parse().map_err(|error| format!("hlc: {error}"))?;
        let region = self.region.parse().map_err(|error| format!("region: {error}"))?;
        Ok(ConflictSide {
            change: ChangeId { hlc, region },
            operation: match self.operation.as_str() {
                "insert" => Operation::Insert,
                "update" => Operation::Update,
                "delete" => Operation::Delete,
                other => return Err(format!("operation {other:?}")),
            },
            image: image(self.image.as_deref())?,
            ancestor: match self.ancestor_known {
                true => Ancestor::Known(image(self.ancestor.as_deref())?),
                false => Ancestor::Unknown,
            },
        })
    }
}

fn image(raw: Option<&RawValue>) -> Result<Option<Image>, String> {
    let image = |raw: &RawValue| Image::canonicalize(raw.get().as_bytes());
    raw.map(image).transpose().map_err(|error| error.to_string())
}
