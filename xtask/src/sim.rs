//! `cargo xtask sim`.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{binary, build, build_command, passed_on, run as run_command, status};
use crate::report::say;

/// The simulator: its package, and its binary.
pub(crate) const SIMULATOR: &str = "syncline-sim";
/// The same, with planted bugs.
pub(crate) const WITH_BUGS: &str = "syncline-sim-bugs";

/// How the simulator is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// In a build with planted bugs.
    pub(crate) bugs: bool,
    /// Passed on to the simulator.
    pub(crate) arguments: Vec<OsString>,
}

impl Options {
    /// All but `--bugs` is the simulator's own business. Without a command it hunts the bugs that
    /// are planted, or plays what there is without them.
    pub(crate) fn of(arguments: &[OsString]) -> Self {
        let own = arguments.iter().take_while(|argument| *argument != "--").count();
        let (own, passed_on) = arguments.split_at(own);
        let bugs = own.iter().any(|argument| argument == "--bugs");
        let mut all: Vec<OsString> =
            own.iter().filter(|argument| *argument != "--bugs").cloned().collect();
        all.extend(passed_on.iter().skip(1).cloned());
        if all.first().is_none_or(|first| first != "replay" && first != "cost") {
            all.insert(0, if bugs { "bugs" } else { "run" }.into());
        }
        Self { bugs, arguments: all }
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let program = if options.bugs {
        say("building the simulator with planted bugs");
        run_command(&mut build_with_bugs())?;
        binary(WITH_BUGS)?
    } else {
        say("building the simulator");
        build(&[SIMULATOR])?;
        binary(SIMULATOR)?
    };
    say("running the simulator");
    // In the caller's folder, so that paths among the arguments mean what the caller means.
    let ended = status(Command::new(program).args(&options.arguments))?;
    Ok(passed_on(ended))
}

/// Builds the simulator, and all of the product in it, with planted bugs: a program of another name,
/// as what comes of that may never lie where the product is looked for.
pub(crate) fn build_with_bugs() -> Command {
    let mut command = build_command(&[WITH_BUGS]);
    command.args(["--features", "syncline-sim/planted-bugs"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(given: &[&str]) -> (bool, String) {
        let Options { bugs, arguments } =
            Options::of(&given.iter().map(OsString::from).collect::<Vec<_>>());
        let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        (bugs, words.join(" "))
    }

    #[test]
    fn it_plays_or_hunts_or_replays() {
        assert_eq!(arguments(&[]), (false, "run".into()));
        assert_eq!(arguments(&["--seeds", "5"]), (false, "run --seeds 5".into()));
        assert_eq!(arguments(&["--bugs"]), (true, "bugs".into()));
        assert_eq!(arguments(&["--seeds", "5", "--bugs"]), (true, "bugs --seeds 5".into()));
        assert_eq!(arguments(&["replay", "7", "--shrunk"]), (false, "replay 7 --shrunk".into()));
        assert_eq!(arguments(&["--bugs", "replay", "7"]), (true, "replay 7".into()));
    }

    #[test]
    fn what_follows_two_dashes_is_the_simulators() {
        assert_eq!(arguments(&["--", "--help"]), (false, "run --help".into()));
        assert_eq!(arguments(&["--bugs", "--", "--jobs", "1"]), (true, "bugs --jobs 1".into()));
        assert_eq!(arguments(&["--", "--bugs"]), (false, "run --bugs".into()));
    }
}
