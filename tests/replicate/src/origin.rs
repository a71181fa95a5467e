//! The region that writes: in this process, as no client could ask for writes as fast over HTTP, on
//! the processors that the receiver needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use syncline_bus::{KafkaBus, KafkaOptions};
use syncline_core::{Hlc, Image, Precondition, RegionId, Routes, RowKey, TableName};
use syncline_host::Compiler;
use syncline_node::config::LimitsConfig;
use syncline_node::region::{Cuts, Region, RegionOptions, WallClock, WriteError};
use syncline_store::Engine;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use crate::workload::Rows;

/// Writes under way at a time, which share their syncs.
const WRITES_AT_ONCE: usize = 4096;
/// A write that found a queue full waits so long.
const PAUSE: Duration = Duration::from_millis(1);

/// How the region is set up.
#[derive(Clone)]
pub struct OriginSetup {
    /// Its name.
    pub region: RegionId,
    /// The region that receives.
    pub receiver: RegionId,
    /// Its folder.
    pub data: PathBuf,
    /// What keeps its store.
    pub engine: Engine,
    /// The clusters.
    pub bus: KafkaOptions,
}

/// A region that runs.
pub struct Origin {
    region: Arc<Region>,
    cuts: Cuts,
    setup: OriginSetup,
    runtime: Runtime,
}

/// A change that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// The partition that took it.
    pub partition: u32,
    /// Its place in its region's chain, and when it was made.
    pub hlc: Hlc,
    /// When it was acknowledged, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Origin {
    /// Starts the region.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(setup: OriginSetup) -> Result<Self> {
        let bus = KafkaBus::open(setup.bus.clone()).context("open the bus")?;
        let cuts = Cuts::default();
        let limits = LimitsConfig { queue: WRITES_AT_ONCE, ..LimitsConfig::default() };
        let options = RegionOptions {
            routes: Routes::default(),
            tags: Vec::new(),
            region: setup.region.clone(),
            regions: vec![setup.region.clone(), setup.receiver.clone()],
            data: setup.data.clone(),
            engine: setup.engine,
            partitions: setup.bus.partitions,
            nodes: None,
            limits,
            cuts: cuts.clone(),
            compiler: Compiler::InProcess,
            profile: syncline_host::PROFILE,
            clock: WallClock::default(),
        };
        let region = Region::start(options, Arc::new(bus)).context("start the origin")?;
        let runtime = Runtime::new().context("start tokio")?;
        Ok(Self { region: Arc::new(region), cuts, setup, runtime })
    }

    /// From now on it reads nothing of the receiver.
    pub fn cut(&self) {
        self.cuts.set(&self.setup.region, &self.setup.receiver, true);
    }

    /// Writes rows, as many as asked for, and waits until all are durable; `told` hears of each. With
    /// a pace, so many a second if it can.
    ///
    /// # Errors
    /// A write is not taken.
    pub fn write(
        &self,
        table: &TableName,
        rows: &mut Rows,
        count: usize,
        pace: Option<f64>,
        mut told: impl FnMut(usize, Acknowledged),
    ) -> Result<()> {
        self.runtime.block_on(async {
            let room = Arc::new(Semaphore::new(WRITES_AT_ONCE));
            let mut under_way = JoinSet::new();
            let mut tell = |done: Result<Result<(usize, Acknowledged)>, JoinError>| {
                let (row, acknowledged) = done.context("join a write")??;
                told(row, acknowledged);
                anyhow::Ok(())
            };
            let started = Instant::now();
            for number in 0..count {
                if let Some(pace) = pace {
                    let due = started + Duration::from_secs_f64(number as f64 / pace);
                    let early = due.saturating_duration_since(Instant::now());
                    if early > PAUSE {
                        tokio::time::sleep(early).await;
                    }
                }
                let permit = Arc::clone(&room).acquire_owned().await.context("find room")?;
                let (row, image) = (rows.draw(), rows.image());
                let (region, key) = (Arc::clone(&self.region), row_key(table, row)?);
                let image = Image::from_canonical(image.as_bytes()).context("make an image")?;
                under_way.spawn(async move {
                    let acknowledged = write_one(&region, key, image).await;
                    drop(permit);
                    acknowledged.map(|acknowledged| (row, acknowledged))
                });
                while let Some(done) = under_way.try_join_next() {
                    tell(done)?;
                }
            }
            while let Some(done) = under_way.join_next().await {
                tell(done)?;
            }
            Ok(())
        })
    }

    /// Ends the region, once all that it wrote stands in its log.
    pub fn stop(self) -> OriginSetup {
        self.region.stop();
        self.setup
    }
}

/// The row of a number.
///
/// # Errors
/// Never: what it makes is a key.
pub fn row_key(table: &TableName, row: usize) -> Result<RowKey> {
    let pk = row_pk(row).parse().map_err(|error| anyhow!("make a key: {error}"))?;
    Ok(RowKey { table: table.clone(), pk })
}

/// The key of the row of a number.
pub fn row_pk(row: usize) -> String {
    format!("customer-{row:08}")
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn write_one(region: &Region, key: RowKey, image: Image) -> Result<Acknowledged> {
    loop {
        let wrote = region.write(key.clone(), Precondition::None, Some(image.clone())).await;
        match wrote {
            Ok(done) => {
                let (partition, hlc) = (done.partition, done.written.hlc);
                return Ok(Acknowledged { partition, hlc, at_ms: now_ms() });
            }
            Err(WriteError::Overloaded | WriteError::Starting { .. }) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error).context("write at the origin"),
        }
    }
}
