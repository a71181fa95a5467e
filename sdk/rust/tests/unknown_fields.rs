//! Fields that a function's type doesn't name: which they are, and what becomes of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use syncline_sdk::{Conflict, Fields, MergeError, Open, Operation, Raw, Row, Side, resolve};

fn conflict<'a>(
    ancestor: Option<&'a str>,
    older: Option<&'a str>,
    newer: Option<&'a str>,
) -> Conflict<&'a [u8]> {
    let side = |region: &str, hlc, image: Option<&'a str>| Side {
        region: region.into(),
        hlc,
        operation: if image.is_some() { Operation::Update } else { Operation::Delete },
        image: image.map(str::as_bytes),
    };
    Conflict {
        table: "t".into(),
        row_pk: "r".into(),
        ancestor: ancestor.map(str::as_bytes),
        older: side("eu-west-1", 1, older),
        newer: side("us-east-1", 2, newer),
    }
}

/// The answer of a function over three images, as text: `-` for a deleted row.
fn run<'a, T: Row<'a>>(
    function: impl FnOnce(Conflict<T>) -> Result<Option<T>, MergeError>,
    ancestor: Option<&'a str>,
    older: Option<&'a str>,
    newer: Option<&'a str>,
) -> String {
    match resolve(function, conflict(ancestor, older, newer)) {
        Ok(image) => image.map_or("-".into(), |image| String::from_utf8(image).unwrap()),
        Err(error) => format!("error: {error}"),
    }
}

fn newer<T>(c: Conflict<T>) -> Result<Option<T>, MergeError> {
    Ok(c.newer.image.or(c.older.image))
}

#[derive(Serialize, Deserialize)]
struct Named {
    n: u64,
}

#[test]
fn unknown_fields_go_three_way() {
    let ancestor = r#"{"a":1,"b":1,"c":1,"gone":1,"n":0}"#;
    let older = r#"{"a":2,"b":1,"c":2,"gone":1,"n":1,"new":0}"#;
    let newer_image = r#"{"a":1,"b":2,"c":3,"n":2}"#;
    let merged = run(newer::<Named>, Some(ancestor), Some(older), Some(newer_image));
    assert_eq!(merged, r#"{"a":2,"b":2,"c":3,"n":2,"new":0}"#);
    let merged = run(newer::<Named>, None, Some(older), Some(newer_image));
    assert_eq!(merged, r#"{"a":1,"b":2,"c":3,"gone":1,"n":2,"new":0}"#);
}

#[test]
fn a_deletion_says_nothing_about_single_fields() {
    let living = Some(r#"{"n":1,"x":1}"#);
    assert_eq!(run(newer::<Named>, living, living, None), r#"{"n":1,"x":1}"#);
    assert_eq!(run(newer::<Named>, living, None, living), r#"{"n":1,"x":1}"#);
    let back = |_: Conflict<Named>| Ok(Some(Named { n: 7 }));
    assert_eq!(run(back, living, None, None), r#"{"n":7}"#);
    let gone = |_: Conflict<Named>| Ok(None);
    assert_eq!(run(gone, living, living, living), "-");
}

#[test]
fn what_nobody_looks_into_keeps_its_text() {
    let values =
        r#""a":1.50,"b":1e400,"c":-0,"d":18446744073709551616,"e":"\u001f","f":{"z":1E+2}"#;
    let image = format!("{{{values},\"n\":1,\"é\":0.10}}");
    assert_eq!(run(newer::<Named>, None, Some(&image), Some(&image)), image);
    assert_eq!(run(newer::<Fields>, None, Some(&image), Some(&image)), image);
    assert_eq!(run(newer::<Raw<'_>>, None, Some(&image), Some(&image)), image);
}

#[derive(Serialize, Deserialize)]
struct Clearable {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[test]
fn a_field_that_the_function_cleared_stays_away() {
    let clear = |_: Conflict<Clearable>| Ok(Some(Clearable { note: None }));
    let image = Some(r#"{"note":"x","other":1}"#);
    assert_eq!(run(clear, image, image, image), r#"{"other":1}"#);
}

#[derive(Serialize, Deserialize)]
struct Renamed {
    #[serde(rename = "colour", alias = "color")]
    tint: u64,
    #[serde(skip)]
    scratch: u64,
    #[serde(default, skip_serializing)]
    read_only: u64,
}

#[test]
fn names_are_those_of_the_json() {
    let image = Some(r#"{"color":1,"read_only":1,"scratch":1,"tint":1}"#);
    let mut seen = 9;
    let look = |c: Conflict<Renamed>| {
        let row = c.newer.image;
        seen = row.as_ref().map_or(9, |row| row.scratch + row.read_only);
        Ok(row)
    };
    assert_eq!(run(look, image, image, image), r#"{"colour":1,"scratch":1,"tint":1}"#);
    assert_eq!(seen, 1);
}

#[derive(Serialize, Deserialize)]
struct Wrapper(Named);

#[derive(Serialize, Deserialize)]
#[serde(from = "Named", into = "Named")]
#[derive(Clone)]
struct Converted(u64);

impl From<Named> for Converted {
    fn from(named: Named) -> Self {
        Self(named.n)
    }
}

impl From<Converted> for Named {
    fn from(converted: Converted) -> Self {
        Self { n: converted.0 }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    n: u64,
}

#[test]
fn a_struct_is_found_behind_wrappers() {
    let image = Some(r#"{"n":1,"x":1.50}"#);
    let expected = r#"{"n":1,"x":1.50}"#;
    assert_eq!(run(newer::<Wrapper>, image, image, image), expected);
    assert_eq!(run(newer::<Converted>, image, image, image), expected);
    assert_eq!(run(newer::<Strict>, image, image, image), expected);
    assert_eq!(run(newer::<Option<Named>>, image, image, image), expected);
}

#[derive(Serialize, Deserialize)]
struct Flat {
    n: u64,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
enum Shape {
    Circle { r: u64 },
    Line(u64, u64),
    Dot(Box<RawValue>),
}

#[test]
fn a_type_that_takes_every_field_leaves_none() {
    let drop_rest = |c: Conflict<Flat>| {
        Ok(c.newer.image.map(|row| Flat { rest: serde_json::Map::new(), ..row }))
    };
    let image = Some(r#"{"n":1,"x":1}"#);
    assert_eq!(run(drop_rest, image, image, image), r#"{"n":1}"#);
    for image in [r#"{"Circle":{"r":2}}"#, r#"{"Line":[1,2]}"#, r#"{"Dot":1.50}"#] {
        assert_eq!(run(newer::<Shape>, None, Some(image), Some(image)), image);
    }
}

#[test]
fn fields_come_out_sorted() {
    #[derive(Serialize, Deserialize)]
    struct Unsorted<'a> {
        z: u64,
        #[serde(borrow)]
        a: &'a str,
    }
    fn newer<'a>(c: Conflict<Unsorted<'a>>) -> Result<Option<Unsorted<'a>>, MergeError> {
        Ok(c.newer.image)
    }
    let image = r#"{"a":"x","m":[2,1],"z":1,"~":0}"#;
    assert_eq!(run(newer, None, Some(image), Some(image)), image);
    let out_of_order = r#" {"z":1,"m":[2,1],"~":0,"a":"x"} "#;
    assert_eq!(run(newer, None, Some(out_of_order), Some(out_of_order)), image);
}

#[derive(Serialize, Deserialize)]
struct Outer {
    inner: Open<Named>,
}

#[test]
fn a_nested_struct_keeps_its_own() {
    let merge = |c: Conflict<Outer>| {
        let (Some(older), Some(newer)) = (c.older.image, c.newer.image) else { return Ok(None) };
        let named = Named { n: older.inner.n + newer.inner.n };
        let ancestor = c.ancestor.map(|outer| outer.inner);
        let inner = Open::three_way(named, ancestor.as_ref(), &older.inner, &newer.inner);
        Ok(Some(Outer { inner }))
    };
    let merged = run(
        merge,
        Some(r#"{"inner":{"n":0,"x":1.50,"y":1}}"#),
        Some(r#"{"inner":{"n":1,"x":1.5,"y":1}}"#),
        Some(r#"{"inner":{"n":2,"x":1.50,"y":1e400}}"#),
    );
    assert_eq!(merged, r#"{"inner":{"n":3,"x":1.5,"y":1e400}}"#);
}

#[test]
fn an_image_that_does_not_fit_is_an_error_that_names_its_side() {
    let good = Some(r#"{"n":1}"#);
    for (image, reason) in [
        (r#"{"n":"x"}"#, "n: invalid type: string \"x\", expected u64"),
        (r#"{"m":1}"#, "missing field `n`"),
        (r#"{"n":1,"n":2}"#, "duplicate field `n`"),
        (r#"{"n":1,"x":1,"x":1}"#, "field `x` appears twice"),
        (r#"[1]"#, "not a JSON object"),
        (r#"{"n":1"#, "EOF while parsing an object"),
        (r#"{"n":1}}"#, "trailing characters"),
        ("", "not a JSON object"),
    ] {
        let bad = Some(image);
        assert_eq!(run(newer::<Named>, bad, good, good), format!("error: ancestor: {reason}"));
        assert_eq!(run(newer::<Named>, None, bad, good), format!("error: older: {reason}"));
        assert_eq!(run(newer::<Named>, None, good, bad), format!("error: newer: {reason}"));
    }
    let mut broken = conflict(None, good, good);
    broken.older.image = Some(b"{\"n\":1,\"x\":\"\xff\"}");
    assert_eq!(resolve(newer::<Named>, broken), Err("older: not UTF-8".into()));
}

#[test]
fn an_answer_that_is_no_object_is_an_error() {
    #[derive(Serialize, Deserialize)]
    #[serde(from = "Named")]
    struct Number(u64);
    impl From<Named> for Number {
        fn from(named: Named) -> Self {
            Self(named.n)
        }
    }
    let image = Some(r#"{"n":1}"#);
    let answer = run(newer::<Number>, image, image, image);
    assert_eq!(answer, "error: the merged row is not a JSON object");
    let answer = run(newer::<Box<RawValue>>, image, image, image);
    assert_eq!(answer, "error: a row that stays as it is has the type `Raw`");
}
