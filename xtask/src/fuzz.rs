//! `cargo xtask fuzz`.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{binary, build, passed_on, status};
use crate::report::say;
use crate::setup;

const FUZZER: &str = "syncline-fuzz";

/// All arguments are the fuzzer's own business.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    // Two of its targets build the example functions.
    setup::guest_target()?;
    say("building the fuzzer");
    build(&[FUZZER])?;
    say("running the fuzzer");
    // In the caller's folder, so that paths among the arguments mean what the caller means.
    let ended = status(Command::new(binary(FUZZER)?).args(arguments))?;
    if ended.code().is_none() {
        say("a signal ended the fuzzer: fuzz/TARGET/running-N in the target folder has its seeds");
    }
    Ok(passed_on(ended))
}
