//! Figures of merges, by table and version.

use syncline_core::{CallCounters, FAULT_KINDS, Stamp};

use super::{Figures, Metric, Sample, counter, gauge};
use crate::region::{Counted, VersionCounts};

const LABELS: &[&str] = &["region", "table", "version"];
const LABELS_OF_FAULTS: &[&str] = &["region", "table", "version", "kind"];
/// So many digits of a version tell it from the others.
const DIGITS: usize = 12;

pub(super) const RESOLVED: Metric = counter(
    "syncline_conflicts_resolved_total",
    LABELS,
    "Conflicts that were resolved since the start; version lww: the newest head won.",
    |figures| figures.of_versions(|counts| Some(counts.live.calls.conflicts)),
);

pub(super) const FAULTS: Metric = counter(
    "syncline_merge_faults_total",
    LABELS_OF_FAULTS,
    "Of the resolved, those in which the function did not answer, by kind.",
    |figures| figures.faults(|counts| &counts.live.calls),
);

pub(super) const FUEL: Metric = counter(
    "syncline_merge_fuel_total",
    LABELS,
    "Fuel that the resolved conflicts took; calls that trapped are not in it.",
    |figures| figures.of_functions(|counts| Some(counts.live.fuel)),
);

pub(super) const SECONDS: Metric = counter(
    "syncline_merge_seconds_total",
    LABELS,
    "How long the merges of the resolved conflicts took.",
    |figures| figures.of_functions(|counts| Some(counts.live.micros)),
)
.per(1_000_000);

pub(super) const FUEL_P99: Metric = gauge(
    "syncline_merge_fuel_p99_ratio",
    LABELS,
    "The share of its limit on fuel that 99 % of the resolved conflicts kept to.",
    |figures| {
        figures.of_functions(|counts| live(&counts.live).map(|calls| calls.fuel_p99_ppm().into()))
    },
)
.per(1_000_000);

pub(super) const SECONDS_P99: Metric = gauge(
    "syncline_merge_p99_seconds",
    LABELS,
    "What 99 % of the resolved conflicts kept to.",
    |figures| figures.of_functions(|counts| live(&counts.live).map(CallCounters::latency_p99_us)),
)
.per(1_000_000);

pub(super) const SHADOWED: Metric = counter(
    "syncline_shadow_conflicts_total",
    LABELS,
    "Conflicts that a version ran for in the shadow.",
    |figures| figures.of_functions(|counts| Some(counts.shadow.calls.conflicts)),
);

pub(super) const SHADOW_DIFFERENT: Metric = counter(
    "syncline_shadow_differences_total",
    LABELS,
    "Of those in the shadow, those that would have left another row.",
    |figures| figures.of_functions(|counts| Some(counts.different)),
);

pub(super) const SHADOW_FAULTS: Metric = counter(
    "syncline_shadow_faults_total",
    LABELS_OF_FAULTS,
    "Of those in the shadow, those in which the function did not answer, by kind.",
    |figures| figures.faults(|counts| &counts.shadow.calls),
);

pub(super) const SHADOW_DROPPED: Metric = counter(
    "syncline_shadow_dropped_total",
    LABELS,
    "Conflicts for which the shadow had no room.",
    |figures| figures.of_functions(|counts| Some(counts.dropped)),
);

fn live(counted: &Counted) -> Option<&CallCounters> {
    Some(&counted.calls).filter(|calls| calls.conflicts > 0)
}

fn version(stamp: Stamp) -> String {
    match stamp {
        Stamp::Lww => "lww".to_owned(),
        Stamp::Function(version) => hex::encode(version.0).chars().take(DIGITS).collect(),
    }
}

impl Figures<'_> {
    fn of_versions(&self, figure: impl Fn(&VersionCounts) -> Option<u64>) -> Vec<Sample> {
        let sample = |(table, stamp, counts): &(_, Stamp, VersionCounts)| {
            let table: &syncline_core::TableName = table;
            let labels = vec![self.region.to_string(), table.to_string(), version(*stamp)];
            Some((labels, figure(counts)?))
        };
        self.merges.iter().filter_map(sample).collect()
    }

    /// As above, without the conflicts that no function was asked about.
    fn of_functions(&self, figure: impl Fn(&VersionCounts) -> Option<u64>) -> Vec<Sample> {
        let lww = version(Stamp::Lww);
        let mut samples = self.of_versions(figure);
        samples.retain(|(labels, _)| labels[2] != lww);
        samples
    }

    /// Only the kinds that there were.
    fn faults(&self, of: fn(&VersionCounts) -> &CallCounters) -> Vec<Sample> {
        let kinds = FAULT_KINDS.iter().enumerate().flat_map(|(n, kind)| {
            let samples = self.of_functions(|counts| Some(of(counts).faults[n]).filter(|n| *n > 0));
            samples.into_iter().map(|(mut labels, count)| {
                labels.push((*kind).to_owned());
                (labels, count)
            })
        });
        kinds.collect()
    }
}
