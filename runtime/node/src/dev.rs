//! `syncline dev`: all regions in one process, on the embedded bus, kept on disk.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use syncline_bus::EmbeddedBus;
use syncline_core::RegionId;
use tokio::net::TcpListener;

use crate::api::{Api, DevLinks};
use crate::config::{LimitsConfig, default_partitions};
use crate::region::{Region, RegionOptions};
use crate::serve::{Served, init_logging, serve_all};

/// What `syncline dev` was asked for.
#[derive(Clone, Debug)]
pub struct DevOptions {
    /// The regions, in the order of their ports.
    pub regions: Vec<String>,
    /// Where everything is kept.
    pub data: PathBuf,
    /// The first region's port on 127.0.0.1; the others follow.
    pub port: u16,
}

/// Runs the regions until the process is told to stop.
pub fn run(options: DevOptions) -> Result<()> {
    init_logging();
    let regions = regions_of(&options)?;
    std::fs::create_dir_all(&options.data)
        .with_context(|| format!("make the data folder {}", options.data.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listeners = runtime.block_on(listen(&options, &regions))?;
    let bus = EmbeddedBus::open(options.data.join("bus"), default_partitions())
        .context("open the embedded bus")?;
    let dev = DevLinks::open(&regions, options.data.join("links.json"))?;
    let mut served = Vec::new();
    for (region, listener) in regions.iter().zip(listeners) {
        let started = Region::start(
            RegionOptions {
                region: region.clone(),
                regions: regions.clone(),
                data: options.data.join(region.as_str()),
                partitions: default_partitions(),
                limits: LimitsConfig::default(),
                cuts: dev.cuts().clone(),
            },
            &bus,
        )?;
        let api = Api { region: Arc::new(started), dev: Some(dev.clone()) };
        served.push(Served { api, listener });
    }
    println!("syncline dev: {} regions, data in {}", regions.len(), options.data.display());
    for served in &served {
        println!("  {}  http://{}", served.api.region.id(), served.listener.local_addr()?);
    }
    for (a, b) in dev.cuts().pairs() {
        println!("  the link between {a} and {b} is cut: syncline link heal {a} {b}");
    }
    println!("Stop with Ctrl-C.");
    runtime.block_on(serve_all(served))
}

fn regions_of(options: &DevOptions) -> Result<Vec<RegionId>> {
    let mut seen = BTreeSet::new();
    let mut regions = Vec::new();
    for name in &options.regions {
        let region: RegionId = name.parse()?;
        if !seen.insert(region.clone()) {
            bail!("region {name} is named twice");
        }
        regions.push(region);
    }
    match regions.len() {
        0 => bail!("name at least one region"),
        1..=64 => Ok(regions),
        n => bail!("{n} regions, the limit is 64"),
    }
}

/// All ports are taken before anything is opened, so that a port in use leaves nothing half started.
async fn listen(options: &DevOptions, regions: &[RegionId]) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for (i, region) in (0u16..).zip(regions) {
        let port = match options.port.checked_add(i) {
            // Port 0 asks for any free port, for each region.
            _ if options.port == 0 => 0,
            Some(port) => port,
            None => bail!(
                "there is no port {} for region {region}",
                u32::from(options.port) + u32::from(i)
            ),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.with_context(|| {
            format!("listen on {address} for region {region}; choose other ports with --port")
        })?);
    }
    Ok(listeners)
}
