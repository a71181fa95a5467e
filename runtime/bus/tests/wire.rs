//! What is read, and above all what is not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod records;

use proptest::prelude::*;
use records::*;
use syncline_bus::{
    DecodeError, Decoded, Envelope, PAYLOAD_BYTES_MAX, decode, encode_change, encode_control,
    encode_heartbeat, encode_tagged_change, encode_tagged_heartbeat, region_tags,
};
use syncline_core::{
    CHUNK_BYTES_MAX, ControlBody, Cut, FunctionVersion, Hlc, IMAGE_BYTES_MAX, Image,
    MembershipAnswer, MembershipChange, MembershipRecord, OUTCOMES_MAX, VersionVector,
};

fn payload(envelope: &Envelope) -> String {
    String::from_utf8(envelope.payload.clone()).unwrap()
}

fn with_payload(envelope: &Envelope, payload: impl Into<Vec<u8>>) -> Envelope {
    Envelope { payload: payload.into(), ..envelope.clone() }
}

/// The envelope with a part of its payload replaced.
fn replaced(envelope: &Envelope, from: &str, to: &str) -> Envelope {
    let json = payload(envelope);
    assert!(json.contains(from), "{from} does not stand in {json}");
    with_payload(envelope, json.replacen(from, to, 1))
}

fn header<'a>(envelope: &'a Envelope, name: &str) -> &'a str {
    &envelope.headers.iter().find(|(header, _)| header == name).unwrap().1
}

fn set_header(envelope: &mut Envelope, name: &str, value: &str) {
    let mut headers = envelope.headers.iter_mut();
    headers.find(|(header, _)| header == name).unwrap().1 = value.to_owned();
}

fn reason(envelope: &Envelope) -> String {
    match decode(envelope) {
        Err(DecodeError::Undecodable(reason)) => reason,
        other => panic!("expected it to be refused: {other:?}"),
    }
}

/// Each replacement makes the record one to be refused, for a reason that says this.
fn refused(envelope: &Envelope, replacements: &[(&str, &str, &str)]) {
    assert!(decode(envelope).is_ok());
    for (from, to, expected) in replacements {
        let found = reason(&replaced(envelope, from, to));
        assert!(found.contains(expected), "{from} -> {to}: {found:?} says not {expected:?}");
    }
}

#[test]
fn a_change_is_refused_for_each_wrong_field() {
    refused(
        &encode_change(&update()),
        &[
            ("\"event_id\":\"01a", "\"event_id\":\"02a", "event_id is"),
            ("\"region_id\":\"us-east-1\"", "\"region_id\":\"us east\"", "a region is"),
            ("\"region_id\":\"us-east-1\"", "\"region_id\":\"us-east-1#2\"", "region_id is"),
            ("\"region_id\":\"us-east-1\"", "\"region_id\":\"eu-west-1\"", "originating_region"),
            ("\"region_id\":\"us-east-1\"", "\"region_id\":7", "invalid type"),
            ("\"incarnation\":1", "\"incarnation\":2", "originating_region"),
            ("\"incarnation\":1", "\"incarnation\":0", "#0"),
            ("\"incarnation\":1", "\"incarnation\":-1", "invalid value"),
            ("\"incarnation\":1", "\"incarnation\":4294967296", "invalid value"),
            ("\"incarnation\":1", "\"incarnation\":1.0", "invalid type"),
            ("\"incarnation\":1,", "", "missing field"),
            ("\"table_name\":\"carts\"", "\"table_name\":\"../carts\"", "a table name is"),
            ("\"table_name\":\"carts\"", "\"table_name\":\"cart\"", "the key is"),
            ("\"row_pk\":\"c-17\"", "\"row_pk\":\"c-18\"", "the key is"),
            ("\"row_pk\":\"c-17\"", "\"row_pk\":\"\"", "a row_pk is"),
            ("\"row_pk\":\"c-17\"", "\"row_pk\":\"c\\n17\"", "control character"),
            ("\"row_pk\":\"c-17\"", "\"row_pk\":\"\\ud800\"", "hex escape"),
            ("\"operation\":\"update\"", "\"operation\":\"insert\"", "operation is"),
            ("\"operation\":\"update\"", "\"operation\":\"delete\"", "operation is"),
            ("\"operation\":\"update\"", "\"operation\":\"upsert\"", "operation is"),
            ("stamp\":\"1795203212955.00000", "stamp\":\"1795203212955.0", "an HLC is"),
            ("stamp\":\"1795203212955.00000", "stamp\":\"7258118400000.00000", "beyond the year"),
            ("stamp\":\"1795203212955.00000", "stamp\":\"1795203212956.00000", "event_id"),
            ("prev\":\"1795203211020.00002", "prev\":\"1795203212955.00000", "is not before"),
            ("prev\":\"1795203211020.00002", "prev\":\"x", "prev: an HLC is"),
            ("32.955Z", "32.956Z", "committed_at is"),
            ("eu-west-1\":\"1795203200000", "eu-west-1\":\"1795203213000", "context names"),
            ("\"eu-west-1\":\"1795203200000", "\"us-east-1\":\"1795203200000", "stands twice"),
            ("\"eu-west-1\":\"1795203200000", "\"eu.west\":\"1795203200000", "a region is"),
            ("\"1795203200000.00000\"", "\"0.00000\"", "stands at zero"),
            ("\"1795203200000.00000\"", "1795203200000", "invalid type"),
            ("\"context\":{", "\"context\":[{", "invalid type"),
            ("\"items\":[]", "\"items\": []", "before_image: JSON, but not in canonical"),
            ("{\"items\":[]}", "[]", "before_image: a row is"),
            ("{\"items\":[]}", "null", "operation is"),
            ("12.50", "12.50,\"a\":1", "not in canonical form"),
            ("12.50", "12.50,\"items\":1", "stands twice"),
            ("12.50", "12.5.0", "expected"),
            ("\"merge_function\":\"sha256:ab", "\"merge_function\":\"sha256:AB", "a version is"),
            ("\"merge_function\":\"sha256:ab", "\"merge_function\":\"ab", "is no version"),
            ("\"schema_version\":1", "\"schema_version\":0", "schema_version"),
            ("\"schema_version\":1", "\"schema_version\":\"1\"", "invalid type"),
            ("[\"us-east-1\"]", "[]", "region_tags does not name"),
            ("[\"us-east-1\"]", "[\"us-east-1\",\"us-east-1\"]", "stands twice"),
            ("[\"us-east-1\"]", "[1]", "invalid type"),
            ("\"v\":1", "\"v\":1,\"v\":1", "duplicate field"),
            ("\"v\":1,", "", "missing field"),
            ("\"v\":1", "\"v\":\"1\"", "invalid type"),
            ("\"v\":1", "\"v\":-1", "invalid value"),
            ("{\"v\":1", "[\"v\",1", "not a JSON object"),
            (",\"after_image\":{", ",\"after\":{", "missing field"),
            ("[\"us-east-1\"]}", "[\"us-east-1\"]}}", "trailing characters"),
            ("[\"us-east-1\"]}", "[\"us-east-1\"]", "EOF"),
        ],
    );
}

#[test]
fn a_heartbeat_is_refused_for_each_wrong_field() {
    refused(
        &encode_heartbeat(&heartbeat()),
        &[
            ("\"incarnation\":1", "\"incarnation\":3", "originating_region"),
            ("stamp\":\"1795203213000", "stamp\":\"1795203213001", "event_id"),
            ("prev\":\"1795203212955", "prev\":\"1795203213000", "is not before"),
            ("\"watermarks\"", "\"water\"", "missing field"),
            ("\"taken\":{\"eu-west-1#2\"", "\"taken\":{\"eu-west-1#1\"", "a region is"),
            ("[\"us-east-1\"]", "[\"eu-west-1\"]", "region_tags does not name"),
        ],
    );
    let other_key = Envelope { key: "a/b".into(), ..encode_heartbeat(&heartbeat()) };
    assert!(reason(&other_key).contains("the key is"));
}

#[test]
fn what_a_heartbeat_says_to_be_compared_is_refused_where_nobody_says_so() {
    let one = "\"lww\":{\"03030303030303030303030303030303\"";
    let again = "\"lww\":{\"01010101010101010101010101010101\"";
    refused(
        &encode_heartbeat(&heartbeat_with_evidence()),
        &[
            ("wasmtime 48.0.8", "wasmtime\\n48", "an engine's name"),
            ("wasmtime 48.0.8", &"w".repeat(60), "an engine's name"),
            ("\"wasmtime 48.0.8, x86_64-linux\"", "48", "invalid type"),
            ("\"lww\"", "\"LWW\"", "no version of a function"),
            (one, again, "stands twice"),
            (one, "\"lww\":{\"0303\"", "a conflict's id"),
            ("\"04040404", "\"0404040g", "32 hexadecimal digits"),
            ("\"all\":\"07070707", "\"all\":\"0707", "32 hexadecimal digits"),
            ("\"all\"", "\"most\"", "missing field"),
            ("\"carts\"", "\"users\"", "one name twice"),
            ("\"carts\"", "\"-\"", "a table name"),
        ],
    );
    // Each within its own limit, and together over it.
    let mut beat = heartbeat_with_evidence();
    let (_, outcome) = beat.evidence.outcomes.pop_first().unwrap();
    let ids = (0..=OUTCOMES_MAX as u64).map(|n| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        syncline_core::ConflictId(id)
    });
    beat.evidence.outcomes = ids.map(|id| (id, outcome)).collect();
    assert!(reason(&encode_heartbeat(&beat)).contains("too many"));
    beat.evidence.outcomes.pop_first();
    assert_eq!(decode(&encode_heartbeat(&beat)), Ok(Decoded::Heartbeat(beat.clone())));
    let last = beat.evidence.outcomes.keys().next_back().copied().unwrap();
    let lww = syncline_core::Outcome { stamp: syncline_core::Stamp::Lww, ..outcome };
    beat.evidence.outcomes.insert(last, lww);
    assert_eq!(decode(&encode_heartbeat(&beat)), Ok(Decoded::Heartbeat(beat.clone())));
    beat.evidence.outcomes.insert(syncline_core::ConflictId([255; 16]), lww);
    assert!(reason(&encode_heartbeat(&beat)).contains("more than 256 outcomes"));
}

#[test]
fn a_control_record_is_refused_for_each_wrong_field() {
    refused(
        &encode_control(&chunk()),
        &[
            ("\"type\":\"component\"", "\"type\":\"wasm\"", "the type \"wasm\""),
            ("\"type\":\"component\"", "\"type\":\"rollout_ready\"", "missing field"),
            ("\"type\":\"component\",", "", "missing field"),
            ("\"body\":{", "\"body\":[", "expected"),
            ("sha256:ab", "sha256:zz", "a version is"),
            ("\"index\":1", "\"index\":3", "does not fit"),
            ("\"count\":3", "\"count\":33", "does not fit"),
            ("\"bytes\":\"AAEC", "\"bytes\":\"AAE*", "bytes: "),
            ("\"prev\":\"1795203211020", "\"prev\":\"1795203213000", "is not before"),
        ],
    );
    refused(
        &encode_control(&create(Some(rollout_id()))),
        &[
            (
                "\"previous\":{\"region\":\"eu-west-1#2\"",
                "\"previous\":{\"region\":\"\"",
                "previous: a",
            ),
            ("1795203212000.00004", "0.00000", "the HLC zero"),
            ("\"previous\":{", "\"previous\":[{", "expected"),
            (
                "\"previous\":{\"region\":\"eu-west-1#2\",\"hlc\":\"1795203212000.00004\"}",
                "\"previous\":[\"eu-west-1#2\",\"1795203212000.00004\"]",
                "not a JSON object",
            ),
            ("\"table_name\":\"carts\"", "\"table_name\":\"\"", "table_name: a table"),
        ],
    );
    let ControlBody::Component(mut part) = chunk().body else { panic!("a chunk") };
    for (len, expected) in [(CHUNK_BYTES_MAX + 1, "does not fit"), (1 << 20, "over its limit")] {
        part.bytes = vec![7; len].into();
        let envelope = encode_control(&control(ControlBody::Component(part.clone())));
        assert!(reason(&envelope).contains(expected));
    }
    part.bytes = vec![7; CHUNK_BYTES_MAX].into();
    assert!(decode(&encode_control(&control(ControlBody::Component(part)))).is_ok());
}

#[test]
fn a_record_of_a_version_is_refused_for_each_wrong_field() {
    for (name, record) in version_records() {
        refused(
            &encode_control(&record),
            &[
                ("\"version_", "\"versions_", "does not know the type"),
                ("\"version\":", "\"versions\":", "missing field"),
                ("\"sha256:07", "\"07", "no version"),
                ("\"sha256:07", "\"sha256:7", "version"),
            ],
        );
        let of_people = !name.ends_with("released");
        let wrong: &[_] = if of_people {
            &[
                ("\"actor\":\"", "\"actor\":\"\\u0007", "actor: it is over"),
                ("\"actor\"", "\"who\"", "missing"),
            ]
        } else {
            &[("\"deletion\":{", "\"deletion\":null,\"x\":{", "deletion: it is not")]
        };
        refused(&encode_control(&record), wrong);
    }
}

#[test]
fn a_membership_record_is_refused_for_each_wrong_field() {
    let id = "{\"region\":\"us-east-1#2\",\"hlc\":\"1795203212000.00005\"}";
    refused(
        &encode_control(&join(Some(membership_id()))),
        &[
            ("\"membership_propose\"", "\"membership_leave\"", "the type \"membership_leave\""),
            (id, "7", "previous: it is not a JSON object"),
            (id, "{\"region\":\"a\"}", "previous: missing field"),
            ("1795203212000.00005", "0.00000", "previous: no record"),
            ("{\"join\":\"eu-west-1#2\"}", "{}", "neither a join"),
            ("{\"join\":\"eu-west-1#2\"}", "{\"join\":null}", "neither a join"),
            ("{\"join\":\"eu-west-1#2\"}", "\"join\"", "not a JSON object"),
            ("\"join\":", "\"evict\":[\"a\"],\"join\":", "neither a join"),
            ("\"join\":", "\"join\":\"a\",\"join\":", "duplicate field"),
            ("\"join\":\"eu-west-1#2\"", "\"join\":\"eu-west-1#1\"", "join: a region is"),
        ],
    );
    refused(
        &encode_control(&evict()),
        &[
            ("[\"ap-south-1\",", "[\"eu-west-1#2\",", "stands twice"),
            ("[\"ap-south-1\",", "[7,", "invalid type"),
            ("[\"ap-south-1\",", "[\"\",", "a region is"),
        ],
    );
    refused(
        &encode_control(&refuse()),
        &[
            (id, "null", "membership: it is not"),
            ("\"bound_to\":{", "\"bound_to\":null,\"x\":{", "bound_to: it is not"),
            ("\"bound_to\"", "\"bound\"", "missing field"),
        ],
    );
    refused(&encode_control(&done()), &[("\"membership\":{", "\"change\":{", "missing field")]);
    refused(
        &encode_control(&counted()),
        &[
            ("\"counted\"", "\"fenced\"", "invalid type"),
            ("\"counted\"", "\"found\"", "neither counted"),
            ("\"counted\":[", "\"fenced\":{},\"counted\":[", "neither counted"),
            ("\"counted\":[", "\"counted\":{},\"x\":[", "invalid type"),
            ("\"eu-west-1\":", "\"us-east-1#2\":", "stands twice"),
            ("1795203200000.00000", "0.00000", "stands at zero"),
            (",{}]", ",null]", "invalid type"),
        ],
    );
    refused(
        &encode_control(&fenced()),
        &[
            ("\"fenced\":{", "\"fenced\":[],\"x\":{", "invalid type"),
            ("\"ap-south-1\":", "\"eu-west-1#2\":", "stands twice"),
            ("\"ap-south-1\":", "\"ap south\":", "a region is"),
            ("[\"1795203200000.00000\",", "[", "invalid length 1"),
            ("[\"1795203200000.00000\",", "[\"0.00000\",\"0.00000\",", "trailing characters"),
            ("[\"1795203200000.00000\",", "[0,", "invalid type"),
            ("1795203200000.00000", "1795203200000", "an HLC is"),
        ],
    );
}

#[test]
fn a_membership_record_may_be_as_large_as_its_limits() {
    let regions = |count: u32| (1..=count).map(|n| region(&format!("{n:0>38}")));
    let evict = |count| {
        let change = MembershipChange::Evict { gone: regions(count).collect() };
        membership(MembershipRecord::Propose { previous: None, change })
    };
    let fenced = |count, partitions| {
        let cuts = vec![Cut { taken: Hlc::MAX, heartbeat: Hlc::MAX }; partitions];
        let last = regions(count).map(|region| (region, cuts.clone())).collect();
        accept(MembershipAnswer::Fenced { last })
    };
    let counted = |count, partitions| {
        let vector: VersionVector = regions(count).map(|region| (region, Hlc::MAX)).collect();
        accept(MembershipAnswer::Counted { stable: vec![vector; partitions] })
    };
    for record in [evict(64), fenced(64, 1025), counted(64, 1024), counted(256, 1)] {
        let envelope = encode_control(&record);
        assert!(envelope.payload.len() <= PAYLOAD_BYTES_MAX);
        assert!(decode(&envelope) == Ok(Decoded::Control(record)));
    }
    for (record, expected) in [
        (evict(65), "65 regions, the limit is 64"),
        (fenced(65, 1), "more than 64 regions"),
        (fenced(1, 1026), "a list of 1025 items"),
        (counted(1, 1025), "a list of 1024 items"),
        (counted(257, 1), "more than 256 regions"),
    ] {
        assert!(record.check().is_err());
        let found = reason(&encode_control(&record));
        assert!(found.contains(expected), "{found:?} says not {expected:?}");
    }
}

#[test]
fn key_and_headers_must_say_what_the_payload_says() {
    let good = encode_change(&update());
    let with = |change: &dyn Fn(&mut Envelope)| {
        let mut envelope = good.clone();
        change(&mut envelope);
        reason(&envelope)
    };
    assert!(with(&|e| e.key = "carts/c-1".into()).contains("the key is"));
    assert!(with(&|e| e.key = "k".repeat(2_000)).contains("2000 bytes"));
    for (at, (name, _)) in good.headers.iter().enumerate() {
        assert!(with(&|e| e.headers[at].1 = "x".into()).contains('x'), "{name}");
        assert!(with(&|e| drop(e.headers.remove(at))).contains("is missing"), "{name}");
        assert!(with(&|e| e.headers.push(good.headers[at].clone())).contains("twice"), "{name}");
    }
    let kind = |e: &mut Envelope, kind: &str| {
        let header = e.headers.iter_mut().find(|(name, _)| name == "kind").unwrap();
        header.1 = kind.to_owned();
    };
    assert!(with(&|e| kind(e, "heartbeat")).contains("missing field"));
    assert!(with(&|e| kind(e, "marker")).contains("the kind \"marker\""));
    assert!(with(&|e| e.headers = vec![("x".into(), String::new()); 65]).contains("headers"));
    assert!(with(&|e| e.headers.push(("x".into(), "y".repeat(65 << 10)))).contains("headers"));
    let mut more = good.clone();
    more.headers.push(("traceparent".into(), "00-…".into()));
    assert!(decode(&more).is_ok(), "headers that are not known are ignored");
    let mut beat = encode_heartbeat(&heartbeat());
    beat.headers.push(("table_name".into(), "carts".into()));
    assert!(reason(&beat).contains("out of place"));
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let fields = format!("\"v\":1,\"new\":{deep},\"newer\":{{\"a\":[1,2]}},\"new\":null");
    for envelope in
        [encode_change(&update()), encode_heartbeat(&heartbeat()), encode_control(&chunk())]
    {
        assert_eq!(decode(&replaced(&envelope, "\"v\":1", &fields)), decode(&envelope));
    }
    // White space and other escapes are another way to write the same record.
    let spaced = replaced(&encode_change(&update()), "\"v\":1,", " \"v\" : 1 ,\n\t");
    assert_eq!(decode(&spaced), Ok(Decoded::Change(update())));
    let escaped = replaced(&encode_change(&update()), "\"c-17\"", "\"\\u0063-17\"");
    assert_eq!(decode(&escaped), Ok(Decoded::Change(update())));
}

#[test]
fn a_newer_version_holds_whatever_else_it_says() {
    for envelope in
        [encode_change(&update()), encode_heartbeat(&heartbeat()), encode_control(&chunk())]
    {
        let origin = || header(&envelope, "originating_region").parse().unwrap();
        let unknown = |version| Err(DecodeError::UnknownVersion { version, origin: origin() });
        let newer = replaced(&envelope, "\"v\":1", "\"v\":2");
        assert_eq!(decode(&newer), unknown(2));
        let far = replaced(&envelope, "\"v\":1", "\"v\":18446744073709551615");
        assert_eq!(decode(&far), unknown(u64::MAX));
        for json in [
            "{\"v\":2}",
            "{\"region_id\":[],\"hlc_timestamp\":3,\"v\":2}",
            "{\"context\":{\"?\":{}},\"context\":1,\"v\":2,\"body\":[[[]]]}",
        ] {
            let mut strange = with_payload(&envelope, json);
            assert_eq!(decode(&strange), unknown(2), "{json}");
            set_header(&mut strange, "kind", "snapshot");
            strange.key = "k".repeat(5_000);
            assert_eq!(decode(&strange), unknown(2), "{json}");
        }
        for json in ["{\"v\":2", "{\"v\":2}}", "[2]", "2", "{\"v\":2,\"v\":3}", "{\"v\":2.5}"] {
            reason(&with_payload(&envelope, json));
        }
    }
}

#[test]
fn a_strangers_version_holds_nothing() {
    let newer = with_payload(&encode_change(&update()), "{\"v\":2}");
    assert!(matches!(decode(&newer), Err(DecodeError::UnknownVersion { .. })));
    for name in ["kind", "originating_region", "content-type"] {
        let mut strange = newer.clone();
        strange.headers.retain(|(header, _)| header != name);
        reason(&strange);
    }
    for (name, value) in [("originating_region", "not a region"), ("content-type", "text/plain")] {
        let mut strange = newer.clone();
        set_header(&mut strange, name, value);
        reason(&strange);
    }
    // An older one that never was is nobody's either.
    reason(&with_payload(&newer, "{\"v\":0}"));
}

#[test]
fn bombs_are_refused() {
    let good = encode_change(&update());
    let mut bytes = good.payload.clone();
    bytes[20] = 0xff;
    assert!(reason(&with_payload(&good, bytes)).contains("not UTF-8 at byte 20"));
    let large = vec![b' '; PAYLOAD_BYTES_MAX + 1];
    assert!(reason(&with_payload(&good, large)).contains("the limit is"));
    for open in ["[", "{\"a\":", "{\"context\":"] {
        let deep = open.repeat((1 << 20) / open.len());
        reason(&with_payload(&good, deep));
    }
    let deep = format!("{{\"items\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let found = reason(&replaced(&good, "{\"items\":[]}", &deep));
    assert!(found.contains("nested deeper"), "{found}");
    let entries: Vec<_> = (0..257).map(|n| format!("\"r{n}\":\"0000000000001.00000\"")).collect();
    let vector = |count: usize| format!("\"context\":{{{}", entries[..count].join(","));
    let original =
        "\"context\":{\"eu-west-1\":\"1795203200000.00000\",\"us-east-1\":\"1795203211020.00002\"";
    assert!(decode(&replaced(&good, original, &vector(256))).is_ok());
    assert!(reason(&replaced(&good, original, &vector(257))).contains("256 regions"));
    let tags = format!(
        "[\"us-east-1\",{}]",
        (0..256).map(|n| format!("\"r{n}\"")).collect::<Vec<_>>().join(",")
    );
    assert!(reason(&replaced(&good, "[\"us-east-1\"]", &tags)).contains("256 regions"));
}

#[test]
fn an_image_may_be_as_large_as_the_limit() {
    let of_size = |bytes: usize| {
        Image::opaque(format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)).into_bytes())
    };
    let mut record = update();
    (record.change.before, record.change.after) =
        (Some(of_size(IMAGE_BYTES_MAX)), Some(of_size(IMAGE_BYTES_MAX)));
    assert_eq!(decode(&encode_change(&record)), Ok(Decoded::Change(record.clone())));
    record.change.after = Some(of_size(IMAGE_BYTES_MAX + 1));
    assert!(reason(&encode_change(&record)).contains("the limit is 1048576"));
}

#[test]
fn a_reason_is_short_whatever_is_in_the_record() {
    let good = encode_change(&update());
    let long = "é".repeat(1 << 20);
    for (from, to) in [
        ("\"incarnation\":1", format!("\"incarnation\":\"{long}\"")),
        ("\"c-17\"", format!("\"{long}\"")),
        ("\"update\"", format!("\"{long}\"")),
        ("\"eu-west-1\":", format!("\"{long}\":")),
        ("\"sha256:", format!("\"{long}")),
        ("32.955Z", long.clone()),
    ] {
        assert!(reason(&replaced(&good, from, &to)).chars().count() <= 301, "{from}");
    }
}

#[test]
fn the_last_hlc_is_read_and_the_one_behind_it_is_not() {
    let mut record = insert();
    record.change.id.hlc = Hlc::MAX;
    let good = encode_change(&record);
    assert_eq!(decode(&good), Ok(Decoded::Change(record)));
    let over = replaced(&good, "stamp\":\"7258118399999.65535", "stamp\":\"7258118400000.00000");
    assert!(reason(&over).contains("beyond the year 2200"));
    let over = replaced(&good, "stamp\":\"7258118399999.65535", "stamp\":\"7258118399999.65536");
    assert!(reason(&over).contains("an HLC is"));
}

#[test]
fn every_function_version_has_one_spelling() {
    let mut record = update();
    record.change.stamp = syncline_core::Stamp::Function(FunctionVersion([0; 32]));
    let good = encode_change(&record);
    let short = replaced(&good, "\"sha256:00", "\"00");
    assert!(reason(&short).contains("is no version"));
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    prop_oneof![
        any_change().prop_map(|record| encode_change(&record)),
        any_heartbeat().prop_map(|beat| encode_heartbeat(&beat)),
        any_control().prop_map(|record| encode_control(&record)),
    ]
}

/// What a decoded record must never be.
fn assert_sound(envelope: &Envelope) {
    match decode(envelope) {
        Ok(Decoded::Change(record)) => record.check().unwrap(),
        Ok(Decoded::Heartbeat(beat)) => beat.check().unwrap(),
        Ok(Decoded::Control(record)) => record.check().unwrap(),
        Err(DecodeError::Undecodable(reason)) => assert!(reason.chars().count() <= 301),
        Err(DecodeError::UnknownVersion { version, .. }) => assert!(version > 1),
    }
}

proptest! {
    #[test]
    fn changes_round_trip(record in any_change()) {
        let envelope = encode_change(&record);
        prop_assert_eq!(decode(&envelope), Ok(Decoded::Change(record)));
    }

    #[test]
    fn heartbeats_round_trip(beat in any_heartbeat()) {
        prop_assert_eq!(decode(&encode_heartbeat(&beat)), Ok(Decoded::Heartbeat(beat)));
    }

    #[test]
    fn control_records_round_trip(record in any_control()) {
        prop_assert_eq!(decode(&encode_control(&record)), Ok(Decoded::Control(record)));
    }

    #[test]
    fn no_bytes_make_it_panic(
        kind in prop_oneof![Just("change"), Just("heartbeat"), Just("control")],
        payload in prop::collection::vec(any::<u8>(), 0..300),
        key in any::<String>(),
    ) {
        let headers = vec![("kind".to_owned(), kind.to_owned())];
        assert_sound(&Envelope { key, headers, payload });
    }

    #[test]
    fn no_mutation_makes_it_panic(
        mut envelope in any_envelope(),
        mutations in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<u8>(), 0..4u8, any::<prop::sample::Index>()),
            1..6,
        ),
    ) {
        for (at, byte, how, other) in mutations {
            let payload = &mut envelope.payload;
            if payload.is_empty() {
                break;
            }
            let (at, other) = (at.index(payload.len()), other.index(payload.len()));
            match how {
                0 => payload[at] = byte,
                1 => drop(payload.remove(at)),
                2 => payload.insert(at, byte),
                _ => {
                    let piece = payload[at.min(other)..at.max(other)].to_vec();
                    payload.splice(at..at, piece.into_iter().take(500));
                }
            }
            assert_sound(&envelope);
        }
    }
}

#[test]
fn tags_stand_behind_the_regions_own_name() {
    let tags = ["emea", "us-east-1", "prod"].map(|tag| tag.parse().unwrap());
    for envelope in
        [encode_tagged_change(&update(), &tags), encode_tagged_heartbeat(&heartbeat(), &tags)]
    {
        let said = "\"region_tags\":[\"us-east-1\",\"emea\",\"prod\"]}";
        assert!(String::from_utf8_lossy(&envelope.payload).ends_with(said));
        assert!(decode(&envelope).is_ok());
        let read: Vec<String> = region_tags(&envelope).iter().map(ToString::to_string).collect();
        assert_eq!(read, ["us-east-1", "emea", "prod"]);
        let renamed = replaced(&envelope, said, "\"region_tags\":[\"emea\"]}");
        assert!(matches!(decode(&renamed), Err(DecodeError::Undecodable(_))));
    }
    assert!(region_tags(&encode_control(&chunk())).is_empty());
}
