//! The smaller tasks: vectors and benches.

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{binary, build, cargo, passed_on, status};
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
