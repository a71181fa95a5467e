//! What a region keeps on disk: one ordered key space with atomic commits, and the typed families
//! of keys in it.
//!
//! [`Store`] is the byte level: [`SledStore`] and [`FjallStore`] for a node, as its configuration
//! says, [`MemoryStore`] for tests and for the simulator, and whatever passes the conformance
//! suite. [`kv`] says what a key and a value look like, one family a file; [`write_commit`] and
//! [`load_partition`] carry the core's effects to disk and back; [`copy_for_joiner`] carries what a
//! region has into the store of one that joins.
//!
//! This crate decides nothing: it never merges, never drops history on its own, never talks to
//! another region. It trusts no byte that it reads: what does not decode is
//! [`StoreError::Corrupt`], never a panic.
//!
//! What the caller owes:
//!
//! 1. One thread commits the changes of a partition; readers may be many.
//! 2. What must be durable is followed by [`Store::sync`], which makes a prefix of all commits
//!    durable, those of other partitions included.
//! 3. After [`StoreError::Sync`] the store takes no more commits: the process stops, and starts
//!    from what the disk really holds.

mod bulk;
mod commit;
#[cfg(any(test, feature = "test-support"))]
pub mod conformance;
mod control;
mod disk;
mod engine;
mod fjall_journal;
mod fjall_store;
mod fjall_tables;
pub mod kv;
mod list;
mod memory;
mod merged;
mod sled_chunks;
mod sled_store;
mod stamped;
mod store;

pub use bulk::copy_for_joiner;
pub use commit::{ConflictLimit, load_partition, load_row, write_commit};
pub use control::{load_control, write_control_commit};
pub use disk::free_space;
pub use engine::{AtRest, DiskStore, Engine};
pub use fjall_store::{FjallOptions, FjallStore};
pub use kv::conflict::{ConflictCursor, ConflictFilter, ConflictPage, Outcome, Strategy};
pub use list::{RowsPage, rows_of_table};
pub use memory::{MemorySnapshot, MemoryStore};
pub use sled_store::{SledOptions, SledStore};
pub use stamped::{Search, Stamped, find_stamped};
pub use store::{Batch, Pair, Scan, Store, StoreError, prefix_end};
