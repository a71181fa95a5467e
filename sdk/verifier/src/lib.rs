//! Checks a merge function before it goes live: against cases that somebody wrote, and against the
//! laws of merging, over conflicts that were given, that really happened, and that are made from them.
//!
//! The function is behind [`Subject`], so that the same checks run over a component in the runtime's
//! engine and over a native function in `cargo test` ([`Native`]).
//!
//! - [`Case`] is a conflict in a file, with the answer that is expected of it.
//! - [`check_cases`] compares a function's answers with those of its cases.
//! - [`verify`] tries the [`Law`]s and makes a [`Report`].
//!
//! Regions converge whatever a report says: the runtime calls any function with the same arguments
//! everywhere. The laws tell what people will see, not whether regions agree.
//!
//! It reads no clock, takes randomness from a seed alone, and does no input or output.

mod case;
mod cases;
mod json;
mod law;
mod mutate;
mod native;
mod report;
mod shrink;
mod subject;
mod unknown;
mod verify;

pub use case::{Case, Expected, InvalidCase};
pub use cases::{CasesReport, Differing, check_cases};
pub use law::{Law, replay};
pub use native::Native;
pub use report::{Answers, Blocking, Finding, Peak, Report, Verdict};
pub use subject::{Answer, Conflict, Failure, Outcome, Subject, Usage};
pub use verify::{Effort, verify};
