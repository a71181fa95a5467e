//! What a fresh machine may lack.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo::{output, root, run};
use crate::report::say;

/// npm as a program.
pub(crate) const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// What merge functions are compiled for.
pub(crate) const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// What the tests also compile some for, as somebody without the build command would.
const PLAIN_GUEST_TARGET: &str = "wasm32-wasip2";

/// The oldest release of Node.js that merge functions in AssemblyScript are built with.
const NODE_MIN: u32 = 20;

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

/// Sees that Node.js and npm are there, which the examples in AssemblyScript are built with. What those
/// need of npm's packages their build fetches itself.
pub(crate) fn node() -> Result<()> {
    let install = format!(
        "merge functions in AssemblyScript are built with it; install Node.js {NODE_MIN} or newer \
         with npm from https://nodejs.org"
    );
    let Some(version) = output("node", &["--version"]) else {
        bail!("Node.js is not installed: {install}")
    };
    if major(&version).is_none_or(|major| major < NODE_MIN) {
        bail!("Node.js is too old ({version}): {install}");
    }
    if output(NPM, &["--version"]).is_none() {
        bail!("npm is not installed: {install}");
    }
    Ok(())
}

/// Of a version such as `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.trim().trim_start_matches('v').split('.').next()?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn releases_of_node() {
        assert_eq!(major("v20.11.1\n"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("nightly"), None);
    }
}
