//! Fuzzing: random cases against the parts of the host that strangers' bytes reach. A case is made
//! from a seed alone, so that a failure is repeated by its number.
//!
//! - [`meter`]: the metering pass. Modules are what they were before it, but for an end by the
//!   meter; and what it counts is the same on every engine, and in proportion to another's count.
//! - [`admission`]: damaged and odd components. Each gets an answer, always the same, and what is
//!   admitted runs.
//! - [`merge`]: random conflicts through the examples. Every engine gives the same answer, and
//!   that is the native function's.
//!
//! The [`driver`] runs cases on threads, counts what they reached, and notices those that hang.

pub mod admission;
pub mod cli;
pub mod driver;
pub mod merge;
pub mod meter;
mod smith;

pub use driver::{Case, Target};
