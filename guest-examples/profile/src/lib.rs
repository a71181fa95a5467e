//! A user's profile, or any row of fields that people edit: each field goes three-way, and the newer
//! side's stays where both changed it; a nested object goes field by field again.
//!
//! The README has the rules.

use serde::{Deserialize, Serialize};
use syncline_sdk::{Conflict, MergeError, Object, merge_function, three_way};

/// How deep objects inside objects are merged field by field; what lies deeper is one value.
pub const LEVELS_MAX: usize = 8;

/// A row of any fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Profile<'a>(
    /// All of the row's fields.
    #[serde(borrow, deserialize_with = "Object::borrowed")]
    pub Object<'a>,
);

/// Merges two profiles by the rules of the README.
///
/// # Errors
/// Never.
#[merge_function]
pub fn merge<'a>(c: Conflict<Profile<'a>>) -> Result<Option<Profile<'a>>, MergeError> {
    Ok(match (c.older.image, c.newer.image) {
        (Some(older), Some(newer)) => {
            let before = c.ancestor.map_or_else(Object::new, |row| row.0);
            Some(Profile(three_way::object(&before, &older.0, &newer.0, LEVELS_MAX)))
        }
        // One side deleted the row, or both did: what was edited since stays.
        (older, newer) => older.or(newer).filter(|living| c.ancestor.as_ref() != Some(living)),
    })
}
