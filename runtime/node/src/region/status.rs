//! How a region stands, for those who ask.

use std::collections::{BTreeMap, BTreeSet};

use syncline_bus::Lane;
use syncline_core::{
    Behind, ControlPartition, Divergence, Hlc, LinkCounters, OwnCounters, Partition, RegionId,
    TableDigest, TableName, VersionVector,
};

/// How one partition stands.
#[derive(Clone, Debug)]
pub struct PartitionView {
    /// Which.
    pub partition: u32,
    /// For each region the last change taken of it.
    pub taken: VersionVector,
    /// For each region up to where all its changes are applied.
    pub watermarks: VersionVector,
    /// For each region up to where all its changes are applied everywhere.
    pub stable: VersionVector,
    /// Changes that wait, by the region that made them.
    pub waiting: BTreeMap<RegionId, usize>,
    /// What became of each region's records.
    pub counters: BTreeMap<RegionId, LinkCounters>,
    /// This region's changes that some region has not confirmed.
    pub outstanding: usize,
    /// How many changes of this region there were.
    pub own: OwnCounters,
    /// The regions that nothing more is confirmed without.
    pub behind: Vec<Behind>,
    /// Every region has taken this region's changes up to here.
    pub confirmed: Hlc,
    /// Rows that keep history.
    pub rows_with_history: usize,
    /// The partition's part of each table.
    pub digests: BTreeMap<TableName, TableDigest>,
    /// What was found to differ elsewhere.
    pub divergences: Vec<Divergence>,
    /// Outcomes of conflicts that were not told to the others since the start.
    pub outcomes_left_out: u64,
}

impl PartitionView {
    pub(super) fn of(partition: &Partition) -> Self {
        let links = || partition.links();
        Self {
            partition: partition.number(),
            taken: partition.taken(),
            watermarks: partition.watermarks().clone(),
            stable: partition.stable().clone(),
            waiting: links().map(|(region, _, waiting)| (region.clone(), waiting)).collect(),
            counters: links().map(|(region, link, _)| (region.clone(), link.counters)).collect(),
            outstanding: partition.outstanding(),
            own: partition.own_counters(),
            behind: partition.behind(),
            confirmed: partition.confirmed(),
            rows_with_history: partition.rows_with_history(),
            digests: partition.digests().clone(),
            divergences: partition.divergences().cloned().collect(),
            outcomes_left_out: partition.outcomes_left_out(),
        }
    }
}

/// How the control partition stands; nothing where another node has it.
#[derive(Clone, Debug, Default)]
pub struct ControlView {
    /// What became of each region's records.
    pub counters: BTreeMap<RegionId, LinkCounters>,
    /// This region's records that some region has not confirmed.
    pub outstanding: usize,
    /// How many records of this region there were.
    pub own: OwnCounters,
}

impl ControlView {
    pub(super) fn of(control: &ControlPartition) -> Self {
        let counters = control.links().map(|(region, link)| (region.clone(), link.counters));
        Self {
            counters: counters.collect(),
            outstanding: control.outstanding(),
            own: control.own_counters(),
        }
    }
}

/// How one link stands.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// The region at its other end; or this one.
    pub region: RegionId,
    /// It is this region.
    pub own: bool,
    /// The region in whose log it is heard, where that is not its own.
    pub via: Option<String>,
    /// What its records are tagged with, its name first; none before it was heard.
    pub tags: Vec<RegionId>,
    /// up, cut, silent, unreadable or stopped; of the own one up or unwritable.
    pub state: &'static str,
    /// How old the newest that was heard of the region is.
    pub lag_ms: Option<u64>,
    /// Why it stopped, or cannot be read or written.
    pub reason: Option<String>,
    /// Since when it is silent, unreadable, unwritable or stopped: milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Since when some of its partitions are not read, as too much of it waits there.
    pub full_since_ms: Option<u64>,
    /// Partitions in which it is not heard, though it is in others.
    pub silent_in: BTreeSet<u32>,
    /// Lanes in which one of its records is missing that did not come for long, though it is heard.
    pub lacks_in: BTreeSet<Lane>,
    /// Since when in the first of them: milliseconds since 1970.
    pub lacks_since_ms: Option<u64>,
    /// Where its log did last not hold what was to be read next, since the start of this region.
    pub moved: Option<MovedView>,
}

/// Reading did not go on where it had ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedView {
    /// In which lane.
    pub lane: Lane,
    /// Why.
    pub reason: String,
    /// When that was seen: milliseconds since 1970.
    pub at_ms: u64,
}
