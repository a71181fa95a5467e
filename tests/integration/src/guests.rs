//! Components that are no good merge functions, written as text.

use syncline_hostile::{answering, assemble, doing, failing};

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
    pub fn component(self) -> Vec<u8> {
        let guest = match self {
            Self::Traps => doing("unreachable"),
            Self::Loops => doing("(loop $l (br $l)) unreachable"),
            Self::EatsMemory => {
                doing("(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable")
            }
            Self::AnswersRubbish => answering(b"no row"),
            Self::GivesUp => failing(b"no row"),
        };
        guest.component()
    }
}

/// WebAssembly, but no component.
pub fn core_module() -> Vec<u8> {
    assemble(r#"(module (func (export "merge")))"#)
}

/// A component that is built for something else.
pub fn of_another_world() -> Vec<u8> {
    assemble(
        r#"(component
        (core module $m (func (export "run") (result i32) (i32.const 7)))
        (core instance $i (instantiate $m))
        (func $run (result u32) (canon lift (core func $i "run")))
        (export "run" (func $run)))"#,
    )
}
