//! Why a function was not built.

use std::io;
use std::path::PathBuf;

/// Why a function was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The folder holds no package that its tool can describe.
    #[error("read the package in `{}`: {reason}", manifest_dir.display())]
    Package {
        /// The folder that was asked for.
        manifest_dir: PathBuf,
        /// What is wrong, in the tool's words where it was the tool that said so.
        reason: String,
    },
    /// `[package.metadata.syncline]` holds something else than it may.
    #[error("read [package.metadata.syncline] of `{package}`")]
    Metadata {
        /// The package's name.
        package: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The toolchain in use has no standard library for wasm32-unknown-unknown.
    #[error(
        "the Rust toolchain has no target wasm32-unknown-unknown: \
         run `rustup target add wasm32-unknown-unknown`"
    )]
    MissingTarget,
    /// `cargo build` failed.
    #[error("build `{package}`; cargo says:\n{stderr}")]
    Cargo {
        /// The package's name.
        package: String,
        /// What cargo wrote.
        stderr: String,
    },
    /// The package is built by npm, and that is not there.
    #[error(
        "npm is not installed: a merge function in AssemblyScript is built with Node.js 20 or newer \
         and npm, which comes with it; install both from https://nodejs.org"
    )]
    MissingNpm,
    /// `npm ci` or the package's own build failed.
    #[error("build `{package}`; {command} says:\n{output}")]
    Npm {
        /// The package's name.
        package: String,
        /// The command as one would type it.
        command: String,
        /// What it wrote.
        output: String,
    },
    /// The module that cargo built is no merge function.
    #[error("make a component of `{package}`: {reason}")]
    Component {
        /// The package's name.
        package: String,
        /// What is wrong, with its causes.
        reason: String,
    },
    /// A program could not be run at all.
    #[error("run `{program}`")]
    Run {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A file or folder could not be read or written.
    #[error("{action} `{}`", path.display())]
    File {
        /// What was tried: a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl BuildError {
    /// For `map_err` after an operation on a file.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
