//! Benchmarks of the parts that a change passes through. They report; nothing is asserted of time.
//!
//! `cargo xtask bench` runs them; docs/internals/performance.md says how to read them.

mod cart;
pub mod commits;

pub use cart::CartConflict;
