//! What can be typed behind `syncline function` of functions that were uploaded.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const LIST_EXAMPLES: &str = "\
Examples:
  syncline function list
  syncline function list --output json | jq -r '.items[].version'";

const LOGS_EXAMPLES: &str = "\
Examples:
  syncline function logs 63fcc538b793
  syncline function logs 63fcc538b793 --url http://127.0.0.1:8081";

const DOWNLOAD_EXAMPLES: &str = "\
Examples:
  syncline function download 63fcc538b793
  syncline function download 63fcc538b793 -o cart.wasm
  syncline function inspect cart.wasm

The file is written once its checksum is known to be the version.";

const SHOW_EXAMPLES: &str = "\
Examples:
  syncline function show 63fcc538b793
  syncline function show 63fcc538b793 --output json | jq .uses";

const RETIRE_EXAMPLES: &str = "\
Examples:
  syncline function retire 63fcc538b793 --why 'it loses prices'
  syncline function retire 63fcc538b793 --undo

No new rollout may name a version that is retired. One that a table has, or is about to get, is not
retired: roll out another one first.";

const DELETE_EXAMPLES: &str = "\
Examples:
  syncline function delete 63fcc538b793 --why 'never again'
  syncline function show 63fcc538b793

Each region drops the component once nothing there can need it any more; until then `show` says what
is in the way. What is known of the version stays. An upload of the same file brings it back.";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FunctionsCommand {
    /// List the functions that were uploaded, and where they are active.
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Show a function: where it is active, what keeps it, what was said of it.
    #[command(after_help = SHOW_EXAMPLES)]
    Show(VersionArg),
    /// Show what a function wrote and where it failed, in the region that is asked.
    #[command(after_help = LOGS_EXAMPLES, alias = "log")]
    Logs(VersionArg),
    /// Get a function's component.
    #[command(after_help = DOWNLOAD_EXAMPLES)]
    Download(DownloadArgs),
    /// Let no new rollout name a version.
    #[command(after_help = RETIRE_EXAMPLES)]
    Retire(RetireArgs),
    /// Have all regions drop a version's component, once nothing can need it any more.
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
}

/// Which function.
#[derive(Debug, Args)]
pub(in crate::cli) struct VersionArg {
    /// The function's version: the checksum of its component, or its first digits.
    #[arg(value_name = "VERSION")]
    pub(super) version: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DownloadArgs {
    #[command(flatten)]
    pub(super) version: VersionArg,
    /// Where to; without it a file with the version's first digits in the present folder.
    #[arg(short, long = "out", value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RetireArgs {
    #[command(flatten)]
    pub(super) version: VersionArg,
    /// Take it back.
    #[arg(long)]
    pub(super) undo: bool,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    #[command(flatten)]
    pub(super) version: VersionArg,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
}
