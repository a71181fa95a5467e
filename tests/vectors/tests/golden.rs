//! The committed vectors, and that the check would see it if one did not hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use syncline_vectors::{Vector, check_file};

fn golden() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/convergence/vectors.jsonl");
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn the_golden_vectors_hold_in_every_order() {
    let count = check_file(&golden(), 8, |_| {}).unwrap();
    assert!(count >= 500, "{count} vectors");
}

#[test]
fn they_meet_the_cases_that_matter() {
    let vectors: Vec<Vector> = golden().lines().map(|line| Vector::parse(line).unwrap()).collect();
    let with = |case: &dyn Fn(&Vector) -> bool| vectors.iter().filter(|v| case(v)).count();
    for heads in 1..=4 {
        assert!(with(&|v| v.heads.len() == heads) > 5, "{heads} heads");
    }
    assert!(with(&|v| v.image.is_none()) > 20, "rows that are deleted in the end");
    let stamps = |v: &Vector| {
        let stamps: std::collections::BTreeSet<_> = v.changes.iter().map(|c| c.stamp).collect();
        stamps.len() > 1
    };
    assert!(with(&stamps) > 100, "rows with changes of several versions");
}

#[test]
fn a_vector_that_does_not_hold_is_seen() {
    let golden = golden();
    let line = golden.lines().next().unwrap();
    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
    value["image"] = "something else".into();
    assert!(check_file(&value.to_string(), 0, |_| {}).unwrap_err().to_string().contains("line 1"));
    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
    value["changes"].as_array_mut().unwrap().pop();
    assert!(check_file(&value.to_string(), 0, |_| {}).is_err());
    assert!(check_file("{}", 0, |_| {}).is_err());
    assert!(check_file("\n", 0, |_| {}).is_err());
}
