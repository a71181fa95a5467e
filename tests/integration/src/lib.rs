//! Tests of the real binary, in processes of its own: HTTP, command line, signals.
//!
//! The tests lie in `tests/processes/`. What they share is here: merge functions that misbehave, the
//! command line as a process, requests that no well-behaved client sends, and the check that a
//! conflict has one outcome everywhere.

mod guests;
mod memory;
mod raw;

pub use guests::{BadGuest, core_module, of_another_world};
pub use memory::{peak_bytes, with_children_bytes};
pub use raw::send_raw;
pub use syncline_harness::{Ran, one_outcome_each, run_cli};
