//! What a fresh machine may lack.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo::{output, root, run};
use crate::report::say;

/// What merge functions are compiled for.
pub(crate) const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// What the tests also compile some for, as somebody without the build command would.
const PLAIN_GUEST_TARGET: &str = "wasm32-wasip2";

/// Adds the standard library that merge functions are compiled against.
pub(crate) fn guest_target() -> Result<()> {
    target(GUEST_TARGET)
}

/// Adds all that the tests compile merge functions against.
pub(crate) fn guest_targets() -> Result<()> {
    target(GUEST_TARGET)?;
    target(PLAIN_GUEST_TARGET)
}

fn target(target: &str) -> Result<()> {
    let libraries = ["--print", "target-libdir", "--target", target];
    if output("rustc", &libraries).is_some_and(|dir| Path::new(&dir).is_dir()) {
        return Ok(());
    }
    say(&format!("adding the Rust target {target}, for merge functions"));
    rustup(&["target", "add", target]).with_context(|| {
        format!("merge functions are compiled for {target}; add it to this Rust toolchain")
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
