//! The laws, and how one conflict is held against each.

use std::fmt;

use serde::{Deserialize, Serialize};
use syncline_image::Image;
use syncline_sdk::{Operation, Side};

use crate::case::Case;
use crate::cases::outcome_text;
use crate::json::Value;
use crate::subject::{Answer, Conflict, Failure, Outcome, Subject};
use crate::unknown;

/// What one may want of a merge function. Regions converge without any of it but determinism, which
/// the sandbox sees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// It answers: no trap, and no limit reached. A refusal with a text is an answer.
    Total,
    /// Two calls answer alike and use up the same, in instances and engines of any settings.
    Deterministic,
    /// The answer is the same with the sides swapped.
    Commutative,
    /// Of three sides it doesn't matter which two are merged first.
    Associative,
    /// Two sides that are the same merge to what they are, or to a form that then stays.
    Idempotent,
    /// Fields that the function was written without are there afterwards.
    KeepsUnknownFields,
}

impl Law {
    /// All, in the order of reports.
    pub const ALL: [Self; 6] = [
        Self::Total,
        Self::Deterministic,
        Self::Commutative,
        Self::Associative,
        Self::Idempotent,
        Self::KeepsUnknownFields,
    ];

    /// Its name, as reports and case files have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Deterministic => "deterministic",
            Self::Commutative => "commutative",
            Self::Associative => "associative",
            Self::Idempotent => "idempotent",
            Self::KeepsUnknownFields => "keeps-unknown-fields",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the laws are tried on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) conflict: Conflict,
    /// For the laws over three sides.
    pub(crate) third: Side<Image>,
}

/// The function, in as many forms as there are.
pub(crate) struct Subjects<'a> {
    pub(crate) main: &'a dyn Subject,
    /// The same function, run in other ways.
    pub(crate) others: &'a [&'a dyn Subject],
}

/// What a trial says of a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Holds,
    /// In a sentence, and the trial that shows it.
    Broken(String, Box<Trial>),
    /// Nothing, for example as the function refuses the conflict.
    Nothing,
}

/// Holds a trial against a law. `answer` is what the function makes of the conflict itself.
pub(crate) fn check(
    law: Law,
    subjects: &Subjects<'_>,
    trial: &Trial,
    answer: &Answer,
) -> Result<Found, Failure> {
    match law {
        Law::Total => Ok(total(trial, answer)),
        Law::Deterministic => deterministic(subjects, trial, answer),
        Law::Commutative => commutative(subjects.main, trial, answer),
        Law::Associative => associative(subjects.main, trial, answer),
        Law::Idempotent => idempotent(subjects.main, trial),
        Law::KeepsUnknownFields => unknown::check(subjects.main, trial, answer),
    }
}

fn broken(what: String, trial: &Trial) -> Found {
    Found::Broken(what, Box::new(trial.clone()))
}

fn total(trial: &Trial, answer: &Answer) -> Found {
    match &answer.outcome {
        Outcome::Fault { code, text } => {
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            broken(format!("{code}: {}", lines.join(", ")), trial)
        }
        _ => Found::Holds,
    }
}

fn deterministic(subjects: &Subjects<'_>, trial: &Trial, first: &Answer) -> Result<Found, Failure> {
    for subject in std::iter::once(&subjects.main).chain(subjects.others) {
        let second = subject.call(&trial.conflict)?;
        if !second.outcome.agrees_with(&first.outcome) {
            let (first, second) = (outcome_text(&first.outcome), outcome_text(&second.outcome));
            let what = format!("once {first}, and then ({}) {second}", subject.name());
            return Ok(broken(what, trial));
        }
        if second.usage != first.usage {
            let (first, second) = (first.usage, second.usage);
            let what = format!("once it used {first:?}, and then ({}) {second:?}", subject.name());
            return Ok(broken(what, trial));
        }
    }
    Ok(Found::Holds)
}

/// The same conflict, with each side in the other's place: what they did changes hands, their
/// regions and times don't.
pub(crate) fn swapped(conflict: &Conflict) -> Conflict {
    let (older, newer) = (&conflict.older, &conflict.newer);
    let with = |side: &Side<Image>, image: &Option<Image>, operation| Side {
        region: side.region.clone(),
        hlc: side.hlc,
        operation,
        image: image.clone(),
    };
    Conflict {
        older: with(older, &newer.image, newer.operation),
        newer: with(newer, &older.image, older.operation),
        ..conflict.clone()
    }
}

fn commutative(subject: &dyn Subject, trial: &Trial, answer: &Answer) -> Result<Found, Failure> {
    let conflict = &trial.conflict;
    if conflict.older.image == conflict.newer.image {
        return Ok(Found::Nothing);
    }
    let other = subject.call(&swapped(conflict))?.outcome;
    Ok(match (&answer.outcome, &other) {
        (Outcome::Merged(one), Outcome::Merged(other)) if one == other => Found::Holds,
        (one @ Outcome::Merged(_), other) | (one, other @ Outcome::Merged(_)) => {
            let (one, other) = (outcome_text(one), outcome_text(other));
            broken(format!("one way round {one}, the other way round {other}"), trial)
        }
        _ => Found::Nothing,
    })
}

/// The two ways to fold three sides. None: a call on the way is no merge.
fn folds(
    subject: &dyn Subject,
    trial: &Trial,
    first: &Outcome,
) -> Result<Option<[Outcome; 2]>, Failure> {
    let Trial { conflict, third } = trial;
    let pair =
        |older: Side<Image>, newer: Side<Image>| Conflict { older, newer, ..conflict.clone() };
    let Some(left) = side_of(first, &conflict.newer) else { return Ok(None) };
    let right = subject.call(&pair(conflict.newer.clone(), third.clone()))?.outcome;
    let Some(right) = side_of(&right, third) else { return Ok(None) };
    let left = subject.call(&pair(left, third.clone()))?.outcome;
    let right = subject.call(&pair(conflict.older.clone(), right))?.outcome;
    Ok(Some([left, right]))
}

/// What a merge becomes in the next one: its newest change's side, as the runtime has it.
fn side_of(outcome: &Outcome, newest: &Side<Image>) -> Option<Side<Image>> {
    let Outcome::Merged(image) = outcome else { return None };
    let operation = match (image, newest.operation) {
        (None, _) => Operation::Delete,
        (Some(_), Operation::Delete) => Operation::Update,
        (Some(_), operation) => operation,
    };
    Some(Side { region: newest.region.clone(), hlc: newest.hlc, operation, image: image.clone() })
}

fn associative(subject: &dyn Subject, trial: &Trial, answer: &Answer) -> Result<Found, Failure> {
    Ok(match folds(subject, trial, &answer.outcome)? {
        Some([Outcome::Merged(left), Outcome::Merged(right)]) if left == right => Found::Holds,
        Some([left @ Outcome::Merged(_), right @ Outcome::Merged(_)]) => {
            let (left, right) = (outcome_text(&left), outcome_text(&right));
            broken(format!("the first two first {left}, the last two first {right}"), trial)
        }
        _ => Found::Nothing,
    })
}

fn idempotent(subject: &dyn Subject, trial: &Trial) -> Result<Found, Failure> {
    let mut trial = trial.clone();
    let conflict = &mut trial.conflict;
    conflict.older.image = conflict.newer.image.clone();
    conflict.older.operation = conflict.newer.operation;
    let Some(image) = conflict.newer.image.clone() else { return Ok(Found::Nothing) };
    let first = subject.call(conflict)?.outcome;
    let form = match &first {
        Outcome::Merged(Some(merged)) if *merged == image => return Ok(Found::Holds),
        Outcome::Merged(Some(merged)) => merged.clone(),
        Outcome::Merged(None) => return Ok(broken(outcome_text(&first), &trial)),
        _ => return Ok(Found::Nothing),
    };
    // A function may bring a row into a form of its own, such as a list in order. Then that stays.
    let mut again = conflict.clone();
    again.older.image = Some(form.clone());
    again.newer.image = Some(form.clone());
    Ok(match subject.call(&again)?.outcome {
        Outcome::Merged(Some(merged)) if merged == form => Found::Holds,
        Outcome::Merged(_) => broken(outcome_text(&first), &trial),
        _ => Found::Nothing,
    })
}

/// What a case comes to, call by call, each with what was called. For a witness these are the calls
/// that show how its law is broken.
pub fn replay(subject: &dyn Subject, case: &Case) -> Result<Vec<(String, Answer)>, Failure> {
    let conflict = &case.conflict;
    let answer = subject.call(conflict)?;
    let first = answer.outcome.clone();
    let mut calls = vec![("older and newer".to_owned(), answer)];
    match (case.law, &case.third) {
        (Some(Law::Commutative), _) => {
            calls.push(("with the sides swapped".into(), subject.call(&swapped(conflict))?));
        }
        (Some(Law::Deterministic), _) => {
            calls.push(("once more".into(), subject.call(conflict)?));
        }
        (Some(Law::Associative), Some(third)) => {
            let trial = Trial { conflict: conflict.clone(), third: third.clone() };
            let of = |outcome| Answer { outcome, usage: None };
            if let Some([left, right]) = folds(subject, &trial, &first)? {
                calls.push(("(older and newer) and third".into(), of(left)));
                calls.push(("older and (newer and third)".into(), of(right)));
            }
        }
        _ => {}
    }
    Ok(calls)
}

/// The images of a trial as trees: ancestor, older, newer, third.
pub(crate) fn trees(trial: &Trial) -> [Option<Value>; 4] {
    let Trial { conflict, third } = trial;
    [&conflict.ancestor, &conflict.older.image, &conflict.newer.image, &third.image]
        .map(|image| image.as_ref().map(Value::of))
}

/// The trial with other images. None: they can be no rows.
pub(crate) fn with_trees(trial: &Trial, trees: &[Option<Value>; 4]) -> Option<Trial> {
    let mut images = Vec::with_capacity(4);
    for tree in trees {
        images.push(tree.as_ref().map(Value::image).transpose().ok()?);
    }
    let [ancestor, older, newer, third] = <[Option<Image>; 4]>::try_from(images).ok()?;
    let mut trial = trial.clone();
    let was_there = ancestor.is_some();
    trial.conflict.ancestor = ancestor;
    set(&mut trial.conflict.older, older, was_there);
    set(&mut trial.conflict.newer, newer, was_there);
    set(&mut trial.third, third, was_there);
    Some(trial)
}

/// Gives a side an image, and an operation that goes with it.
fn set(side: &mut Side<Image>, image: Option<Image>, was_there: bool) {
    side.operation = match (&image, side.operation) {
        (None, _) => Operation::Delete,
        (Some(_), Operation::Delete) if !was_there => Operation::Insert,
        (Some(_), Operation::Delete) => Operation::Update,
        (Some(_), operation) => operation,
    };
    side.image = image;
}
