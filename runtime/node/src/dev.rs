//! `syncline dev`: all regions in one process, on the embedded bus, kept on disk.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use syncline_bus::{Bus, EmbeddedBus};
use syncline_core::{RegionId, Routes};
use syncline_host::Compiler;
use syncline_store::Engine;
use tokio::net::TcpListener;

use crate::api::{Api, DevLinks};
use crate::config::{HumanDuration, LimitsConfig, default_partitions};
use crate::region::{Region, RegionOptions, WallClock};
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
    /// Where all of them compile merge functions, one at a time.
    pub compiler: Compiler,
}

/// Runs the regions until the process is told to stop.
pub fn run(options: DevOptions) -> Result<()> {
    init_logging();
    let regions = regions_of(&options)?;
    std::fs::create_dir_all(&options.data)
        .with_context(|| format!("make the data folder {}", options.data.display()))?;
    check_same_regions(&options.data, &regions)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listeners = runtime.block_on(listen(&options, &regions))?;
    let bus = EmbeddedBus::open(options.data.join("bus"), default_partitions())
        .context("open the embedded bus")?;
    let bus: Arc<dyn Bus> = Arc::new(bus);
    let dev = DevLinks::open(&regions, options.data.join("links.json"))?;
    let mut served = Vec::new();
    for (region, listener) in regions.iter().zip(listeners) {
        let started = Region::start(
            RegionOptions {
                region: region.clone(),
                regions: regions.clone(),
                routes: Routes::default(),
                tags: Vec::new(),
                data: options.data.join(region.as_str()),
                engine: Engine::default(),
                partitions: default_partitions(),
                // All regions and their logs are here, start together and have one clock.
                nodes: None,
                limits: LimitsConfig {
                    start_wait: HumanDuration(Duration::ZERO),
                    max_clock_skew: HumanDuration(Duration::ZERO),
                    ..LimitsConfig::default()
                },
                cuts: dev.cuts().clone(),
                compiler: options.compiler.clone(),
                profile: syncline_host::PROFILE,
                clock: WallClock::default(),
            },
            Arc::clone(&bus),
        )?;
        let api = Api { region: Arc::new(started), dev: Some(dev.clone()) };
        served.push(Served { api, listener });
    }
    announce(&options.data, &served, &dev)?;
    runtime.block_on(serve_all(served))
}

/// Says where everything is. A stdout that nobody reads is no reason to stop.
fn announce(data: &Path, served: &[Served], dev: &DevLinks) -> Result<()> {
    let mut text = format!("syncline dev: {} regions, data in {}\n", served.len(), data.display());
    for Served { api, listener } in served {
        text += &format!("  {}  http://{}\n", api.region.id(), listener.local_addr()?);
    }
    for (a, b) in dev.cuts().pairs() {
        text += &format!("  the link between {a} and {b} is cut: syncline link heal {a} {b}\n");
    }
    text += "Stop with Ctrl-C.\n";
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Regions cannot come and go by a restart: a new one would lack what the others have confirmed
/// among themselves, and one that is left out would hold back all that waits for its word.
fn check_same_regions(data: &Path, regions: &[RegionId]) -> Result<()> {
    let file = data.join("regions.json");
    let named: BTreeSet<&str> = regions.iter().map(RegionId::as_str).collect();
    match std::fs::read(&file) {
        Ok(bytes) => {
            let kept: BTreeSet<String> = serde_json::from_slice(&bytes)
                .with_context(|| format!("read {}", file.display()))?;
            if kept.iter().map(String::as_str).ne(named.iter().copied()) {
                let kept: Vec<String> = kept.into_iter().collect();
                bail!(
                    "the data in {} are of other regions: name the same ones, --regions {}, or \
                     another folder with --data",
                    data.display(),
                    kept.join(",")
                );
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Whole or not at all, also if the process is killed now.
            let new = file.with_extension("new");
            std::fs::write(&new, serde_json::to_vec(&named)?)
                .and_then(|()| std::fs::rename(&new, &file))
                .with_context(|| format!("write {}", file.display()))
        }
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_keeps_its_regions() {
        let data = tempfile::tempdir().unwrap();
        let named = |names: &[&str]| -> Vec<RegionId> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        check_same_regions(data.path(), &named(&["a", "b"])).unwrap();
        check_same_regions(data.path(), &named(&["b", "a"])).unwrap();
        for other in [&["a"][..], &["a", "b", "c"], &["a", "c"]] {
            let error = check_same_regions(data.path(), &named(other)).unwrap_err();
            assert!(error.to_string().contains("--regions a,b"), "{error}");
        }
    }

    #[test]
    fn regions_are_named_once() {
        let options = |names: &[&str]| DevOptions {
            regions: names.iter().map(ToString::to_string).collect(),
            data: "unused".into(),
            port: 0,
            compiler: Compiler::InProcess,
        };
        assert_eq!(regions_of(&options(&["a", "b"])).unwrap().len(), 2);
        for bad in [&[][..], &["a", "a"], &["a b"], &["a.b"]] {
            assert!(regions_of(&options(bad)).is_err(), "{bad:?}");
        }
    }
}
