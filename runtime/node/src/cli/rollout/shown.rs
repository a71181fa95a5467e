//! A rollout, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::cli::output::{self, fields, printable, short_version};

/// A rollout as a region shows it.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Rollout {
    pub(in crate::cli) rollout_id: String,
    pub(in crate::cli) table: String,
    pub(in crate::cli) version: String,
    pub(in crate::cli) previous_version: String,
    pub(in crate::cli) state: String,
    #[serde(default)]
    pub(in crate::cli) place: String,
    #[serde(default)]
    pub(in crate::cli) stages: Vec<Vec<String>>,
    #[serde(default)]
    pub(in crate::cli) bake: String,
    #[serde(default)]
    pub(in crate::cli) shadow: String,
    #[serde(default)]
    pub(in crate::cli) promotion: String,
    #[serde(default)]
    pub(in crate::cli) owner_region: String,
    #[serde(default)]
    pub(in crate::cli) regions: BTreeMap<String, Region>,
    #[serde(default)]
    pub(in crate::cli) gates: Vec<Gate>,
    #[serde(default)]
    pub(in crate::cli) seen: Option<Seen>,
    #[serde(default)]
    pub(in crate::cli) reason: Option<String>,
    #[serde(default)]
    pub(in crate::cli) created_at: String,
    #[serde(default)]
    pub(in crate::cli) history: Vec<Line>,
    #[serde(default)]
    pub(in crate::cli) samples: Vec<Sample>,
}

/// How far one region is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::cli) struct Region {
    pub(in crate::cli) state: String,
    #[serde(default)]
    pub(in crate::cli) self_test_digest: Option<String>,
    #[serde(default)]
    pub(in crate::cli) reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(in crate::cli) struct Gate {
    gate: String,
    value: f64,
    limit: f64,
    conflicts: u64,
    min_conflicts: u64,
    verdict: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Seen {
    live: Calls,
    shadow: Calls,
}

#[derive(Clone, Debug, Deserialize)]
struct Calls {
    conflicts: u64,
    #[serde(default)]
    faults: BTreeMap<String, u64>,
    #[serde(default)]
    different: Option<u64>,
    #[serde(default)]
    dropped: Option<u64>,
    #[serde(default)]
    fuel_p99: Option<f64>,
    #[serde(default)]
    latency_p99_us: Option<u64>,
}

/// A line of the history.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Line {
    at: String,
    region: String,
    #[serde(default)]
    actor: Option<String>,
    what: String,
    #[serde(default)]
    why: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Sample {
    conflict_id: String,
    #[serde(default)]
    fault: Option<String>,
}

impl Rollout {
    /// Where it is, in a word or two.
    pub(in crate::cli) fn standing(&self) -> String {
        match self.state.as_str() {
            "stage" => format!("{} of {}", self.place, self.stages.len()),
            "paused" => format!("paused at {}", self.place),
            state => state.to_owned(),
        }
    }

    fn stages(&self) -> String {
        self.stages.iter().map(|stage| stage.join(",")).collect::<Vec<_>>().join(";")
    }

    pub(in crate::cli) fn text(&self) -> String {
        let mut text = fields(&[
            ("rollout", self.rollout_id.clone()),
            ("table", self.table.clone()),
            ("version", self.version.clone()),
            ("before it", self.previous_version.clone()),
            ("state", self.standing()),
            ("reason", self.reason.clone().unwrap_or_default()),
            ("stages", self.stages()),
            ("bake", self.bake.clone()),
            ("shadow", self.shadow.clone()),
            ("promotion", self.promotion.clone()),
            ("owner", self.owner_region.clone()),
            ("created", self.created_at.clone()),
        ]);
        let row = |(name, region): (&String, &Region)| {
            let digest = region.self_test_digest.as_deref().unwrap_or("-");
            let digest = digest.chars().take(12).collect();
            let reason = region.reason.clone().unwrap_or_default();
            [name.clone(), region.state.clone(), digest, reason]
        };
        let rows: Vec<_> = self.regions.iter().map(row).collect();
        text += "\n";
        text += &output::table(["REGION", "STATE", "SELF-TEST", ""], &rows);
        if !self.gates.is_empty() {
            let row = |gate: &Gate| [gate.gate.clone(), gate.text(), gate.verdict.clone()];
            let rows: Vec<_> = self.gates.iter().map(row).collect();
            text += "\n";
            text += &output::table(["GATE", "NOW", ""], &rows);
        }
        if let Some(Seen { live, shadow }) = &self.seen {
            for (what, calls) in [("in use", live), ("in the shadow", shadow)] {
                if calls.conflicts > 0 || calls.dropped.is_some_and(|dropped| dropped > 0) {
                    let _ = writeln!(text, "\n{what}: {}", calls.text());
                }
            }
        }
        if !self.samples.is_empty() {
            text += "\nconflicts to look at, in this region\n";
            for Sample { conflict_id, fault } in &self.samples {
                let what = fault.as_deref().unwrap_or("another row than the version in use");
                let _ = writeln!(text, "  {}  {}", printable(conflict_id), printable(what));
            }
        }
        text += "\nhistory\n";
        for line in &self.history {
            let _ = writeln!(text, "  {}", line.text());
        }
        text
    }
}

impl Gate {
    /// What it shows beside what it lets pass.
    pub(in crate::cli) fn text(&self) -> String {
        let Self { gate: _, value, limit, conflicts, min_conflicts, .. } = self;
        let of = if conflicts < min_conflicts {
            format!("{conflicts} of {min_conflicts} conflicts")
        } else {
            format!("{conflicts} conflicts")
        };
        format!("{} of at most {}, {of}", percent(*value), percent(*limit))
    }

    /// As [`Gate::text`], with its name and what it says.
    pub(in crate::cli) fn line(&self) -> String {
        format!("{} {}: {}", self.gate, self.verdict, self.text())
    }
}

impl Calls {
    fn text(&self) -> String {
        let mut text = format!("{} conflicts", self.conflicts);
        for (kind, count) in &self.faults {
            let _ = write!(text, ", {count} {}", printable(kind));
        }
        if let Some(different) = self.different {
            let _ = write!(text, ", {different} ended otherwise");
        }
        if let Some(dropped) = self.dropped.filter(|dropped| *dropped > 0) {
            let _ = write!(text, ", {dropped} dropped");
        }
        if let Some(fuel) = self.fuel_p99 {
            let _ = write!(text, ", fuel p99 {} of the limit", percent(fuel));
        }
        if let Some(latency) = self.latency_p99_us {
            let _ = write!(text, ", p99 under {latency} us");
        }
        text
    }
}

impl Line {
    pub(in crate::cli) fn text(&self) -> String {
        let Self { at, region, actor, what, why } = self;
        let actor = actor.as_ref().map(|actor| format!(" by {actor}")).unwrap_or_default();
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        printable(&format!("{at}  {region}  {what}{actor}{why}"))
    }
}

fn percent(share: f64) -> String {
    // Parts per million: no more digits are known.
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A line for each rollout.
pub(super) fn table(rollouts: &[Rollout]) -> String {
    let row = |rollout: &Rollout| {
        let active = rollout.regions.iter().filter(|(_, region)| region.state == "active");
        let active: Vec<&str> = active.map(|(name, _)| name.as_str()).collect();
        [
            rollout.rollout_id.clone(),
            rollout.table.clone(),
            short_version(&rollout.version),
            rollout.standing(),
            active.join(", "),
            rollout.created_at.clone(),
        ]
    };
    let rows: Vec<_> = rollouts.iter().map(row).collect();
    output::table(["ROLLOUT", "TABLE", "VERSION", "STATE", "ACTIVE IN", "CREATED"], &rows)
}
