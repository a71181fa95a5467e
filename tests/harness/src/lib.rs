//! Runs the real binary for tests and the demo: regions on free ports, and a client to talk to them.
//!
//! Everything goes through the process's own doors: command line, signals, HTTP. Nothing here looks
//! into a data folder or into the node's code. Whoever waits, waits for a condition with a deadline
//! ([`wait_for`]), never for a time.

mod answer;
mod binary;
mod dev;
mod digests;
mod ports;
mod process;
mod region;
mod rng;
mod serve;
mod wait;

pub use answer::{Answer, Row};
pub use binary::syncline;
pub use dev::{Dev, DevSetup};
pub use digests::{Digests, TableDigest};
pub use process::Process;
pub use region::{If, Region};
pub use rng::Rng;
pub use serve::Serve;
pub use wait::{PATIENCE, wait_for};

/// The bytes of one of this repository's own merge functions, built from its source.
///
/// # Errors
/// It cannot be built.
pub fn example_function(name: &str) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context as _;
    let built = syncline_guest_build::example(name).with_context(|| format!("build {name}"))?;
    std::fs::read(&built.path).with_context(|| format!("read {}", built.path.display()))
}
