//! A conflict in a file, with what is expected of it.
//!
//! A file holds one case or a list of them:
//! ```json
//! {"name": "quantities add up",
//!  "ancestor": {"n": 1}, "older": {"n": 2}, "newer": {"n": 4},
//!  "merged": {"n": 5}}
//! ```
//! - `ancestor`, `older`, `newer`: the row's images; `null` (or nothing) where there is no row.
//! - `merged`: the answer that is expected, `null` where the row is to be deleted; or `error`, the
//!   text of the function's own refusal. Neither: nothing is expected.
//! - `table` and `row_pk`, and in `sides` for `older` and `newer` the `region`, the `hlc` and the
//!   `operation`: all may be absent, few functions look at them.
//! - `law` and `third`: in a witness that the verifier has written, the law that it breaks, and for
//!   associativity the third side, newer than the other two.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use syncline_image::Image;
use syncline_sdk::{Operation, Side};
use thiserror::Error;

use crate::law::Law;
use crate::subject::{Conflict, Outcome};

const TABLE: &str = "table";
const ROW_PK: &str = "row";
/// Of the older, the newer and the third side, where a case says nothing else.
pub(crate) const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-south-1"];
/// The milliseconds of their HLCs: a second apart, in November 2026.
const MILLISECONDS: [u64; 3] = [1_795_203_212_000, 1_795_203_213_000, 1_795_203_214_000];

/// A conflict, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What people call it.
    pub name: String,
    /// The conflict.
    pub conflict: Conflict,
    /// A third side, newer than the others: only for a law over three.
    pub third: Option<Side<Image>>,
    /// The law that this case breaks, or did when it was written.
    pub law: Option<Law>,
    /// What the function has to answer. None: nothing is known of it.
    pub expected: Option<Expected>,
}

/// What a function has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This row, or none where the row is to be deleted.
    Merged(Option<Image>),
    /// A refusal with this text.
    Error(String),
}

impl Expected {
    /// Whether the function did so.
    pub fn is(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Merged(expected), Outcome::Merged(merged)) => expected == merged,
            (Self::Error(expected), Outcome::Error(error)) => expected == error,
            _ => false,
        }
    }
}

/// Why a file of cases can't be read.
#[derive(Debug, Error)]
pub enum InvalidCase {
    /// The file is no JSON, or a case in it lacks the form.
    #[error("not a case or a list of cases: {0}")]
    Form(#[from] serde_json::Error),
    /// One case makes no sense.
    #[error("case {name:?}: {what}")]
    Case {
        /// The case's name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A case as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    law: Option<Law>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row_pk: Option<String>,
    #[serde(default)]
    ancestor: Option<Box<RawValue>>,
    #[serde(default)]
    older: Option<Box<RawValue>>,
    #[serde(default)]
    newer: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    third: Option<Option<Box<RawValue>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sides: Option<WrittenSides>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    merged: Option<Option<Box<RawValue>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenSides {
    older: WrittenSide,
    newer: WrittenSide,
    #[serde(skip_serializing_if = "Option::is_none")]
    third: Option<WrittenSide>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenSide {
    region: Option<String>,
    hlc: Option<String>,
    operation: Option<WrittenOperation>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenOperation {
    Insert,
    Update,
    Delete,
}

/// Tells `null` from a field that is absent.
fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Box<RawValue>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Case {
    /// The cases of a file. One without a name is called by its place in the list.
    pub fn read(text: &str) -> Result<Vec<Self>, InvalidCase> {
        let written: Vec<Written> = if text.trim_start().starts_with('[') {
            serde_json::from_str(text)?
        } else {
            vec![serde_json::from_str(text)?]
        };
        written.into_iter().enumerate().map(|(n, written)| Self::of(n, written)).collect()
    }

    fn of(n: usize, written: Written) -> Result<Self, InvalidCase> {
        let name = written.name.clone().unwrap_or_else(|| format!("case {}", n + 1));
        Self::of_named(name.clone(), written).map_err(|what| InvalidCase::Case { name, what })
    }

    fn of_named(name: String, written: Written) -> Result<Self, String> {
        let ancestor = image("ancestor", written.ancestor.as_deref())?;
        let sides = written.sides.unwrap_or_default();
        let side = |n, field: &str, raw: Option<&RawValue>, facts: WrittenSide| {
            side(n, facts, image(field, raw)?, ancestor.is_some())
                .map_err(|what| format!("{field}: {what}"))
        };
        let older = side(0, "older", written.older.as_deref(), sides.older)?;
        let newer = side(1, "newer", written.newer.as_deref(), sides.newer)?;
        if (older.hlc, &older.region) >= (newer.hlc, &newer.region) {
            return Err("the newer side's hlc is not above the older side's".into());
        }
        let third = match written.third {
            None => None,
            Some(raw) => Some(side(2, "third", raw.as_deref(), sides.third.unwrap_or_default())?),
        };
        let expected = match (written.merged, written.error) {
            (Some(_), Some(_)) => return Err("it has both merged and error".into()),
            (Some(raw), None) => Some(Expected::Merged(image("merged", raw.as_deref())?)),
            (None, Some(text)) => Some(Expected::Error(text)),
            (None, None) => None,
        };
        let table = written.table.unwrap_or_else(|| TABLE.into());
        let row_pk = written.row_pk.unwrap_or_else(|| ROW_PK.into());
        let conflict = Conflict { table, row_pk, ancestor, older, newer };
        Ok(Self { name, conflict, third, law: written.law, expected })
    }

    /// The case as the text of a file.
    pub fn to_json(&self) -> String {
        // Strings, and values that were parsed: there is nothing in it that can fail to be written.
        serde_json::to_string_pretty(&self.written()).unwrap_or_default()
    }

    fn written(&self) -> Written {
        let Conflict { table, row_pk, ancestor, older, newer } = &self.conflict;
        Written {
            name: Some(self.name.clone()),
            law: self.law,
            table: (table != TABLE).then(|| table.clone()),
            row_pk: (row_pk != ROW_PK).then(|| row_pk.clone()),
            ancestor: raw(ancestor.as_ref()),
            older: raw(older.image.as_ref()),
            newer: raw(newer.image.as_ref()),
            third: self.third.as_ref().map(|third| raw(third.image.as_ref())),
            sides: Some(WrittenSides {
                older: facts(older),
                newer: facts(newer),
                third: self.third.as_ref().map(facts),
            }),
            merged: match &self.expected {
                Some(Expected::Merged(image)) => Some(raw(image.as_ref())),
                _ => None,
            },
            error: match &self.expected {
                Some(Expected::Error(text)) => Some(text.clone()),
                _ => None,
            },
        }
    }
}

/// As in a file, on one line.
impl Serialize for Case {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

fn image(field: &str, raw: Option<&RawValue>) -> Result<Option<Image>, String> {
    raw.map(|raw| Image::canonicalize(raw.get().as_bytes()))
        .transpose()
        .map_err(|error| format!("{field}: {error}"))
}

fn raw(image: Option<&Image>) -> Option<Box<RawValue>> {
    let text = String::from_utf8(image?.as_bytes().to_vec()).ok()?;
    RawValue::from_string(text).ok()
}

fn facts(side: &Side<Image>) -> WrittenSide {
    WrittenSide {
        region: Some(side.region.clone()),
        hlc: Some(format!("{}.{:05}", side.hlc >> 16, side.hlc & 0xffff)),
        operation: Some(match side.operation {
            Operation::Insert => WrittenOperation::Insert,
            Operation::Update => WrittenOperation::Update,
            Operation::Delete => WrittenOperation::Delete,
        }),
    }
}

/// The `n`th side. What the case doesn't say of it is what it would be most often.
fn side(
    n: usize,
    facts: WrittenSide,
    image: Option<Image>,
    was_there: bool,
) -> Result<Side<Image>, String> {
    let operation = match (facts.operation, &image) {
        (Some(WrittenOperation::Delete), Some(_)) => {
            return Err("a side that deleted the row has no image".into());
        }
        (Some(WrittenOperation::Insert | WrittenOperation::Update), None) => {
            return Err("a side without an image has deleted the row".into());
        }
        (Some(WrittenOperation::Insert), _) => Operation::Insert,
        (Some(WrittenOperation::Update), _) => Operation::Update,
        (_, None) => Operation::Delete,
        (None, Some(_)) if was_there => Operation::Update,
        (None, Some(_)) => Operation::Insert,
    };
    let hlc = match facts.hlc {
        Some(text) => {
            hlc(&text).ok_or("an hlc is written as MILLISECONDS.COUNTER, both decimal")?
        }
        None => MILLISECONDS[n] << 16,
    };
    let region = facts.region.unwrap_or_else(|| REGIONS[n].into());
    Ok(Side { region, hlc, operation, image })
}

/// `1795203212955.00003` in bits.
fn hlc(text: &str) -> Option<u64> {
    let (milliseconds, counter) = text.split_once('.')?;
    let milliseconds = milliseconds.parse::<u64>().ok().filter(|ms| *ms < 1 << 48)?;
    let counter = counter.parse::<u16>().ok()?;
    Some(milliseconds << 16 | u64::from(counter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Case {
        let mut cases = Case::read(text).unwrap();
        assert_eq!(cases.len(), 1);
        cases.remove(0)
    }

    fn refused(text: &str) -> String {
        Case::read(text).unwrap_err().to_string()
    }

    #[test]
    fn what_a_case_leaves_out_is_what_it_would_be_most_often() {
        let case = one(r#"{"newer":{"n":2,"m": 1.50},"merged":null}"#);
        assert_eq!(case.name, "case 1");
        assert_eq!(case.conflict.older.operation, Operation::Delete);
        assert_eq!(case.conflict.newer.operation, Operation::Insert);
        assert_eq!(case.expected, Some(Expected::Merged(None)));
        let newer = case.conflict.newer.image.unwrap();
        assert_eq!(newer.as_bytes(), br#"{"m":1.50,"n":2}"#);
        assert!(case.conflict.older.hlc < case.conflict.newer.hlc);
    }

    #[test]
    fn a_case_comes_back_as_it_was_written() {
        let mut text = String::from(
            r#"{"name":"é","law":"associative","table":"carts","row_pk":"c-1","ancestor":{"n":1},
            "older":{"n":2},"newer":null,"third":{"n":3},"sides":{"older":{"region":"b",
            "hlc":"1.00002"},"newer":{"region":"a","hlc":"2.65535"}},"error":"no"}"#,
        );
        let case = one(&text);
        assert_eq!(case.conflict.newer.hlc, 2 << 16 | 65_535);
        assert_eq!(case.law, Some(Law::Associative));
        text = case.to_json();
        assert_eq!(one(&text), case, "{text}");
    }

    #[test]
    fn nothing_expected_differs_from_a_deleted_row() {
        assert_eq!(one(r#"{"older":{}}"#).expected, None);
        assert_eq!(one(r#"{"older":{},"merged":null}"#).expected, Some(Expected::Merged(None)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, says) in [
            (r#"{"name":"x","older":[]}"#, r#"case "x": older: a row is a JSON object"#),
            (r#"{"name":"x","older":{},"mergd":{}}"#, "unknown field `mergd`"),
            (r#"[{"older":{}},{"error":"a","merged":{}}]"#, r#"case "case 2": it has both"#),
            (r#"{"sides":{"newer":{"operation":"insert"}}}"#, "newer: a side without an image"),
            (r#"{"older":{},"sides":{"older":{"operation":"delete"}}}"#, "older: a side that"),
            (r#"{"sides":{"older":{"hlc":"soon"}}}"#, "MILLISECONDS.COUNTER"),
            (r#"{"sides":{"older":{"hlc":"281474976710656.00000"}}}"#, "MILLISECONDS.COUNTER"),
            (r#"{"sides":{"older":{"hlc":"1999999999999.00000"}}}"#, "is not above"),
            ("nothing", "not a case or a list of cases"),
        ] {
            let error = refused(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
