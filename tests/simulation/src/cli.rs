//! The command line: plays regions in simulation, seed by seed, and explains the seeds that fail.

mod arguments;
mod commands;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};

/// A failure was found.
const FAILED: u8 = 1;
/// Wrong usage; the same code as of what clap refuses.
const WRONG_USAGE: u8 = 2;

/// The program, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(run) => commands::run(&run),
        Command::Replay(replay) => commands::replay(&replay),
        Command::Bugs(bugs) => commands::bugs(&bugs),
        Command::Cost(cost) => commands::cost(&cost),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(wrong) => {
            say(&format!("error: {wrong}"));
            ExitCode::from(WRONG_USAGE)
        }
    }
}

/// Says what happens. Where nobody reads it, nothing is lost.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The result. A reader that has gone does not change the exit code.
fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
