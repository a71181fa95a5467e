//! Tests of the real binary, in processes of its own: HTTP, command line, signals.
//!
//! The tests lie in `tests/processes/`. What they share is here: merge functions that misbehave, the
//! command line as a process, requests that no well-behaved client sends, and the check that a
//! conflict has one outcome everywhere.

mod cli;
mod guests;
mod memory;
mod outcomes;
mod raw;

pub use cli::{Ran, run_cli};
pub use guests::{BadGuest, core_module, of_another_world};
pub use memory::{peak_bytes, with_children_bytes};
pub use outcomes::one_outcome_each;
pub use raw::send_raw;
