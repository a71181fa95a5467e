//! Keys and values as they were when their form was fixed: a form that drifts would make every
//! store on disk unreadable.

use std::fmt::Write as _;
use std::path::PathBuf;

use syncline_core::{
    Change, ChangeId, ChangeRecord, Cut, FunctionVersion, Held, Hlc, Image, Link, LinkCounters,
    LinkState, Operation, OwnCounters, PartitionMeta, RowKey, RowState, Stamp, VersionVector,
};

use crate::Batch;

/// Compares with `tests/golden/store/<name>.hex`; with `UPDATE_GOLDEN=1` writes it.
pub(crate) fn check(name: &str, batch: &Batch) {
    let mut text = String::new();
    let mut writes: Vec<_> = batch.iter().collect();
    writes.sort_unstable();
    for (key, value) in writes {
        let value = value.map_or("deleted".to_owned(), hex::encode);
        writeln!(text, "{} {value}", hex::encode(key)).unwrap();
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/store");
    let file = folder.join(format!("{name}.hex"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, expected, "the form of {name} has changed");
}

pub(crate) fn row(pk: &str) -> RowKey {
    RowKey { table: "carts".parse().unwrap(), pk: pk.parse().unwrap() }
}

pub(crate) fn id(bits: u64, region: &str) -> ChangeId {
    ChangeId { hlc: Hlc::from_bits(bits).unwrap(), region: region.parse().unwrap() }
}

fn vector(entries: &[(&str, u64)]) -> VersionVector {
    entries.iter().map(|(r, bits)| (r.parse().unwrap(), Hlc::from_bits(*bits).unwrap())).collect()
}

pub(crate) fn image(json: &str) -> Image {
    Image::canonicalize(json.as_bytes()).unwrap()
}

pub(crate) fn row_state() -> RowState {
    RowState {
        vv: vector(&[("eu-west-1", 200 << 16), ("us-east-1#2", 300 << 16)]),
        heads: vec![id(200 << 16, "eu-west-1"), id(300 << 16, "us-east-1#2")],
        image: Some(image(r#"{"items":3}"#)),
        floor: vector(&[("eu-west-1", 100 << 16)]),
        floor_image: None,
    }
}

pub(crate) fn held() -> Held {
    Held {
        id: id(200 << 16, "eu-west-1"),
        vv: vector(&[("eu-west-1", 200 << 16)]),
        operation: Operation::Insert,
        after: Some(image(r#"{"items":3}"#)),
        stamp: Stamp::Function(FunctionVersion([7; 32])),
    }
}

pub(crate) fn record() -> ChangeRecord {
    ChangeRecord {
        row: row("c-17"),
        change: Change {
            id: id(200 << 16, "eu-west-1"),
            context: vector(&[("us-east-1#2", 150 << 16)]),
            operation: Operation::Update,
            before: Some(image("{}")),
            after: Some(image(r#"{"items":3}"#)),
            stamp: Stamp::Lww,
        },
        prev: Hlc::from_bits(120 << 16).unwrap(),
    }
}

pub(crate) fn meta() -> PartitionMeta {
    let counters = LinkCounters {
        consumed: 21,
        applied: 6,
        duplicate: 5,
        gap: 4,
        quarantined: 3,
        dropped: 2,
        heartbeats: 1,
    };
    let (taken, heartbeat) = (id(300, "a").hlc, id(310, "a").hlc);
    let link = |state| Link { taken, heartbeat, counters, state };
    let cut = Cut { taken, heartbeat };
    let links = [
        ("b", link(LinkState::Live)),
        ("c", link(LinkState::Fenced)),
        ("d", link(LinkState::Cut(cut))),
        ("e", link(LinkState::Gone(cut))),
    ];
    PartitionMeta {
        own_change: id(100, "a").hlc,
        own_heartbeat: id(110, "a").hlc,
        confirmed: id(90, "a").hlc,
        own: OwnCounters { produced: 9, confirmed: 7 },
        watermarks: vector(&[("a", 1), ("b", 2)]),
        stable: vector(&[("a", 1)]),
        links: links.map(|(region, link)| (region.parse().unwrap(), link)).to_vec(),
        positions: vec![("b".parse().unwrap(), 4096)],
    }
}
