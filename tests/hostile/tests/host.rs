//! Every hostile guest on one host: the right outcome, the same twice, and other rows unharmed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use syncline_core::{
    FunctionVersion, GuestFault, Hlc, Image, MergeInput, MergeSide, Operation, RegionId, RowKey,
};
use syncline_host::{Host, HostConfig, Run};
use syncline_hostile::{BOOM, Expected, Guest, Hostile, Kind, MET_BY_HOST, Rows, corpus};

/// A call more at a time than processors would only wait for them.
const THREADS: usize = 2;
/// The text of a fault, which ends in logs.
const FAULT_TEXT_BYTES_MAX: usize = 2048;
/// The log of a call.
const LOG_BYTES_MAX: usize = 64 << 10;
/// How much of an answer is shown.
const SHOWN_CHARS: usize = 80;

/// What a guest came to, in the words of the table: `refused`, `fault` or `merged`, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Came(&'static str, String);

impl std::fmt::Display for Came {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(how, what) = self;
        let short: String = what.chars().take(SHOWN_CHARS).collect();
        write!(f, "{how} {short}")
    }
}

fn expected(guest: &Hostile) -> Came {
    match &guest.expected {
        Expected::Refused(code) => Came("refused", (*code).to_owned()),
        Expected::Fault(code) => Came("fault", (*code).to_owned()),
        Expected::Merged(json) => Came("merged", json.clone()),
    }
}

const OLDER: &str = r#"{"o":1}"#;
const NEWER: &str = r#"{"n":2}"#;

fn call(host: &Host, version: &FunctionVersion, pk: &str) -> Result<Run, Came> {
    let image = |json: &str| Image::opaque(json.as_bytes());
    let (ancestor, older, newer) = (image(r#"{"a":0}"#), image(OLDER), image(NEWER));
    let regions: [RegionId; 2] = ["eu".parse().unwrap(), "us".parse().unwrap()];
    let row = RowKey { table: "hostile".parse().unwrap(), pk: pk.parse().unwrap() };
    let side = |i: usize, image| MergeSide {
        region: &regions[i],
        hlc: Hlc::new(1_795_203_212_955, i as u16).unwrap(),
        operation: Operation::Update,
        image: Some(image),
    };
    let input = MergeInput {
        row: &row,
        ancestor: Some(&ancestor),
        older: side(0, &older),
        newer: side(1, &newer),
    };
    host.run(version, &input).map_err(|fault| Came("host fault", fault.to_string()))
}

fn came(run: &Run) -> Came {
    match &run.outcome {
        Ok(Some(image)) => Came("merged", String::from_utf8_lossy(image.as_bytes()).into_owned()),
        Ok(None) => Came("merged", "nothing".to_owned()),
        Err(fault) => match text_of(fault) {
            Some(text) if text.len() > FAULT_TEXT_BYTES_MAX => Came("fault", "too long".to_owned()),
            Some(text) if text.chars().any(char::is_control) => {
                Came("fault", "not escaped".to_owned())
            }
            _ => Came("fault", fault.code().to_owned()),
        },
    }
}

fn text_of(fault: &GuestFault) -> Option<&str> {
    match fault {
        GuestFault::Trap(text) | GuestFault::InvalidOutput(text) | GuestFault::Error(text) => {
            Some(text)
        }
        _ => None,
    }
}

/// Admits it and calls it. The error is what came in the place of what is expected.
fn try_out(host: &Host, guest: &Hostile) -> Result<(), Came> {
    let expected = expected(guest);
    let built = catch_unwind(AssertUnwindSafe(|| guest.component()));
    let component = built.map_err(|_| Came("not built", String::new()))?;
    let admitted = match host.admit(&component) {
        Ok(admitted) => admitted,
        Err(refused) => {
            let came = Came("refused", refused.code().to_owned());
            return if came == expected {
                Ok(())
            } else {
                Err(Came("refused", format!("{} ({refused})", came.1)))
            };
        }
    };
    let version = admitted.version;
    host.load(version, &component)
        .map_err(|error| Came("admitted, but not loaded", error.to_string()))?;
    let on_others = match guest.rows {
        Rows::Boom => Came("merged", NEWER.to_owned()),
        Rows::Every => expected.clone(),
    };
    let first = call(host, &version, BOOM)?;
    let other = call(host, &version, "calm")?;
    let second = call(host, &version, BOOM)?;
    host.remove(&version);
    if came(&first) != expected {
        let text = first.outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        return Err(Came("first", format!("{} {text}", came(&first))));
    }
    if came(&other) != on_others {
        return Err(Came("on another row", came(&other).to_string()));
    }
    if first != second {
        return Err(Came("not the same twice", format!("{first:?} and {second:?}")));
    }
    if first.log.len() > LOG_BYTES_MAX || first.log.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Came("a log that is not fit to be shown", first.log));
    }
    Ok(())
}

#[test]
fn every_hostile_guest_has_its_one_outcome() {
    let cache = tempfile::tempdir().unwrap();
    let host = Host::new(HostConfig {
        cache_dir: Some(cache.path().to_owned()),
        slots: 4,
        functions: 4,
        // Outcomes are asked for here, and a busy machine has none of its own.
        wall_clock_limit: Duration::from_secs(120),
        ..HostConfig::default()
    })
    .unwrap();
    let guests: Vec<Hostile> =
        corpus().into_iter().filter(|guest| MET_BY_HOST.contains(&guest.needs)).collect();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(guest) = guests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(came) = try_out(&host, guest) {
                        wrong.lock().unwrap().push((guest, came));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let mut table = String::new();
    for (guest, came) in &wrong {
        let expected = expected(guest).to_string();
        writeln!(table, "{:40} | expected {expected:40} | {came}", guest.name).unwrap();
        writeln!(table, "{:40} | {}", "", guest.tries).unwrap();
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{table}", wrong.len(), guests.len());
    let good = Guest::default().component();
    let version = host.admit(&good).unwrap().version;
    host.load(version, &good).unwrap();
    assert_eq!(came(&call(&host, &version, BOOM).unwrap()), Came("merged", NEWER.to_owned()));
}

#[test]
fn the_corpus_is_large_and_its_names_are_names_of_tables() {
    let guests = corpus();
    assert!(guests.len() >= 70, "{}", guests.len());
    let names: BTreeSet<&str> = guests.iter().map(|guest| guest.name.as_str()).collect();
    assert_eq!(names.len(), guests.len(), "a name stands twice");
    for guest in &guests {
        let of_letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(guest.name.chars().all(of_letters) && guest.name.len() <= 64, "{}", guest.name);
        assert!(guest.tries.ends_with('.'), "{}", guest.name);
    }
    let kinds: BTreeSet<Kind> = guests.iter().map(|guest| guest.kind).collect();
    assert_eq!(kinds, BTreeSet::from(Kind::ALL));
    let in_bytes = |expected: &Expected| matches!(expected, Expected::Refused(_));
    assert!(guests.iter().filter(|guest| !in_bytes(&guest.expected)).count() >= 70);
}

#[test]
fn a_guest_is_built_the_same_each_time() {
    for guest in corpus() {
        let again = guest.component();
        assert!(guest.component() == again, "{}", guest.name);
    }
}
