//! Laws of the three-way merges, and rows of types that go by them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use syncline_sdk::three_way::{self, Integer, Record, Records};
use syncline_sdk::{Conflict, Fields, MergeError, Open, Operation, Side, resolve};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    id: String,
    qty: i64,
}

impl Record for Line {
    const KEY: &'static str = "id";

    fn key(&self) -> &str {
        &self.id
    }
}

fn records() -> impl Strategy<Value = Records<Line>> {
    btree_map("[a-e]", 0..4_i64, 0..5).prop_map(|lines| {
        let line = |(id, qty)| Line { id, qty };
        let lines: Vec<_> = lines.into_iter().rev().map(line).collect();
        serde_json::from_str(&serde_json::to_string(&lines).unwrap()).unwrap()
    })
}

fn merge_lines(a: &Records<Line>, o: &Records<Line>, n: &Records<Line>) -> Records<Line> {
    three_way::list_by_key(a, o.clone(), n.clone(), |before, older, newer| {
        Ok::<_, MergeError>(three_way::value(&before.cloned(), older, newer))
    })
    .unwrap()
}

/// Objects of objects, three levels deep.
fn nested() -> impl Strategy<Value = Fields> {
    let leaf =
        prop::sample::select(vec!["1", "1.50", "\"x\"", "[1]", "{}"]).prop_map(str::to_owned);
    let tree = leaf.prop_recursive(3, 24, 3, |inner| {
        btree_map("[a-c\"é]", inner, 0..4).prop_map(|fields| {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{}:{value}", serde_json::to_string(name).unwrap()))
                .collect();
            format!("{{{}}}", fields.join(","))
        })
    });
    tree.prop_map(|text| serde_json::from_str(&format!("{{\"top\":{text}}}")).unwrap())
}

proptest! {
    #[test]
    fn a_counter_is_exact(a: i64, o: i64, n: i64) {
        let sum = i128::from(o) + i128::from(n) - i128::from(a);
        prop_assert_eq!(three_way::counter(a, o, n).ok(), i64::try_from(sum).ok());
        let (a, o, n) = (a.cast_unsigned(), o.cast_unsigned(), n.cast_unsigned());
        let sum = i128::from(o) + i128::from(n) - i128::from(a);
        prop_assert_eq!(three_way::counter(a, o, n).ok(), u64::try_from(sum).ok());
    }

    #[test]
    fn each_element_of_a_set_is_merged_by_itself(
        a in btree_set(0..8_u8, 0..6),
        o in btree_set(0..8_u8, 0..6),
        n in btree_set(0..8_u8, 0..6),
    ) {
        let merged = three_way::set(&a, o.clone(), n.clone());
        let expected: BTreeSet<_> = (0..8)
            .filter(|x| three_way::value(&a.contains(x), o.contains(x), n.contains(x)))
            .collect();
        prop_assert_eq!(&merged, &expected);
        prop_assert_eq!(&three_way::set(&a, n, o), &merged, "commutative");
    }

    #[test]
    fn each_record_is_merged_by_itself(a in records(), o in records(), n in records()) {
        let merged = merge_lines(&a, &o, &n);
        prop_assert!(merged.is_sorted_by(|x, y| x.id < y.id));
        let find = |list: &Records<Line>, id: &str| list.iter().find(|x| x.id == id).cloned();
        for id in ["a", "b", "c", "d", "e"] {
            let expected = three_way::value(&find(&a, id), find(&o, id), find(&n, id));
            prop_assert_eq!(find(&merged, id), expected);
        }
    }

    #[test]
    fn a_side_that_changed_nothing_has_no_say(a in nested(), b in nested()) {
        for levels in 0..4 {
            prop_assert_eq!(&three_way::object(&a, &a, &b, levels), &b);
            prop_assert_eq!(&three_way::object(&a, &b, &a, levels), &b);
            prop_assert_eq!(&three_way::object(&a, &b, &b, levels), &b);
        }
    }

    #[test]
    fn without_levels_an_object_is_merged_as_by_its_own_method(
        a in nested(), o in nested(), n in nested(),
    ) {
        prop_assert_eq!(three_way::object(&a, &o, &n, 0), Fields::three_way(&a, &o, &n));
    }
}

/// The borders of both types, where their texts differ.
#[test]
fn sums_out_of_range_say_which_border() {
    fn error<N: Integer + std::fmt::Debug>(a: N, o: N, n: N) -> String {
        three_way::counter(a, o, n).unwrap_err().to_string()
    }
    assert_eq!(error(0, i64::MIN, -1), "is below -2^63");
    assert_eq!(error(-1, i64::MAX, 0), "is above 2^63-1");
    assert_eq!(error(1, 0_u64, 0), "is below 0");
    assert_eq!(error(0, u64::MAX, 1), "is above 2^64-1");
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(default, deserialize_with = "syncline_sdk::present")]
    lines: Option<Records<Line>>,
}

fn keep<T>(c: Conflict<T>) -> Result<Option<T>, MergeError> {
    Ok(c.newer.image)
}

fn run(newer: &str) -> String {
    let side =
        |image| Side { region: "eu-west-1".into(), hlc: 1, operation: Operation::Update, image };
    let conflict = Conflict {
        table: "t".into(),
        row_pk: "r".into(),
        ancestor: None,
        older: side(None),
        newer: side(Some(newer.as_bytes())),
    };
    match resolve(keep::<Open<Row>>, conflict) {
        Ok(image) => String::from_utf8(image.unwrap()).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_error_names_the_place_in_the_list() {
    assert_eq!(run(r#"{"lines":{}}"#), "newer: lines is not a list");
    assert_eq!(run(r#"{"lines":null}"#), "newer: lines is not a list");
    assert_eq!(
        run(r#"{"lines":[{"id":"b","qty":1},{"id":"a"}]}"#),
        "newer: lines[1]: missing field `qty`",
    );
    let twice = r#"{"id":"b","qty":1},{"id":"a","qty":1},{"id":"b","qty":2}"#;
    assert_eq!(run(&format!(r#"{{"lines":[{twice}]}}"#)), "newer: lines[2]: id appears twice");
    let before_a_bad_one = format!(r#"{{"lines":[{twice},7]}}"#);
    assert_eq!(run(&before_a_bad_one), "newer: lines[2]: id appears twice");
}

#[test]
fn a_row_may_be_open_as_a_whole() {
    assert_eq!(
        run(r#"{"z":1.50,"lines":[{"id":"b","qty":1},{"id":"a","qty":2}],"a":{"x":1e400}}"#),
        r#"{"a":{"x":1e400},"lines":[{"id":"a","qty":2},{"id":"b","qty":1}],"z":1.50}"#,
    );
}
