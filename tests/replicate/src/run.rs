//! Two regions over two brokers, one workload after the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use syncline_broker::{Broker, Jars};
use syncline_bus::{Cluster, KafkaOptions, TopicSettings};
use syncline_core::{Hlc, PartitionCount, RegionId, TableName};
use syncline_store::Engine;

use crate::mirror::Mirror;
use crate::origin::{Origin, OriginSetup};
use crate::process;
use crate::receiver::{Receiver, TABLE};
use crate::report::{Lag, Measured, Moved};
use crate::topic::Topic;
use crate::workload::{Rows, Workload};

/// The default of a region.
const PARTITIONS: u32 = 8;
/// Nothing that is measured takes as long.
const DEADLINE: Duration = Duration::from_secs(600);
/// Before the backlog so much less is written.
const WARM_UP: usize = 4;
/// For how long changes are written while the lag is measured.
const LAG_SECONDS: f64 = 5.0;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Changes of a backlog.
    pub records: usize,
    /// Rows that they are spread over.
    pub rows: usize,
}

/// Two brokers that end with this value: the origin's and the receiver's.
pub struct Brokers {
    jars: Jars,
    both: [Broker; 2],
    addresses: [String; 2],
}

impl Brokers {
    /// Starts two brokers that hold nothing, in folders below this one.
    ///
    /// # Errors
    /// Java or Maven is missing, or a broker does not start.
    pub fn start(below: &Path) -> Result<Self> {
        let jars = Jars::fetch(below).context("get Apache Kafka")?;
        let named = |name: &str| Broker::named(&format!("replicate-{name}"), &below.join("run"));
        let both = [named("origin")?, named("receiver")?];
        let mut brokers = Self { jars, both, addresses: Default::default() };
        for (broker, address) in brokers.both.iter().zip(&mut brokers.addresses) {
            // One that a run left behind that was killed.
            broker.stop()?;
            broker.clear()?;
            *address = broker.start(&brokers.jars, None)?;
        }
        Ok(brokers)
    }

    fn cpu(&self) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for broker in &self.both {
            sum += process::cpu(broker.id().context("a broker has ended")?)?;
        }
        Ok(sum)
    }

    /// Adds what the brokers have used meanwhile to what was measured.
    fn beside(&self, measure: impl FnOnce() -> Result<Moved>) -> Result<Moved> {
        let before = self.cpu()?;
        let moved = measure()?;
        Ok(Moved { brokers_cpu: self.cpu()?.saturating_sub(before), ..moved })
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        for broker in &self.both {
            if let Err(error) = broker.kill().and_then(|_| broker.clear()) {
                eprintln!("a broker was left behind: {error:#}");
            }
        }
    }
}

/// A backlog in the origin's log.
struct Backlog {
    /// The share of its changes that meet a head of the receiver.
    conflicts: f64,
    /// The last change of each partition.
    lasts: Vec<Hlc>,
    /// How long the log is.
    ends: Vec<i64>,
    /// Writes a second.
    rate: f64,
}

/// Measures one workload over one kind of store. MirrorMaker 2 is measured beside those without
/// conflicts, which differ in nothing that it would notice; and so is the lag.
///
/// # Errors
/// A region does not do as it should.
pub fn measure(
    brokers: &Brokers,
    workload: &Workload,
    engine: Engine,
    size: Size,
    number: usize,
) -> Result<Measured> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let [origin_name, receiver_name] =
        ["origin", "receiver"].map(|name| format!("{name}-{number}"));
    let topic = format!("syncline.changes.{origin_name}");
    let log = Topic::of(&brokers.addresses[0], topic.clone(), PARTITIONS)?;
    let setup = origin_setup(brokers, [&origin_name, &receiver_name], folder.path(), engine)?;
    let config = receiver_config(brokers, [&origin_name, &receiver_name], engine);
    let place = folder.path().join(&receiver_name);
    // Each waits for the other while it starts.
    let origin = {
        let setup = setup.clone();
        thread::spawn(move || Origin::start(setup))
    };
    let receiver = Receiver::start(&receiver_name, &place, &config, setup.region.clone())?;
    let origin = joined(origin)?;
    receiver.deploy(workload.resolver)?;
    warm_up(&origin, &receiver, workload, size)?;
    origin.cut();
    receiver.contest(workload, size.rows)?;
    receiver.pause()?;
    let beside = workload.conflicts == 0;
    let mirror = if beside {
        let addresses = [brokers.addresses[0].as_str(), brokers.addresses[1].as_str()];
        let place = folder.path().join("mirror");
        Some(Mirror::start(&brokers.jars, &place, addresses, &origin_name, (&topic, &log))?)
    } else {
        None
    };
    let backlog = pile_up(origin, &log, workload, size)?;
    let applied = brokers
        .beside(|| receiver.measure(size.records as u64, &backlog.lasts, DEADLINE))
        .with_context(|| format!("apply {}", workload.name()))?;
    receiver.pause()?;
    let mirrored = match mirror {
        Some(mirror) => Some(brokers.beside(|| mirror.measure(&backlog.ends, DEADLINE))?),
        None => None,
    };
    let mut measured = Measured {
        workload: workload.name(),
        store: engine.to_string(),
        conflicts: backlog.conflicts,
        applied,
        mirrored,
        lag: None,
    };
    if beside {
        receiver.resume()?;
        let pace = measured.half_load(backlog.rate);
        measured.lag = Some(lag(&receiver, setup, workload, size, pace)?);
    }
    Ok(measured)
}

/// Has the origin write some of the rows: no one is measured with an empty store, or with code that
/// has yet to be compiled.
fn warm_up(origin: &Origin, receiver: &Receiver, workload: &Workload, size: Size) -> Result<()> {
    let mut rows = Rows::new(workload.keys, size.rows, 0);
    let mut lasts = BTreeMap::new();
    origin.write(&table()?, &mut rows, size.records / WARM_UP, None, |_, change| {
        let last = lasts.entry(change.partition).or_insert(change);
        last.hlc = last.hlc.max(change.hlc);
    })?;
    lasts.into_values().try_for_each(|last| receiver.wait_for(last))
}

/// Has the origin write a backlog, and end.
fn pile_up(origin: Origin, log: &Topic, workload: &Workload, size: Size) -> Result<Backlog> {
    let mut lasts = vec![Hlc::ZERO; PARTITIONS as usize];
    let mut contested = 0;
    let mut rows = Rows::new(workload.keys, size.rows, 1);
    let started = Instant::now();
    origin.write(&table()?, &mut rows, size.records, None, |row, change| {
        let last = &mut lasts[change.partition as usize];
        *last = change.hlc.max(*last);
        contested += usize::from(workload.is_contested(row));
    })?;
    origin.stop();
    let rate = size.records as f64 / started.elapsed().as_secs_f64();
    eprintln!("  {} changes written, {rate:.0} a second", size.records);
    let ends = log.ends().context("the origin's log is gone")?;
    Ok(Backlog { conflicts: contested as f64 / size.records as f64, lasts, ends, rate })
}

/// With the origin started again, writing at this pace.
fn lag(
    receiver: &Receiver,
    setup: OriginSetup,
    workload: &Workload,
    size: Size,
    pace: f64,
) -> Result<Lag> {
    let origin = Origin::start(setup)?;
    let (table, mut rows) = (table()?, Rows::new(workload.keys, size.rows, 2));
    // One alone first: then both have started, and the receiver has read all that came before.
    let mut first = None;
    origin.write(&table, &mut rows, 1, None, |_, change| first = Some(change))?;
    receiver.wait_for(first.context("a write is acknowledged")?)?;
    let (tell, told) = mpsc::channel();
    let count = (pace * LAG_SECONDS) as usize;
    let started = Instant::now();
    let writer = thread::spawn(move || {
        // Nobody listens any more where the measurement has failed.
        let mut took = Vec::with_capacity(count);
        origin.write(&table, &mut rows, count, Some(pace), |_, change| {
            took.push(change.at_ms.saturating_sub(change.hlc.millis()));
            let _ = tell.send(change);
        })?;
        anyhow::Ok((origin, took, count as f64 / started.elapsed().as_secs_f64()))
    });
    let lags = receiver.lags(&told, PARTITIONS as usize, DEADLINE)?;
    let (origin, took, rate) = joined(writer)?;
    origin.stop();
    Ok(Lag::of(lags, took, rate))
}

fn joined<T>(thread: thread::JoinHandle<Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn table() -> Result<TableName> {
    TABLE.parse().map_err(|error| anyhow!("name the table: {error}"))
}

fn origin_setup(
    brokers: &Brokers,
    names: [&str; 2],
    folder: &Path,
    engine: Engine,
) -> Result<OriginSetup> {
    let region = |name: &str| -> Result<RegionId> {
        name.parse().map_err(|error| anyhow!("name a region: {error}"))
    };
    let cluster = |(name, address): (&&str, &String)| {
        let cluster = Cluster { bootstrap_servers: address.clone(), security: BTreeMap::new() };
        ((*name).to_owned(), cluster)
    };
    let partitions = PartitionCount::new(PARTITIONS).map_err(|error| anyhow!("{error}"))?;
    let clusters = names.iter().zip(&brokers.addresses).map(cluster).collect();
    Ok(OriginSetup {
        region: region(names[0])?,
        receiver: region(names[1])?,
        data: folder.join(names[0]),
        engine,
        bus: KafkaOptions { partitions, clusters, topics: TopicSettings::default() },
    })
}

fn receiver_config(brokers: &Brokers, names: [&str; 2], engine: Engine) -> String {
    let mut config = format!(
        "[store]\nengine = \"{engine}\"\n[bus]\nkind = \"kafka\"\npartitions = {PARTITIONS}\n"
    );
    for (name, address) in names.iter().zip(&brokers.addresses) {
        config += &format!("[regions.{name}]\nbootstrap_servers = \"{address}\"\n");
    }
    config
}
