//! What the verifier says of functions whose laws are known.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;

use serde::{Deserialize, Serialize};
use syncline_sdk::{Conflict, MergeError, Raw, resolve};
use syncline_verifier::{
    Answer as Answered, Case, Effort, Expected, Failure, Law, Native, Report, Subject, Verdict,
    check_cases, replay, verify,
};

type Answer = Result<Option<Vec<u8>>, MergeError>;

/// A row with a number, and others that the functions here don't name.
const CASES: &str = r#"[
    {"name": "both", "ancestor": {"n": 1, "note": "x"},
     "older": {"n": 2, "note": "x"}, "newer": {"n": 4, "note": "y"}},
    {"name": "no ancestor", "older": {"n": 7}, "newer": {"n": 5, "tags": [{"id": "a"}]}},
    {"name": "older deleted", "ancestor": {"n": 1}, "older": null, "newer": {"n": 2}}
]"#;

#[derive(Clone, Serialize, Deserialize)]
struct Stock {
    #[serde(default)]
    n: i64,
}

fn report(function: impl Fn(Conflict<&[u8]>) -> Answer) -> Report {
    Native::new(function).verify(CASES).unwrap()
}

fn verdicts(report: &Report) -> [Verdict; 6] {
    Law::ALL.map(|law| report.verdict(law))
}

/// The images of a law's witness: ancestor, older, newer.
fn witness(report: &Report, law: Law) -> [Option<String>; 3] {
    let finding = report.findings.iter().find(|finding| finding.law == law).unwrap();
    let case = finding.witness.as_ref().unwrap();
    let conflict = &case.conflict;
    [&conflict.ancestor, &conflict.older.image, &conflict.newer.image]
        .map(|image| image.as_ref().map(|image| format!("{image:?}")))
}

fn some(json: &str) -> Option<String> {
    Some(json.to_owned())
}

fn newer(conflict: Conflict<&[u8]>) -> Answer {
    fn merge(c: Conflict<Raw<'_>>) -> Result<Option<Raw<'_>>, MergeError> {
        Ok(c.newer.image)
    }
    resolve(merge, conflict)
}

/// A trap, without the noise of a panic.
fn trap_if(image: &[u8], unwelcome: &str) {
    if String::from_utf8_lossy(image).contains(unwelcome) {
        std::panic::resume_unwind(Box::new(format!("not with {unwelcome}")));
    }
}

/// The larger number wins, field by field.
fn largest(conflict: Conflict<&[u8]>) -> Answer {
    fn merge(c: Conflict<Stock>) -> Result<Option<Stock>, MergeError> {
        Ok(match (c.older.image, c.newer.image) {
            (Some(older), Some(newer)) => Some(Stock { n: older.n.max(newer.n) }),
            (one, other) => one.or(other),
        })
    }
    resolve(merge, conflict)
}

#[test]
fn of_a_lawful_function_all_laws_hold() {
    let report = report(|conflict| {
        // What it doesn't name goes to the newer side, so only rows without it are lawful.
        let bare = |image: Option<&[u8]>| {
            image.is_none_or(|image| !String::from_utf8_lossy(image).contains([',', '[']))
        };
        let rows = [conflict.ancestor, conflict.older.image, conflict.newer.image];
        if rows.into_iter().all(bare) { largest(conflict) } else { Err("not this one".into()) }
    });
    for law in [Law::Total, Law::Deterministic, Law::Commutative, Law::Associative] {
        assert_eq!(report.verdict(law), Verdict::Holds, "{report}");
    }
    assert_eq!(report.verdict(Law::Idempotent), Verdict::Holds, "{report}");
    assert!(report.blocking.is_empty());
    assert!(report.answers.refused > 0 && report.answers.merged > 100, "{report}");
}

#[test]
fn the_newer_side_is_not_commutative_and_loses_what_the_older_adds() {
    let report = report(newer);
    let [total, deterministic, commutative, associative, idempotent, unknown] = verdicts(&report);
    assert_eq!([total, deterministic, associative, idempotent], [Verdict::Holds; 4], "{report}");
    assert_eq!([commutative, unknown], [Verdict::Broken; 2], "{report}");
    let [ancestor, older, newer] = witness(&report, Law::Commutative);
    assert_eq!(ancestor, None);
    let shortest = |row: &Option<String>| row.as_ref().is_none_or(|row| row.len() <= 11);
    assert!(shortest(&older) && shortest(&newer), "{older:?} {newer:?}");
    let field = r#"{"syncline-unknown-field":{"n":1.50}}"#;
    assert_eq!(witness(&report, Law::KeepsUnknownFields), [None, some(field), some("{}")]);
}

#[test]
fn of_a_counter_only_what_it_must_break_is_broken() {
    let report = report(|conflict| {
        fn merge(c: Conflict<Stock>) -> Result<Option<Stock>, MergeError> {
            let n = |row: &Option<Stock>| row.as_ref().map_or(0, |row| row.n);
            let (older, newer) = (n(&c.older.image), n(&c.newer.image));
            let sum = older.checked_add(newer).and_then(|sum| sum.checked_sub(n(&c.ancestor)));
            Ok(Some(Stock { n: sum.ok_or("out of range")? }))
        }
        resolve(merge, conflict)
    });
    assert_eq!(report.verdict(Law::Idempotent), Verdict::Broken, "{report}");
    // 1 and 1 from nothing are 2.
    let [ancestor, older, newer] = witness(&report, Law::Idempotent);
    assert_eq!((ancestor, &older), (None, &newer));
    assert_eq!(newer, some(r#"{"n":1}"#));
    assert_eq!(report.verdict(Law::KeepsUnknownFields), Verdict::Holds, "{report}");
}

#[test]
fn a_fault_on_a_case_blocks_and_one_on_a_generated_conflict_does_not() {
    let trap = |conflict: Conflict<&[u8]>| -> Answer {
        let newer = conflict.newer.image.unwrap_or_default();
        trap_if(newer, "tags");
        self::newer(conflict)
    };
    let on_a_case = report(trap);
    assert_eq!(on_a_case.verdict(Law::Total), Verdict::Broken);
    let blocking = &on_a_case.blocking[0];
    assert_eq!((blocking.case.as_str(), blocking.law), ("no ancestor", Law::Total));
    assert!(blocking.what.contains("not with tags"), "{}", blocking.what);
    let [ancestor, older, newer] = witness(&on_a_case, Law::Total);
    assert_eq!([ancestor, older, newer], [None, some("{}"), some(r#"{"tags":0}"#)]);

    let generated = report(|conflict| {
        let newer = conflict.newer.image.unwrap_or_default();
        trap_if(newer, "1e400");
        self::newer(conflict)
    });
    assert_eq!(generated.verdict(Law::Total), Verdict::Broken);
    assert_eq!(generated.blocking, []);
}

#[test]
fn an_error_with_a_text_is_an_answer() {
    let report = report(|_| Err("never".into()));
    assert_eq!(report.verdict(Law::Total), Verdict::Holds);
    assert_eq!(report.verdict(Law::Commutative), Verdict::Inconclusive);
    assert_eq!(report.verdict(Law::KeepsUnknownFields), Verdict::Inconclusive);
    assert_eq!(report.answers.refused, report.conflicts());
    assert_eq!(report.blocking, []);
}

#[test]
fn a_function_that_remembers_is_found_where_instances_are_not_fresh() {
    let calls = Cell::new(0);
    let report = report(|conflict| {
        calls.set(calls.get() + 1);
        let row = if calls.get() % 2 == 0 { conflict.older.image } else { conflict.newer.image };
        Ok(row.map(<[u8]>::to_vec))
    });
    assert_eq!(report.verdict(Law::Deterministic), Verdict::Broken);
    assert!(report.blocking.iter().any(|blocking| blocking.law == Law::Deterministic));
}

#[test]
fn another_engine_that_answers_otherwise_is_found() {
    let one = Native::new(newer);
    let other = Native::new(largest);
    let cases = Case::read(CASES).unwrap();
    let effort = Effort { seed: 1, generated: 0 };
    let report = verify(&one, &[&other], &cases, &[], effort, &mut |_, _| {}).unwrap();
    assert_eq!(report.verdict(Law::Deterministic), Verdict::Broken);
    assert_eq!(report.blocking[0].case, "no ancestor");
}

#[test]
fn fields_inside_lists_are_looked_for_too() {
    #[derive(Serialize, Deserialize)]
    struct Row {
        #[serde(default)]
        tags: Vec<Tag>,
    }
    #[derive(Serialize, Deserialize)]
    struct Tag {
        id: String,
    }
    let report = report(|conflict| {
        fn merge(c: Conflict<Row>) -> Result<Option<Row>, MergeError> {
            Ok(c.newer.image)
        }
        resolve(merge, conflict)
    });
    let finding = report.findings.iter().find(|f| f.law == Law::KeepsUnknownFields).unwrap();
    assert_eq!(finding.verdict, Verdict::Broken);
    assert!(finding.what.as_ref().unwrap().contains(".tags[]"), "{finding:?}");
}

#[test]
fn a_witness_can_be_replayed_from_its_file() {
    let report = report(|conflict| {
        fn merge(c: Conflict<Stock>) -> Result<Option<Stock>, MergeError> {
            let n = |row: &Option<Stock>| row.as_ref().map_or(0, |row| row.n);
            Ok(Some(Stock { n: n(&c.older.image).wrapping_mul(2).wrapping_add(n(&c.newer.image)) }))
        }
        resolve(merge, conflict)
    });
    let finding = report.findings.iter().find(|f| f.law == Law::Associative).unwrap();
    assert_eq!(finding.verdict, Verdict::Broken, "{report}");
    let text = finding.witness.as_ref().unwrap().to_json();
    let case = Case::read(&text).unwrap().remove(0);
    assert_eq!(Some(&case), finding.witness.as_ref());
    let function = Native::new(|conflict| {
        fn merge(c: Conflict<Stock>) -> Result<Option<Stock>, MergeError> {
            let n = |row: &Option<Stock>| row.as_ref().map_or(0, |row| row.n);
            Ok(Some(Stock { n: n(&c.older.image).wrapping_mul(2).wrapping_add(n(&c.newer.image)) }))
        }
        resolve(merge, conflict)
    });
    let calls = replay(&function, &case).unwrap();
    let [_, (left_name, left), (_, right)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(left_name, "(older and newer) and third");
    assert_ne!(left.outcome, right.outcome);
}

#[test]
fn the_same_seed_makes_the_same_report() {
    assert_eq!(report(newer), report(newer));
}

/// Answers so many calls, and has no time for more.
struct Impatient<S> {
    subject: S,
    left: Cell<u32>,
}

impl<S: Subject> Subject for Impatient<S> {
    fn call(&self, conflict: &syncline_verifier::Conflict) -> Result<Answered, Failure> {
        self.left.set(self.left.get().checked_sub(1).ok_or(Failure::Stopped)?);
        self.subject.call(conflict)
    }

    fn name(&self) -> &str {
        self.subject.name()
    }
}

#[test]
fn what_was_found_until_the_time_was_over_counts() {
    let cases = Case::read(CASES).unwrap();
    let mut generated = 0;
    for calls in [0, 1, 5, 40, 4_000] {
        let function = Impatient { subject: Native::new(newer), left: Cell::new(calls) };
        let effort = Effort::default();
        let report = verify(&function, &[], &cases, &[], effort, &mut |_, _| {}).unwrap();
        assert!(report.stopped_early, "{report}");
        assert_eq!(report.given < 3, calls < 4_000, "{report}");
        assert!(report.generated >= generated, "{report}");
        generated = report.generated;
        if calls >= 40 {
            assert_eq!(report.verdict(Law::Commutative), Verdict::Broken, "{report}");
        }
    }
    assert!(generated > 0);
}

#[test]
fn without_any_case_there_is_still_something_to_try() {
    let function = Native::new(largest);
    let report = verify(&function, &[], &[], &[], Effort::default(), &mut |_, _| {}).unwrap();
    assert_eq!(report.verdict(Law::Commutative), Verdict::Broken, "of what it lacks: {report}");
    assert_eq!(report.generated, 1_000);
}

#[test]
fn cases_are_compared_and_the_others_counted() {
    let cases = Case::read(
        r#"[{"name":"right","newer":{"n":1},"merged":{"n":1}},{"newer":{"n":1}},
            {"name":"wrong","newer":{"n":1},"merged":{"n":2}}]"#,
    );
    let function = Native::new(newer);
    let report = check_cases(&function, &cases.unwrap()).unwrap();
    assert_eq!((report.compared, report.without_expectation), (2, 1));
    assert_eq!(report.differing.len(), 1);
    assert_eq!(report.differing[0].name, "wrong");
    assert!(matches!(report.differing[0].expected, Some(Expected::Merged(Some(_)))));
    let trap = Native::new(|_| std::panic::resume_unwind(Box::new("no")));
    let any = Case::read(r#"{"newer":{"n":1}}"#).unwrap();
    assert_eq!(check_cases(&trap, &any).unwrap().differing.len(), 1);
    assert_eq!(function.name(), "native");
}
