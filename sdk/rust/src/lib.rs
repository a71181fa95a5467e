//! Write a Syncline merge function in Rust.
//!
//! A merge function is a pure function over one [`Conflict`]: two versions of a row that were
//! changed in two regions at once, and the row as it was before. It answers with the merged row,
//! with `None` to delete it, or with a [`MergeError`].
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use syncline_sdk::{Conflict, MergeError, merge_function};
//!
//! #[derive(Clone, Default, Serialize, Deserialize)]
//! struct Stock { count: i64 }
//!
//! #[merge_function]
//! fn merge(c: Conflict<Stock>) -> Result<Option<Stock>, MergeError> {
//!     let count = |row: Option<Stock>| row.map_or(0, |stock| stock.count);
//!     let count = count(c.older.image) + count(c.newer.image) - count(c.ancestor);
//!     Ok(Some(Stock { count }))
//! }
//! ```
//!
//! Fields of the row that the type doesn't name survive the merge: [`Row`] says how.
//!
//! # What to merge with
//! [`three_way`] merges a row's parts by what each side changed since the common ancestor: that is
//! mostly what one wants, as Syncline knows the true ancestor. [`crdt`] has types that need none.
//!
//! # Tests
//! The function stays callable. [`resolve`] runs it natively over bytes, as the component does,
//! and `syncline-verifier` checks it against files of cases and the laws of merging.
//!
//! The crate does no input or output and keeps nothing between calls. For wasm32-unknown-unknown
//! it brings a global allocator that never gives memory back (feature `bump-allocator`, on by
//! default), as each call has an instance of its own.

mod conflict;
pub mod crdt;
mod decode;
mod encode;
mod json;
mod object;
mod open;
mod records;
mod row;
pub mod three_way;

#[cfg(all(target_arch = "wasm32", target_os = "unknown", feature = "bump-allocator"))]
mod bump;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
#[cfg(all(target_arch = "wasm32", not(all(target_os = "unknown", feature = "bump-allocator"))))]
mod release;
#[cfg(target_arch = "wasm32")]
mod world;

pub use conflict::{Conflict, MergeError, Operation, Side};
pub use decode::present;
pub use json::Json;
pub use object::{Fields, Object};
pub use open::Open;
pub use row::{Raw, Row, resolve};
pub use syncline_sdk_macros::merge_function;
