//! Guests written as text.

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
/// and 12; the ancestor's tag, pointer and length at 16, 20 and 24; a side's at 32 and 64, in it
/// the region at 0 and 4, the hlc at 8, the operation at 16, the image's tag, pointer and length at 20,
/// 24 and 28.
#[derive(Clone)]
pub struct Guest {
    /// The memory, exported as `memory`, and whatever has to come before everything else.
    pub memory: String,
    /// Tables, globals, segments, more functions.
    pub items: String,
    /// The body of `merge`, of the argument at `$p`; leaves the address of the result.
    pub merge: String,
    /// The body of `cabi_realloc`, of `$old`, `$old_size`, `$align` and `$size`; leaves an address.
    pub realloc: String,
    /// The body of the function that is called after the answer at `$r` was read.
    pub post_return: String,
    /// The body of a start function. None: there is none.
    pub start: Option<String>,
    /// Of the texts: `utf8`, `utf16` or `latin1+utf16`.
    pub encoding: &'static str,
    /// The data of the section `syncline:manifest`. None: there is none.
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

/// Gives out memory from 16,384 on and frees nothing. `$heap` is the next free address.
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

/// A segment that puts these bytes into memory.
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

    /// The component as text, without its manifest.
    pub fn text(&self) -> String {
        let (module, lift) = (self.module(), lift(self.encoding));
        format!(
            r#"(component {TYPES}
              (core module $m {module})
              (core instance $i (instantiate $m))
              {lift})"#
        )
    }

    /// The component.
    ///
    /// # Panics
    /// A part of it is no WebAssembly text.
    pub fn component(&self) -> Vec<u8> {
        let mut bytes = assemble(&self.text());
        if let Some(manifest) = &self.manifest {
            bytes.extend(custom_section("syncline:manifest", manifest.as_bytes()));
        }
        bytes
    }
}

/// Makes the component's export of what the core instance `$i` exports.
pub(crate) fn lift(encoding: &str) -> String {
    format!(
        r#"(func $merge (param "conflict" $conflict)
          (result (result (option (list u8)) (error string)))
          (canon lift (core func $i "merge") (memory (core memory $i "memory"))
            (realloc (core func $i "realloc")) (post-return (core func $i "post"))
            string-encoding={encoding}))
        (export "merge" (func $merge))"#
    )
}

/// The binary that a text stands for.
///
/// # Panics
/// It is no WebAssembly text.
pub fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A custom section, to be put at the end of a component.
pub fn custom_section(name: &str, data: &[u8]) -> Vec<u8> {
    let mut body = leb(name.len());
    body.extend(name.as_bytes());
    body.extend(data);
    let mut section = vec![0];
    section.extend(leb(body.len()));
    section.extend(body);
    section
}

/// An unsigned number in LEB128.
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
