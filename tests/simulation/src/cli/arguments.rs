//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use syncline_core::planted::Bug;

use crate::seeds::Seeds;

/// Plays regions in simulation, seed by seed, and explains the seeds that fail.
///
/// A seed is a run: regions that take writes, logs, disks, clocks and a network that fail, and a
/// healing at the end. The same seed is the same run. Exits 0 if all is as promised, 1 if a failure
/// was found, 2 if it was used wrongly.
#[derive(Debug, Parser)]
#[command(
    name = "syncline-sim",
    max_term_width = 100,
    after_help = "Examples:\n  syncline-sim run\n  syncline-sim run --seeds 0..500 --twice\n  \
                  syncline-sim replay 341 --shrunk\n  syncline-sim bugs --bug arrival-order\n  \
                  syncline-sim cost"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    Replay(Replay),
    Bugs(Bugs),
    Cost(Cost),
}

/// Play many seeds, and sum up what happened; explain those that fail.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  syncline-sim run --seeds 100000\n  syncline-sim run --seeds 0..500 \
                  --twice\n  syncline-sim run --max-failures 5 --log logs\n  syncline-sim run \
                  --output json\n  syncline-sim run --seeds 2000 --cost"
)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) range: Range,
    /// Play each seed twice, and fail if the second run is not the first one again.
    #[arg(long)]
    pub(crate) twice: bool,
    /// Stop after so many failing seeds.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) max_failures: NonZeroUsize,
    /// Where the log of each failing seed is written, as SEED.log.
    #[arg(long, value_name = "DIR", default_value = "target/sim")]
    pub(crate) log: PathBuf,
    /// How the summary is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Output,
    /// Measure at the end what a row costs by how many there are, as `cost` does.
    #[arg(long)]
    pub(crate) cost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One JSON object on stdout; failing seeds are explained on stderr.
    Json,
}

/// Play one seed and tell all that happens in it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  syncline-sim replay 341\n  syncline-sim replay 341 --shrunk --pause"
)]
pub(crate) struct Replay {
    /// The seed.
    #[arg(value_name = "SEED")]
    pub(crate) seed: u64,
    /// Tell only what is needed for the failure.
    #[arg(long)]
    pub(crate) shrunk: bool,
    /// Print the steps of the scenario first, as data.
    #[arg(long)]
    pub(crate) steps: bool,
    /// Wait for Enter before each line of what happens.
    #[arg(long)]
    pub(crate) pause: bool,
    /// Plant a bug while it is played; only in a build with planted bugs.
    #[arg(long, value_name = "NAME", value_parser = bug)]
    pub(crate) bug: Option<Bug>,
}

/// Plant one bug after the other, and count the seeds until a check finds it.
///
/// Only in a build with planted bugs: `cargo xtask sim --bugs`. Exits 1 if a bug was not found.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  syncline-sim bugs\n  syncline-sim bugs --seeds 3000 --fail-fast\n  \
                  syncline-sim bugs --from 0 --bug arrival-order --bug ties-by-arrival"
)]
pub(crate) struct Bugs {
    #[command(flatten)]
    pub(crate) range: Range,
    /// Only this one; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = bug)]
    pub(crate) bug: Vec<Bug>,
    /// Stop at the first bug that is not found.
    #[arg(long)]
    pub(crate) fail_fast: bool,
}

/// Measure what a row's apply and fold costs by how many rows there are.
///
/// Partitions of these sizes are fed in turns, so that their ratio says more than their times. It
/// takes about half a minute. Times are told, not judged: exits 0.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  syncline-sim cost\n  syncline-sim cost --rows 10000,10000000 --output \
                  json"
)]
pub(crate) struct Cost {
    /// How many rows, one number for each partition; at most 20000000 in all.
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "10000,100000,1000000"
    )]
    pub(crate) rows: Vec<usize>,
    /// How the result is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Range {
    /// How many seeds, or which: 2000, or 100..200 without the last.
    ///
    /// For `run` 2000 by default, for `bugs` at most 20000 for each bug.
    #[arg(long, value_name = "N|A..B")]
    pub(crate) seeds: Option<Seeds>,
    /// The first seed. By default it follows from the commit.
    #[arg(long, value_name = "SEED")]
    pub(crate) from: Option<u64>,
    /// On how many threads; on all cores by default. The result is the same on any number.
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

fn bug(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.iter().find(|bug| bug.name() == name);
    found.copied().ok_or_else(|| {
        let all: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("there is no such bug; there are: {}", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::ROWS;

    #[test]
    fn the_command_line_is_well_formed() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn run_and_cost_measure_the_same_by_default() {
        let arguments = Arguments::try_parse_from(["syncline-sim", "cost"]).unwrap();
        assert!(matches!(arguments.command, Command::Cost(cost) if cost.rows == ROWS));
    }

    #[test]
    fn a_bug_has_a_name() {
        assert_eq!(bug("arrival-order"), Ok(Bug::ArrivalOrder));
        assert!(bug("arrival").is_err());
    }
}
