//! Write a Syncline merge function in Rust.
//!
//! A merge function is a pure function over one [`Conflict`]: two versions of a row that were changed
//! in two regions at once, and the row as it was before. It answers with the merged row, with `None`
//! to delete it, or with a [`MergeError`].
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
//! The function stays callable. [`resolve`] runs it natively over bytes, as the component does, and
//! the feature `testing` checks it against a file of golden cases.
//!
//! The crate does no input or output and keeps nothing between calls. On wasm32 it brings a global
//! allocator that never gives memory back (feature `bump-allocator`, on by default), as each call has
//! an instance of its own.

mod conflict;
mod decode;
mod encode;
mod object;
mod open;
mod row;

#[cfg(all(target_arch = "wasm32", feature = "bump-allocator"))]
mod bump;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
#[cfg(feature = "testing")]
pub mod testing;

pub use conflict::{Conflict, MergeError, Operation, Side};
pub use object::{Fields, Object};
pub use open::Open;
pub use row::{Raw, Row, resolve};
pub use syncline_sdk_macros::merge_function;
