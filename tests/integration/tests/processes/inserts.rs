//! Rows that come, go and come again in two regions at once, in a table without a merge function.

use std::collections::BTreeMap;

use serde_json::Value;
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
    // The HLCs of what each region wrote last, by row.
    let mut last: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for region in [a, b] {
        region.delete("t", "both", If::Always).unwrap().success().unwrap();
        // One row was there before, the other never anywhere.
        for row_pk in ["both", "new"] {
            let image = format!(r#"{{"by":"{}"}}"#, region.name);
            let inserted = region.put("t", row_pk, &image, If::Absent).unwrap();
            assert_eq!(inserted.status, 201, "{inserted}");
            last.entry(row_pk).or_default().push(inserted.json()["hlc"].clone());
        }
        region.delete("t", "gone", If::Always).unwrap().success().unwrap();
    }
    a.heal("a", "b").unwrap();
    let digests = dev.wait_equal().unwrap();
    assert_eq!(digests[0].tables["t"].rows, 2);
    for (row_pk, last) in last {
        let rows = [a, b].map(|region| region.get("t", row_pk).unwrap().unwrap());
        assert_eq!(rows[0], rows[1]);
        for region in [a, b] {
            // On the way a region may have met other conflicts of the row; this one both have met.
            let conflicts = region.conflicts(&format!("table=t&row_pk={row_pk}")).unwrap();
            let between_the_last = |conflict: &&Value| {
                let heads = conflict["heads"].as_array().unwrap();
                heads.len() == 2 && heads.iter().all(|head| last.contains(&head["hlc"]))
            };
            let id = &conflicts.iter().find(between_the_last).unwrap()["conflict_id"];
            let conflict = region.conflict(id.as_str().unwrap()).unwrap();
            assert_eq!(conflict["resolution_strategy"], "lww");
            // The side that was written last is the row, and its change the winner.
            let newest = conflict["sides"].as_array().unwrap().last().unwrap();
            assert_eq!(newest["image"].to_string().as_bytes(), rows[0].image);
            assert_eq!(conflict["winner_event_id"], conflict["heads"][1]["event_id"]);
        }
    }
    for region in [a, b] {
        assert_eq!(region.get("t", "gone").unwrap(), None);
    }
    assert!(one_outcome_each(dev.regions(), "t").unwrap() >= 2);
}
