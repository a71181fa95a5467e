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
    /// Their images are not kept any more.
    no_images: u64,
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

/// A conflict that ends otherwise.
#[derive(Debug, Serialize)]
pub struct Difference {
    pub(crate) conflict_id: String,
    pub(crate) table_name: String,
    pub(crate) row_pk: String,
    pub(crate) recorded: Ending,
    pub(crate) replayed: Ending,
}

/// How a conflict ended.
#[derive(Debug, Serialize)]
pub struct Ending {
    /// lww, or the function's version.
    pub(crate) by: String,
    /// merged or fallback.
    pub(crate) outcome: &'static str,
    /// The row; null where it is deleted.
    pub(crate) result: Option<Box<RawValue>>,
    /// Why the function did not answer.
    pub(crate) fault: Option<String>,
}

/// Replays conflicts by one function that the host has loaded, or by last-writer-wins.
pub(crate) struct Replay<'a> {
    version: Stamp,
    needs_ancestor: bool,
    fuel_limit: u64,
    metered: Metered<'a>,
    report: ReplayReport,
}

/// A host that notes the fuel of each call.
pub(crate) struct Metered<'a> {
    host: &'a Host,
    calls: RefCell<Vec<Call>>,
}

#[derive(Clone, Copy)]
struct Call {
    /// None: it ended in a trap, and can't be asked.
    fuel: Option<u64>,
    ppm: u32,
}

/// Whether it is to be given ancestors. None: the host has not loaded the function.
pub(crate) fn needs_ancestor(host: &Host, version: Stamp) -> Option<bool> {
    match version {
        Stamp::Lww => Some(false),
        Stamp::Function(version) => Some(host.manifest(&version)?.needs_ancestor),
    }
}

impl<'a> Replay<'a> {
    /// None: the host has not loaded the function.
    pub(crate) fn by(host: &'a Host, version: Stamp) -> Option<Self> {
        let fuel_limit = match version {
            Stamp::Lww => 0,
            Stamp::Function(version) => host.manifest(&version)?.limits.fuel,
        };
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
        let needs_ancestor = needs_ancestor(host, version)?;
        Some(Self { version, needs_ancestor, fuel_limit, metered: Metered::new(host), report })
    }

    /// Replays one.
    pub(crate) fn add(&mut self, record: &ConflictRecord) {
        if matches!(record.outcome, ConflictOutcome::Waiting { .. }) {
            self.report.skipped.waiting += 1;
            return;
        }
        let outcome = match record.replay(self.version, self.needs_ancestor, &self.metered) {
            Ok(Replayed::Outcome(outcome)) => outcome,
            Ok(Replayed::NoImages) => {
                self.report.skipped.no_images += 1;
                return;
            }
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
            report.differences.push(Difference::of(record, self.version, &outcome));
        }
    }

    pub(crate) fn finish(self) -> ReplayReport {
        let Self { mut report, fuel_limit, metered, .. } = self;
        let calls = metered.calls.into_inner();
        let mut fuel: Vec<u64> = calls.iter().filter_map(|call| call.fuel).collect();
        fuel.sort_unstable();
        let at = |percent: usize| fuel[(fuel.len() - 1) * percent / 100];
        if let Some(max) = fuel.last() {
            report.fuel = Some(Fuel { p50: at(50), p99: at(99), max: *max, limit: fuel_limit });
        }
        report
    }
}

impl<'a> Metered<'a> {
    pub(crate) fn new(host: &'a Host) -> Self {
        Self { host, calls: RefCell::default() }
    }

    /// The largest share of the limit that a call took, in parts per million.
    pub(crate) fn most_fuel_ppm(&self) -> u32 {
        self.calls.borrow().iter().map(|call| call.ppm).max().unwrap_or_default()
    }

    /// The fuel of all calls, as far as it is known.
    pub(crate) fn fuel(&self) -> u64 {
        self.calls.borrow().iter().filter_map(|call| call.fuel).fold(0, u64::saturating_add)
    }
}

impl MergeFunctions for Metered<'_> {
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        let run = self.host.run(version, input)?;
        let fuel = run.usage.map(|usage| usage.fuel);
        self.calls.borrow_mut().push(Call { fuel, ppm: run.fuel_ppm() });
        Ok(run.outcome)
    }
}

impl Difference {
    /// Between how a conflict was recorded and how it ended when it was replayed.
    pub(crate) fn of(record: &ConflictRecord, by: Stamp, outcome: &ConflictOutcome) -> Self {
        Self {
            conflict_id: record.id.to_string(),
            table_name: record.row.table.to_string(),
            row_pk: record.row.pk.to_string(),
            recorded: Ending::of(record, record.stamp, &record.outcome),
            replayed: Ending::of(record, by, outcome),
        }
    }

    /// How much text the two rows are.
    pub(crate) fn bytes(&self) -> usize {
        let rows = [&self.recorded.result, &self.replayed.result];
        rows.into_iter().flatten().map(|row| row.get().len()).sum()
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
            by: by.to_string(),
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
        let Skipped { waiting, ancestor_unknown, no_images, not_called } = &self.skipped;
        let faults = self.faults.iter().map(|(code, count)| format!("{count} {code}"));
        let skipped = [
            (waiting, "still wait"),
            (ancestor_unknown, "lack a recorded ancestor"),
            (no_images, "have lost their images"),
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
