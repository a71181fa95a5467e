//! Builds a merge function into a component, the same bytes from the same source.
//!
//! For Rust, [`build`] runs plain `cargo build` for wasm32-unknown-unknown, wraps the module into a
//! component and appends the manifest (see [`manifest`]) and the function's cases. A component's version is the checksum of its bytes,
//! so nothing of the machine may get into them: paths are mapped to fixed ones, packages that are used
//! by path go by their name instead of their folder, and the caller's build settings (`RUSTFLAGS`, `CARGO_PROFILE_*` and so on) are left out. What does count is the
//! source, its lock file, the Rust release and its `[profile.release]`.
//!
//! For AssemblyScript it runs `npm ci` where that is needed and the package's own `build`, which does
//! all this with the same result: see sdk/assemblyscript.
//!
//! [`example`] and [`example_in`] build one of this repository's own functions, for tests and benchmarks.
//!
//! Several processes may build at once, also the same function: they take turns by a file lock.

mod build;
mod cargo;
mod cases;
mod error;
pub mod manifest;
mod npm;
mod package;
mod wrapper;

pub use build::{
    BuiltGuest, Language, build, example, example_in, examples_dir, guests_target_dir,
};
pub use cases::{cases_dir, cases_files};
pub use error::BuildError;
