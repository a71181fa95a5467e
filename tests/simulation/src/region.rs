//! One region of the simulation: the product's own steps over a store in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use syncline_applier::{
    ControlApplier, ControlItem, Feeds, Limits, PartitionApplier, ReadItem, Site, Ticket, restore,
};
use syncline_bus::Lane;
use syncline_core::{
    ChangeId, Divergence, FunctionVersion, Hlc, PartitionCount, RegionId, RowKey, Written,
};
use syncline_store::kv::component;
use syncline_store::{MemorySnapshot, MemoryStore, StoreError};

use crate::functions::function_of;
use crate::scenario::Setup;
use crate::topology::Topology;
use crate::world::Heard;

/// A write that waits for its acknowledgement: the row, and what is counted by it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The row.
    pub row: RowKey,
    /// What the write adds to a counter.
    pub adds: i64,
}

/// Who waits for a sync.
pub type Waiting = Option<(Asked, Written)>;

/// A region that works.
pub struct Running {
    /// Its place.
    pub site: Site<Arc<MemoryStore>>,
    /// Its row partitions.
    pub partitions: Vec<PartitionApplier>,
    /// Its control partition.
    pub control: ControlApplier,
    /// What it is to produce.
    pub feeds: Feeds,
    /// What waits for a sync.
    pub tickets: Vec<Ticket<Waiting>>,
    /// How far it has read, by source and lane.
    pub positions: BTreeMap<(RegionId, Lane), u64>,
    /// What it has read and not yet shown to its partitions.
    pub inbox: BTreeMap<u32, Vec<(RegionId, Vec<ReadItem>)>>,
    /// As above, for the control partition.
    pub control_inbox: Vec<(RegionId, Vec<ControlItem>)>,
    /// Links that have stopped for a fork.
    pub stopped: BTreeSet<RegionId>,
    /// Functions that can be called here.
    pub here: BTreeSet<FunctionVersion>,
    /// Functions could not be loaded at the start.
    pub lacks_functions: bool,
    /// What it has heard of the others' clocks.
    pub clocks: Heard,
    /// Components to be put together.
    pub assembled: Vec<FunctionVersion>,
}

/// What a commit that is not synced yet has made: lost with it.
#[derive(Clone, Debug, Default)]
pub struct Unsynced {
    /// Changes of this region.
    pub made: Vec<(RowKey, ChangeId)>,
}

/// A region, working or not.
pub struct SimRegion {
    /// Its name, with its incarnation.
    pub id: RegionId,
    /// Its disk.
    pub store: Arc<MemoryStore>,
    /// None while it is down.
    pub running: Option<Running>,
    /// By how much its wall clock is off, in milliseconds.
    pub skew_ms: i64,
    /// The most that its wall clock has ever shown, milliseconds since 1970.
    pub wall_most_ms: u64,
    /// Its engine answers nothing.
    pub engine_fails: bool,
    /// Its engine gives other bytes for some conflicts.
    pub engine_lies: bool,
    /// Divergences that it found since the last turn of its control partition.
    pub unpaused: Vec<Divergence>,
    /// It never comes back.
    pub dead: bool,
    /// The commits since the last sync.
    pub unsynced: Vec<Unsynced>,
    /// What its disk was once, and the changes made by then.
    pub backup: Option<MemorySnapshot>,
}

impl SimRegion {
    /// A region with this disk, which does not run yet.
    pub fn new(id: RegionId, store: Arc<MemoryStore>, skew_ms: i64) -> Self {
        Self {
            id,
            store,
            running: None,
            skew_ms,
            wall_most_ms: 0,
            engine_fails: false,
            engine_lies: false,
            unpaused: Vec::new(),
            dead: false,
            unsynced: Vec::new(),
            backup: None,
        }
    }

    /// The wall clock of the region, milliseconds since 1970.
    pub fn wall_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.skew_ms)
    }

    /// Starts it from its disk, as the product does.
    pub fn start(
        &mut self,
        founders: &[RegionId],
        topology: Topology,
        setup: &Setup,
    ) -> Result<(), StoreError> {
        let limits = Limits {
            unconfirmed_changes: setup.unconfirmed_max,
            waiting_changes: setup.waiting_max,
            conflicts: 64,
            conflict_bytes: 16 << 10,
        };
        let partitions = partition_count(setup);
        let store = Arc::clone(&self.store);
        let site = Site::new(self.id.clone(), founders.to_vec(), partitions, limits, store)
            .with_routes(topology.routes(&self.id))
            .with_clock_bound(setup.clock_bound_ms)
            .with_engine("native 1".parse().unwrap_or_else(|error| panic!("{error}")));
        let mut here = BTreeSet::new();
        // Where the engine fails, no function can be loaded either, until the next start.
        let loads = !self.engine_fails;
        let restored = restore(&site, |version, _| {
            let loaded = loads && function_of(version).is_some();
            loaded.then(|| here.insert(*version));
            loaded
        })?;
        let assembled = whole_parts(&self.store, &restored.control)?;
        let feeds = restored.feeds(&site.routes);
        self.running = Some(Running {
            feeds,
            site,
            partitions: restored.partitions,
            control: restored.control,
            tickets: Vec::new(),
            positions: BTreeMap::new(),
            inbox: BTreeMap::new(),
            control_inbox: Vec::new(),
            stopped: BTreeSet::new(),
            here,
            clocks: Heard::default(),
            assembled,
            lacks_functions: !loads,
        });
        Ok(())
    }
}

/// As the product does at a start, and after a commit that failed: what is complete, or came so with
/// a snapshot, is put together.
pub fn whole_parts(
    store: &MemoryStore,
    control: &ControlApplier,
) -> Result<Vec<FunctionVersion>, StoreError> {
    let versions: BTreeSet<_> =
        component::chunks(store)?.into_iter().map(|(version, _)| version).collect();
    let is_whole = |version: &FunctionVersion| {
        let bytes = component::assemble(store, version).ok().flatten();
        bytes.is_some_and(|bytes| FunctionVersion::of(&bytes) == *version)
    };
    let missing = versions.into_iter().filter(|version| !control.control().is_here(version));
    Ok(missing.filter(is_whole).collect())
}

/// Into how many partitions rows are spread.
pub fn partition_count(setup: &Setup) -> PartitionCount {
    // The scenarios have 1 to 3.
    PartitionCount::new(setup.partitions).unwrap_or_else(|error| panic!("{error}"))
}

impl Running {
    /// Where to go on reading a lane of a source.
    pub fn position(&self, source: &RegionId, lane: Lane) -> u64 {
        let key = (source.clone(), lane);
        if let Some(position) = self.positions.get(&key) {
            return *position;
        }
        let committed = match lane {
            Lane::Control => self.control.control().position(source),
            Lane::Changes(partition) => {
                self.partitions[partition as usize].partition().position(source)
            }
        };
        committed.unwrap_or_default()
    }

    /// False while a lane of a source is not to be read.
    pub fn reads(&self, source: &RegionId, lane: Lane) -> bool {
        if self.stopped.contains(source) {
            return false;
        }
        match lane {
            Lane::Control => self.control.control().takes_from(source),
            Lane::Changes(partition) => {
                self.partitions[partition as usize].partition().takes_from(source)
            }
        }
    }

    /// All lanes.
    pub fn lanes(&self) -> Vec<Lane> {
        let rows = (0..self.site.partitions.get()).map(Lane::Changes);
        rows.chain([Lane::Control]).collect()
    }

    /// The highest HLC that its disk knows.
    pub fn clock(&self) -> Hlc {
        self.site.clock.last()
    }
}
