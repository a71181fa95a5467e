//! The conflicts that guests are given, and hosts to run them on.

#![allow(dead_code, reason = "each test file uses its own part of it")]
#![allow(unused_imports, reason = "each test file uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "it is part of tests")]

pub mod wasi;

use syncline_core::{
    FunctionVersion, GuestFault, Hlc, HostFault, Image, MergeInput, MergeSide, Merged, Operation,
    RegionId, RowKey,
};
use syncline_host::{Host, HostConfig, Run};
pub use syncline_hostile::{
    Guest, TYPES, answer, answer_with, answering, custom_section, data, doing, failing, leb,
};

/// A small host without a cache.
pub fn host() -> Host {
    Host::new(HostConfig { slots: 4, functions: 4, ..HostConfig::default() }).unwrap()
}

pub fn load(host: &Host, guest: &Guest) -> FunctionVersion {
    let component = guest.component();
    let version = FunctionVersion::of(&component);
    host.load(version, &component).unwrap();
    version
}

/// What a guest is given: the row, and images as JSON in canonical form.
pub struct Case {
    row: RowKey,
    regions: [RegionId; 2],
    images: [Option<Image>; 3],
}

impl Case {
    pub fn new(ancestor: Option<&str>, older: Option<&str>, newer: Option<&str>) -> Self {
        let image = |json: Option<&str>| json.map(|json| Image::opaque(json.as_bytes()));
        Self {
            row: RowKey { table: "carts".parse().unwrap(), pk: "c-17".parse().unwrap() },
            regions: ["eu-west-1".parse().unwrap(), "us-east-1#2".parse().unwrap()],
            images: [image(ancestor), image(older), image(newer)],
        }
    }

    /// The same conflict in another row.
    pub fn of_row(pk: &str) -> Self {
        let mut case = case();
        case.row.pk = pk.parse().unwrap();
        case
    }

    pub fn input(&self) -> MergeInput<'_> {
        let [ancestor, older, newer] = &self.images;
        let side = |i: usize, image: &'_ Option<Image>| {
            (Operation::of(ancestor.as_ref(), image.as_ref()), i as u64 + 1)
        };
        let (older_operation, older_hlc) = side(0, older);
        let (newer_operation, newer_hlc) = side(1, newer);
        MergeInput {
            row: &self.row,
            ancestor: ancestor.as_ref(),
            older: MergeSide {
                region: &self.regions[0],
                hlc: Hlc::new(1_795_203_212_955, older_hlc as u16).unwrap(),
                operation: older_operation,
                image: older.as_ref(),
            },
            newer: MergeSide {
                region: &self.regions[1],
                hlc: Hlc::new(1_795_203_212_955, newer_hlc as u16).unwrap(),
                operation: newer_operation,
                image: newer.as_ref(),
            },
        }
    }
}

pub fn case() -> Case {
    Case::new(Some(r#"{"a":0}"#), Some(r#"{"o":1}"#), Some(r#"{"n":2}"#))
}

/// One call of a guest on a host of its own.
pub fn run(guest: &Guest) -> Result<Run, HostFault> {
    let host = host();
    let version = load(&host, guest);
    host.run(&version, &case().input())
}

/// The outcome of a guest.
pub fn outcome(guest: &Guest) -> Result<Merged, GuestFault> {
    run(guest).unwrap().outcome
}

pub fn merged(json: &str) -> Result<Merged, GuestFault> {
    Ok(Some(Image::canonicalize(json.as_bytes()).unwrap()))
}
