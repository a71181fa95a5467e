//! What can be typed, and the help for it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use syncline_core::{RegionId, RowPk, TableName};
use syncline_store::kv::quarantine::QuarantineId;

use super::conflicts::{CONFLICTS_EXAMPLES, ConflictsCommand};
use super::divergences::{DIVERGENCES_EXAMPLES, DivergencesCommand, REPAIR_EXAMPLES, RepairArgs};
use super::function::{FUNCTION_EXAMPLES, FunctionCommand, Source};
use super::members::{TOPOLOGY_EXAMPLES, TopologyCommand};
use super::rollout::{PlanArgs, ROLLOUT_EXAMPLES, RolloutCommand};
use super::tables::{TABLES_EXAMPLES, TablesCommand};
use crate::config::HumanDuration;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed or was refused; the reason is on stderr
  2  wrong usage
  3  the region cannot be reached
  4  a check found a difference";

const TOP_EXAMPLES: &str = "\
Examples:
  syncline dev                                  three regions on ports 8080 to 8082
  syncline deploy cart.wasm --table carts       upload a merge function, wait until it is active
  syncline rows put carts c-17 '{\"items\":[]}'   write a row
  syncline rows get carts c-17 --url http://127.0.0.1:8081
  syncline conflicts list --table carts         what met, and how it was resolved
  syncline digests --compare http://127.0.0.1:8081 http://127.0.0.1:8082

Exit codes:
  0  done
  1  it failed or was refused; the reason is on stderr
  2  wrong usage
  3  the region cannot be reached
  4  a check found a difference";

const DEV_EXAMPLES: &str = "\
Examples:
  syncline dev
  syncline dev --regions us-east-1,eu-west-1 --port 9000 --data two-regions
  curl http://127.0.0.1:8080/v1/topology

The data stays on disk: the same command goes on where the last one ended, also after a kill -9.
The same --regions, in any order, must be given each time.";

const SERVE_EXAMPLES: &str = "\
Examples:
  syncline serve --config region.toml
  SYNCLINE_API__LISTEN=127.0.0.1:9090 syncline serve --config region.toml";

const CONFIG_EXAMPLES: &str = "\
Examples:
  syncline config check --config region.toml
  syncline config check --config region.toml --connect";

const ROWS_EXAMPLES: &str = "\
Examples:
  syncline rows put carts c-17 '{\"items\":[{\"id\":\"fig\",\"qty\":2}]}'
  syncline rows get carts c-17
  syncline rows list carts --prefix c-
  syncline rows delete carts c-17";

const GET_EXAMPLES: &str = "\
Examples:
  syncline rows get carts c-17
  syncline rows get carts c-17 --output json | jq -r .etag
  syncline rows get carts c-17 > row.json

The row goes to stdout as it is stored; its ETag and its HLC go to stderr.";

const PUT_EXAMPLES: &str = "\
Examples:
  syncline rows put carts c-17 '{\"items\":[]}'
  syncline rows put carts c-17 @row.json --if-match 5d41402abc4b2a76
  echo '{\"items\":[]}' | syncline rows put carts c-18 --if-none-match

Without --if-match the row is replaced whatever it has become by merges in the meantime. To change
a row, read it, and write it back with the ETag that was read: exit code 1 and the code
precondition-failed say that somebody else was faster.";

const DELETE_EXAMPLES: &str = "\
Examples:
  syncline rows delete carts c-17
  syncline rows delete carts c-17 --if-match 5d41402abc4b2a76";

const LIST_EXAMPLES: &str = "\
Examples:
  syncline rows list carts
  syncline rows list carts --prefix c- --limit 20
  syncline rows list carts --output json | jq '.items[].row_pk'";

const DEPLOY_EXAMPLES: &str = "\
Examples:
  syncline deploy cart.wasm --table carts
  syncline deploy cart.wasm --table carts --no-wait
  syncline deploy cart.wasm --table carts --timeout 5m

The component goes to one region and from there to all. No region uses it before every region has
it. The command waits until all regions do; what waits is only the command, the rollout goes on
without it.";

const QUARANTINE_EXAMPLES: &str = "\
Examples:
  syncline quarantine list
  syncline quarantine show eu-west-1.1.3.4096
  syncline quarantine replay eu-west-1.1.3.4096
  syncline quarantine drop eu-west-1.1.3.4096

A record of another region that could not be read is kept as it came. If it stood for a change, the
change is sent again: what is dropped here is only the copy.";

const QUARANTINE_LIST_EXAMPLES: &str = "\
Examples:
  syncline quarantine list
  syncline quarantine list --source eu-west-1 --partition 3
  syncline quarantine list --partition control --output json | jq -r '.items[].reason'";

const QUARANTINE_SHOW_EXAMPLES: &str = "\
Examples:
  syncline quarantine show eu-west-1.1.3.4096
  syncline quarantine show eu-west-1.1.3.4096 --output json | jq -r .raw_base64 | base64 -d";

const QUARANTINE_REPLAY_EXAMPLES: &str = "\
Examples:
  syncline quarantine replay eu-west-1.1.3.4096

The record is read once more, as if it came now, and what it came to is said. Exit code 0 where it was
taken or was known already: then the copy is gone. Exit code 1 where the copy stays.";

const QUARANTINE_DROP_EXAMPLES: &str = "\
Examples:
  syncline quarantine drop eu-west-1.1.3.4096";

const DIGESTS_EXAMPLES: &str = "\
Examples:
  syncline digests
  syncline digests --compare http://127.0.0.1:8081 http://127.0.0.1:8082

With --compare: exit code 0 where all regions hold the same bytes, 4 where they differ, and 1 where
that cannot be said yet, as one of them has not applied what another has.";

const LINK_EXAMPLES: &str = "\
Examples:
  syncline link cut us-east-1 eu-west-1
  syncline link heal us-east-1 eu-west-1

Works on `syncline dev` only. A cut link carries nothing in either direction until it is healed.";

/// The command with which a region starts this program again, to compile.
pub(super) const COMPILE_FUNCTION: &str = "compile-function";

/// Syncline keeps tables in step across regions without a central database.
#[derive(Debug, Parser)]
#[command(
    name = "syncline",
    version,
    after_help = TOP_EXAMPLES,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) shared: Shared,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(super) struct Shared {
    /// The region to talk to.
    #[arg(
        long,
        global = true,
        env = "SYNCLINE_URL",
        // Help is the same whatever the environment holds.
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        value_parser = base_url
    )]
    pub(super) url: String,
    /// The token to show to the region.
    #[arg(
        long,
        global = true,
        env = "SYNCLINE_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub(super) token: Option<String>,
    /// How the result is printed.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    pub(super) output: Format,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// One JSON document on one line, for programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run several regions in this process, to try things out.
    #[command(after_help = DEV_EXAMPLES)]
    Dev(DevArgs),
    /// Run one region.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ConfigFile),
    /// Look at a region's configuration.
    #[command(subcommand, after_help = CONFIG_EXAMPLES)]
    Config(ConfigCommand),
    /// Read and write rows.
    #[command(subcommand, after_help = ROWS_EXAMPLES)]
    Rows(RowsCommand),
    /// Upload a merge function for a table and roll it out.
    #[command(after_help = DEPLOY_EXAMPLES)]
    Deploy(DeployArgs),
    /// Write, build, test and verify a merge function; see which were uploaded.
    #[command(subcommand, after_help = FUNCTION_EXAMPLES, alias = "functions")]
    Function(FunctionCommand),
    /// See which version resolves a table's conflicts, where and since when.
    #[command(subcommand, after_help = TABLES_EXAMPLES)]
    Tables(TablesCommand),
    /// See what met, and how it was resolved.
    #[command(subcommand, after_help = CONFLICTS_EXAMPLES)]
    Conflicts(ConflictsCommand),
    /// Roll a version out through the regions, and steer it.
    #[command(subcommand, after_help = ROLLOUT_EXAMPLES)]
    Rollout(RolloutCommand),
    /// Look after the records that could not be read.
    #[command(subcommand, after_help = QUARANTINE_EXAMPLES)]
    Quarantine(QuarantineCommand),
    /// See where regions hold what cannot be both right.
    #[command(subcommand, after_help = DIVERGENCES_EXAMPLES)]
    Divergences(DivergencesCommand),
    /// Fold the rows of a table again where they are not what they should be.
    #[command(after_help = REPAIR_EXAMPLES)]
    Repair(RepairArgs),
    /// Compare what regions hold.
    #[command(after_help = format!("{DIGESTS_EXAMPLES}\n\n{EXIT_CODES}"))]
    Digests(DigestsArgs),
    /// Show the regions and a region's links to them; let regions join, and go on without others.
    #[command(after_help = TOPOLOGY_EXAMPLES)]
    Topology {
        #[command(subcommand)]
        command: Option<TopologyCommand>,
    },
    /// Cut and heal the link between two regions of `syncline dev`.
    #[command(subcommand, after_help = LINK_EXAMPLES)]
    Link(LinkCommand),
    /// What a region starts to compile a merge function apart from itself. It is no command for
    /// people.
    #[command(name = COMPILE_FUNCTION, hide = true)]
    CompileFunction,
}

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// The regions, separated by commas.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "us-east-1,eu-west-1,ap-south-1",
        value_parser = region
    )]
    pub(super) regions: Vec<String>,
    /// The folder that holds the data of all regions; made if absent.
    #[arg(long, value_name = "FOLDER", default_value = "syncline-data")]
    pub(super) data: PathBuf,
    /// The first region's port; the next regions get the next ports.
    #[arg(
        long,
        value_name = "PORT",
        default_value = "8080",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(super) port: u16,
}

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The region's configuration, a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say whether a configuration is in order, and if not, which line is wrong.
    #[command(after_help = CONFIG_EXAMPLES)]
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// Ask the clusters as well: can they be reached, and are the region's topics as they must be?
    #[arg(long)]
    pub(super) connect: bool,
}

/// A row.
#[derive(Debug, Args)]
pub(super) struct RowArgs {
    /// The table.
    #[arg(value_name = "TABLE", value_parser = table)]
    pub(super) table: String,
    /// The row's key.
    #[arg(value_name = "PK", value_parser = row_pk)]
    pub(super) row_pk: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum RowsCommand {
    /// Read a row.
    #[command(after_help = GET_EXAMPLES)]
    Get(RowArgs),
    /// Write a row.
    #[command(after_help = PUT_EXAMPLES)]
    Put(PutArgs),
    /// Delete a row.
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
    /// List a table's rows in the order of their keys.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct PutArgs {
    #[command(flatten)]
    pub(super) row: RowArgs,
    /// The row: a JSON object, @FILE to read it from a file, or - to read it from stdin.
    #[arg(value_name = "JSON|-|@FILE", default_value = "-")]
    pub(super) image: String,
    /// Write only if the row still has this ETag.
    #[arg(long, value_name = "ETAG", conflicts_with = "if_none_match")]
    pub(super) if_match: Option<String>,
    /// Write only if there is no such row.
    #[arg(long)]
    pub(super) if_none_match: bool,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    pub(super) row: RowArgs,
    /// Delete only if the row still has this ETag.
    #[arg(long, value_name = "ETAG")]
    pub(super) if_match: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The table.
    #[arg(value_name = "TABLE", value_parser = table)]
    pub(super) table: String,
    /// Only rows whose key starts with this.
    #[arg(long, value_name = "TEXT")]
    pub(super) prefix: Option<String>,
    #[command(flatten)]
    pub(super) page: PageArgs,
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(super) struct PageArgs {
    /// How many at most, up to 1000: what a region gives at once.
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub(super) limit: u32,
    /// Go on where an earlier list ended.
    #[arg(long, value_name = "CURSOR")]
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    #[command(flatten)]
    pub(super) source: Source,
    /// Further cases that the region verifies it with: a folder, or one file. Those that the component
    /// brings with it are taken in any case.
    #[arg(long, value_name = "FOLDER|FILE")]
    pub(super) cases: Option<PathBuf>,
    /// The table whose conflicts it resolves.
    #[arg(long, value_name = "TABLE", value_parser = table)]
    pub(super) table: String,
    #[command(flatten)]
    pub(super) plan: PlanArgs,
    /// Come back as soon as it is uploaded.
    #[arg(long, conflicts_with = "watch")]
    pub(super) no_wait: bool,
    /// Show how the rollout goes on, until it ends, however long that takes.
    #[arg(long)]
    pub(super) watch: bool,
    /// How long to wait until all regions use it.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(super) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// List what is kept, by region, partition and position.
    #[command(after_help = QUARANTINE_LIST_EXAMPLES)]
    List(QuarantineListArgs),
    /// Show one record: what is wrong with it, and its bytes.
    #[command(after_help = QUARANTINE_SHOW_EXAMPLES)]
    Show(QuarantinedArgs),
    /// Read a record once more.
    #[command(after_help = QUARANTINE_REPLAY_EXAMPLES)]
    Replay(QuarantinedArgs),
    /// Drop what is kept of a record.
    #[command(after_help = QUARANTINE_DROP_EXAMPLES)]
    Drop(QuarantinedArgs),
}

#[derive(Debug, Args)]
pub(super) struct QuarantineListArgs {
    /// Only of this region's log.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub(super) source: Option<String>,
    /// Only of this partition: a number, or control.
    #[arg(long, value_name = "PARTITION", value_parser = partition)]
    pub(super) partition: Option<String>,
    #[command(flatten)]
    pub(super) page: PageArgs,
}

/// A record in quarantine.
#[derive(Debug, Args)]
pub(super) struct QuarantinedArgs {
    /// The record's id, as the list shows it.
    #[arg(value_name = "ID", value_parser = quarantined)]
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct DigestsArgs {
    /// Other regions to compare with the one of --url.
    #[arg(long, value_name = "URL", num_args = 1.., value_parser = base_url)]
    pub(super) compare: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum LinkCommand {
    /// Let nothing through between two regions.
    #[command(after_help = LINK_EXAMPLES)]
    Cut(LinkArgs),
    /// Let everything through again.
    #[command(after_help = LINK_EXAMPLES)]
    Heal(LinkArgs),
}

#[derive(Debug, Args)]
pub(super) struct LinkArgs {
    /// One region.
    #[arg(value_name = "A", value_parser = region)]
    pub(super) a: String,
    /// The other.
    #[arg(value_name = "B", value_parser = region)]
    pub(super) b: String,
}

/// The address of a region, without a slash at its end.
fn base_url(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    match trimmed.split_once("://") {
        Some(("http", host)) if !host.is_empty() => Ok(trimmed.to_owned()),
        Some(("https", _)) => Err("this command speaks http only".to_owned()),
        _ => Err("an address is written as http://HOST:PORT".to_owned()),
    }
}

pub(super) fn region(text: &str) -> Result<String, String> {
    let region: RegionId = text.parse().map_err(|error| format!("{error}"))?;
    Ok(region.as_str().to_owned())
}

fn partition(text: &str) -> Result<String, String> {
    if text != "control" && text.parse::<u32>().is_err() {
        return Err("a partition is a number, or control".to_owned());
    }
    Ok(text.to_owned())
}

fn quarantined(text: &str) -> Result<String, String> {
    let id: QuarantineId = text.parse().map_err(|error| format!("{error}"))?;
    Ok(id.to_string())
}

pub(super) fn table(text: &str) -> Result<String, String> {
    let table: TableName = text.parse().map_err(|error| format!("{error}"))?;
    Ok(table.as_str().to_owned())
}

pub(super) fn row_pk(text: &str) -> Result<String, String> {
    let row_pk: RowPk = text.parse().map_err(|error| format!("{error}"))?;
    Ok(row_pk.as_str().to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    HumanDuration::try_from(text.to_owned()).map(|HumanDuration(duration)| duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    fn append_help(command: &mut clap::Command, path: &str, all: &mut String) {
        let path = format!("{path} {}", command.get_name()).trim().to_owned();
        *command = command.clone().bin_name(&path).term_width(100);
        all.push_str(&format!("===== {path} =====\n{}\n", command.render_long_help()));
        for sub in command.get_subcommands_mut() {
            if sub.get_name() != "help" && !sub.is_hide_set() {
                append_help(sub, &path, all);
            }
        }
    }

    #[test]
    fn the_help_of_every_command_is_as_reviewed() {
        let mut command = Cli::command();
        // Hands the shared options down to every command, as parsing does.
        command.build();
        let mut all = String::new();
        append_help(&mut command, "", &mut all);
        // The version changes with each release and is no part of the review.
        insta::assert_snapshot!("help", all);
    }

    #[test]
    fn every_command_has_examples_and_the_definition_holds_together() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{} has no examples", command.get_name());
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).for_each(check);
        }
        Cli::command().debug_assert();
        check(&Cli::command());
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let cli = parse("syncline dev").unwrap();
        assert_eq!(cli.shared.output, Format::Table);
        let Command::Dev(dev) = cli.command else { panic!("not dev") };
        assert_eq!(dev.regions, ["us-east-1", "eu-west-1", "ap-south-1"]);
        assert_eq!((dev.port, dev.data), (8080, PathBuf::from("syncline-data")));
    }

    #[test]
    fn shared_options_stand_before_and_after_the_command() {
        for line in [
            "syncline --url http://h:1/ --output json rows get t k",
            "syncline rows get t k --url http://h:1 --output json",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!((cli.shared.url.as_str(), cli.shared.output), ("http://h:1", Format::Json));
        }
    }

    #[test]
    fn wrong_usage_is_refused_before_anything_is_sent() {
        for line in [
            "syncline",
            "syncline dev --port 0",
            "syncline dev --port 70000",
            "syncline dev --regions a,,b",
            "syncline rows get 9table k",
            "syncline rows put t k {} --if-match x --if-none-match",
            "syncline rows list t --limit 0",
            "syncline deploy",
            "syncline deploy f.wasm",
            "syncline function",
            "syncline function new",
            "syncline function new x --lang cobol",
            "syncline function run f.wasm",
            "syncline function bench --seconds 0",
            "syncline deploy f.wasm --table t --timeout soon",
            "syncline conflicts list --row-pk k",
            "syncline conflicts list --outcome lost",
            "syncline quarantine",
            "syncline quarantine show 7",
            "syncline quarantine list --partition x",
            "syncline digests --url https://h",
            "syncline digests --url h:80",
            "syncline link cut a",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_address_loses_the_slash_at_its_end() {
        assert_eq!(base_url("http://127.0.0.1:8080///"), Ok("http://127.0.0.1:8080".into()));
        for bad in ["", "http://", "https://h", "h:8080", "ftp://h"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }
}
