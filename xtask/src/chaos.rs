//! `cargo xtask chaos`.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;
use syncline_broker::Jars;

use crate::cargo::{binary, build, passed_on, status};
use crate::kafka;
use crate::report::say;
use crate::setup;

const CHAOS: &str = "syncline-chaos";

/// All arguments are the program's own business.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    Jars::can_be_had()?;
    setup::guest_target()?;
    say("building the regions and what strikes them");
    build(&["syncline", CHAOS])?;
    say("starting three brokers; fetching Apache Kafka the first time takes a minute");
    let mut chaos = Command::new(binary(CHAOS)?);
    chaos.arg("--kafka").arg(kafka::folder()).args(arguments);
    Ok(passed_on(status(chaos.env("SYNCLINE_TEST_BINARY", binary("syncline")?))?))
}
