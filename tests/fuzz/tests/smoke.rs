//! A few cases of each target, so that fuzzing itself keeps working.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use syncline_fuzz::driver::{Plan, Summary, run};
use syncline_fuzz::{Target, admission, merge, meter};

fn cases(target: Arc<dyn Target>, count: u64) -> Summary {
    let plan = Plan {
        first: 1,
        count: Some(count),
        time: None,
        threads: 1,
        case_time_max: Duration::from_secs(120),
        folder: std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoke"),
    };
    run(&target, &plan, Duration::MAX, &mut |_| {}).unwrap()
}

/// All cases pass, and these kinds are among them.
fn check(target: Arc<dyn Target>, count: u64, kinds: &[&str]) {
    let name = target.name();
    let summary = cases(target, count);
    assert!(summary.failure.is_none(), "{name}: {:?}", summary.failure);
    assert_eq!(summary.cases, count);
    for kind in kinds {
        assert!(summary.kinds.contains_key(*kind), "{name}: no case was {kind:?}: {summary:?}");
    }
}

#[test]
fn metered_modules_are_what_they_were() {
    let target = Arc::new(meter::Metering::new().unwrap());
    let kinds = ["compared", "done", "trapped", "two modules", "repeated", "just enough"];
    check(target, 25, &kinds);
}

#[test]
fn damaged_components_get_an_answer() {
    let target = Arc::new(admission::Admission::new().unwrap());
    check(target, 60, &["admitted", "invalid-component", "malformed-component"]);
}

#[test]
fn conflicts_get_one_answer() {
    let target = Arc::new(merge::Merging::new().unwrap());
    check(target, 60, &["merged", "as native"]);
}
