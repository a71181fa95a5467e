//! Starting a region: from what is on disk to running threads.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use syncline_applier::{PartitionApplier, Restored, Site, restore};
use syncline_bus::{Bus, BusError};
use syncline_core::{FunctionVersion, PartitionCount, RegionId};
use syncline_host::{CALL_STACK_BYTES, Host, HostConfig};
use syncline_store::kv::node::{self, FORMAT, NodeFacts};
use syncline_store::{Batch, DiskStore, Store as _, StoreError};
use thiserror::Error;

use super::aside::{is_lost, note_lost, set_aside, store_of, way_back};
use super::controller::{ControlWork, Controller};
use super::donor::Donor;
use super::failpoint::Failpoint;
use super::links::LinkStates;
use super::members::Members;
use super::observe::{self, Observer, ShadowQueue};
use super::publisher::{self, Feeds};
use super::readers::{OpenError, Opened, Readers, Threads, wanted};
use super::shard::{Shard, ShardWork};
use super::startup::{self, Startup};
use super::syncer;
use super::versions::Searches;
use super::{Region, RegionOptions, Shared};

/// A merge runs on its shard's thread: room for a call, and for what leads to it.
const SHARD_STACK_BYTES: usize = CALL_STACK_BYTES + (4 << 20);

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
    /// Its store is not what was written.
    #[error(
        "start region {region}: its store is corrupt: {reason}. {kept}. What only that store held \
         is lost to the others, and may be looked for in it. {}",
        way_back(region)
    )]
    Corrupt {
        /// The region.
        region: RegionId,
        /// What is wrong with it.
        reason: String,
        /// Where it is now.
        kept: String,
    },
    /// Its store was set aside before, and nothing was put in its place.
    #[error(
        "start region {region}: its store was corrupt, and was set aside in {}. {}",
        data.display(), way_back(region)
    )]
    Lost {
        /// The region.
        region: RegionId,
        /// Its folder.
        data: PathBuf,
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

impl Region {
    /// Starts a region. Whether its peers can be heard or not, it takes writes soon: see
    /// [`Region::starting`].
    pub fn start(options: RegionOptions, bus: Arc<dyn Bus>) -> Result<Self, StartError> {
        match Self::start_with(&options, bus) {
            Err(StartError::Store { source: StoreError::Corrupt { place, reason }, .. }) => {
                Err(corrupt(&options, &place, reason))
            }
            started => started,
        }
    }

    fn start_with(options: &RegionOptions, bus: Arc<dyn Bus>) -> Result<Self, StartError> {
        let region = options.region.clone();
        let on_bus = |source| StartError::Bus { region: region.clone(), source };
        if is_lost(&options.data, &region) {
            return Err(StartError::Lost { data: options.data.clone(), region });
        }
        let (site, host) = open(options)?;
        let publisher = bus.publisher(&region).map_err(on_bus)?;
        let on_disk = load(&site, &host)?;
        let membership = on_disk.control.control().membership();
        let peers = wanted(&region, membership);
        let members = Members::of(membership);
        let feeds = Feeds::new(on_disk.feeds(&site.routes));
        let (observer, shadow) = Observer::new();
        let shared = Arc::new(share(options, site, host, &peers, members, observer));
        shared.set_profiles(on_disk.control.control().rollouts());
        let mut logs = Vec::new();
        for source in peers {
            if !shared.site.routes.is_direct(&source) {
                shared.links.add(&source);
                continue;
            }
            let log = match Readers::open(&shared, &*bus, &source) {
                // What has joined since may be unknown to the configuration.
                opened @ (Ok(_) | Err(OpenError::Bus(BusError::NoCluster { .. }))) => opened,
                Err(OpenError::Bus(error)) => return Err(on_bus(error)),
                Err(OpenError::Store(source)) => return Err(StartError::Store { region, source }),
            };
            logs.push((source, log));
        }
        Ok(run(shared, on_disk, &feeds, &bus, publisher, logs, shadow))
    }
}

/// Sets a store aside that is not what was written.
fn corrupt(options: &RegionOptions, place: &str, reason: String) -> StartError {
    let RegionOptions { region, data, .. } = options;
    let reason = format!("{place}: {reason}");
    // First the note: without a store, and without it, the region would begin as if it was new.
    let kept = note_lost(data, region).and_then(|()| set_aside(data, "corrupt"));
    let kept = match kept {
        Ok(kept) => format!("It was set aside as {}", kept.display()),
        Err(error) => format!("It could not be set aside ({error}): move {} away", data.display()),
    };
    StartError::Corrupt { region: region.clone(), reason, kept }
}

fn open(options: &RegionOptions) -> Result<(Site<DiskStore>, Host), StartError> {
    let RegionOptions { region, regions, data, engine, partitions, limits, .. } = options;
    let in_store = |source| StartError::Store { region: region.clone(), source };
    let store = DiskStore::open(*engine, store_of(data)).map_err(in_store)?;
    check_identity(&store, region, data, *partitions)?;
    let cache_dir = Some(data.join("compiled"));
    let compiler = options.compiler.clone();
    let host = HostConfig { cache_dir, compiler, ..HostConfig::default() };
    let in_host = |reason: String| StartError::Host { region: region.clone(), reason };
    let host = Host::new(host).map_err(|error| in_host(error.to_string()))?;
    let bound = limits.max_clock_skew.0;
    let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    let limits = syncline_applier::Limits {
        unconfirmed_changes: limits.unconfirmed_changes,
        waiting_changes: limits.waiting_changes,
        conflicts: limits.conflicts,
        conflict_bytes: limits.conflict_bytes,
    };
    let site = Site::new(region.clone(), regions.clone(), *partitions, limits, store);
    let site = site.with_routes(options.routes.clone()).with_tags(options.tags.clone());
    let site = site.with_clock_bound((bound_ms > 0).then_some(bound_ms));
    let site = match syncline_host::engine_name().parse() {
        Ok(engine) => site.with_engine(engine),
        // Without a name the others still compare.
        Err(_) => site,
    };
    Ok((site, host))
}

/// After everything was restored: only then the clock stands where the disk has it.
fn share(
    options: &RegionOptions,
    site: Site<DiskStore>,
    host: Host,
    peers: &BTreeSet<RegionId>,
    members: Members,
    observer: Observer,
) -> Shared {
    let RegionOptions { region, partitions, limits, cuts, data, profile, clock, .. } =
        options.clone();
    let known = site.clock.last();
    let wait = limits.start_wait.0;
    Shared {
        startup: Startup::new(&region, peers, partitions, known, wait),
        links: LinkStates::new(partitions),
        members: Mutex::new(Arc::new(members)),
        data,
        donation: Mutex::default(),
        site,
        limits,
        host,
        observer,
        profile,
        other_profiles: Mutex::default(),
        cuts,
        clock,
        started: Instant::now(),
        ahead_since_ms: AtomicU64::new(0),
        stopping: AtomicBool::new(false),
        fatal: Mutex::default(),
    }
}

/// A data folder belongs to one region, and its number of partitions never changes.
fn check_identity(
    store: &DiskStore,
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

fn load(site: &Site<DiskStore>, host: &Host) -> Result<Restored, StartError> {
    let region = &site.region;
    // What cannot be loaded is not here: its changes wait, and the log says why.
    let load = |version: &FunctionVersion, bytes: Option<Vec<u8>>| {
        let Some(bytes) = bytes else {
            tracing::error!(%region, %version, "a function has no bytes");
            return false;
        };
        match host.load(*version, &bytes) {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(%region, %version, %error, "load a function");
                false
            }
        }
    };
    let restored = restore(site, load);
    restored.map_err(|source| StartError::Store { region: region.clone(), source })
}

fn run(
    shared: Arc<Shared>,
    on_disk: Restored,
    feeds: &Arc<Feeds>,
    bus: &Arc<dyn Bus>,
    publisher: Box<dyn syncline_bus::Publisher>,
    logs: Vec<(RegionId, Opened)>,
    shadow: ShadowQueue,
) -> Region {
    let failpoint = Failpoint::of(&shared);
    let count = SHARDS_MAX.min(shared.site.partitions.get()) as usize;
    let (tickets, ticketed) = syncer::tickets();
    let queues: Vec<(SyncSender<ShardWork>, Receiver<ShardWork>)> =
        (0..count).map(|_| sync_channel(shared.limits.queue)).collect();
    let shards: Vec<SyncSender<ShardWork>> = queues.iter().map(|(send, _)| send.clone()).collect();
    let (control, control_work) = sync_channel::<ControlWork>(CONTROL_QUEUE);
    let threads = Arc::new(Threads::default());

    let mut by_shard: Vec<Vec<PartitionApplier>> = (0..count).map(|_| Vec::new()).collect();
    for applier in on_disk.partitions {
        by_shard[applier.partition().number() as usize % count].push(applier);
    }
    for (partitions, (_, work)) in by_shard.into_iter().zip(queues) {
        let (shared, feeds) = (Arc::clone(&shared), Arc::clone(feeds));
        let shard = Shard::new(shared, partitions, tickets.clone(), feeds);
        let thread = std::thread::Builder::new().stack_size(SHARD_STACK_BYTES);
        let thread = thread.spawn(move || shard.run(&work));
        threads.add(thread.unwrap_or_else(|error| panic!("start a shard's thread: {error}")));
    }
    let mut readers = Readers {
        shared: Arc::clone(&shared),
        bus: Arc::clone(bus),
        shards: shards.clone(),
        control: control.clone(),
        threads: Arc::clone(&threads),
        unread: BTreeSet::new(),
    };
    for (source, log) in logs {
        readers.read(&source, log);
    }
    let donor = Donor::new(Arc::clone(&shared), Arc::clone(bus), Arc::clone(&threads));
    let controller = Controller {
        shared: Arc::clone(&shared),
        applier: on_disk.control,
        tickets,
        feeds: Arc::clone(feeds),
        shards: shards.clone(),
        own: control.clone(),
        started: Instant::now(),
        readers,
        donor,
        searches: Searches::default(),
    };
    threads.add(std::thread::spawn(move || controller.run(&control_work)));
    let (starting, bus) = (Arc::clone(&shared), Arc::clone(bus));
    threads.add(std::thread::spawn(move || startup::read_own_log(&starting, &*bus)));
    let (syncing, fed) = (Arc::clone(&shared), Arc::clone(feeds));
    threads.add(std::thread::spawn(move || syncer::run(&syncing, &ticketed, &fed)));
    let shadowing = Arc::clone(&shared);
    threads.add(std::thread::spawn(move || observe::run_shadow(&shadowing, &shadow)));
    let (publishing, fed) = (Arc::clone(&shared), Arc::clone(feeds));
    threads
        .add(std::thread::spawn(move || publisher::run(&publishing, &fed, publisher, failpoint)));
    Region { shared, shards, control, threads }
}
