//! What all partitions of a region share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use syncline_bus::Lane;
use syncline_core::{
    CONTROL_PARTITION, Clock, Counting, Divergence, EngineName, Hlc, PartitionCount,
    PartitionSetup, PartitionStanding, RegionId, Routes, Stamp, TableName,
};

use crate::Intake;

/// Limits of a region's partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Local writes are refused while a partition has so many changes that some region has not
    /// confirmed.
    pub unconfirmed_changes: usize,
    /// A link with so many waiting changes in a partition is not read.
    pub waiting_changes: usize,
    /// Notes that a partition keeps in the conflict log.
    pub conflicts: u64,
    /// Bytes of a table's notes in the conflict log, with their images, over all partitions.
    pub conflict_bytes: u64,
}

/// A region's place: its name, its store, its clock, and what its control partition says to the
/// others.
#[derive(Debug)]
pub struct Site<S> {
    /// This region.
    pub region: RegionId,
    /// All regions as configured, this one included; what the control records say comes on top.
    pub regions: Vec<RegionId>,
    /// In whose logs the others are heard, and whether this region passes on what it hears.
    pub routes: Routes,
    /// What this region's records are tagged with besides its name.
    pub tags: Vec<RegionId>,
    /// What runs the merge functions here, to be told to the others.
    pub engine: Option<EngineName>,
    /// Into how many partitions rows are spread.
    pub partitions: PartitionCount,
    /// The limits.
    pub limits: Limits,
    /// The store.
    pub store: S,
    /// The clock.
    pub clock: Clock,
    /// What this region stamps each table's changes with. Set after the commit that says so.
    stamps: RwLock<BTreeMap<TableName, Stamp>>,
    /// Tables that have rows here, for the limit on them.
    tables: RwLock<BTreeSet<TableName>>,
    /// For each partition what it is to make of the other regions, and a number that grows with
    /// each change of that.
    counting: RwLock<Arc<BTreeMap<u32, Counting>>>,
    counting_version: AtomicU64,
    /// How each partition stands as of its last commit, while regions join or leave.
    standings: Mutex<BTreeMap<u32, (u64, PartitionStanding)>>,
    /// Somebody asks for the standings.
    watched: AtomicBool,
    /// Divergences that the control partition has not heard of.
    diverged: Mutex<Vec<Noted>>,
}

/// A divergence that the control partition is told of.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) divergence: Divergence,
    /// It was found just now; else it was known when the region started.
    pub(crate) is_new: bool,
}

/// The number of a lane's partition in the store.
pub fn partition_of_lane(lane: Lane) -> u32 {
    match lane {
        Lane::Changes(partition) => partition,
        Lane::Control => CONTROL_PARTITION,
    }
}

impl<S> Site<S> {
    /// A place that nothing is restored to yet.
    pub fn new(
        region: RegionId,
        regions: Vec<RegionId>,
        partitions: PartitionCount,
        limits: Limits,
        store: S,
    ) -> Self {
        Self {
            region,
            regions,
            routes: Routes::default(),
            tags: Vec::new(),
            engine: None,
            partitions,
            limits,
            store,
            clock: Clock::starting_after(Hlc::ZERO),
            stamps: RwLock::default(),
            tables: RwLock::default(),
            counting: RwLock::default(),
            counting_version: AtomicU64::new(0),
            standings: Mutex::default(),
            watched: AtomicBool::new(false),
            diverged: Mutex::default(),
        }
    }

    /// The same, where not every region is heard in its own log.
    #[must_use]
    pub fn with_routes(self, routes: Routes) -> Self {
        Self { routes, ..self }
    }

    /// The same, with further tags on the records that this region makes.
    #[must_use]
    pub fn with_tags(self, tags: Vec<RegionId>) -> Self {
        Self { tags, ..self }
    }

    /// The same, where merge functions run on this engine.
    #[must_use]
    pub fn with_engine(self, engine: EngineName) -> Self {
        Self { engine: Some(engine), ..self }
    }

    /// Takes in the log of a region.
    pub fn intake(&self, source: &RegionId) -> Intake {
        let forwards = self.routes.is_forwarder(source);
        Intake { source: source.clone(), partitions: self.partitions, forwards }
    }

    /// What this region stamps the table's changes with.
    pub fn stamp(&self, table: &TableName) -> Stamp {
        let stamps = self.stamps.read().unwrap_or_else(PoisonError::into_inner);
        stamps.get(table).copied().unwrap_or(Stamp::Lww)
    }

    /// True if a local write may make the table, or it is there.
    pub fn admits_table(&self, table: &TableName, limit: usize) -> bool {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.contains(table) || tables.len() < limit
    }

    pub(crate) fn note_table(&self, table: &TableName) {
        let known = self.tables.read().unwrap_or_else(PoisonError::into_inner).contains(table);
        if !known {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            tables.insert(table.clone());
        }
    }

    /// Answers true if that is news.
    pub(crate) fn set_stamps(&self, stamps: BTreeMap<TableName, Stamp>) -> bool {
        let mut shared = self.stamps.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = *shared != stamps;
        *shared = stamps;
        is_news
    }

    pub(crate) fn setup(&self, partition: u32) -> PartitionSetup {
        PartitionSetup {
            partition,
            region: self.region.clone(),
            regions: self.regions.clone(),
            outstanding_max: self.limits.unconfirmed_changes,
            waiting_per_link_max: self.limits.waiting_changes,
        }
    }

    pub(crate) fn set_counting(&self, counting: BTreeMap<u32, Counting>) {
        let mut shared = self.counting.write().unwrap_or_else(PoisonError::into_inner);
        if **shared != counting {
            *shared = Arc::new(counting);
            self.counting_version.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// What the partition is to make of the other regions, if that is news to who knows `version`.
    pub(crate) fn counting_after(&self, partition: u32, version: &mut u64) -> Option<Counting> {
        let now = self.counting_version.load(Ordering::SeqCst);
        if now == *version {
            return None;
        }
        *version = now;
        let shared = Arc::clone(&self.counting.read().unwrap_or_else(PoisonError::into_inner));
        shared.get(&partition).cloned()
    }

    /// Regions join or leave, and the control partition has to know how the others stand.
    pub(crate) fn watch(&self, watched: bool) {
        self.watched.store(watched, Ordering::SeqCst);
    }

    /// Tells the control partition what was found, or was known at the start.
    pub(crate) fn note_divergence(&self, divergence: &Divergence, is_new: bool) {
        let mut diverged = self.diverged.lock().unwrap_or_else(PoisonError::into_inner);
        diverged.push(Noted { divergence: divergence.clone(), is_new });
    }

    pub(crate) fn take_divergences(&self) -> Vec<Noted> {
        std::mem::take(&mut *self.diverged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As of a commit made with this version of the counting.
    pub(crate) fn note_standing(
        &self,
        partition: u32,
        version: u64,
        standing: impl FnOnce() -> PartitionStanding,
    ) {
        if self.watched.load(Ordering::SeqCst) {
            let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
            standings.insert(partition, (version, standing()));
        }
    }

    /// Of the partitions that have taken in how the regions count now.
    pub(crate) fn standings(&self) -> BTreeMap<u32, PartitionStanding> {
        let now = self.counting_version.load(Ordering::SeqCst);
        let standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let current = standings.iter().filter(|(_, (version, _))| *version == now);
        current.map(|(partition, (_, standing))| (*partition, standing.clone())).collect()
    }
}
