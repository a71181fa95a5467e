//! A counter that needs no ancestor: `{"count":{"added":{"eu":3},"taken":{"us":1}},...}`.
//!
//! Each replica changes its own two numbers alone, so the larger one is the later one. The README has
//! the rules.

use serde::{Deserialize, Serialize};
use syncline_sdk::crdt::{self, Merge, PnCounter};
use syncline_sdk::{Conflict, MergeError, Open, merge_function, present};

/// What the function knows of a row. [`Open`] keeps the row's other fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The counter; absent where nobody has counted.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub count: Option<PnCounter>,
}

impl Merge for Counter {
    fn merge(&mut self, other: Self) -> Result<(), crdt::Error> {
        self.count.merge(other.count)
    }
}

/// Merges two rows by the rules of the README.
///
/// # Errors
/// More replicas than a counter may name.
#[merge_function]
pub fn merge(c: Conflict<Open<Counter>>) -> Result<Option<Open<Counter>>, MergeError> {
    crdt::join(c)
}
