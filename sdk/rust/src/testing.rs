//! Golden cases: conflicts and what a function has to answer, as data.
//!
//! A file is a JSON list. Images stand in it in canonical form, since it is their text that is given
//! and compared. Without `error`, a `merged` of null (or none) means that the row is deleted.
//! ```json
//! [{"name":"quantities add up","ancestor":{"n":1},"older":{"n":2},"newer":{"n":4},"merged":{"n":5}},
//!  {"name":"no number","ancestor":null,"older":{"n":"x"},"newer":{},"error":"older: ..."}]
//! ```

use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Conflict, MergeError, Operation, Side};

/// A case as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case<'a> {
    name: String,
    #[serde(borrow)]
    ancestor: Option<&'a RawValue>,
    #[serde(borrow)]
    older: Option<&'a RawValue>,
    #[serde(borrow)]
    newer: Option<&'a RawValue>,
    #[serde(borrow)]
    merged: Option<&'a RawValue>,
    error: Option<String>,
}

impl<'a> Case<'a> {
    fn conflict(&self) -> Conflict<&'a [u8]> {
        let image = |value: Option<&'a RawValue>| value.map(|value| value.get().as_bytes());
        let side = |region: &str, hlc, value: Option<&'a RawValue>| Side {
            region: region.to_owned(),
            hlc,
            operation: match (value, self.ancestor) {
                (None, _) => Operation::Delete,
                (_, None) => Operation::Insert,
                _ => Operation::Update,
            },
            image: image(value),
        };
        Conflict {
            table: "carts".to_owned(),
            row_pk: "c-1".to_owned(),
            ancestor: image(self.ancestor),
            older: side("eu-west-1", 0x0123_4567_89ab_cdef, self.older),
            newer: side("us-east-1", u64::MAX, self.newer),
        }
    }

    fn expected(&self) -> String {
        match (&self.error, self.merged) {
            (Some(error), _) => format!("error: {error}"),
            (None, Some(merged)) => merged.get().to_owned(),
            (None, None) => "deleted".to_owned(),
        }
    }
}

/// Runs every case through a function and compares the bytes; the number of cases.
///
/// # Errors
/// A text that shows each case that came out differently, or says why `cases` can't be read.
///
/// ```
/// use syncline_sdk::testing::check_cases;
/// use syncline_sdk::{Conflict, MergeError, Raw, resolve};
///
/// fn newer(c: Conflict<Raw<'_>>) -> Result<Option<Raw<'_>>, MergeError> {
///     Ok(c.newer.image)
/// }
///
/// let cases = r#"[{"name":"it wins","ancestor":null,"older":{"n":1},"newer":{"n":2},"merged":{"n":2}}]"#;
/// assert_eq!(check_cases(cases, |conflict| resolve(newer, conflict)), Ok(1));
/// ```
pub fn check_cases<F>(cases: &str, function: F) -> Result<usize, String>
where
    F: Fn(Conflict<&[u8]>) -> Result<Option<Vec<u8>>, MergeError>,
{
    let cases: Vec<Case<'_>> = serde_json::from_str(cases).map_err(|error| error.to_string())?;
    let mut differing = String::new();
    for case in &cases {
        let expected = case.expected();
        let answer = match function(case.conflict()) {
            Ok(Some(image)) => String::from_utf8_lossy(&image).into_owned(),
            Ok(None) => "deleted".to_owned(),
            Err(error) => format!("error: {error}"),
        };
        if answer != expected {
            let name = &case.name;
            writeln!(differing, "{name}\n  expected {expected}\n  got      {answer}")
                .map_err(|error| error.to_string())?;
        }
    }
    if differing.is_empty() { Ok(cases.len()) } else { Err(differing) }
}
