//! What all partitions of a region share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use syncline_bus::Lane;
use syncline_core::planted::{self, Bug};
use syncline_core::{
    CONTROL_PARTITION, Clock, ClockCheck, ClockVerdict, Counting, Divergence, EngineName,
    Heartbeat, Hlc, PartitionCount, PartitionSetup, PartitionStanding, RegionId, Routes, Stamp,
    TableName,
};

use crate::Intake;

/// A moment, as far as the wall clock may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970: what HLCs and notes go by. The peers' time, where the wall clock is
    /// too far ahead of it.
    pub now_ms: u64,
    /// What the wall clock shows.
    pub wall_ms: u64,
    /// By how much it is too far ahead for local writes to be taken.
    pub ahead_ms: Option<u64>,
}

impl Moment {
    /// A moment by a wall clock that is believed.
    pub fn of(now_ms: u64) -> Self {
        Self { now_ms, wall_ms: now_ms, ahead_ms: None }
    }

    /// What a heartbeat of this moment says of the wall clock.
    pub(crate) fn tell(&self, beat: Option<&mut Heartbeat>) {
        let Some(beat) = beat else { return };
        let hides = match self.ahead_ms {
            Some(_) => planted::is(Bug::SkewedClockHides),
            None => planted::is(Bug::DraggedClockTells),
        };
        if !hides {
            beat.wall_ms = self.wall_ms;
        }
    }
}

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
    /// What the peers say of the time.
    clock_check: Mutex<ClockCheck>,
    /// The partitions of this node: all, unless the region has several nodes.
    own: BTreeSet<u32>,
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
    /// How partitions of other nodes stand, which have taken in the present counting and stamps.
    elsewhere: Mutex<Elsewhere>,
    /// Divergences that the control partition has not heard of.
    diverged: Mutex<Vec<Noted>>,
}

#[derive(Debug, Default)]
struct Elsewhere {
    standings: BTreeMap<u32, PartitionStanding>,
    stamped_until: Hlc,
}

/// A divergence that the control partition is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// What was found.
    pub divergence: Divergence,
    /// It was found just now; else it was known when the region started.
    pub is_new: bool,
}

/// What the control partition has the row partitions do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directed {
    /// What each table's changes are stamped with; a table that is not named is not stamped.
    pub stamps: BTreeMap<TableName, Stamp>,
    /// For each partition what it is to make of the other regions.
    pub counting: BTreeMap<u32, Counting>,
    /// The partitions say how they stand.
    pub watched: bool,
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
            clock_check: Mutex::default(),
            own: (0..partitions.get()).collect(),
            stamps: RwLock::default(),
            tables: RwLock::default(),
            counting: RwLock::default(),
            counting_version: AtomicU64::new(0),
            standings: Mutex::default(),
            watched: AtomicBool::new(false),
            elsewhere: Mutex::default(),
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

    /// The same, where no local writes are taken while the wall clock is further ahead of the peers
    /// than this; with none it is always believed.
    #[must_use]
    pub fn with_clock_bound(self, bound_ms: Option<u64>) -> Self {
        Self { clock_check: Mutex::new(ClockCheck::new(bound_ms)), ..self }
    }

    /// A heartbeat of a region was read in that region's own log, when the steady clock showed this.
    /// It is fresh if it got there after this region had started to read.
    pub fn hear_clock(&self, beat: &Heartbeat, steady_ms: u64, is_fresh: bool) {
        let mut check = self.clock_check();
        check.hear(beat, steady_ms);
        if is_fresh {
            check.caught_up(&beat.region);
        }
    }

    /// The region is not read any more.
    pub fn forget_clock(&self, peer: &RegionId) {
        self.clock_check().forget(peer);
    }

    /// What the wall clock is worth at a moment. `wall_ms` is in milliseconds since 1970; `steady_ms`
    /// is a clock that neither jumps nor goes back while the process runs, wherever it began.
    pub fn moment(&self, wall_ms: u64, steady_ms: u64) -> Moment {
        match self.clock_check().judge(wall_ms, steady_ms) {
            ClockVerdict::Fine => Moment::of(wall_ms),
            ClockVerdict::Ahead { by_ms, reference_ms } => {
                let ticks = planted::is(Bug::SkewedClockTicks);
                let writes = planted::is(Bug::SkewedClockWrites);
                Moment {
                    now_ms: if ticks { wall_ms } else { reference_ms },
                    wall_ms,
                    ahead_ms: (!writes).then_some(by_ms),
                }
            }
        }
    }

    /// The peers' time, in milliseconds since 1970; none: it is not known yet.
    pub fn peers_ms(&self, steady_ms: u64) -> Option<u64> {
        self.clock_check().reference_ms(steady_ms)
    }

    fn clock_check(&self) -> MutexGuard<'_, ClockCheck> {
        self.clock_check.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, of one of several nodes: it has these partitions, and draws the HLCs of its place.
    /// To be called before anything is restored.
    #[must_use]
    pub fn of_node(self, own: BTreeSet<u32>, place: usize) -> Self {
        Self { own, clock: self.clock.at_place(place), ..self }
    }

    /// The partitions of this node.
    pub fn own(&self) -> &BTreeSet<u32> {
        &self.own
    }

    /// True where the region has other nodes.
    pub(crate) fn is_shared(&self) -> bool {
        self.own.len() < self.partitions.get() as usize
    }

    /// True if the row partitions were told to stamp so.
    pub(crate) fn stamps_as(&self, stamps: &BTreeMap<TableName, Stamp>) -> bool {
        *self.stamps.read().unwrap_or_else(PoisonError::into_inner) == *stamps
    }

    /// True for the node that has the control partition: it goes with partition 0.
    pub fn leads(&self) -> bool {
        self.own.contains(&0)
    }

    /// The lanes of this node's partitions, in every region's log.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> + '_ {
        let control = self.leads().then_some(Lane::Control);
        self.own.iter().map(|number| Lane::Changes(*number)).chain(control)
    }

    /// The lanes of the other nodes' partitions.
    pub fn foreign_lanes(&self) -> impl Iterator<Item = Lane> + '_ {
        let own: BTreeSet<Lane> = self.lanes().collect();
        Lane::all(self.partitions.get()).filter(move |lane| !own.contains(lane))
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

    /// Tables that have rows in this region, as far as this node knows.
    pub fn tables(&self) -> BTreeSet<TableName> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The table has rows in this region, here or in another node.
    pub fn note_table(&self, table: &TableName) {
        let known = self.tables.read().unwrap_or_else(PoisonError::into_inner).contains(table);
        if !known {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            tables.insert(table.clone());
        }
    }

    /// Has the row partitions do what the control partition says. Answers true if the stamps are
    /// others than before: every write with the old ones has a timestamp that the clock has passed.
    pub fn direct(&self, directed: Directed) -> bool {
        let Directed { stamps, counting, watched } = directed;
        let is_news = self.set_stamps(stamps);
        self.set_counting(counting);
        self.watched.store(watched, Ordering::SeqCst);
        is_news
    }

    fn set_stamps(&self, stamps: BTreeMap<TableName, Stamp>) -> bool {
        let mut shared = self.stamps.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = *shared != stamps;
        *shared = stamps;
        if is_news {
            self.forget_elsewhere();
        }
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

    fn set_counting(&self, counting: BTreeMap<u32, Counting>) {
        let mut shared = self.counting.write().unwrap_or_else(PoisonError::into_inner);
        if **shared != counting {
            *shared = Arc::new(counting);
            self.counting_version.fetch_add(1, Ordering::SeqCst);
            self.forget_elsewhere();
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

    /// Tells the control partition what was found, or was known at the start.
    pub fn note_divergence(&self, divergence: &Divergence, is_new: bool) {
        let mut diverged = self.diverged.lock().unwrap_or_else(PoisonError::into_inner);
        diverged.push(Noted { divergence: divergence.clone(), is_new });
    }

    /// What the control partition is to be told.
    pub fn take_divergences(&self) -> Vec<Noted> {
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

    /// Of the partitions that have taken in how the regions count now: those of this node, and those
    /// of others that said so.
    pub fn standings(&self) -> BTreeMap<u32, PartitionStanding> {
        let now = self.counting_version.load(Ordering::SeqCst);
        let mut all = self.elsewhere().standings.clone();
        let standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let current = standings.iter().filter(|(_, (version, _))| *version == now);
        all.extend(current.map(|(partition, (_, standing))| (*partition, standing.clone())));
        all
    }

    /// How partitions of another node stand, durably, which has taken in what
    /// [`Site::direct`] was last told here. It stamps as it is told since its clock stood at
    /// `stamped_until`.
    pub fn note_elsewhere(&self, standings: BTreeMap<u32, PartitionStanding>, stamped_until: Hlc) {
        let mut elsewhere = self.elsewhere();
        elsewhere.standings.extend(standings);
        elsewhere.stamped_until = elsewhere.stamped_until.max(stamped_until);
    }

    /// Nothing is said on behalf of partitions of which nothing is heard.
    pub fn forget_standings(&self, of: &BTreeSet<u32>) {
        self.elsewhere().standings.retain(|partition, _| !of.contains(partition));
    }

    /// Up to where other nodes may have stamped otherwise than they do now.
    pub(crate) fn stamped_elsewhere(&self) -> Hlc {
        self.elsewhere().stamped_until
    }

    fn forget_elsewhere(&self) {
        self.elsewhere().standings.clear();
    }

    fn elsewhere(&self) -> std::sync::MutexGuard<'_, Elsewhere> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(own: &[u32]) -> Site<()> {
        let limits =
            Limits { unconfirmed_changes: 1, waiting_changes: 1, conflicts: 1, conflict_bytes: 1 };
        let region: RegionId = "a".parse().unwrap();
        let partitions = PartitionCount::new(4).unwrap();
        let site = Site::new(region.clone(), vec![region], partitions, limits, ());
        site.of_node(own.iter().copied().collect(), 1)
    }

    #[test]
    fn a_node_has_its_lanes_and_the_control_lane_goes_with_partition_0() {
        let lanes = |site: &Site<()>| site.lanes().collect::<Vec<_>>();
        let (lead, other) = (site(&[0, 2]), site(&[1, 3]));
        assert!(lead.leads() && !other.leads() && lead.is_shared() && other.is_shared());
        assert_eq!(lanes(&lead), [Lane::Changes(0), Lane::Changes(2), Lane::Control]);
        assert_eq!(lanes(&other), [Lane::Changes(1), Lane::Changes(3)]);
        assert!(lead.foreign_lanes().eq(lanes(&other)));
        assert!(other.foreign_lanes().eq(lanes(&lead)));
    }

    #[test]
    fn what_other_nodes_said_of_older_orders_does_not_count() {
        let site = site(&[0, 1]);
        let hlc = |n| Hlc::from_bits(n).unwrap();
        let says = |upto| {
            site.note_elsewhere(
                [2, 3].map(|number| (number, PartitionStanding::default())).into(),
                hlc(upto),
            );
        };
        let known = || site.standings().into_keys().collect::<Vec<_>>();
        says(7);
        assert_eq!((known(), site.stamped_elsewhere()), (vec![2, 3], hlc(7)));
        let stamps = BTreeMap::from([("t".parse().unwrap(), Stamp::Lww)]);
        assert!(!site.stamps_as(&stamps));
        assert!(site.direct(Directed { stamps: stamps.clone(), ..Directed::default() }));
        assert!(site.stamps_as(&stamps));
        assert!(known().is_empty());
        says(9);
        let counting = BTreeMap::from([(2, Counting::default())]);
        let directed = Directed { stamps, counting, watched: true };
        assert!(!site.direct(directed.clone()));
        assert!(known().is_empty());
        says(8);
        assert!(!site.direct(directed));
        assert_eq!((known(), site.stamped_elsewhere()), (vec![2, 3], hlc(9)));
        site.forget_standings(&BTreeSet::from([3]));
        assert_eq!(known(), [2]);
    }
}
