//! A set of tags that needs no ancestor:
//! `{"tags":{"elements":[{"dots":{"eu":2},"value":"ripe"}],"seen":{"eu":2}},...}`.
//!
//! A tag that was removed here and added there at the same time stays. The README has the rules.

use serde::{Deserialize, Serialize};
use syncline_sdk::crdt::{self, Merge, OrSet};
use syncline_sdk::{Conflict, MergeError, Open, merge_function, present};

/// What the function knows of a row. [`Open`] keeps the row's other fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tagged {
    /// The tags; absent where nobody has added one.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub tags: Option<OrSet<String>>,
}

impl Merge for Tagged {
    fn merge(&mut self, other: Self) -> Result<(), crdt::Error> {
        self.tags.merge(other.tags)
    }
}

/// Merges two rows by the rules of the README.
///
/// # Errors
/// More replicas than a set may name.
#[merge_function]
pub fn merge(c: Conflict<Open<Tagged>>) -> Result<Option<Open<Tagged>>, MergeError> {
    crdt::join(c)
}
