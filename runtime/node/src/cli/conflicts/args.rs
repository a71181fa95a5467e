//! What can be typed behind `syncline conflicts`, and the help for it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::{PageArgs, row_pk, table};

pub(in crate::cli) const CONFLICTS_EXAMPLES: &str = "\
Examples:
  syncline conflicts list --table carts --row-pk c-17
  syncline conflicts list --outcome fallback
  syncline conflicts show 0f3a5d41402abc4b2a76b9719d911017
  syncline conflicts replay --table carts --last 1000 --with cart.wasm

A conflict has the same id in every region.";

const CONFLICTS_LIST_EXAMPLES: &str = "\
Examples:
  syncline conflicts list
  syncline conflicts list --table carts --row-pk c-17
  syncline conflicts list --outcome fallback --limit 20
  syncline conflicts list --strategy lww --output json";

const CONFLICTS_SHOW_EXAMPLES: &str = "\
Examples:
  syncline conflicts show 0f3a5d41402abc4b2a76b9719d911017";

const CONFLICTS_REPLAY_EXAMPLES: &str = "\
Examples:
  syncline conflicts replay --table carts --with cart.wasm
  syncline conflicts replay --table carts --last 100 --with cart --output json
  syncline conflicts replay 0f3a5d41402abc4b2a76b9719d911017 --with cart.wasm

The function runs here, in the runtime's sandbox, and nothing is uploaded. Exit code 4: some conflicts
would have left another row than they did.";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConflictsCommand {
    /// List conflicts, the newest first.
    #[command(after_help = CONFLICTS_LIST_EXAMPLES)]
    List(ConflictsListArgs),
    /// Show one conflict: the ancestor, what each side made of it, and the result.
    #[command(after_help = CONFLICTS_SHOW_EXAMPLES)]
    Show {
        /// The conflict's id, as the list shows it.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Replay recorded conflicts through a function on this machine, and compare the outcomes.
    #[command(after_help = CONFLICTS_REPLAY_EXAMPLES)]
    Replay(ConflictsReplayArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConflictsListArgs {
    /// Only of this table.
    #[arg(long, value_name = "TABLE", value_parser = table)]
    pub(super) table: Option<String>,
    /// Only of the row with this key.
    #[arg(long, value_name = "PK", value_parser = row_pk, requires = "table")]
    pub(super) row_pk: Option<String>,
    /// Only those that ended so.
    #[arg(long, value_name = "OUTCOME", value_parser = ["merged", "fallback", "waiting"])]
    pub(super) outcome: Option<String>,
    /// Only those that were resolved so.
    #[arg(long, value_name = "STRATEGY", value_parser = ["lww", "merge-function"])]
    pub(super) strategy: Option<String>,
    #[command(flatten)]
    pub(super) page: PageArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConflictsReplayArgs {
    /// The conflicts, by id; or all the last ones of a table, see --table.
    #[arg(value_name = "ID", required_unless_present = "table", conflicts_with = "table")]
    pub(super) ids: Vec<String>,
    /// The table whose last conflicts are replayed.
    #[arg(long, value_name = "TABLE", value_parser = table)]
    pub(super) table: Option<String>,
    /// How many of the table's last conflicts.
    #[arg(
        long,
        value_name = "N",
        default_value = "1000",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub(super) last: u32,
    /// A component, or the folder of a function, which is built first.
    #[arg(long, value_name = "FILE")]
    pub(super) with: PathBuf,
}
