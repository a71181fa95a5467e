//! Makes a trial small that breaks a law: takes away and simplifies as long as it still does.

use std::collections::{BTreeMap, BTreeSet};

use syncline_image::Image;

use crate::json::Value;
use crate::law::{Trial, trees, with_trees};
use crate::subject::Failure;

/// So many smaller trials are tried.
const TRIES_MAX: usize = 1_500;
/// Of a large row only so many places are looked at, the outermost first.
const PLACES_MAX: usize = 300;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Item(usize),
    Member(String),
}

type Path = Vec<Step>;

/// The images that a change is made to: all at once first, as a cut in one alone is often another
/// conflict; then each.
const TOGETHER: [&[usize]; 5] = [&[0, 1, 2, 3], &[0], &[1], &[2], &[3]];

/// The smallest trial found, and what is said of it. `broken` answers with the trial that shows it, as
/// a law may make it of the one that it is given.
pub(crate) fn smallest(
    found: (String, Trial),
    mut broken: impl FnMut(&Trial) -> Result<Option<(String, Trial)>, Failure>,
) -> Result<(String, Trial), Failure> {
    let mut best = found;
    let mut tries = 0;
    'smaller: loop {
        let from = best.1.clone();
        for candidate in candidates(&from).take(TRIES_MAX - tries) {
            tries += 1;
            match broken(&candidate) {
                Ok(Some(found)) if size(&found.1) < size(&from) => {
                    best = found;
                    continue 'smaller;
                }
                Ok(_) => {}
                // The smallest until now breaks the law too.
                Err(Failure::Stopped) => return Ok(best),
                Err(failure) => return Err(failure),
            }
        }
        return Ok(best);
    }
}

/// How much there is to read; of two with as much, the one with the smaller numbers and letters is the
/// smaller.
fn size(trial: &Trial) -> (usize, Vec<Option<&Image>>) {
    let conflict = &trial.conflict;
    let images =
        [&conflict.ancestor, &conflict.older.image, &conflict.newer.image, &trial.third.image];
    let bytes = |image: &Image| image.as_bytes().len() + 1;
    let images: Vec<Option<&Image>> = images.map(Option::as_ref).into();
    (images.iter().flatten().map(|image| bytes(image)).sum(), images)
}

/// Smaller trials, the much smaller ones first.
fn candidates(trial: &Trial) -> impl Iterator<Item = Trial> + '_ {
    let images = trees(trial);
    let mut paths = BTreeSet::new();
    images.iter().flatten().for_each(|image| collect(image, &mut Path::new(), &mut paths));
    let mut paths: Vec<Path> = paths.into_iter().collect();
    paths.sort_by_key(Vec::len);
    paths.truncate(PLACES_MAX);

    let without_ancestor = {
        let mut images = images.clone();
        images[0] = None;
        with_trees(trial, &images)
    };
    let cut = images.clone();
    let cuts = paths.clone().into_iter().flat_map(move |path| {
        let images = cut.clone();
        TOGETHER.into_iter().filter_map(move |which| {
            let mut images = images.clone();
            let mut changed = false;
            for n in which {
                changed |= images[*n].as_mut().is_some_and(|image| remove(image, &path));
            }
            changed.then_some(images)
        })
    });
    let simpler = paths.into_iter().flat_map(move |path| {
        let images = images.clone();
        TOGETHER.into_iter().flat_map(move |which| {
            let (images, path) = (images.clone(), path.clone());
            (0..SIMPLER).filter_map(move |form| {
                let mut images = images.clone();
                let mut changed = false;
                for n in which {
                    let value = images[*n].as_mut().and_then(|image| get_mut(image, &path));
                    changed |= value.is_some_and(|value| simplify(value, form));
                }
                changed.then_some(images)
            })
        })
    });
    let smaller = cuts.chain(simpler).filter_map(|images| with_trees(trial, &images));
    without_ancestor.into_iter().chain(smaller)
}

fn collect(value: &Value, here: &mut Path, paths: &mut BTreeSet<Path>) {
    let mut into = |step: Step, value: &Value| {
        here.push(step);
        paths.insert(here.clone());
        collect(value, here, paths);
        here.pop();
    };
    match value {
        Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                into(Step::Item(n), item);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                into(Step::Member(name.clone()), member);
            }
        }
        _ => {}
    }
}

fn get_mut<'a>(value: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    match (path, value) {
        ([], value) => Some(value),
        ([Step::Item(n), rest @ ..], Value::List(items)) => get_mut(items.get_mut(*n)?, rest),
        ([Step::Member(name), rest @ ..], Value::Object(members)) => {
            get_mut(members.get_mut(name)?, rest)
        }
        _ => None,
    }
}

/// False: there is nothing at the path.
fn remove(value: &mut Value, path: &[Step]) -> bool {
    let Some((last, parent)) = path.split_last() else { return false };
    match (last, get_mut(value, parent)) {
        (Step::Item(n), Some(Value::List(items))) if *n < items.len() => {
            items.remove(*n);
            true
        }
        (Step::Member(name), Some(Value::Object(members))) => members.remove(name).is_some(),
        _ => false,
    }
}

/// How many simpler forms there are of a value.
const SIMPLER: usize = 3;

/// False: it has no such form, or is it already.
fn simplify(value: &mut Value, form: usize) -> bool {
    let simple = match (&*value, form) {
        (Value::Number(_), 0) => Value::Number("0".into()),
        (Value::Number(_), 1) => Value::Number("1".into()),
        (Value::Number(_), 2) => Value::Number("2".into()),
        (Value::Text(_), 0) => Value::Text(String::new()),
        (Value::Text(text), 1) => Value::Text(text.chars().take(1).collect()),
        (Value::Text(text), 2) => {
            Value::Text(text.chars().take(text.chars().count() / 2).collect())
        }
        (Value::List(_), 0) => Value::List(Vec::new()),
        (Value::Object(_), 0) => Value::Object(BTreeMap::new()),
        (Value::List(_) | Value::Object(_), 1) => Value::Number("0".into()),
        _ => return false,
    };
    let changed = *value != simple;
    *value = simple;
    changed
}
