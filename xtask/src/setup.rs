//! What a fresh machine may lack.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo::{output, root, run};
use crate::report::say;

/// What merge functions are compiled for.
pub(crate) const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// Adds the standard library that merge functions are compiled against.
pub(crate) fn guest_target() -> Result<()> {
    let libraries = ["--print", "target-libdir", "--target", GUEST_TARGET];
    if output("rustc", &libraries).is_some_and(|dir| Path::new(&dir).is_dir()) {
        return Ok(());
    }
    say(&format!("adding the Rust target {GUEST_TARGET}, for merge functions"));
    rustup(&["target", "add", GUEST_TARGET]).with_context(|| {
        format!("merge functions are compiled for {GUEST_TARGET}; add it to this Rust toolchain")
    })
}

/// Adds the parts of the toolchain that format and lint.
pub(crate) fn lint_tools() -> Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if output("cargo", &[subcommand, "--version"]).is_none() {
            say(&format!("adding {component} to the Rust toolchain"));
            rustup(&["component", "add", component])
                .with_context(|| format!("add {component} to this Rust toolchain"))?;
        }
    }
    Ok(())
}

fn rustup(arguments: &[&str]) -> Result<()> {
    if output("rustup", &["--version"]).is_none() {
        bail!("rustup is not installed, and without it nothing can be added to the toolchain");
    }
    // In the root, so that the toolchain is the pinned one.
    let mut command = Command::new("rustup");
    run(command.args(arguments).current_dir(root()).stdout(Stdio::from(std::io::stderr())))
}
