//! Rows that come, go and come again in two regions at once, in a table without a merge function.

use syncline_harness::{Dev, If};
use syncline_integration::one_outcome_each;

#[test]
fn if_none_match_takes_the_first_and_refuses_the_second() {
    let dev = Dev::start(&["a"]).unwrap();
    let region = &dev.regions()[0];
    let put = || region.put("t", "k", "{}", If::Absent).unwrap();
    assert_eq!(put().status, 201);
    let again = put();
    assert_eq!((again.status, again.code().as_str()), (412, "precondition-failed"));
    assert_eq!(region.delete("t", "k", If::Always).unwrap().status, 200);
    assert_eq!(region.get("t", "k").unwrap(), None);
    assert_eq!(put().status, 201);
}

#[test]
fn a_row_deleted_and_inserted_again_on_both_sides_is_one_conflict() {
    let dev = Dev::start(&["a", "b"]).unwrap();
    let [a, b] = dev.regions() else { panic!("two regions") };
    a.put("t", "both", r#"{"n":0}"#, If::Absent).unwrap().success().unwrap();
    a.put("t", "gone", r#"{"n":0}"#, If::Absent).unwrap().success().unwrap();
    dev.wait_equal().unwrap();
    a.cut("a", "b").unwrap();
    for region in [a, b] {
        region.delete("t", "both", If::Always).unwrap().success().unwrap();
        let image = format!(r#"{{"by":"{}"}}"#, region.name);
        let inserted = region.put("t", "both", &image, If::Absent).unwrap();
        assert_eq!(inserted.status, 201, "{inserted}");
        // A row that was never anywhere, made on both sides.
        region.put("t", "new", &image, If::Absent).unwrap().success().unwrap();
        region.delete("t", "gone", If::Always).unwrap().success().unwrap();
    }
    a.heal("a", "b").unwrap();
    let digests = dev.wait_equal().unwrap();
    assert_eq!(digests[0].tables["t"].rows, 2);
    for row_pk in ["both", "new"] {
        let rows = [a, b].map(|region| region.get("t", row_pk).unwrap().unwrap());
        assert_eq!(rows[0], rows[1]);
        let query = format!("table=t&row_pk={row_pk}");
        let conflicts = a.conflicts(&query).unwrap();
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        assert_eq!(conflicts[0]["resolution_strategy"], "lww");
        let conflict = a.conflict(conflicts[0]["conflict_id"].as_str().unwrap()).unwrap();
        // The side that was written last is the row, and its change the winner.
        let newest = conflict["sides"].as_array().unwrap().last().unwrap();
        assert_eq!(newest["image"].to_string().as_bytes(), rows[0].image);
        assert_eq!(conflict["winner_event_id"], conflict["heads"][1]["event_id"]);
    }
    for region in [a, b] {
        assert_eq!(region.get("t", "gone").unwrap(), None);
    }
    assert!(one_outcome_each(dev.regions(), "t").unwrap() >= 2);
}
