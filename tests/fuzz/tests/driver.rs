//! What the driver makes of cases that fail, panic or hang.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use syncline_fuzz::driver::{Plan, Summary, run};
use syncline_fuzz::{Case, Target};

/// Goes wrong at one seed.
struct Wrong {
    name: &'static str,
    how: fn() -> anyhow::Result<()>,
}

const SEED: u64 = 7;

impl Target for Wrong {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, case: &mut Case<'_>) -> anyhow::Result<()> {
        case.show("seed.txt", case.seed().to_string().as_bytes());
        case.met("tried");
        if case.seed() == SEED { (self.how)() } else { Ok(()) }
    }
}

/// What no case here takes, not even one that prints a panic.
const PATIENCE: Duration = Duration::from_secs(120);

fn summary(name: &'static str, threads: usize, how: fn() -> anyhow::Result<()>) -> Summary {
    patient(name, threads, PATIENCE, how)
}

fn patient(
    name: &'static str,
    threads: usize,
    case_time_max: Duration,
    how: fn() -> anyhow::Result<()>,
) -> Summary {
    let plan = Plan {
        first: 1,
        count: Some(20),
        time: None,
        threads,
        case_time_max,
        folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver"),
    };
    let target: Arc<dyn Target> = Arc::new(Wrong { name, how });
    run(&target, &plan, Duration::MAX, &mut |_| {}).unwrap()
}

#[track_caller]
fn check(summary: &Summary, what: &str) {
    let failure = summary.failure.as_ref().unwrap();
    assert_eq!(failure.seed, SEED);
    assert!(failure.what.contains(what), "{}", failure.what);
    assert_eq!(fs::read_to_string(failure.folder.join("seed.txt")).unwrap(), "7");
    assert!(fs::read_to_string(failure.folder.join("failure.txt")).unwrap().contains(what));
}

#[test]
fn a_failure_ends_the_run_and_leaves_its_files() {
    let summary = summary("fails", 1, || Err(anyhow::anyhow!("not so")));
    check(&summary, "not so");
    assert_eq!((summary.cases, summary.kinds["tried"]), (6, 6));
}

#[test]
fn a_panic_is_a_failure() {
    check(&summary("panics", 3, || panic!("no way")), "it panics: no way");
}

#[test]
fn a_case_that_hangs_is_a_failure() {
    let hang = || loop {
        thread::park();
    };
    check(&patient("hangs", 1, Duration::from_millis(300), hang), "it hangs");
}

#[test]
fn without_a_failure_each_case_is_run_once() {
    let summary = summary("passes", 3, || Ok(()));
    assert!(summary.failure.is_none());
    assert_eq!((summary.cases, summary.kinds["tried"]), (20, 20));
}
