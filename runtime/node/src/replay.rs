//! Recorded conflicts through a function that may go live: how many would end otherwise, and how.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use syncline_core::{
    ConflictOutcome, ConflictRecord, FunctionVersion, GuestFault, HostFault, Image, MergeFunctions,
    MergeInput, Merged, Replayed, Stamp,
};
use syncline_host::Host;

/// So many differences are told in full: enough to see what is different, and short enough to read.
const SHOWN_MAX: usize = 10;

/// What a function makes of recorded conflicts.
#[derive(Debug, Serialize)]
pub struct ReplayReport {
    version: String,
    /// Conflicts that were replayed to an outcome.
    replayed: u64,
    /// Of these, those that leave the row as it was recorded.
    same: u64,
    /// Of these, those that leave another row.
    different: u64,
    /// Of these, those in which the function did not answer, by the fault's word.
    faults: BTreeMap<String, u64>,
    skipped: Skipped,
    /// None: no call ended with an answer.
    fuel: Option<Fuel>,
    /// The first that leave another row.
    differences: Vec<Difference>,
}

/// Conflicts that nothing can be said about.
#[derive(Debug, Default, Serialize)]
struct Skipped {
    /// They wait, so there is nothing to compare with.
    waiting: u64,
    /// The function needs an ancestor that was not recorded.
    ancestor_unknown: u64,
    /// The function could not be called.
    not_called: u64,
}

/// What single calls used.
#[derive(Debug, Serialize)]
struct Fuel {
    p50: u64,
    p99: u64,
    max: u64,
    limit: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    pub(crate) conflict_id: String,
    pub(crate) table_name: String,
    pub(crate) row_pk: String,
    pub(crate) recorded: Ending,
    pub(crate) replayed: Ending,
}

/// How a conflict ended.
#[derive(Debug, Serialize)]
pub(crate) struct Ending {
    /// lww, or the function's version.
    pub(crate) by: String,
    /// merged or fallback.
    pub(crate) outcome: &'static str,
    /// The row; null where it is deleted.
    pub(crate) result: Option<Box<RawValue>>,
    /// Why the function did not answer.
    pub(crate) fault: Option<String>,
}

/// Replays conflicts by one function that the host has loaded.
pub(crate) struct Replay<'a> {
    host: &'a Host,
    version: FunctionVersion,
    needs_ancestor: bool,
    fuel_limit: u64,
    fuel: RefCell<Vec<u64>>,
    report: ReplayReport,
}

impl<'a> Replay<'a> {
    /// None: the host has not loaded the function.
    pub(crate) fn by(host: &'a Host, version: FunctionVersion) -> Option<Self> {
        let manifest = host.manifest(&version)?;
        let report = ReplayReport {
            version: version.to_string(),
            replayed: 0,
            same: 0,
            different: 0,
            faults: BTreeMap::new(),
            skipped: Skipped::default(),
            fuel: None,
            differences: Vec::new(),
        };
        let (needs_ancestor, fuel_limit) = (manifest.needs_ancestor, manifest.limits.fuel);
        Some(Self { host, version, needs_ancestor, fuel_limit, fuel: RefCell::default(), report })
    }

    /// Replays one.
    pub(crate) fn add(&mut self, record: &ConflictRecord) {
        if matches!(record.outcome, ConflictOutcome::Waiting { .. }) {
            self.report.skipped.waiting += 1;
            return;
        }
        let outcome = match record.replay(&self.version, self.needs_ancestor, &*self) {
            Ok(Replayed::Outcome(outcome)) => outcome,
            Ok(Replayed::AncestorUnknown) => {
                self.report.skipped.ancestor_unknown += 1;
                return;
            }
            Err(_) => {
                self.report.skipped.not_called += 1;
                return;
            }
        };
        let report = &mut self.report;
        report.replayed += 1;
        if let ConflictOutcome::Fallback { code, .. } = &outcome {
            *report.faults.entry(code.clone()).or_default() += 1;
        }
        if record.leaves_the_same(&outcome) {
            report.same += 1;
            return;
        }
        report.different += 1;
        if report.differences.len() < SHOWN_MAX {
            let by = Stamp::Function(self.version);
            report.differences.push(Difference {
                conflict_id: record.id.to_string(),
                table_name: record.row.table.to_string(),
                row_pk: record.row.pk.to_string(),
                recorded: Ending::of(record, record.stamp, &record.outcome),
                replayed: Ending::of(record, by, &outcome),
            });
        }
    }

    pub(crate) fn finish(self) -> ReplayReport {
        let Self { mut report, fuel_limit, fuel, .. } = self;
        let mut fuel = fuel.into_inner();
        fuel.sort_unstable();
        let at = |percent: usize| fuel[(fuel.len() - 1) * percent / 100];
        if let Some(max) = fuel.last() {
            report.fuel = Some(Fuel { p50: at(50), p99: at(99), max: *max, limit: fuel_limit });
        }
        report
    }
}

impl MergeFunctions for Replay<'_> {
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        let run = self.host.run(version, input)?;
        self.fuel.borrow_mut().extend(run.usage.map(|usage| usage.fuel));
        Ok(run.outcome)
    }
}

impl Ending {
    fn of(record: &ConflictRecord, by: Stamp, outcome: &ConflictOutcome) -> Self {
        let raw = |image: &Image| {
            let text = String::from_utf8(image.as_bytes().to_vec()).ok()?;
            RawValue::from_string(text).ok()
        };
        let (word, fault) = match outcome {
            ConflictOutcome::Merged(_) => ("merged", None),
            ConflictOutcome::Fallback { code, text } => {
                ("fallback", Some(format!("{code}: {text}")))
            }
            ConflictOutcome::Waiting { reason } => ("waiting", Some(reason.clone())),
        };
        Self {
            by: match by {
                Stamp::Lww => "lww".to_owned(),
                Stamp::Function(version) => version.to_string(),
            },
            outcome: word,
            result: record.result_of(outcome).and_then(raw),
            fault,
        }
    }
}

impl ReplayReport {
    /// Conflicts that would have left another row.
    pub(crate) fn different(&self) -> u64 {
        self.different
    }

    /// Those of them that are told in full.
    pub(crate) fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// What people read first: name and value.
    pub(crate) fn summary(&self) -> Vec<(&'static str, String)> {
        let Skipped { waiting, ancestor_unknown, not_called } = &self.skipped;
        let faults = self.faults.iter().map(|(code, count)| format!("{count} {code}"));
        let skipped = [
            (waiting, "still wait"),
            (ancestor_unknown, "lack a recorded ancestor"),
            (not_called, "could not be called"),
        ];
        let skipped = skipped.iter().filter(|(count, _)| **count > 0);
        let skipped = skipped.map(|(count, why)| format!("{count} {why}"));
        let fuel = self.fuel.as_ref().map(|Fuel { p50, p99, max, limit }| {
            format!("p50 {p50}, p99 {p99}, most {max} of {limit}")
        });
        vec![
            ("version", self.version.clone()),
            ("replayed", self.replayed.to_string()),
            ("same", self.same.to_string()),
            ("different", self.different.to_string()),
            ("faults", faults.collect::<Vec<_>>().join(", ")),
            ("skipped", skipped.collect::<Vec<_>>().join(", ")),
            ("fuel", fuel.unwrap_or_default()),
        ]
    }
}
