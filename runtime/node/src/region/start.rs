//! Starting a region: from what is on disk to running threads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, RwLock};

use syncline_bus::{Bus, BusError, Lane};
use syncline_core::{
    Clock, ControlPartition, ControlSnapshot, Feed, Hlc, Partition, PartitionCount, RegionId,
};
use syncline_host::{Host, HostConfig};
use syncline_store::kv::component;
use syncline_store::kv::node::{self, FORMAT, NodeFacts};
use syncline_store::{Batch, SledStore, Store as _, StoreError, load_control, load_partition};
use thiserror::Error;

use super::controller::{ControlWork, Controller};
use super::links::LinkStates;
use super::publisher::{self, Feeds};
use super::reader::Link;
use super::shard::{Shard, ShardWork, setup};
use super::syncer;
use super::{Region, RegionOptions, Shared};

/// Shards of a region: threads that partitions belong to.
const SHARDS_MAX: u32 = 2;
/// Control work that waits.
const CONTROL_QUEUE: usize = 256;

/// Why a region does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its store.
    #[error("start region {region}")]
    Store {
        /// The region.
        region: RegionId,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Its data were made for another region, or another number of partitions.
    #[error(
        "start region {region}: the data in {} are of {found}; the number of partitions and the region of a \
         data folder are permanent",
        data.display()
    )]
    OtherData {
        /// The region.
        region: RegionId,
        /// Its folder.
        data: PathBuf,
        /// What is there.
        found: String,
    },
    /// The bus.
    #[error("start region {region}")]
    Bus {
        /// The region.
        region: RegionId,
        /// Why.
        #[source]
        source: BusError,
    },
    /// The host of merge functions.
    #[error("start region {region}: {reason}")]
    Host {
        /// The region.
        region: RegionId,
        /// Why.
        reason: String,
    },
}

/// What a region was when it was last committed.
struct OnDisk {
    partitions: Vec<Partition>,
    control: ControlPartition,
}

impl Region {
    /// Starts a region. It takes writes at once, whether its peers can be heard or not.
    pub fn start(options: RegionOptions, bus: &dyn Bus) -> Result<Self, StartError> {
        let region = options.region.clone();
        let on_bus = |source| StartError::Bus { region: region.clone(), source };
        let shared = open(options)?;
        let publisher = bus.publisher(&region).map_err(on_bus)?;
        let on_disk = restore(&shared)?;
        let mut readers = Vec::new();
        for source in shared.regions.iter().filter(|source| **source != shared.region) {
            let from = positions(&on_disk, source);
            readers.push((source.clone(), bus.reader(source, &from).map_err(on_bus)?));
        }
        let feeds = Feeds::new(feeds_of(&on_disk));
        Ok(run(shared, on_disk, &feeds, publisher, readers))
    }
}

fn open(options: RegionOptions) -> Result<Arc<Shared>, StartError> {
    let RegionOptions { region, regions, data, partitions, limits, cuts } = options;
    let in_store = |source| StartError::Store { region: region.clone(), source };
    let store = SledStore::open(data.join("store")).map_err(in_store)?;
    check_identity(&store, &region, &data, partitions)?;
    let host = HostConfig { cache_dir: Some(data.join("compiled")), ..HostConfig::default() };
    let in_host = |reason: String| StartError::Host { region: region.clone(), reason };
    let host = Host::new(host).map_err(|error| in_host(error.to_string()))?;
    let links = LinkStates::new(regions.iter().filter(|peer| **peer != region), partitions);
    Ok(Arc::new(Shared {
        region,
        regions,
        partitions,
        limits,
        store,
        host,
        clock: Clock::starting_after(Hlc::ZERO),
        links,
        cuts,
        stamps: RwLock::default(),
        tables: RwLock::default(),
        stopping: AtomicBool::new(false),
        fatal: Mutex::default(),
    }))
}

/// A data folder belongs to one region, and its number of partitions never changes.
fn check_identity(
    store: &SledStore,
    region: &RegionId,
    data: &std::path::Path,
    partitions: PartitionCount,
) -> Result<(), StartError> {
    let in_store = |source| StartError::Store { region: region.clone(), source };
    let identity = NodeFacts { format: FORMAT, region: region.clone(), partitions };
    match node::get(store).map_err(in_store)? {
        Some(found) if found == identity => Ok(()),
        Some(found) => Err(StartError::OtherData {
            region: region.clone(),
            data: data.into(),
            found: format!(
                "region {} with {} partitions, in format {}",
                found.region,
                found.partitions.get(),
                found.format
            ),
        }),
        None => {
            let mut batch = Batch::new();
            node::put(&mut batch, &identity);
            store.commit(batch).and_then(|()| store.sync()).map_err(in_store)
        }
    }
}

fn restore(shared: &Shared) -> Result<OnDisk, StartError> {
    let region = || shared.region.clone();
    let in_store = |source| StartError::Store { region: region(), source };
    let mut partitions = Vec::new();
    let mut tables = BTreeSet::new();
    for number in 0..shared.partitions.get() {
        let snapshot = load_partition(&shared.store, number).map_err(in_store)?;
        tables.extend(snapshot.digests.iter().map(|(table, _)| table.clone()));
        let partition = Partition::restore(setup(shared, number), snapshot);
        shared.clock.observe(partition.highest_hlc());
        partitions.push(partition);
    }
    *shared.tables.write().unwrap_or_else(std::sync::PoisonError::into_inner) = tables;
    let mut snapshot: ControlSnapshot = load_control(&shared.store).map_err(in_store)?;
    // What cannot be loaded is not here: its changes wait, and the log says why.
    let mut loaded = Vec::new();
    for version in std::mem::take(&mut snapshot.here) {
        let bytes = component::bytes(&shared.store, &version).map_err(in_store)?;
        match bytes.map(|bytes| shared.host.load(version, &bytes)) {
            Some(Ok(_)) => loaded.push(version),
            Some(Err(error)) => {
                tracing::error!(region = %shared.region, %version, %error, "load a function");
            }
            None => tracing::error!(region = %shared.region, %version, "a function has no bytes"),
        }
    }
    snapshot.here = loaded;
    let control = ControlPartition::restore(region(), shared.regions.clone(), snapshot);
    shared.clock.observe(control.highest_hlc());
    Ok(OnDisk { partitions, control })
}

fn positions(on_disk: &OnDisk, source: &RegionId) -> Vec<(Lane, u64)> {
    let rows = on_disk.partitions.iter().filter_map(|partition| {
        partition.position(source).map(|at| (Lane::Changes(partition.number()), at))
    });
    rows.chain(on_disk.control.position(source).map(|at| (Lane::Control, at))).collect()
}

/// Everything that is not confirmed goes out again, before anything new.
fn feeds_of(on_disk: &OnDisk) -> BTreeMap<Lane, Feed> {
    let rows = on_disk.partitions.iter().map(|partition| {
        let last = partition.last_change();
        (Lane::Changes(partition.number()), Feed::starting_after(partition.confirmed(), last))
    });
    let control = &on_disk.control;
    let control = Feed::starting_after(control.confirmed(), control.own_change());
    rows.chain([(Lane::Control, control)]).collect()
}

fn run(
    shared: Arc<Shared>,
    on_disk: OnDisk,
    feeds: &Arc<Feeds>,
    publisher: Box<dyn syncline_bus::Publisher>,
    readers: Vec<(RegionId, Box<dyn syncline_bus::Reader>)>,
) -> Region {
    let count = SHARDS_MAX.min(shared.partitions.get()) as usize;
    let (tickets, ticketed) = syncer::tickets();
    let queues: Vec<(SyncSender<ShardWork>, Receiver<ShardWork>)> =
        (0..count).map(|_| sync_channel(shared.limits.queue)).collect();
    let shards: Vec<SyncSender<ShardWork>> = queues.iter().map(|(send, _)| send.clone()).collect();
    let (control, control_work) = sync_channel::<ControlWork>(CONTROL_QUEUE);
    let mut threads = Vec::new();

    let mut by_shard: Vec<Vec<Partition>> = (0..count).map(|_| Vec::new()).collect();
    for partition in on_disk.partitions {
        by_shard[partition.number() as usize % count].push(partition);
    }
    for (partitions, (_, work)) in by_shard.into_iter().zip(queues) {
        let (shared, feeds) = (Arc::clone(&shared), Arc::clone(feeds));
        let shard = Shard::new(shared, partitions, tickets.clone(), feeds);
        threads.push(std::thread::spawn(move || shard.run(&work)));
    }
    let controller = Controller {
        shared: Arc::clone(&shared),
        control: on_disk.control,
        tickets,
        feeds: Arc::clone(feeds),
        shards: shards.clone(),
        own: control.clone(),
    };
    threads.push(std::thread::spawn(move || controller.run(&control_work)));
    for (source, log) in readers {
        let (shared, shards, control) = (Arc::clone(&shared), shards.clone(), control.clone());
        let link = Link { shared, source, shards, control };
        threads.push(std::thread::spawn(move || link.run(log)));
    }
    let (syncing, fed) = (Arc::clone(&shared), Arc::clone(feeds));
    threads.push(std::thread::spawn(move || syncer::run(&syncing, &ticketed, &fed)));
    let (publishing, fed) = (Arc::clone(&shared), Arc::clone(feeds));
    threads.push(std::thread::spawn(move || publisher::run(&publishing, &fed, publisher)));
    Region { shared, shards, control, threads: Mutex::new(threads) }
}
