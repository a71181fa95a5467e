//! A text that two regions edited at once: `{"on_conflict":"markers","text":"...",...}`.
//!
//! The text is merged three-way by lines. Where both sides changed the same lines, `on_conflict` says
//! what is to become of them. The README has the rules.

mod diff;
mod lines;

use serde::{Deserialize, Serialize};
use syncline_sdk::{Conflict, MergeError, merge_function, present, three_way};

/// What the function knows of a document. The SDK keeps the row's other fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What is done where both sides changed the same lines; absent stands for markers.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// The text.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What is done with lines that both sides changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Both sides' lines stay, between markers.
    #[default]
    Markers,
    /// The newer side's lines stay.
    Newest,
}

/// Merges two documents by the rules of the README.
///
/// # Errors
/// Never.
#[merge_function]
pub fn merge(c: Conflict<Document>) -> Result<Option<Document>, MergeError> {
    Ok(match (c.older.image, c.newer.image) {
        (Some(older), Some(newer)) => {
            Some(merge_documents(c.ancestor.unwrap_or_default(), older, newer))
        }
        // One side deleted the row, or both did: a text that was edited since stays.
        (older, newer) => older
            .or(newer)
            .filter(|living| c.ancestor.is_none_or(|before| before.text != living.text)),
    })
}

fn merge_documents(ancestor: Document, older: Document, newer: Document) -> Document {
    let on_conflict = three_way::value(&ancestor.on_conflict, older.on_conflict, newer.on_conflict);
    let text = match (older.text, newer.text) {
        (Some(older), Some(newer)) => {
            let before = ancestor.text.unwrap_or_default();
            Some(lines::merge(&before, &older, &newer, on_conflict.unwrap_or_default()))
        }
        // One side removed the text: what was edited since stays.
        (older, newer) => older.or(newer).filter(|text| ancestor.text.as_ref() != Some(text)),
    };
    Document { on_conflict, text }
}
