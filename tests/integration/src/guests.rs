//! Components that are no good merge functions, written as text.

use anyhow::{Context as _, Result};

/// The types of wit/merge.wit, as a component imports them.
const TYPES: &str = r#"
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

/// The misbehaviour of a merge function that is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadGuest {
    /// Stops with `unreachable`.
    Traps,
    /// Never ends.
    Loops,
    /// Takes memory without end.
    EatsMemory,
    /// Answers with bytes that are no row.
    AnswersRubbish,
    /// Answers with an error of its own.
    GivesUp,
}

impl BadGuest {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Traps, Self::Loops, Self::EatsMemory, Self::AnswersRubbish, Self::GivesUp];

    /// The code under which the conflict log notes it.
    pub fn fault_code(self) -> &'static str {
        match self {
            Self::Traps => "trap",
            Self::Loops => "out-of-fuel",
            Self::EatsMemory => "memory-limit",
            Self::AnswersRubbish => "invalid-output",
            Self::GivesUp => "error",
        }
    }

    /// A table's name that says what its function does.
    pub fn table(self) -> String {
        format!("bad-{}", self.fault_code())
    }

    /// The component.
    ///
    /// # Errors
    /// The text in this file is wrong.
    pub fn component(self) -> Result<Vec<u8>> {
        // The result record starts at 16: error or not, row or not, pointer, length.
        let answer = |is_error: u8, at: u32| {
            let (tag, pointer) = if is_error == 1 { (2048, 6) } else { (1, 2048) };
            format!(
                "(i32.store (i32.const 16) (i32.const {is_error}))
                 (i32.store (i32.const 20) (i32.const {tag}))
                 (i32.store (i32.const 24) (i32.const {pointer}))
                 (i32.store (i32.const 28) (i32.const {at})) (i32.const 16)"
            )
        };
        component(&match self {
            Self::Traps => "unreachable".to_owned(),
            Self::Loops => "(loop $l (br $l)) unreachable".to_owned(),
            Self::EatsMemory => {
                "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable".to_owned()
            }
            Self::AnswersRubbish => answer(0, 6),
            Self::GivesUp => answer(1, 0),
        })
    }
}

/// A component of the right world around a body of `merge`, which leaves its result's address.
fn component(merge: &str) -> Result<Vec<u8>> {
    let text = format!(
        r#"(component {TYPES}
          (core module $m
            (memory (export "memory") 1)
            (global $heap (mut i32) (i32.const 4096))
            (data (i32.const 2048) "no row")
            (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32)
              (param $size i32) (result i32)
              (global.set $heap (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
              (global.get $heap)
              (global.set $heap (i32.add (global.get $heap) (local.get $size))))
            (func (export "merge") (param $p i32) (result i32) {merge}))
          (core instance $i (instantiate $m))
          (func $merge (param "conflict" $conflict)
            (result (result (option (list u8)) (error string)))
            (canon lift (core func $i "merge") (memory (core memory $i "memory"))
              (realloc (core func $i "realloc"))))
          (export "merge" (func $merge)))"#
    );
    wat::parse_str(text).context("assemble a component")
}

/// WebAssembly, but no component.
///
/// # Errors
/// The text in this file is wrong.
pub fn core_module() -> Result<Vec<u8>> {
    wat::parse_str(r#"(module (func (export "merge")))"#).context("assemble a module")
}

/// A component that is built for something else.
///
/// # Errors
/// The text in this file is wrong.
pub fn of_another_world() -> Result<Vec<u8>> {
    let text = r#"(component
        (core module $m (func (export "run") (result i32) (i32.const 7)))
        (core instance $i (instantiate $m))
        (func $run (result u32) (canon lift (core func $i "run")))
        (export "run" (func $run)))"#;
    wat::parse_str(text).context("assemble a component")
}
