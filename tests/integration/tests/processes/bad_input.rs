//! Bad input is refused with its code, and leaves nothing behind.

use std::fmt::Write as _;

use serde_json::Value;
use syncline_harness::{Answer, Dev, If, Region, example_function};
use syncline_integration::{core_module, of_another_world, send_raw};

const ROW: &str = "/v1/tables/t/rows/k";
const MIB: usize = 1 << 20;

fn refused(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {answer}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{what}");
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{what}: {problem}");
}

fn put(region: &Region, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut all = vec![("content-type", "application/json")];
    all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
    all.extend(headers);
    region.request("PUT", path, &all, Some(body)).unwrap()
}

/// A region that holds one row.
fn with_a_row() -> (Dev, Answer) {
    let dev = Dev::start(&["a"]).unwrap();
    let row = dev.regions()[0].put("t", "k", r#"{"n":1}"#, If::Always).unwrap().success().unwrap();
    (dev, row)
}

/// Nothing but that row is there, as it was.
fn nothing_changed(dev: &Dev, row: &Answer) {
    let region = &dev.regions()[0];
    let digests = region.digests().unwrap();
    assert_eq!(digests.tables.len(), 1, "{digests:?}");
    assert_eq!(digests.tables["t"].rows, 1, "{digests:?}");
    let now = region.get("t", "k").unwrap().unwrap();
    assert_eq!((now.image.as_slice(), now.etag), (&br#"{"n":1}"#[..], row.etag().unwrap()));
    assert!(region.functions().unwrap().is_empty());
}

#[test]
fn a_body_that_is_no_row_is_refused() {
    let (dev, row) = with_a_row();
    let region = &dev.regions()[0];
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let number = format!(r#"{{"a":{}}}"#, "1".repeat(65));
    for body in [
        &b""[..],
        b"no json",
        br#"{"a":1"#,
        br#"{"a":1} {}"#,
        br#"{"a":01}"#,
        b"[1]",
        b"\"text\"",
        b"null",
        br#"{"a":1,"a":2}"#,
        br#"{"a":"\ud800"}"#,
        b"{\"a\":\"\xff\"}",
        deep.as_bytes(),
        number.as_bytes(),
    ] {
        let what = String::from_utf8_lossy(body);
        refused(&put(region, ROW, &[], body), 400, "invalid-row", &what);
    }
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(MIB));
    refused(&put(region, ROW, &[], large.as_bytes()), 413, "row-too-large", "a large row");
    for kind in ["text/plain", "application/octet-stream", "multipart/form-data; boundary=x"] {
        let answer = put(region, ROW, &[("content-type", kind)], b"{}");
        refused(&answer, 415, "unsupported-media-type", kind);
    }
    nothing_changed(&dev, &row);
}

#[test]
fn a_body_without_an_end_is_refused() {
    let (dev, row) = with_a_row();
    let url = &dev.regions()[0].url;
    let bytes = 64 * MIB;
    let head = [
        "PUT /v1/tables/t/rows/k HTTP/1.1".to_owned(),
        "content-type: application/json".to_owned(),
        format!("content-length: {bytes}"),
    ];
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let (status, problem) = send_raw(url, &head, vec![b' '; bytes]).unwrap();
    assert_eq!((status, problem["code"].as_str()), (413, Some("body-too-large")), "{problem}");
    // Cut short in the middle. Whether there is an answer is not said, but nothing may change.
    let _ = send_raw(url, &head, br#"{"n":2}"#.to_vec());
    nothing_changed(&dev, &row);
}

#[test]
fn names_that_are_none_are_refused() {
    let (dev, row) = with_a_row();
    let region = &dev.regions()[0];
    let long_key = format!("/v1/tables/t/rows/{}", "k".repeat(1025));
    let long_table = format!("/v1/tables/{}/rows/k", "t".repeat(129));
    for (path, code) in [
        (long_key.as_str(), "invalid-row-pk"),
        ("/v1/tables/t/rows/a%0Ab", "invalid-row-pk"),
        ("/v1/tables/t/rows/a%00", "invalid-row-pk"),
        ("/v1/tables/t/rows/%7F", "invalid-row-pk"),
        ("/v1/tables/t/rows/%C2%85", "invalid-row-pk"),
        ("/v1/tables/t/rows/%FF", "invalid-request"),
        (long_table.as_str(), "invalid-table"),
        ("/v1/tables/9t/rows/k", "invalid-table"),
        ("/v1/tables/a%2Fb/rows/k", "invalid-table"),
        ("/v1/tables/..%2F..%2Fetc/rows/passwd", "invalid-table"),
        ("/v1/tables/a%20b/rows/k", "invalid-table"),
    ] {
        refused(&put(region, path, &[], b"{}"), 400, code, path);
        let get = region.request("GET", path, &[], None).unwrap();
        refused(&get, 400, code, path);
        let delete = region.request("DELETE", path, &[], None).unwrap();
        refused(&delete, 400, code, path);
    }
    for (method, path, status, code) in [
        ("GET", "/v1/nothing", 404, "route-not-found"),
        ("GET", "/v1/tables/t/rows/other", 404, "row-not-found"),
        ("DELETE", "/v1/tables/t/rows/other", 404, "row-not-found"),
        ("GET", "/v1/tables/t/rows?limit=0", 400, "invalid-request"),
        ("GET", "/v1/tables/t/rows?limit=x", 400, "invalid-request"),
        ("GET", "/v1/tables/t/rows?cursor=zz", 400, "invalid-cursor"),
        ("GET", "/v1/tables/t/rows?colour=red", 400, "invalid-request"),
        ("GET", "/v1/conflicts?outcome=lost", 400, "invalid-request"),
        ("GET", "/v1/conflicts/zz", 400, "invalid-request"),
        ("GET", "/v1/conflicts/00112233445566778899aabbccddeeff", 404, "conflict-not-found"),
        ("GET", "/v1/rollouts/none", 404, "rollout-not-found"),
        ("DELETE", "/v1/topology", 405, "method-not-allowed"),
    ] {
        let answer = region.request(method, path, &[], None).unwrap();
        refused(&answer, status, code, path);
    }
    nothing_changed(&dev, &row);
}

#[test]
fn preconditions_that_fail_or_make_no_sense_are_refused() {
    let (dev, row) = with_a_row();
    let region = &dev.regions()[0];
    let tag = row.etag().unwrap();
    for headers in [
        &[("if-match", "abc")][..],
        &[("if-match", "\"abc")],
        &[("if-match", "")],
        &[("if-none-match", tag.as_str())],
        &[("if-match", tag.as_str()), ("if-none-match", "*")],
    ] {
        let what = format!("{headers:?}");
        refused(&put(region, ROW, headers, b"{}"), 400, "invalid-precondition", &what);
        let delete = region.request("DELETE", ROW, headers, None).unwrap();
        refused(&delete, 400, "invalid-precondition", &what);
    }
    let other = "\"00112233445566778899aabbccddeeff\"";
    for headers in [[("if-match", other)], [("if-match", "\"x\"")], [("if-none-match", "*")]] {
        let what = format!("{headers:?}");
        let answer = put(region, ROW, &headers, b"{}");
        refused(&answer, 412, "precondition-failed", &what);
        assert_eq!(answer.json()["etag"], tag.as_str(), "{what}");
    }
    let delete = region.delete("t", "k", If::Match(other)).unwrap();
    refused(&delete, 412, "precondition-failed", "delete");
    nothing_changed(&dev, &row);
}

#[test]
fn a_component_that_is_no_merge_function_is_refused_and_not_stored() {
    let (dev, row) = with_a_row();
    let region = &dev.regions()[0];
    let good = example_function("first-word").unwrap();
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    for (what, component, reasons) in [
        ("garbage", b"no component at all".to_vec(), &["not-wasm"][..]),
        ("nothing", Vec::new(), &["not-wasm"]),
        ("a core module", core_module(), &["core-module"]),
        ("another world", of_another_world(), &["no-merge-export"]),
        ("cut short", good[..middle].to_vec(), &["malformed-component", "invalid-component"]),
        ("damaged", damaged, &["malformed-component", "invalid-component"]),
    ] {
        let answer = region.upload("t", &component).unwrap();
        refused(&answer, 422, "component-refused", what);
        let reason = answer.json()["reason"].as_str().unwrap_or_default().to_owned();
        assert!(reasons.contains(&reason.as_str()), "{what}: {answer}");
    }
    let answer = region.upload("9t", &good).unwrap();
    refused(&answer, 400, "invalid-table", "a bad table");
    nothing_changed(&dev, &row);
}

/// A form as clients send it.
fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut head = String::new();
    let mut body = Vec::new();
    for (name, value) in fields {
        head.clear();
        let _ = write!(head, "--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--x--\r\n");
    body
}

fn post(region: &Region, announced: usize, kind: &str, body: Vec<u8>) -> (u16, Value) {
    let length = format!("content-length: {announced}");
    let kind = format!("content-type: {kind}");
    let head = ["POST /v1/merge-functions HTTP/1.1", &length, &kind];
    send_raw(&region.url, &head, body).unwrap()
}

#[test]
fn an_upload_that_is_no_upload_is_refused_and_not_stored() {
    let (dev, row) = with_a_row();
    let region = &dev.regions()[0];
    let good = example_function("first-word").unwrap();
    let multipart = "multipart/form-data; boundary=x";
    let table: (&str, &[u8]) = ("table", b"t");
    let too_large = vec![0; 16 * MIB + 1];
    let wrong_sum = format!("sha256:{}", "0".repeat(64));
    for (what, kind, body, status, code) in [
        ("not a form", "application/wasm", good.clone(), 415, "unsupported-media-type"),
        ("no boundary", "multipart/form-data", form(&[table]), 400, "invalid-request"),
        ("no component", multipart, form(&[table]), 400, "invalid-request"),
        ("no table", multipart, form(&[("component", &good)]), 400, "invalid-request"),
        (
            "an unknown field",
            multipart,
            form(&[table, ("component", &good), ("colour", b"red")]),
            400,
            "invalid-request",
        ),
        (
            "another checksum",
            multipart,
            form(&[table, ("checksum", wrong_sum.as_bytes()), ("component", &good)]),
            400,
            "checksum-mismatch",
        ),
        (
            "too large",
            multipart,
            form(&[table, ("component", &too_large)]),
            413,
            "component-too-large",
        ),
    ] {
        let (answered, problem) = post(region, body.len(), kind, body);
        assert_eq!((answered, problem["code"].as_str()), (status, Some(code)), "{what}: {problem}");
    }
    // Ends in the middle of the component, where the head announced more.
    let whole = form(&[table, ("component", &good)]);
    let head = [
        "POST /v1/merge-functions HTTP/1.1",
        "content-type: multipart/form-data; boundary=x",
        &format!("content-length: {}", whole.len()),
    ];
    let _ = send_raw(&region.url, &head, whole[..whole.len() / 2].to_vec());
    nothing_changed(&dev, &row);
}
