//! One plain number that two regions counted at once: `{"count":7,...}`.
//!
//! `count` is older + newer - ancestor. A deletion takes away what its author saw; what the other side
//! has counted since stays. The README has the rules.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use syncline_sdk::{Conflict, MergeError, merge_function, three_way};

/// What the function knows of a row. The SDK keeps the row's other fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The number; absent stands for 0.
    #[serde(default, deserialize_with = "integer", skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
}

/// Takes an integer as it is written: a number such as `1.0` or `1E2` is none.
fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = <&RawValue>::deserialize(deserializer)?.get().parse();
    let error = |_| D::Error::custom("is not an integer from -2^63 to 2^63-1");
    number.map(Some).map_err(error)
}

/// Merges two counters by the rules of the README.
///
/// # Errors
/// A count outside 64 bits.
#[merge_function]
pub fn merge(c: Conflict<Counter>) -> Result<Option<Counter>, MergeError> {
    let met = c.ancestor.is_some();
    let before = c.ancestor.and_then(|row| row.count).unwrap_or_default();
    let sum = |older: i64, newer: i64| {
        let sum = three_way::counter(before, older, newer);
        sum.map_err(|error| MergeError::new(format!("count {error}")))
    };
    match (c.older.image, c.newer.image) {
        (Some(older), Some(newer)) => {
            if older.count.or(newer.count).is_none() {
                return Ok(Some(newer));
            }
            let count = sum(older.count.unwrap_or_default(), newer.count.unwrap_or_default())?;
            Ok(Some(Counter { count: Some(count) }))
        }
        // One side deleted the row, or both did.
        (older, newer) => match older.or(newer) {
            Some(Counter { count: Some(count) }) if met => {
                let since = sum(count, 0)?;
                Ok((since != 0).then_some(Counter { count: Some(since) }))
            }
            living => Ok(living.filter(|_| !met)),
        },
    }
}
