//! Builds a Rust merge function into a component, the same bytes from the same source.
//!
//! [`build`] runs plain `cargo build` for wasm32-unknown-unknown, wraps the module into a component
//! and appends the manifest (see [`manifest`]). A component's version is the checksum of its bytes,
//! so nothing of the machine may get into them: paths are mapped to fixed ones, packages that are used
//! by path go by their name instead of their folder, and the caller's build settings (`RUSTFLAGS`, `CARGO_PROFILE_*` and so on) are left out. What does count is the
//! source, its lock file, the Rust release and its `[profile.release]`.
//!
//! [`example`] builds one of this repository's own functions, for tests and benchmarks.
//!
//! Several processes may build at once, also the same function: they take turns by a file lock.

mod build;
mod cargo;
mod error;
pub mod manifest;
mod package;
mod wrapper;

pub use build::{BuiltGuest, build, example, examples_dir, guests_target_dir};
pub use error::BuildError;
