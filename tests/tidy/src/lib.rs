//! Rules that keep the house in order, each a test.
//!
//! A rule reads text, or what cargo says of the workspace, and answers with violations: where, what
//! the rule is, and what to do instead. `tests/tidy.rs` runs each over the repository; beside each
//! stands a test that sees it fail on a small bad sample.
//!
//! This crate changes nothing, except that it writes the generated page of error codes where
//! `UPDATE_DOCS=1` asks for it.

pub mod core_is_pure;
pub mod drawers;
pub mod error_codes;
pub mod layers;
pub mod length;
pub mod licences;
pub mod limits;
pub mod links;
pub mod lock_files;
pub mod manifests;
pub mod metadata;
pub mod places;
pub mod routes;
pub mod source;
pub mod spdx;
pub mod tree;
pub mod unfinished;
pub mod unsafe_code;
mod violation;
pub mod wit;

pub use violation::{Violation, assert_none};
