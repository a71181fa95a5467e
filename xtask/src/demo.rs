//! `cargo xtask demo`.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{binary, build, passed_on, status};
use crate::report::say;
use crate::setup;

/// How the demo is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The last line is a JSON object; the demo is told by an argument of its own.
    pub(crate) json: bool,
    /// Passed on to the demo.
    pub(crate) arguments: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    setup::guest_target()?;
    say("building the node and the demo; the first time takes some minutes");
    build(&["syncline", "syncline-demo"])?;
    let result = if options.json { ", with the result as JSON on the last line" } else { "" };
    say(&format!("running the demo{result}"));
    // In the caller's folder, so that paths among the arguments mean what the caller means.
    let ended = status(Command::new(binary("syncline-demo")?).args(&options.arguments))?;
    Ok(passed_on(ended))
}
