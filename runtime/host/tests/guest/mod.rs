//! Guests written as text, and the conflicts they are given.

#![allow(dead_code, reason = "each test file uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "it is part of tests")]

use syncline_core::{
    FunctionVersion, GuestFault, Hlc, HostFault, Image, MergeInput, MergeSide, Merged, Operation,
    RegionId, RowKey,
};
use syncline_host::{Host, HostConfig, Run};

/// The types of wit/merge.wit, as a component imports them.
pub const TYPES: &str = r#"
  (import "syncline:merge/types@1.0.0" (instance $types
    (type $operation' (enum "insert" "update" "delete"))
    (export "operation" (type $operation (eq $operation')))
    (type $side' (record (field "region" string) (field "hlc" u64)
      (field "operation" $operation) (field "image" (option (list u8)))))
    (export "side" (type $side (eq $side')))
    (type $conflict' (record (field "table" string) (field "row-pk" string)
      (field "ancestor" (option (list u8))) (field "older" $side) (field "newer" $side)))
    (export "conflict" (type (eq $conflict')))))
  (alias export $types "conflict" (type $conflict))"#;

/// The parts of a guest. By default it answers with the newer image.
///
/// Where the fields of the argument lie: the table's pointer and length at 0 and 4, the key's at 8
/// and 12; the ancestor's tag, pointer and length at 16, 20 and 24; a side's at 32 and 64, in it the
/// region at 0 and 4, the hlc at 8, the operation at 16, the image's tag, pointer and length at 20,
/// 24 and 28.
#[derive(Clone)]
pub struct Guest {
    pub memory: String,
    /// Tables, globals, segments, more functions.
    pub items: String,
    /// Of the argument at `$p`; leaves the address of the result.
    pub merge: String,
    pub realloc: String,
    pub post_return: String,
    pub start: Option<String>,
    pub encoding: &'static str,
    pub manifest: Option<String>,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            memory: r#"(memory (export "memory") 4)"#.into(),
            items: String::new(),
            merge: answer_with("(i32.load8_u offset=84 (local.get $p))", 88, 92),
            realloc: BUMP.into(),
            post_return: String::new(),
            start: None,
            encoding: "utf8",
            manifest: None,
        }
    }
}

/// Gives out memory from 4,096 on and frees nothing. `$heap` is the next free address.
const BUMP: &str = r"
  (global.set $heap (i32.and (i32.add (global.get $heap)
    (i32.sub (local.get $align) (i32.const 1))) (i32.sub (i32.const 0) (local.get $align))))
  (global.get $heap)
  (global.set $heap (i32.add (global.get $heap) (local.get $size)))";

/// A body of `merge` that answers with the image whose tag, pointer and length these are.
pub fn answer_with(tag: &str, pointer: u32, length: u32) -> String {
    format!(
        "(i32.store (i32.const 16) (i32.const 0))
         (i32.store (i32.const 20) {tag})
         (i32.store (i32.const 24) (i32.load offset={pointer} (local.get $p)))
         (i32.store (i32.const 28) (i32.load offset={length} (local.get $p)))
         (i32.const 16)"
    )
}

/// A body of `merge` that answers with bytes of its own memory, or with an error text.
pub fn answer(error: bool, at: u32, length: u32) -> String {
    if error {
        format!(
            "(i32.store (i32.const 16) (i32.const 1))
             (i32.store (i32.const 20) (i32.const {at}))
             (i32.store (i32.const 24) (i32.const {length}))
             (i32.const 16)"
        )
    } else {
        format!(
            "(i32.store (i32.const 16) (i32.const 0))
             (i32.store (i32.const 20) (i32.const 1))
             (i32.store (i32.const 24) (i32.const {at}))
             (i32.store (i32.const 28) (i32.const {length}))
             (i32.const 16)"
        )
    }
}

/// A guest that answers with these bytes.
pub fn answering(bytes: &[u8]) -> Guest {
    Guest {
        items: data(2048, bytes),
        merge: answer(false, 2048, bytes.len() as u32),
        ..Guest::default()
    }
}

/// A guest that answers with this error text.
pub fn failing(bytes: &[u8]) -> Guest {
    Guest {
        items: data(2048, bytes),
        merge: answer(true, 2048, bytes.len() as u32),
        ..Guest::default()
    }
}

/// A guest with another body of `merge`.
pub fn doing(merge: &str) -> Guest {
    Guest { merge: merge.into(), ..Guest::default() }
}

pub fn data(at: u32, bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{escaped}\")")
}

impl Guest {
    /// The core module alone.
    pub fn module(&self) -> String {
        let Self { memory, items, merge, realloc, post_return, start, .. } = self;
        let start = match start {
            Some(body) => format!("(func $start {body}) (start $start)"),
            None => String::new(),
        };
        format!(
            r#"{memory} (global $heap (mut i32) (i32.const 16384)) {items}
            (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32)
              (param $size i32) (result i32) {realloc})
            (func (export "merge") (param $p i32) (result i32) {merge})
            (func (export "post") (param $r i32) {post_return})
            {start}"#
        )
    }

    pub fn text(&self) -> String {
        let (module, encoding) = (self.module(), self.encoding);
        format!(
            r#"(component {TYPES}
              (core module $m {module})
              (core instance $i (instantiate $m))
              (func $merge (param "conflict" $conflict)
                (result (result (option (list u8)) (error string)))
                (canon lift (core func $i "merge") (memory (core memory $i "memory"))
                  (realloc (core func $i "realloc")) (post-return (core func $i "post"))
                  string-encoding={encoding}))
              (export "merge" (func $merge)))"#
        )
    }

    pub fn component(&self) -> Vec<u8> {
        let mut bytes = wat::parse_str(self.text()).unwrap();
        if let Some(manifest) = &self.manifest {
            bytes.extend(custom_section("syncline:manifest", manifest.as_bytes()));
        }
        bytes
    }
}

pub fn custom_section(name: &str, data: &[u8]) -> Vec<u8> {
    let mut body = leb(name.len());
    body.extend(name.as_bytes());
    body.extend(data);
    let mut section = vec![0];
    section.extend(leb(body.len()));
    section.extend(body);
    section
}

pub fn leb(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        bytes.push(if n == 0 { low } else { low | 0x80 });
        if n == 0 {
            return bytes;
        }
    }
}

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
