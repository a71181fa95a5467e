//! Runs the real binary for tests and the demo: regions on free ports, and a client to talk to them.
//!
//! Everything goes through the process's own doors: command line, signals, HTTP. Nothing here looks
//! into a data folder or into the node's code. Whoever waits, waits for a condition with a deadline
//! ([`wait_for`]), never for a time.

use std::path::Path;

use anyhow::Context as _;
use syncline_guest_build::BuiltGuest;

mod answer;
mod binary;
mod cli;
mod dev;
mod digests;
mod outcomes;
mod ports;
mod process;
mod region;
mod rng;
mod serve;
mod wait;

pub use answer::{Answer, Row};
pub use binary::syncline;
pub use cli::{Ran, run_cli};
pub use dev::{Dev, DevSetup};
pub use digests::{Digests, TableDigest};
pub use outcomes::one_outcome_each;
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
    let built = syncline_guest_build::example(name).with_context(|| format!("build {name}"))?;
    read(&built)
}

/// The bytes of one of the later versions of the example `cart`, from `tests/guests`, built from its
/// source: `cart-with-total` is good, the others are not.
///
/// # Errors
/// It cannot be built.
pub fn later_cart(name: &str) -> anyhow::Result<Vec<u8>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests").join(name);
    // Of its own: in a folder shared with another workspace each would build all of it anew.
    let target = syncline_guest_build::guests_target_dir().join("tests");
    let built = syncline_guest_build::build(&package, &target);
    read(&built.with_context(|| format!("build {name}"))?)
}

fn read(built: &BuiltGuest) -> anyhow::Result<Vec<u8>> {
    std::fs::read(&built.path).with_context(|| format!("read {}", built.path.display()))
}
