//! A row that is a register with a clock of its own: `{"at":1795203212955,"by":"eu","value":...}`.
//!
//! The value with the highest `at` stays, of two at once the one with the higher `by`, whatever the
//! order in which the regions heard of them. The README has the rules.

use syncline_sdk::crdt::{self, LwwRegister};
use syncline_sdk::{Conflict, Json, MergeError, Open, merge_function};

/// A register of any JSON value. [`Open`] keeps the row's other fields.
pub type Register = Open<LwwRegister<Json>>;

/// Merges two registers by the rules of the README.
///
/// # Errors
/// Never; a row that is no register is one already.
#[merge_function]
pub fn merge(c: Conflict<Register>) -> Result<Option<Register>, MergeError> {
    crdt::join(c)
}
