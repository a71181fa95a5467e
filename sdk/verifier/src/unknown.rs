//! Whether a function keeps fields that it was written without.
//!
//! A field of a name that nobody uses is put into the rows: into all of them, into one side's alone,
//! and into all objects at one place inside, such as each product of a cart. It has to be in the
//! answer where it was put.

use std::collections::BTreeMap;

use crate::cases::outcome_text;
use crate::json::Value;
use crate::law::{Found, Trial, trees, with_trees};
use crate::subject::{Answer, Failure, Outcome, Subject};

/// A name that nobody uses.
const NAME: &str = "syncline-unknown-field";

/// So many places inside a row are tried.
const PLACES_MAX: usize = 8;

/// A place inside rows.
type Place = Vec<Step>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A member of an object.
    Member(String),
    /// Each item of a list.
    EachItem,
}

/// A value whose text is lost where a number goes through a float.
fn field() -> Value {
    Value::Object(BTreeMap::from([("n".to_owned(), Value::Number("1.50".to_owned()))]))
}

pub(crate) fn check(
    subject: &dyn Subject,
    trial: &Trial,
    answer: &Answer,
) -> Result<Found, Failure> {
    let images = trees(trial);
    let [_, Some(_), Some(newer), _] = &images else { return Ok(Found::Nothing) };
    let Outcome::Merged(Some(_)) = &answer.outcome else { return Ok(Found::Nothing) };
    let top = Place::new();
    for (who, into) in [
        ("every side", [true, true, true]),
        ("the older side alone", [false, true, false]),
        ("the newer side alone", [false, false, true]),
    ] {
        let found = put(subject, trial, &images, &top, into, who)?;
        if matches!(found, Found::Broken(..)) {
            return Ok(found);
        }
    }
    let mut places = Vec::new();
    objects(newer, &mut Place::new(), &mut places);
    for place in places.iter().take(PLACES_MAX) {
        let found = put(subject, trial, &images, place, [true; 3], "every side")?;
        if matches!(found, Found::Broken(..)) {
            return Ok(found);
        }
    }
    Ok(Found::Holds)
}

/// Puts the field at a place of some images and looks for it there in the answer.
fn put(
    subject: &dyn Subject,
    trial: &Trial,
    images: &[Option<Value>; 4],
    place: &[Step],
    into: [bool; 3],
    who: &str,
) -> Result<Found, Failure> {
    let mut images = images.clone();
    for (image, _) in images.iter_mut().zip(into).filter(|(_, into)| *into) {
        if let Some(image) = image {
            at(image, place, &mut |members| {
                members.insert(NAME.into(), field());
            });
        }
    }
    let Some(trial) = with_trees(trial, &images) else { return Ok(Found::Nothing) };
    let broken = |what| Ok(Found::Broken(what, Box::new(trial.clone())));
    match subject.call(&trial.conflict)?.outcome {
        Outcome::Merged(Some(merged)) => {
            let mut kept = true;
            at(&mut Value::of(&merged), place, &mut |members| {
                kept &= members.get(NAME) == Some(&field());
            });
            if kept { Ok(Found::Holds) } else { broken(lost(place, who)) }
        }
        // A place inside may be one where each member stands for something, as in a map by id.
        Outcome::Error(_) | Outcome::Fault { .. } if !place.is_empty() => Ok(Found::Nothing),
        Outcome::Merged(None) => Ok(Found::Nothing),
        refused => {
            broken(format!("a row with such a field is refused: {}", outcome_text(&refused)))
        }
    }
}

fn lost(place: &[Step], who: &str) -> String {
    if place.is_empty() {
        return format!("a field that {who} has is not in the answer");
    }
    let place = place.iter().map(|step| match step {
        Step::Member(name) => format!(".{name}"),
        Step::EachItem => "[]".to_owned(),
    });
    format!("a field that {who} has in {} is not in the answer", place.collect::<String>())
}

/// Calls `found` with each object at the place.
fn at(value: &mut Value, place: &[Step], found: &mut impl FnMut(&mut BTreeMap<String, Value>)) {
    match (place, value) {
        ([], Value::Object(members)) => found(members),
        ([Step::Member(name), rest @ ..], Value::Object(members)) => {
            if let Some(member) = members.get_mut(name) {
                at(member, rest, found);
            }
        }
        ([Step::EachItem, rest @ ..], Value::List(items)) => {
            items.iter_mut().for_each(|item| at(item, rest, found));
        }
        _ => {}
    }
}

/// The places of all objects inside, each once.
fn objects(value: &Value, here: &mut Place, places: &mut Vec<Place>) {
    let mut into = |step: Step, value: &Value, places: &mut Vec<Place>| {
        here.push(step);
        if matches!(value, Value::Object(_)) && !places.contains(here) {
            places.push(here.clone());
        }
        objects(value, here, places);
        here.pop();
    };
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                into(Step::Member(name.clone()), member, places);
            }
        }
        Value::List(items) => {
            for item in items {
                into(Step::EachItem, item, places);
            }
        }
        _ => {}
    }
}
