//! The repository's own merge functions, as components, over the cases that their authors wrote.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod guest;

use std::fs;

use guest::Case;
use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::{FunctionVersion, GuestFault};
use syncline_guest_build::{example, examples_dir};

/// Without `error`, a `merged` of null or none means that the row is deleted. Images stand there in
/// canonical form.
#[derive(Deserialize)]
struct Written<'a> {
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

fn check(name: &str) {
    let component = fs::read(example(name).unwrap().path).unwrap();
    let version = FunctionVersion::of(&component);
    let host = guest::host();
    let manifest = host.load(version, &component).unwrap();
    assert_eq!(manifest.name.as_deref(), Some(name));
    let mut cases = 0;
    for file in fs::read_dir(examples_dir().join(name).join("cases")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let written: Vec<Written<'_>> = serde_json::from_str(&text).unwrap();
        for w in written {
            let json = |image: Option<&RawValue>| image.map(|raw| raw.get().to_owned());
            let (ancestor, older, newer) = (json(w.ancestor), json(w.older), json(w.newer));
            let case = Case::new(ancestor.as_deref(), older.as_deref(), newer.as_deref());
            let run = host.run(&version, &case.input()).unwrap();
            assert!(run.usage.is_none_or(|usage| usage.fuel > 0 && usage.stack_bytes > 0));
            match (run.outcome, w.error) {
                (Ok(image), None) => {
                    let image = image.map(|image| String::from_utf8_lossy(image.as_bytes()).into());
                    assert_eq!(image, json(w.merged), "{name}: {}", w.name);
                }
                (Err(GuestFault::Error(text)), Some(error)) => {
                    assert_eq!(text, error, "{name}: {}", w.name);
                }
                (outcome, error) => panic!("{name}: {}: {outcome:?}, not {error:?}", w.name),
            }
            cases += 1;
        }
    }
    assert!(cases > 0, "{name} has no cases");
}

#[test]
fn cart() {
    check("cart");
}

#[test]
fn first_word() {
    check("first-word");
}

#[test]
fn hash_sides() {
    check("hash-sides");
}
