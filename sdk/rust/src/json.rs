//! Any JSON value, as the text that it was written with.

use std::cmp::Ordering;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value of any kind that can be compared and stays exactly as it was written.
///
/// Two values are equal if their text is: in canonical images `1.5` and `1.50` differ, and all else
/// that is equal is written alike. The order is that of the text's bytes, which means nothing but is
/// the same everywhere.
///
/// ```
/// use syncline_sdk::Json;
///
/// let json: Json = serde_json::from_str(r#"{"big":18446744073709551615,"price":1.50}"#)?;
/// assert_eq!(json.as_str(), r#"{"big":18446744073709551615,"price":1.50}"#);
/// assert_eq!(Json::new(&7)?.read::<u8>()?, 7);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// What `value` serializes to.
    ///
    /// # Errors
    /// If `value` has no JSON form: a map whose keys aren't text, or a `Serialize` that fails.
    pub fn new<V: Serialize + ?Sized>(value: &V) -> serde_json::Result<Self> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value as a `T`.
    ///
    /// # Errors
    /// If it is none.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.as_str())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl PartialOrd for Json {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Json {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}
