//! The wire format, byte by byte. `UPDATE_GOLDEN=1` writes the files anew; a file that changes is a
//! change of the contract.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod records;

use std::path::PathBuf;

use records::*;
use serde_json::value::RawValue;
use syncline_bus::{Decoded, Envelope, decode, encode_change, encode_control, encode_heartbeat};

fn cases() -> Vec<(&'static str, Decoded)> {
    let mut cases = vec![
        ("change-update", Decoded::Change(update())),
        ("change-insert", Decoded::Change(insert())),
        ("change-delete", Decoded::Change(delete())),
        ("change-delete-of-nothing", Decoded::Change(delete_of_nothing())),
        ("change-second-incarnation", Decoded::Change(second_incarnation())),
        ("change-escapes", Decoded::Change(escapes())),
        ("heartbeat", Decoded::Heartbeat(heartbeat())),
        ("heartbeat-ahead", Decoded::Heartbeat(heartbeat_ahead())),
        ("heartbeat-evidence", Decoded::Heartbeat(heartbeat_with_evidence())),
        ("control-component", Decoded::Control(chunk())),
        ("control-rollout-create", Decoded::Control(create(Some(rollout_id())))),
        ("control-rollout-create-first", Decoded::Control(create(None))),
        ("control-membership-join", Decoded::Control(join(Some(membership_id())))),
        ("control-membership-join-first", Decoded::Control(join(None))),
        ("control-membership-evict", Decoded::Control(evict())),
        ("control-membership-counted", Decoded::Control(counted())),
        ("control-membership-fenced", Decoded::Control(fenced())),
        ("control-membership-refuse", Decoded::Control(refuse())),
        ("control-membership-done", Decoded::Control(done())),
    ];
    let rollouts = rollout_records().into_iter().chain(version_records());
    cases.extend(rollouts.map(|(name, record)| (name, Decoded::Control(record))));
    cases
}

fn encode(record: &Decoded) -> Envelope {
    match record {
        Decoded::Change(record) => encode_change(record),
        Decoded::Heartbeat(beat) => encode_heartbeat(beat),
        Decoded::Control(record) => encode_control(record),
    }
}

fn file(name: &str) -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.join("../../tests/golden/wire").join(format!("{name}.json"))
}

/// Key and headers as JSON, one a line; the payload as it is.
fn shown(envelope: &Envelope) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let header =
        |(name, value): &(String, String)| format!("    [{}, {}]", quoted(name), quoted(value));
    let headers: Vec<_> = envelope.headers.iter().map(header).collect();
    format!(
        "{{\n  \"key\": {},\n  \"headers\": [\n{}\n  ],\n  \"payload\": {}\n}}\n",
        quoted(&envelope.key),
        headers.join(",\n"),
        std::str::from_utf8(&envelope.payload).unwrap()
    )
}

#[derive(serde::Deserialize)]
struct Golden {
    key: String,
    headers: Vec<(String, String)>,
    payload: Box<RawValue>,
}

#[test]
fn records_are_written_and_read_as_in_the_golden_files() {
    for (name, record) in cases() {
        let path = file(name);
        let written = shown(&encode(&record));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &written).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        assert_eq!(written, golden, "{name}");
        let Golden { key, headers, payload } = serde_json::from_str(&golden).unwrap();
        let envelope = Envelope { key, headers, payload: payload.get().as_bytes().to_vec() };
        assert_eq!(decode(&envelope), Ok(record), "{name}");
    }
}

#[test]
fn every_golden_file_is_of_a_case() {
    let names: Vec<_> = cases().iter().map(|(name, _)| file(name)).collect();
    let folder = file("x").parent().unwrap().to_owned();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(names.contains(&path), "{} belongs to no case", path.display());
    }
}
