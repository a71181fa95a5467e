//! Builds the contracts from source, with the profile of guest-examples.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use syncline_guest_build::guests_target_dir;

use crate::lowering::lowered;

const TARGET: &str = "wasm32-unknown-unknown";

/// As guest-build sets them for the components, so that both have the same stack and the same
/// memory to begin with; and an instruction set that CosmWasm admits.
const FLAGS: [&str; 3] =
    ["-Clink-arg=-zstack-size=65536", "-Clink-arg=--initial-memory=1048576", "-Ctarget-cpu=mvp"];

/// The contract around the example `name`.
pub fn built(name: &str) -> Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract");
    let target = guests_target_dir().join("contracts");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&folder);
    command.args(["build", "--quiet", "--release", "--locked", "--lib", "--target", TARGET]);
    command.args(["--features", name]).arg("--target-dir").arg(&target);
    command.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "cargo did not build the contract {name}");
    let path = target.join(TARGET).join("release/merge_contract.wasm");
    let wasm = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    lowered(&wasm).with_context(|| format!("lower the contract {name}"))
}
