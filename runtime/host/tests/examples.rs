//! The repository's own merge functions, as components, over the cases that their authors wrote: in
//! each language that an example is written in, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod guest;

use std::fs;

use guest::Case;
use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::{FunctionVersion, GuestFault, HostFault};
use syncline_guest_build::Language::{self, AssemblyScript, Rust};
use syncline_guest_build::{example_in, examples_dir};
use syncline_host::{Host, Run};

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

impl<'a> Written<'a> {
    fn images(&self) -> [Option<&'a str>; 3] {
        [self.ancestor, self.older, self.newer].map(|image| image.map(RawValue::get))
    }
}

/// The texts of an example's files of cases.
fn files(name: &str) -> Vec<String> {
    let folder = fs::read_dir(examples_dir().join(name).join("cases")).unwrap();
    folder.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

fn load(host: &Host, name: &str, language: Language) -> FunctionVersion {
    let built = example_in(name, language).unwrap_or_else(|error| panic!("{error}"));
    let component = fs::read(built.path).unwrap();
    let version = FunctionVersion::of(&component);
    let manifest = host.load(version, &component).unwrap();
    let suffix = if language == AssemblyScript { "-assemblyscript" } else { "" };
    assert_eq!(manifest.name, Some(format!("{name}{suffix}")));
    version
}

fn check(name: &str, language: Language) {
    let host = guest::host();
    let version = load(&host, name, language);
    let mut cases = 0;
    for text in files(name) {
        let written: Vec<Written<'_>> = serde_json::from_str(&text).unwrap();
        for w in written {
            let [ancestor, older, newer] = w.images();
            let run = host.run(&version, &Case::new(ancestor, older, newer).input()).unwrap();
            assert!(run.usage.is_none_or(|usage| usage.fuel > 0 && usage.stack_bytes > 0));
            let place = format!("{name} in {language:?}: {}", w.name);
            match (run.outcome, w.error) {
                (Ok(image), None) => {
                    let image = image.map(|image| String::from_utf8_lossy(image.as_bytes()).into());
                    assert_eq!(image, w.merged.map(|raw| raw.get().to_owned()), "{place}");
                }
                (Err(GuestFault::Error(text)), Some(error)) => assert_eq!(text, error, "{place}"),
                (outcome, error) => panic!("{place}: {outcome:?}, not {error:?}"),
            }
            cases += 1;
        }
    }
    assert!(cases > 0, "{name} has no cases");
}

/// An outcome to be compared: the row, nothing or the function's own error.
fn text(run: Result<Run, HostFault>) -> String {
    match run.unwrap().outcome {
        Ok(None) => "deleted".to_owned(),
        Ok(Some(image)) => String::from_utf8_lossy(image.as_bytes()).into_owned(),
        Err(GuestFault::Error(text)) => format!("error: {text}"),
        Err(fault) => panic!("{fault:?}"),
    }
}

/// Conflicts that nobody wrote: any three images out of all cases, or none in their place.
fn check_that_languages_agree(name: &str) {
    const CONFLICTS: usize = 2_000;
    let host = guest::host();
    let versions = [Rust, AssemblyScript].map(|language| load(&host, name, language));
    let texts = files(name);
    let cases =
        texts.iter().flat_map(|text| serde_json::from_str::<Vec<Written<'_>>>(text).unwrap());
    let mut images: Vec<_> = cases.flat_map(|case| case.images()).collect();
    // As deep as a row may be, the row itself counted.
    let deep = format!(r#"{{"deep":{}{}}}"#, "[".repeat(99), "]".repeat(99));
    images.push(Some(&deep));
    images.sort_unstable();
    images.dedup();
    // Knuth's linear congruential generator, of which the high bits are good.
    let mut state = 1_u64;
    let mut any = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        images[(state >> 33) as usize % images.len()]
    };
    let mut merged = 0;
    for _ in 0..CONFLICTS {
        let (ancestor, older, newer) = (any(), any(), any());
        let case = Case::new(ancestor, older, newer);
        let [rust, assemblyscript] =
            versions.map(|version| text(host.run(&version, &case.input())));
        assert_eq!(rust, assemblyscript, "{name}: {ancestor:?}, {older:?}, {newer:?}");
        merged += usize::from(rust.starts_with('{'));
    }
    assert!(merged > CONFLICTS / 10, "{name}: only {merged} merged");
}

#[test]
fn cart() {
    check("cart", Rust);
    check("cart", AssemblyScript);
    check_that_languages_agree("cart");
}

#[test]
fn counter() {
    check("counter", Rust);
    check("counter", AssemblyScript);
    check_that_languages_agree("counter");
}

#[test]
fn order() {
    check("order", Rust);
    check("order", AssemblyScript);
    check_that_languages_agree("order");
}

#[test]
fn first_word() {
    check("first-word", Rust);
}

#[test]
fn hash_sides() {
    check("hash-sides", Rust);
}
