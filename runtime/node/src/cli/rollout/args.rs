//! What can be typed behind `syncline rollout`, and the help for it.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::args::{duration, table};

pub(in crate::cli) const ROLLOUT_EXAMPLES: &str = "\
Examples:
  syncline rollout list --table carts
  syncline rollout watch --table carts
  syncline rollout promote --table carts
  syncline rollout abort --table carts --why 'prices are lost'

A rollout is steered from any region. Instead of its id its table can be named.";

const CREATE_EXAMPLES: &str = "\
Examples:
  syncline rollout create sha256:0123… --table carts --stages 'us-east-1;*' --bake 10m
  syncline rollout create sha256:0123… --table carts --plan
  syncline rollout create lww --table carts --why 'quantities double'";

const LOOK_EXAMPLES: &str = "\
Examples:
  syncline rollout list
  syncline rollout list --table carts
  syncline rollout show --table carts
  syncline rollout watch --table carts";

const STEER_EXAMPLES: &str = "\
Examples:
  syncline rollout promote --table carts --to-stage 2
  syncline rollout pause --table carts --why 'Black Friday'
  syncline rollout resume --table carts
  syncline rollout abort --table carts --why 'prices are lost'
  syncline rollout claim --table carts --url http://127.0.0.1:8081";

const REMERGE_EXAMPLES: &str = "\
Examples:
  syncline rollout remerge ID --plan
  syncline rollout remerge ID

Rows whose last conflict was decided by the rollout's version, and that nobody wrote since, are decided
again by the version that the table has now, and written in the region that is asked. Look at the plan
first: it shows each row as it is, and as it would be.";

/// How a rollout is to go; also of `syncline deploy`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PlanArgs {
    /// Which regions use it first: regions with commas between them, stages with semicolons; * is
    /// all that no stage names. Without it: all regions at once.
    #[arg(long, value_name = "STAGES")]
    pub(in crate::cli) stages: Option<String>,
    /// How long all regions of a stage use it before the next stage begins.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) bake: Option<Duration>,
    /// How long it first runs beside the version in use, on real conflicts, with nothing applied.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) shadow: Option<Duration>,
    /// Begin each stage only when told so, see `syncline rollout promote`.
    #[arg(long)]
    pub(in crate::cli) manual: bool,
    /// What must hold, or the rollout is aborted: fault-rate, shadow-difference-rate or fuel-p99, each
    /// a share; from so many conflicts on, 500 if absent. May be given several times.
    #[arg(long = "gate", value_name = "NAME=SHARE[@CONFLICTS]", value_parser = gate)]
    pub(in crate::cli) gates: Vec<GateArg>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) why: Option<String>,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    pub(in crate::cli) plan: bool,
}

/// A gate as it is typed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct GateArg {
    pub(super) name: &'static str,
    pub(super) limit: f64,
    pub(super) min_conflicts: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RolloutCommand {
    /// Roll out a version that was uploaded before, also an earlier one: that is a rollback.
    /// `lww` takes the table back to the last writer wins.
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List the rollouts.
    #[command(after_help = LOOK_EXAMPLES)]
    List {
        /// Only of this table.
        #[arg(long, value_name = "TABLE", value_parser = table)]
        table: Option<String>,
    },
    /// Show a rollout: regions, gates, what was seen, history.
    #[command(after_help = LOOK_EXAMPLES)]
    Show(Which),
    /// Show how a rollout goes on, until it ends.
    #[command(after_help = LOOK_EXAMPLES)]
    Watch(Which),
    /// Go on to the next stage, whatever time is left.
    #[command(after_help = STEER_EXAMPLES)]
    Promote {
        #[command(flatten)]
        which: Which,
        /// To this stage instead of the next.
        #[arg(long, value_name = "N")]
        to_stage: Option<u8>,
        #[command(flatten)]
        why: Why,
    },
    /// Let nothing go on; who uses the version keeps to it.
    #[command(after_help = STEER_EXAMPLES)]
    Pause(SteerArgs),
    /// Go on after a pause.
    #[command(after_help = STEER_EXAMPLES)]
    Resume(SteerArgs),
    /// Have all regions go back to the version before.
    #[command(after_help = STEER_EXAMPLES)]
    Abort(SteerArgs),
    /// Decide again what the rollout's version has decided, by the version that the table has now.
    #[command(after_help = REMERGE_EXAMPLES)]
    Remerge {
        /// The rollout's id, as the list shows it.
        #[arg(value_name = "ID")]
        id: String,
        /// Show the rows as they are and as they would be, and change nothing.
        #[arg(long)]
        plan: bool,
    },
    /// Have the region that is asked decide from here on, where the one that did is silent.
    #[command(after_help = STEER_EXAMPLES)]
    Claim(SteerArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// The version: the checksum of its component; or lww.
    #[arg(value_name = "VERSION")]
    pub(super) version: String,
    /// The table.
    #[arg(long, value_name = "TABLE", value_parser = table)]
    pub(super) table: String,
    #[command(flatten)]
    pub(super) plan: PlanArgs,
    /// Show how it goes on, until it ends.
    #[arg(long)]
    pub(super) watch: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SteerArgs {
    #[command(flatten)]
    pub(super) which: Which,
    #[command(flatten)]
    pub(super) why: Why,
}

/// Which rollout.
#[derive(Debug, Args)]
pub(in crate::cli) struct Which {
    /// The rollout's id, as the list shows it.
    #[arg(value_name = "ID", required_unless_present = "table", conflicts_with = "table")]
    pub(super) id: Option<String>,
    /// The table whose last rollout it is.
    #[arg(long, value_name = "TABLE", value_parser = table)]
    pub(super) table: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Why {
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
}

fn gate(text: &str) -> Result<GateArg, String> {
    let wrong = || "a gate is written as fault-rate=0.01 or fault-rate=0.01@500".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let name = match name {
        "fault-rate" => "fault_rate",
        "shadow-difference-rate" => "shadow_difference_rate",
        "fuel-p99" => "fuel_p99",
        _ => {
            return Err(format!(
                "{name} is no gate; there are fault-rate, shadow-difference-rate and fuel-p99"
            ));
        }
    };
    let (limit, min_conflicts) = match value.split_once('@') {
        Some((limit, conflicts)) => (limit, Some(conflicts.parse().map_err(|_| wrong())?)),
        None => (value, None),
    };
    let limit: f64 = limit.parse().map_err(|_| wrong())?;
    if !(0.0..=1.0).contains(&limit) {
        return Err(format!("a gate is a share from 0 to 1, not {limit}"));
    }
    Ok(GateArg { name, limit, min_conflicts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read() {
        let read = gate("fault-rate=0.01@20").unwrap();
        assert_eq!(read, GateArg { name: "fault_rate", limit: 0.01, min_conflicts: Some(20) });
        assert_eq!(gate("fuel-p99=1").unwrap().min_conflicts, None);
        for wrong in ["fault-rate", "faults=1", "fault-rate=2", "fault-rate=x", "fault-rate=0@x"] {
            assert!(gate(wrong).is_err(), "{wrong}");
        }
    }
}
