//! What a heartbeat says for others to compare.
//!
//! Regions that run older software say nothing of it, so every field may be missing.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use syncline_core::{
    ConflictId, Evidence, OUTCOMES_MAX, Outcome, STATE_TABLES_MAX, ShortDigest, Stamp, StateDigest,
    TableName,
};

use super::encode::Object;
use super::entries::Text;
use super::fields::{self, Reason};

/// Adds the fields of what there is to say.
pub(super) fn encode(json: &mut Object, evidence: &Evidence) {
    let Evidence { engine, outcomes, state } = evidence;
    if let Some(engine) = engine {
        json.text("engine", engine.as_str());
    }
    if !outcomes.is_empty() {
        json.raw("outcomes", &outcomes_json(outcomes));
    }
    if let Some(StateDigest { all, tables }) = state {
        let mut state = Object::open(64 + tables.len() * 64);
        state.display("all", all);
        let mut of_tables = Object::open(tables.len() * 64);
        tables.iter().for_each(|(table, digest)| of_tables.display(table.as_str(), digest));
        state.raw("tables", &of_tables.close());
        json.raw("state", &state.close());
    }
}

/// Stamp -> conflict -> digest of what it left: a stamp is long, and the same for many.
fn outcomes_json(outcomes: &BTreeMap<ConflictId, Outcome>) -> Vec<u8> {
    let mut by_stamp: BTreeMap<Stamp, Vec<(&ConflictId, ShortDigest)>> = BTreeMap::new();
    for (conflict, Outcome { stamp, result }) in outcomes {
        by_stamp.entry(*stamp).or_default().push((conflict, *result));
    }
    let mut json = Object::open(outcomes.len() * 72 + by_stamp.len() * 80);
    for (stamp, outcomes) in by_stamp {
        let mut of_stamp = Object::open(outcomes.len() * 72);
        for (conflict, result) in outcomes {
            of_stamp.display(&conflict.to_string(), result);
        }
        json.raw(&stamp.to_string(), &of_stamp.close());
    }
    json.close()
}

/// Stamp -> conflict -> digest, no conflict twice.
pub(super) struct Outcomes(BTreeMap<ConflictId, Outcome>);

impl<'de> Deserialize<'de> for Outcomes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Stamps;
        impl<'de> Visitor<'de> for Stamps {
            type Value = BTreeMap<ConflictId, Outcome>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of stamps and outcomes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut outcomes = BTreeMap::new();
                while let Some(stamp) = map.next_key::<Text<'_>>()? {
                    let stamp = fields::stamp(&stamp.0).map_err(Error::custom)?;
                    let Digests(digests) = map.next_value::<Digests<OUTCOMES_MAX>>()?;
                    for (conflict, result) in digests {
                        let conflict: ConflictId = conflict.parse().map_err(Error::custom)?;
                        if outcomes.insert(conflict, Outcome { stamp, result }).is_some() {
                            return Err(Error::custom(format!("{conflict} stands twice")));
                        }
                    }
                }
                Ok(outcomes)
            }
        }
        deserializer.deserialize_map(Stamps).map(Self)
    }
}

/// Names with a digest each, `MAX` at most, none of them twice.
struct Digests<const MAX: usize>(BTreeMap<String, ShortDigest>);

impl<'de, const MAX: usize> Deserialize<'de> for Digests<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names<const MAX: usize>;
        impl<'de, const MAX: usize> Visitor<'de> for Names<MAX> {
            type Value = BTreeMap<String, ShortDigest>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of {MAX} digests at most")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut digests = BTreeMap::new();
                while let Some((name, digest)) = map.next_entry::<Text<'_>, Text<'_>>()? {
                    let digest = digest.0.parse().map_err(Error::custom)?;
                    if digests.len() == MAX || digests.insert(name.0.into(), digest).is_some() {
                        return Err(Error::custom("too many digests, or one name twice"));
                    }
                }
                Ok(digests)
            }
        }
        deserializer.deserialize_map(Names::<MAX>).map(Self)
    }
}

#[derive(Deserialize)]
struct StateJson<'a> {
    #[serde(borrow)]
    all: Text<'a>,
    tables: Digests<STATE_TABLES_MAX>,
}

/// What the fields say.
pub(super) fn read(
    engine: Option<Text<'_>>,
    outcomes: Option<Outcomes>,
    state: Option<&RawValue>,
) -> Result<Evidence, Reason> {
    let engine = engine.map(|engine| engine.0.parse()).transpose();
    let engine = engine.map_err(|error: syncline_core::InvalidEngine| error.to_string())?;
    let outcomes = outcomes.map(|outcomes| outcomes.0).unwrap_or_default();
    let state = state.map(|state| state_of(state.get())).transpose()?;
    Ok(Evidence { engine, outcomes, state })
}

fn state_of(json: &str) -> Result<StateDigest, Reason> {
    let StateJson { all, tables } = fields::object(json)?;
    let table = |(name, digest): (String, ShortDigest)| {
        name.parse::<TableName>().map(|table| (table, digest)).map_err(|e| e.to_string())
    };
    Ok(StateDigest {
        all: all.0.parse().map_err(|error: syncline_core::InvalidId| error.to_string())?,
        tables: tables.0.into_iter().map(table).collect::<Result<_, _>>()?,
    })
}
