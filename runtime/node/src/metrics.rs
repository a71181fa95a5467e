//! Figures for monitoring, in the text format of Prometheus.
//!
//! They are made when they are asked for, from what stands in the commits: nothing is counted on the
//! side that could drift from it. So a power cut takes counters back to the last sync, together with
//! what they count. What merges cost is in no commit, and is counted since the start.

mod merges;

use std::collections::BTreeSet;

use prometheus::{CounterVec, Encoder as _, GaugeVec, Opts, Registry, TextEncoder};
use syncline_core::{CONTROL_PARTITION, LinkCounters, OwnCounters, RegionId, Stamp, TableName};
use syncline_store::kv::conflict::ConflictImages;
use syncline_store::kv::quarantine::QuarantineCount;

use crate::alerts::{Alert, AlertCode};
use crate::config::LimitsConfig;
use crate::region::{ClockView, ControlView, LinkView, PartitionView, VersionCounts};

/// The type of what [`text`] makes.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Whether a figure only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does, except over a power cut and a new disk.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One series: its labels' values, and its figure.
type Sample = (Vec<String>, u64);

/// A figure.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
    /// So many of what is sampled make one of what is shown.
    per: u32,
    samples: fn(&Figures<'_>) -> Vec<Sample>,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(&Figures<'_>) -> Vec<Sample>,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help, per: 1, samples }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(&Figures<'_>) -> Vec<Sample>,
) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help, per: 1, samples }
}

impl Metric {
    const fn per(self, per: u32) -> Self {
        Self { per, ..self }
    }
}

const OF_SOURCE: &[&str] = &["source", "lane"];
const LANES: [&str; 2] = ["changes", "control"];
/// The states that a link can have.
const LINK_STATES: [&str; 5] = ["up", "cut", "silent", "unreadable", "stopped"];

/// Every figure, in the order of the reference.
pub const METRICS: [Metric; 34] = [
    gauge(
        "syncline_region_info",
        &["region", "version"],
        "This region, and its software: always 1.",
        |figures| vec![(vec![figures.region.to_string(), env!("CARGO_PKG_VERSION").to_owned()], 1)],
    ),
    counter(
        "syncline_records_consumed_total",
        OF_SOURCE,
        "Changes of another region that were read, and records of its log that could not be.",
        |figures| figures.counted(|counters| counters.consumed),
    ),
    counter(
        "syncline_records_applied_total",
        OF_SOURCE,
        "Of the consumed, those that are applied.",
        |figures| figures.counted(|counters| counters.applied),
    ),
    counter(
        "syncline_records_duplicate_total",
        OF_SOURCE,
        "Of the consumed, those that were known already.",
        |figures| figures.counted(|counters| counters.duplicate),
    ),
    counter(
        "syncline_records_gap_total",
        OF_SOURCE,
        "Of the consumed, those that were not taken as one before them is missing; they come again.",
        |figures| figures.counted(|counters| counters.gap),
    ),
    gauge(
        "syncline_records_waiting",
        OF_SOURCE,
        "Of the consumed, those that wait for what they build on, or for a merge function.",
        |figures| figures.waiting(),
    ),
    counter(
        "syncline_records_quarantined_total",
        OF_SOURCE,
        "Of the consumed, those that could not be read, each time that it was tried.",
        |figures| figures.counted(|counters| counters.quarantined),
    ),
    counter(
        "syncline_records_dropped_total",
        OF_SOURCE,
        "Of the consumed, those that are applied nowhere, as they went with a region that is gone.",
        |figures| figures.counted(|counters| counters.dropped),
    ),
    counter(
        "syncline_heartbeats_total",
        OF_SOURCE,
        "Heartbeats of another region that were read.",
        |figures| figures.counted(|counters| counters.heartbeats),
    ),
    counter(
        "syncline_changes_produced_total",
        &["lane"],
        "Changes of this region that were put into its outbox.",
        |figures| figures.own(|own, _| own.produced),
    ),
    counter(
        "syncline_changes_confirmed_total",
        &["lane"],
        "Of the produced, those that every region has taken.",
        |figures| figures.own(|own, _| own.confirmed),
    ),
    gauge(
        "syncline_changes_outstanding",
        &["lane"],
        "Of the produced, those that some region has not confirmed.",
        |figures| figures.own(|_, outstanding| outstanding as u64),
    ),
    gauge(
        "syncline_partition_outstanding_max",
        &[],
        "Unconfirmed changes of the partition that has the most of them.",
        |figures| one(figures.views.iter().map(|view| view.outstanding).max().unwrap_or_default()),
    ),
    gauge(
        "syncline_partition_outstanding_limit",
        &[],
        "With so many of them a partition takes no local writes: unconfirmed_changes.",
        |figures| one(figures.limits.unconfirmed_changes),
    ),
    gauge(
        "syncline_partition_waiting_limit",
        &[],
        "With so many waiting changes of a region its partition is not read: waiting_changes.",
        |figures| one(figures.limits.waiting_changes),
    ),
    gauge(
        "syncline_link_state",
        &["source", "state"],
        "1 for the state that a link has, else 0.",
        |figures| figures.link_states(),
    ),
    gauge(
        "syncline_link_lag_seconds",
        &["source"],
        "How old the newest is that was heard of a region; absent where nothing was.",
        |figures| {
            let lag = |link: &LinkView| Some((vec![link.region.to_string()], link.lag_ms?));
            figures.peers().filter_map(lag).collect()
        },
    )
    .per(1_000),
    gauge(
        "syncline_clock_ahead_seconds",
        &[],
        "How far the wall clock is ahead of the other regions'; absent where theirs is not known.",
        |figures| {
            figures.clock.ahead_ms.map(|ahead_ms| (Vec::new(), ahead_ms)).into_iter().collect()
        },
    )
    .per(1_000),
    gauge("syncline_quarantined", OF_SOURCE, "Records that are kept in quarantine.", |figures| {
        figures.quarantined()
    }),
    gauge(
        "syncline_rows_with_history",
        &[],
        "Rows of which more than the newest state is kept.",
        |figures| one(figures.views.iter().map(|view| view.rows_with_history).sum()),
    ),
    counter(
        "syncline_outcomes_left_out_total",
        &[],
        "Outcomes of conflicts that were too many to be told to the other regions, since the start.",
        |figures| one(figures.views.iter().map(|view| view.outcomes_left_out as usize).sum()),
    ),
    gauge(
        "syncline_alerts",
        &["code"],
        "Alerts of this kind: what people should look after.",
        |figures| figures.alerts(),
    ),
    gauge(
        "syncline_conflict_images_bytes",
        &[],
        "Bytes of the conflicts in the log whose images are kept.",
        |figures| vec![(Vec::new(), figures.images.bytes)],
    ),
    counter(
        "syncline_conflict_images_dropped_total",
        &[],
        "Conflicts in the log that lost their images to their table's budget, conflict_bytes.",
        |figures| vec![(Vec::new(), figures.images.dropped)],
    ),
    merges::RESOLVED,
    merges::FAULTS,
    merges::FUEL,
    merges::SECONDS,
    merges::FUEL_P99,
    merges::SECONDS_P99,
    merges::SHADOWED,
    merges::SHADOW_DIFFERENT,
    merges::SHADOW_FAULTS,
    merges::SHADOW_DROPPED,
];

fn one(value: usize) -> Vec<Sample> {
    vec![(Vec::new(), value as u64)]
}

/// How a region stands.
#[derive(Clone, Debug)]
pub struct Figures<'a> {
    /// Which region.
    pub region: &'a RegionId,
    /// Its row partitions.
    pub views: &'a [PartitionView],
    /// Its control partition.
    pub control: &'a ControlView,
    /// Its links.
    pub links: &'a [LinkView],
    /// What it keeps in quarantine.
    pub quarantine: &'a [QuarantineCount],
    /// What people should look after.
    pub alerts: &'a [Alert],
    /// Its limits.
    pub limits: &'a LimitsConfig,
    /// Its wall clock.
    pub clock: ClockView,
    /// What is kept of images in the conflict log.
    pub images: ConflictImages,
    /// What conflicts came to, by table and by what resolved them.
    pub merges: &'a [(TableName, Stamp, VersionCounts)],
}

/// All figures as text.
pub fn text(figures: &Figures<'_>) -> Result<String, prometheus::Error> {
    let registry = Registry::new();
    for metric in &METRICS {
        let samples = (metric.samples)(figures);
        let scale = f64::from(metric.per);
        let samples = samples.iter().map(|(labels, value)| (labels, *value as f64 / scale));
        let options = Opts::new(metric.name, metric.help);
        match metric.kind {
            Kind::Counter => {
                let family = CounterVec::new(options, metric.labels)?;
                for (labels, value) in samples {
                    family.get_metric_with_label_values(labels)?.inc_by(value);
                }
                registry.register(Box::new(family))?;
            }
            Kind::Gauge => {
                let family = GaugeVec::new(options, metric.labels)?;
                for (labels, value) in samples {
                    family.get_metric_with_label_values(labels)?.set(value);
                }
                registry.register(Box::new(family))?;
            }
        }
    }
    let mut page = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut page)?;
    String::from_utf8(page).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

impl Figures<'_> {
    fn peers(&self) -> impl Iterator<Item = &LinkView> {
        self.links.iter().filter(|link| !link.own)
    }

    /// Regions whose records are counted, in any partition.
    fn sources(&self) -> BTreeSet<&RegionId> {
        let rows = self.views.iter().flat_map(|view| view.counters.keys());
        rows.chain(self.control.counters.keys()).collect()
    }

    /// A sum over the partitions of a lane, by source.
    fn by_source(
        &self,
        changes: impl Fn(&RegionId) -> u64,
        control: impl Fn(&RegionId) -> u64,
    ) -> Vec<Sample> {
        let samples = self.sources().into_iter().flat_map(|source| {
            let labels = |lane: &str| vec![source.to_string(), lane.to_owned()];
            [(labels(LANES[0]), changes(source)), (labels(LANES[1]), control(source))]
        });
        samples.collect()
    }

    fn counted(&self, field: fn(&LinkCounters) -> u64) -> Vec<Sample> {
        let changes = |source: &RegionId| {
            self.views.iter().filter_map(|view| view.counters.get(source)).map(field).sum()
        };
        self.by_source(changes, |source| self.control.counters.get(source).map_or(0, field))
    }

    fn waiting(&self) -> Vec<Sample> {
        let waiting = |source: &RegionId| {
            self.views.iter().filter_map(|view| view.waiting.get(source)).sum::<usize>() as u64
        };
        // What is taken of a control log is applied at once.
        self.by_source(waiting, |_| 0)
    }

    fn quarantined(&self) -> Vec<Sample> {
        let kept = |source: &RegionId, control: bool| {
            let of = self.quarantine.iter().filter(|count| {
                count.source == *source && (count.partition == CONTROL_PARTITION) == control
            });
            of.map(|count| count.kept as u64).sum()
        };
        self.by_source(|source| kept(source, false), |source| kept(source, true))
    }

    fn own(&self, field: fn(&OwnCounters, usize) -> u64) -> Vec<Sample> {
        let changes = self.views.iter().map(|view| field(&view.own, view.outstanding)).sum();
        let control = field(&self.control.own, self.control.outstanding);
        LANES.into_iter().zip([changes, control]).map(|(l, n)| (vec![l.to_owned()], n)).collect()
    }

    fn link_states(&self) -> Vec<Sample> {
        let states = self.peers().flat_map(|link| {
            LINK_STATES.into_iter().map(|state| {
                let labels = vec![link.region.to_string(), state.to_owned()];
                (labels, u64::from(link.state == state))
            })
        });
        states.collect()
    }

    fn alerts(&self) -> Vec<Sample> {
        let count = |code: AlertCode| {
            let count = self.alerts.iter().filter(|alert| alert.code == code).count();
            (vec![code.parts().0.to_owned()], count as u64)
        };
        AlertCode::ALL.into_iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests;
