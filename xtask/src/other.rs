//! The smaller tasks: vectors and benchmarks.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

use anyhow::Result;
use syncline_broker::Jars;

use crate::cargo::{binary, build, cargo, passed_on, root, status};
use crate::kafka;
use crate::report::say;
use crate::setup;

/// Every bench, with the features of the tests: see `cargo::SHARED` for why the whole workspace.
pub(crate) const BENCHES: [&str; 3] = ["--workspace", "--bench", "*"];

pub(crate) fn vectors(file: &OsStr) -> Result<ExitCode> {
    say("building the check of vectors");
    build(&["syncline-vectors"])?;
    // In the caller's folder: the file's name is relative to it.
    let ended = status(Command::new(binary("syncline-vectors")?).arg(file))?;
    Ok(passed_on(ended))
}

pub(crate) fn bench(arguments: &[OsString]) -> Result<ExitCode> {
    setup::guest_target()?;
    say("building and running the benchmarks, in the profile of the demo and the tests");
    let mut command = cargo(&["bench", "--profile", "dev"]);
    let ended = status(command.args(BENCHES).arg("--").args(arguments))?;
    Ok(passed_on(ended))
}

/// The host beside cosmwasm-vm: a workspace of its own, as nothing else needs that engine.
pub(crate) fn bench_cosmwasm(arguments: &[OsString]) -> Result<ExitCode> {
    setup::guest_target()?;
    say(
        "building the comparison with cosmwasm-vm: another workspace, with a second engine, so the \
         first time takes some minutes; then it measures for half a minute",
    );
    let folder = root().join("tests/bench/cosmwasm");
    let mut command = cargo(&["run", "--release", "--locked"]);
    if env::var_os("CARGO_TARGET_DIR").is_none() {
        command.arg("--target-dir").arg(root().join("target/cosmwasm"));
    }
    let ended = status(command.current_dir(folder).arg("--").args(arguments))?;
    Ok(passed_on(ended))
}

/// Whole regions over real brokers, beside MirrorMaker 2. All arguments are the program's own
/// business.
pub(crate) fn bench_replicate(arguments: &[OsString]) -> Result<ExitCode> {
    const REPLICATE: &str = "syncline-replicate";
    Jars::can_be_had()?;
    setup::guest_target()?;
    say("building the regions and what measures them");
    build(&["syncline", REPLICATE])?;
    say("starting two brokers; fetching Apache Kafka the first time takes a minute");
    let mut replicate = Command::new(binary(REPLICATE)?);
    replicate.arg("--kafka").arg(kafka::folder()).args(arguments);
    Ok(passed_on(status(replicate.env("SYNCLINE_TEST_BINARY", binary("syncline")?))?))
}
