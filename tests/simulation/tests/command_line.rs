//! The command line: what is wrong usage, and what is printed.

use std::path::Path;
use std::process::{Command, Output};

fn sim(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-sim"));
    command.args(arguments).current_dir(folder).output().expect("start it")
}

/// The exit code, and all that is printed.
fn says(arguments: &[&str]) -> (Option<i32>, String) {
    let output = sim(arguments, Path::new("."));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_wrong() {
    for (arguments, why) in [
        (&[][..], "Usage"),
        (&["ruin"], "ruin"),
        (&["run", "--seeds", "9..7"], "the second number must be greater"),
        (&["run", "--seeds", "0"], "no seeds at all"),
        (&["run", "--seeds", "ten"], "no number of a seed"),
        (&["run", "--seeds", "1..2", "--from", "1"], "--from goes with a number"),
        (&["run", "--jobs", "0"], "--jobs"),
        (&["run", "--max-failures", "0"], "--max-failures"),
        (&["run", "--output", "yaml"], "table, json"),
        (&["replay"], "SEED"),
        (&["replay", "-1"], "-1"),
        (&["bugs", "--bug", "no-such-bug"], "arrival-order"),
        (&["cost", "--rows", "many"], "many"),
        (&["cost", "--rows", "10000,100"], "100 rows are too few"),
        (&["cost", "--rows", "99999999"], "too many"),
    ] {
        let (code, text) = says(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(why), "{arguments:?}: {text}");
    }
}

#[cfg(not(feature = "planted-bugs"))]
#[test]
fn no_bug_can_be_planted_in_the_product() {
    for arguments in [&["bugs"][..], &["replay", "1", "--bug", "arrival-order"]] {
        let (code, text) = says(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains("cargo xtask sim --bugs"), "{arguments:?}: {text}");
    }
}

#[test]
fn each_help_has_examples() {
    for arguments in
        [&["--help"][..], &["run", "-h"], &["replay", "-h"], &["bugs", "-h"], &["cost", "-h"]]
    {
        let (code, text) = says(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
        assert!(text.contains("Examples:\n  syncline-sim "), "{arguments:?}: {text}");
    }
}

#[test]
fn a_summary_for_programs_is_one_object() {
    let dir = tempfile::tempdir().unwrap();
    let output = sim(&["run", "--seeds", "0..5", "--jobs", "2", "--output", "json"], dir.path());
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["from"], &summary["upto"]), (&0.into(), &5.into()));
    // Whether they fail is not what is tested here; the exit code says the same as the summary.
    let failures = summary["failures"].as_array().unwrap();
    assert_eq!(output.status.code(), Some(if failures.is_empty() { 0 } else { 1 }));
    assert_eq!(summary["ok"], failures.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("playing seeds 0..5 (as asked)"));
}

#[test]
fn a_replay_tells_the_steps_and_the_story() {
    let output = sim(&["replay", "3", "--steps"], Path::new("."));
    let text = String::from_utf8(output.stdout).unwrap();
    let story = text.find("s  a starts\n");
    let steps = text.find("seed 3: Setup");
    assert!(steps.is_some() && steps < story, "{text}");
}
