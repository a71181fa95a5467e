//! Starting a region: from what is on disk to running threads.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use syncline_applier::{
    ControlApplier, PartitionApplier, Restored, Site, feeds_of_rows, restore, restore_rows,
};
use syncline_bus::{Bus, BusError, Lane};
use syncline_core::{FunctionVersion, PartitionCount, RegionId, Routes};
use syncline_host::{CALL_STACK_BYTES, Host, HostConfig};
use syncline_store::kv::component;
use syncline_store::kv::node::{self, FORMAT, NodeFacts};
use syncline_store::{Batch, DiskStore, Store, StoreError};
use thiserror::Error;

use super::aside::{condemned, is_lost, note_lost, pardon, set_aside, store_of, way_back};
use super::controller::{ControlWork, Controller};
use super::disk::Disk;
use super::donor::Donor;
use super::failpoint::Failpoint;
use super::links::LinkStates;
use super::members::Members;
use super::nodes::{self, Follower, Kept, LastOwn, Led, Peers, check_share, put_share};
use super::observe::{self, Observer, ShadowQueue};
use super::own_log::OwnLog;
use super::publisher::{self, Feeds};
use super::queue::ShardQueue;
use super::readers::{OpenError, Opened, Readers, wanted};
use super::shard::{Shard, ShardWork};
use super::startup::{self, Lead, Startup};
use super::syncer::{self, Ticket};
use super::threads::Threads;
use super::versions::Searches;
use super::{Region, RegionOptions, Shared};
use crate::config::Nodes;

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
    /// Its data were made by another node of the region, or with other partitions.
    #[error(
        "start region {region}: the data in {} are of {found}; which partitions a node has is \
         permanent, as are the names of all nodes. Have region.node and [nodes] be what they were. \
         A region gets other nodes only as another incarnation, and that is one process. {}",
        data.display(), way_back(region)
    )]
    OtherShare {
        /// The region.
        region: RegionId,
        /// Its folder.
        data: PathBuf,
        /// Whose they are.
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
            Err(StartError::Store {
                source: StoreError::Corrupt { place, reason, .. }, ..
            }) => Err(corrupt(&options, format!("{place}: {reason}"))),
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
        if let Some(reason) = condemned(&options.data, &region) {
            drop(site);
            return Err(corrupt(options, reason));
        }
        let publisher = bus.publisher(&region).map_err(on_bus)?;
        let on_disk = load(&site, &host)?;
        let peers = on_disk.peers(&site);
        let feeds = Feeds::new(on_disk.feeds(&site.routes));
        let (observer, shadow) = Observer::new();
        let shared = share(options, (site, host), &peers, &on_disk, observer, &bus);
        let shared = Arc::new(shared);
        on_disk.tell(&shared);
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

/// What a node was when it was last committed: with the control partition, or without it and with
/// what it was told by the one that has it.
struct OnDisk {
    rows: Vec<PartitionApplier>,
    control: ControlOnDisk,
}

enum ControlOnDisk {
    Here(Box<ControlApplier>),
    Elsewhere {
        told: Option<Box<Kept>>,
        /// Components that can be called.
        loaded: BTreeSet<FunctionVersion>,
    },
}

impl OnDisk {
    /// The regions whose logs are to be read.
    fn peers(&self, site: &Site<DiskStore>) -> BTreeSet<RegionId> {
        match &self.control {
            ControlOnDisk::Here(applier) => wanted(&site.region, applier.control().membership()),
            ControlOnDisk::Elsewhere { told: Some(kept), .. } => kept.directives().read(),
            // Before a node was ever told it only listens.
            ControlOnDisk::Elsewhere { told: None, .. } => {
                let regions = site.regions.iter().filter(|region| **region != site.region);
                regions.cloned().collect()
            }
        }
    }

    fn members(&self) -> Members {
        match &self.control {
            ControlOnDisk::Here(applier) => Members::of(applier.control().membership()),
            ControlOnDisk::Elsewhere { told, .. } => {
                told.as_ref().map(|kept| kept.directives().members()).unwrap_or_default()
            }
        }
    }

    fn feeds(&self, routes: &Routes) -> syncline_applier::Feeds {
        let mut feeds = feeds_of_rows(&self.rows, routes);
        if let ControlOnDisk::Here(applier) = &self.control {
            feeds.insert(Lane::Control, applier.feed(routes));
        }
        syncline_applier::Feeds::new(feeds)
    }

    /// The last that this node said in each lane.
    fn last_own(&self) -> LastOwn {
        let rows = self.rows.iter().map(PartitionApplier::partition);
        let rows =
            rows.map(|partition| (Lane::Changes(partition.number()), partition.last_change()));
        let control = match &self.control {
            ControlOnDisk::Here(applier) => Some((Lane::Control, applier.control().own_change())),
            ControlOnDisk::Elsewhere { .. } => None,
        };
        LastOwn::new(rows.chain(control))
    }

    /// Tells those who do not read control records what follows from them.
    fn tell(&self, shared: &Shared) {
        match &self.control {
            ControlOnDisk::Here(applier) => {
                shared.set_profiles(applier.control().rollouts().profiles());
            }
            ControlOnDisk::Elsewhere { told: Some(kept), .. } => nodes::go_by(shared, kept),
            ControlOnDisk::Elsewhere { told: None, .. } => {}
        }
    }

    /// The node that leads, where that is another one.
    fn lead(&self, options: &RegionOptions) -> Option<Lead> {
        let ControlOnDisk::Elsewhere { told, .. } = &self.control else { return None };
        let node = options.nodes.as_ref()?.lead().to_owned();
        Some(Lead { node, is_known: told.is_some() })
    }
}

/// Sets a store aside that is not what was written.
fn corrupt(options: &RegionOptions, reason: String) -> StartError {
    let RegionOptions { region, data, .. } = options;
    // First the note: without a store, and without it, the region would begin as if it was new.
    let kept = note_lost(data, region).and_then(|()| set_aside(data, "corrupt"));
    let kept = match kept {
        Ok(kept) => {
            pardon(data);
            format!("It was set aside as {}", kept.display())
        }
        Err(error) => format!("It could not be set aside ({error}): move {} away", data.display()),
    };
    StartError::Corrupt { region: region.clone(), reason, kept }
}

fn open(options: &RegionOptions) -> Result<(Site<DiskStore>, Host), StartError> {
    let RegionOptions { region, regions, data, engine, partitions, limits, .. } = options;
    let in_store = |source| StartError::Store { region: region.clone(), source };
    let store = DiskStore::open(*engine, store_of(data)).map_err(in_store)?;
    let nodes = options.nodes.as_ref();
    check_identity(&store, region, data, *partitions, nodes)?;
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
    let site = match nodes {
        Some(nodes) => site.of_node(nodes.own(), nodes.place()),
        None => site,
    };
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
    (site, host): (Site<DiskStore>, Host),
    peers: &BTreeSet<RegionId>,
    on_disk: &OnDisk,
    observer: Observer,
    bus: &Arc<dyn Bus>,
) -> Shared {
    let RegionOptions { region, partitions, limits, cuts, data, profile, nodes, clock, .. } =
        options.clone();
    let known = site.clock.last();
    let wait = limits.start_wait.0;
    let node = nodes::shown(nodes.as_ref(), &region, partitions);
    let others = nodes.map(|nodes| Arc::new(Peers::new(nodes, node.clone())));
    let startup = Startup::new(&region, peers, site.lanes(), known, wait);
    Shared {
        startup: startup.among(others.clone(), on_disk.lead(options)),
        links: LinkStates::new(partitions),
        members: Mutex::new(Arc::new(on_disk.members())),
        data,
        donation: Mutex::default(),
        site,
        limits,
        host,
        observer,
        profile,
        other_profiles: Mutex::default(),
        cuts,
        bus: Arc::clone(bus),
        clock,
        started: Instant::now(),
        ahead_since_ms: AtomicU64::new(0),
        node,
        peers: others,
        last_own: on_disk.last_own(),
        stopping: AtomicBool::new(false),
        own_log: OwnLog::default(),
        disk: Disk::default(),
        fatal: Mutex::default(),
    }
}

/// A data folder belongs to one region, and to one of its nodes; neither that nor the number of
/// partitions ever changes. A new one is noted as theirs, all at once: one that has no share is that
/// of a whole region.
fn check_identity(
    store: &impl Store,
    region: &RegionId,
    data: &std::path::Path,
    partitions: PartitionCount,
    nodes: Option<&Nodes>,
) -> Result<(), StartError> {
    let in_store = |source| StartError::Store { region: region.clone(), source };
    let identity = NodeFacts { format: FORMAT, region: region.clone(), partitions };
    match node::get(store).map_err(in_store)? {
        Some(found) if found == identity => match check_share(store, nodes).map_err(in_store)? {
            Ok(()) => Ok(()),
            Err(found) => {
                let (region, data) = (region.clone(), data.into());
                Err(StartError::OtherShare { region, data, found })
            }
        },
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
            put_share(&mut batch, nodes);
            store.commit(batch).and_then(|()| store.sync()).map_err(in_store)
        }
    }
}

fn load(site: &Site<DiskStore>, host: &Host) -> Result<OnDisk, StartError> {
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
    let loaded = match site.leads() {
        true => restore(site, load).map(|Restored { partitions, control }| OnDisk {
            rows: partitions,
            control: ControlOnDisk::Here(Box::new(control)),
        }),
        false => load_without_control(site, load),
    };
    loaded.map_err(|source| StartError::Store { region: region.clone(), source })
}

fn load_without_control(
    site: &Site<DiskStore>,
    load: impl Fn(&FunctionVersion, Option<Vec<u8>>) -> bool,
) -> Result<OnDisk, StoreError> {
    let mut loaded = BTreeSet::new();
    for (version, _) in component::all(&site.store)? {
        if load(&version, component::bytes(&site.store, &version)?) {
            loaded.insert(version);
        }
    }
    let rows = restore_rows(site)?;
    let told = Kept::read(site)?.map(Box::new);
    if let Some(kept) = &told {
        site.direct(kept.directives().directed(site.partitions.get()));
    }
    Ok(OnDisk { rows, control: ControlOnDisk::Elsewhere { told, loaded } })
}

fn run(
    shared: Arc<Shared>,
    on_disk: OnDisk,
    feeds: &Arc<Feeds>,
    bus: &Arc<dyn Bus>,
    publisher: Box<dyn syncline_bus::Publisher>,
    logs: Vec<(RegionId, Opened)>,
    shadow: ShadowQueue,
) -> Region {
    let failpoint = Failpoint::of(&shared);
    let (tickets, ticketed) = syncer::tickets();
    let (control, control_work) = sync_channel::<ControlWork>(CONTROL_QUEUE);
    let threads = Arc::new(Threads::default());
    let shards = run_shards(&shared, on_disk.rows, &tickets, feeds, &threads);
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
    match on_disk.control {
        ControlOnDisk::Here(applier) => {
            let donor = Donor::new(Arc::clone(&shared), Arc::clone(bus), Arc::clone(&threads));
            let controller = Controller {
                shared: Arc::clone(&shared),
                applier: *applier,
                tickets,
                feeds: Arc::clone(feeds),
                shards: shards.clone(),
                own: control.clone(),
                started: Instant::now(),
                readers,
                donor,
                searches: Searches::default(),
                led: shared.peers.clone().map(Led::new),
            };
            threads.start(&shared, "controller", move || controller.run(&control_work));
        }
        ControlOnDisk::Elsewhere { told, loaded } => {
            drop(tickets);
            // A node without the control partition is one of several.
            if let Some(peers) = shared.peers.clone() {
                let of = (Arc::clone(&shared), peers);
                let (shards, own) = (shards.clone(), control.clone());
                let follower =
                    Follower::new(of, shards, own, readers, (told.map(|kept| *kept), loaded));
                threads.start(&shared, "follower", move || follower.run(&control_work));
            }
        }
    }
    watch_nodes(&shared, &threads);
    let (starting, bus) = (Arc::clone(&shared), Arc::clone(bus));
    threads.start(&shared, "own log", move || startup::read_own_log(&starting, &*bus));
    let (syncing, fed) = (Arc::clone(&shared), Arc::clone(feeds));
    threads.start(&shared, "syncer", move || syncer::run(&syncing, &ticketed, &fed));
    let shadowing = Arc::clone(&shared);
    threads.start(&shared, "shadow", move || observe::run_shadow(&shadowing, &shadow));
    let (publishing, fed) = (Arc::clone(&shared), Arc::clone(feeds));
    let publish = move || publisher::run(&publishing, &fed, publisher, failpoint);
    threads.start(&shared, "publisher", publish);
    Region { shared, shards, control, threads }
}

/// Starts the threads that the row partitions belong to.
fn run_shards(
    shared: &Arc<Shared>,
    partitions: Vec<PartitionApplier>,
    tickets: &SyncSender<Ticket>,
    feeds: &Arc<Feeds>,
    threads: &Threads,
) -> Vec<ShardQueue> {
    let count = SHARDS_MAX.min(shared.site.partitions.get()) as usize;
    let queues: Vec<(ShardQueue, Receiver<ShardWork>)> =
        (0..count).map(|_| ShardQueue::new(shared.limits.queue)).collect();
    let shards = queues.iter().map(|(send, _)| send.clone()).collect();
    let mut by_shard: Vec<Vec<PartitionApplier>> = (0..count).map(|_| Vec::new()).collect();
    for applier in partitions {
        by_shard[applier.partition().number() as usize % count].push(applier);
    }
    for (number, (partitions, (_, work))) in by_shard.into_iter().zip(queues).enumerate() {
        let shard = Shard::new(Arc::clone(shared), partitions, tickets.clone(), Arc::clone(feeds));
        let (name, run) = (format!("shard {number}"), move || shard.run(&work));
        threads.start_with_stack(SHARD_STACK_BYTES, shared, name, run);
    }
    shards
}

/// Asks each node of the region, and this one's own address, who is there.
fn watch_nodes(shared: &Arc<Shared>, threads: &Threads) {
    let Some(peers) = &shared.peers else { return };
    for node in peers.nodes().all().keys() {
        let (shared, peers, node) = (Arc::clone(shared), Arc::clone(peers), node.clone());
        let (watching, name) = (Arc::clone(&shared), format!("watch {node}"));
        threads.start(&shared, name, move || nodes::watch(&watching, &peers, &node));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use syncline_store::MemoryStore;

    use super::*;
    use crate::config::Node;

    fn half(me: &str) -> Nodes {
        let node = |port: u16, partitions: [u32; 2]| Node {
            url: format!("http://127.0.0.1:{port}"),
            partitions: partitions.into(),
        };
        let all = [("a".to_owned(), node(1, [0, 1])), ("b".to_owned(), node(2, [2, 3]))];
        Nodes::new(me, BTreeMap::from(all))
    }

    fn check(store: &MemoryStore, nodes: Option<&Nodes>) -> Result<(), StartError> {
        let partitions = PartitionCount::new(4).unwrap();
        check_identity(store, &"eu".parse().unwrap(), Path::new("data"), partitions, nodes)
    }

    #[test]
    fn a_node_that_is_killed_in_its_first_start_starts_again() {
        let node = half("b");
        for kept in 0..3 {
            let store = MemoryStore::new();
            store.fail_next_sync();
            assert!(matches!(check(&store, Some(&node)), Err(StartError::Store { .. })));
            store.crash_keeping(kept);
            check(&store, Some(&node)).unwrap();
        }
    }

    #[test]
    fn a_store_is_that_of_one_node() {
        let store = MemoryStore::new();
        check(&store, Some(&half("b"))).unwrap();
        check(&store, Some(&half("b"))).unwrap();
        for other in [Some(half("a")), None] {
            let error = check(&store, other.as_ref()).unwrap_err().to_string();
            assert!(error.contains("node b, number 1 by name, with the partitions 2-3"), "{error}");
        }
        let store = MemoryStore::new();
        check(&store, None).unwrap();
        let error = check(&store, Some(&half("b"))).unwrap_err().to_string();
        assert!(error.contains("a region that is one node"), "{error}");
    }
}
