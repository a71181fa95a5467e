//! Regions, each a process with a broker of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use syncline_broker::{Broker, Jars};
use syncline_harness::{Digests, PATIENCE, Region, Serve, example_function, wait_for};
use tempfile::TempDir;

use crate::ledger::{CARTS, Ledger};
use crate::run::Brokers;
use crate::topology::Topology;

/// Fewer than by default, as all run on one machine.
const PARTITIONS: u32 = 3;
/// A broker that starts after a kill looks through its log, and a region that hears nothing of a
/// link looks for it anew after half a minute.
const SETTLE_WAIT: Duration = PATIENCE.saturating_mul(2);

/// The regions of a scenario.
pub struct Scene {
    /// The regions' processes, each with the broker of the same number.
    pub serves: Vec<Serve>,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) jars: Jars,
    /// Who reads whose log.
    pub(crate) topology: Topology,
    /// The configuration of the first region, but for what is its own.
    pub(crate) config: String,
    pub(crate) folder: TempDir,
    /// A region that may join. Its cluster is that of the first.
    pub(crate) fourth: String,
    /// How many regions each has heard of, also of those that are gone.
    pub(crate) known: usize,
}

impl Scene {
    /// Starts the regions of a topology, with names that begin with `name`, with the merge function
    /// `cart` for the carts.
    ///
    /// # Errors
    /// They do not start.
    pub fn start(brokers: &Brokers, name: &str, engine: &str, topology: Topology) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let letters = ["a", "b", "c", "d"].into_iter().take(topology.regions());
        let names: Vec<String> = letters.map(|letter| format!("{name}-{letter}")).collect();
        let rest = format!(
            "[store]\nengine = \"{engine}\"\n[bus]\nkind = \"kafka\"\npartitions = {PARTITIONS}\n\
             [limits]\nstart_wait = \"3s\"\n"
        );
        let address = |broker: &Broker| broker.address().context("a broker has an address");
        let addresses = brokers.all.iter().map(address).collect::<Result<Vec<_>>>()?;
        let fourth = format!("{name}-d");
        let joins = match topology {
            Topology::Direct => format!(
                "[regions.{fourth}]\nbootstrap_servers = \"{}\"\njoins = true\n",
                addresses[0]
            ),
            Topology::Hub | Topology::Chain => String::new(),
        };
        let config =
            |number| format!("{rest}{}{joins}", topology.sections(number, &names, &addresses));
        let serve = |(number, name): (usize, &String)| {
            let serve = Serve::new(name, &folder.path().join(name), &config(number))?;
            match topology.forwards(number) {
                true => serve.with_region_line("forwards = true"),
                false => Ok(serve),
            }
        };
        let serves = names.iter().enumerate().map(serve).collect::<Result<_>>()?;
        let config = config(0);
        let (brokers, jars) = (brokers.all.clone(), brokers.jars.clone());
        let known = names.len();
        let mut scene = Self { serves, brokers, jars, topology, config, folder, fourth, known };
        for serve in &mut scene.serves {
            serve.start()?;
        }
        scene.serves[0].region.deploy(CARTS, &example_function("cart")?)?;
        Ok(scene)
    }

    /// A client of each region.
    pub fn regions(&self) -> Vec<Region> {
        self.serves.iter().map(|serve| serve.region.clone()).collect()
    }

    /// Starts a broker that does not run.
    pub(crate) fn start_broker(&self, number: usize) -> Result<()> {
        self.brokers[number].start(&self.jars, None).map(drop)
    }

    /// Starts what does not run.
    pub(crate) fn heal(&mut self) -> Result<()> {
        for broker in &self.brokers {
            if !broker.is_running() {
                broker.start(&self.jars, None)?;
            }
        }
        for serve in &mut self.serves {
            if serve.process.ended()?.is_some() {
                bail!("{} ended by itself:\n{}", serve.region.name, serve.process.log());
            }
            if serve.process.id().is_none() {
                serve.start()?;
            }
        }
        Ok(())
    }

    /// Waits until all have applied the same and know that all others have, and checks what there
    /// is then.
    pub(crate) fn settle(&self, ledger: &Ledger) -> Result<()> {
        let regions = self.regions();
        let mut before: Option<Vec<Digests>> = None;
        wait_for("the regions to be quiet", SETTLE_WAIT, || {
            let now = regions.iter().map(Region::digests).collect::<Result<Vec<_>>>()?;
            Digests::comparable(&now)?;
            for region in &regions {
                let outbox = region.topology()?["outbox"].clone();
                ensure!(outbox == 0, "{}: {outbox} changes are not confirmed", region.name);
            }
            let is_same = before.as_ref() == Some(&now);
            before = Some(now);
            ensure!(is_same, "they are quiet, but may not stay so");
            Ok(())
        })?;
        Digests::equal(&before.unwrap_or_default())?;
        for region in &regions {
            ledger.check(region)?;
            accounts(region, self.known)?;
        }
        Ok(())
    }

    /// Where a region keeps its data.
    pub(crate) fn data(&self, number: usize) -> std::path::PathBuf {
        self.serves[number].data()
    }
}

/// Checks that every record that was read, and every change that was made, is accounted for.
fn accounts(region: &Region, known: usize) -> Result<()> {
    let metrics = region.request("GET", "/metrics", &[], None)?.success()?;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let mut sums = 0;
    for (whole, parts) in SUMS {
        for (labels, figure) in figures(&metrics, whole) {
            let part = |name: &&str| {
                let found = figures(&metrics, name).find(|(of, _)| *of == labels);
                found.map_or(0, |(_, figure)| figure)
            };
            let sum: u64 = parts.iter().map(part).sum();
            ensure!(figure == sum, "{}: {whole}{labels} is {figure}, not {sum}", region.name);
            sums += 1;
        }
    }
    // Of each of the others, and of its own, the rows and the control partition.
    ensure!(sums == 2 * known, "{} accounts for {sums} lanes:\n{metrics}", region.name);
    Ok(())
}

/// What must be the sum of what.
const SUMS: [(&str, &[&str]); 2] = [
    (
        "syncline_records_consumed_total",
        &[
            "syncline_records_applied_total",
            "syncline_records_duplicate_total",
            "syncline_records_gap_total",
            "syncline_records_waiting",
            "syncline_records_quarantined_total",
            "syncline_records_dropped_total",
        ],
    ),
    (
        "syncline_changes_produced_total",
        &["syncline_changes_confirmed_total", "syncline_changes_outstanding"],
    ),
];

/// The figures of this name, by their labels.
fn figures<'a>(metrics: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
    metrics.lines().filter_map(move |line| {
        let (labels, figure) = line.strip_prefix(name)?.rsplit_once(' ')?;
        (labels.starts_with('{')).then_some((labels, figure.parse().ok()?))
    })
}

/// What a region says of its link to another.
pub(crate) fn link(region: &Region, to: &str) -> Result<Value> {
    let topology = region.topology()?;
    let links = topology["regions"].as_array().context("a topology has regions")?;
    let found = links.iter().find(|link| link["region"] == to);
    found.cloned().with_context(|| format!("{} has no link to {to}", region.name))
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to).with_context(|| format!("write {}", to.display()))?;
        }
    }
    Ok(())
}
