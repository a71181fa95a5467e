//! `syncline dev` as a child process.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, anyhow, bail};
use tempfile::TempDir;

use crate::binary::syncline;
use crate::digests::Digests;
use crate::ports::free_ports;
use crate::process::Process;
use crate::region::Region;
use crate::wait::{PATIENCE, wait_for};

/// Another process may take a port between the look and the use; so many times in a row it doesn't.
const PORT_TRIES: usize = 10;

/// What to start.
#[derive(Clone, Debug)]
pub struct DevSetup {
    /// The regions, in the order of their ports.
    pub regions: Vec<String>,
    /// The first region's port; any free one where it is none.
    pub port: Option<u16>,
}

/// Regions in a child process, on a data folder of their own that ends with this value.
#[derive(Debug)]
pub struct Dev {
    regions: Vec<Region>,
    port: u16,
    // Ends before its folder goes.
    process: Process,
    folder: TempDir,
}

impl Dev {
    /// Starts these regions on free ports and waits until all take requests.
    ///
    /// # Errors
    /// They do not start.
    pub fn start(regions: &[&str]) -> Result<Self> {
        let regions = regions.iter().map(ToString::to_string).collect();
        Self::start_with(DevSetup { regions, port: None })
    }

    /// Starts what the setup says and waits until all regions take requests.
    ///
    /// # Errors
    /// They do not start.
    pub fn start_with(setup: DevSetup) -> Result<Self> {
        let DevSetup { regions: names, port } = setup;
        let tries = if port.is_some() { 1 } else { PORT_TRIES };
        let mut last = anyhow!("no ports were tried");
        for _ in 0..tries {
            let port = port.map_or_else(|| free_ports(names.len()), Ok)?;
            let region = |(i, name): (usize, &String)| {
                Region::new(name, &format!("http://127.0.0.1:{}", usize::from(port) + i))
            };
            let folder = tempfile::tempdir().context("make a data folder")?;
            let mut dev = Self {
                regions: names.iter().enumerate().map(region).collect(),
                port,
                process: Process::new("syncline dev", folder.path().join("log")),
                folder,
            };
            match dev.restart() {
                Ok(()) => return Ok(dev),
                Err(error) if dev.log().contains("listen on") => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last.context("start regions on free ports"))
    }

    /// Starts the process again on the same data and ports, and waits until all regions take requests.
    ///
    /// # Errors
    /// It runs already, or does not start.
    pub fn restart(&mut self) -> Result<()> {
        let mut command = self.command(&self.data(), self.port)?;
        self.process.start(&mut command, &self.regions)
    }

    /// A command that would run the same regions on some data and port. Its output goes to the log.
    ///
    /// # Errors
    /// The binary or the log is not to be had.
    pub fn command(&self, data: &Path, port: u16) -> Result<Command> {
        let names: Vec<&str> = self.regions.iter().map(|region| region.name.as_str()).collect();
        let mut command = Command::new(syncline()?);
        command
            .args(["dev", "--regions", &names.join(","), "--port", &port.to_string(), "--data"])
            .arg(data);
        self.process.attach(&mut command)?;
        Ok(command)
    }

    /// The regions, in the order they were named in.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The folder that holds the data of all regions.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// The first region's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The end of what the process wrote to stdout and stderr.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// As [`Process::stop`].
    ///
    /// # Errors
    /// As there.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.stop()
    }

    /// As [`Process::kill9`].
    ///
    /// # Errors
    /// As there.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// Cuts one region off from all others.
    ///
    /// # Errors
    /// A link cannot be cut.
    pub fn cut_off(&self, region: &str) -> Result<()> {
        self.for_each_link_of(region, |other| self.regions[0].cut(region, other))
    }

    /// Heals all links of a region.
    ///
    /// # Errors
    /// A link cannot be healed.
    pub fn heal(&self, region: &str) -> Result<()> {
        self.for_each_link_of(region, |other| self.regions[0].heal(region, other))
    }

    fn for_each_link_of(&self, region: &str, set: impl Fn(&str) -> Result<()>) -> Result<()> {
        let others = self.regions.iter().filter(|other| other.name != region);
        others.map(|other| other.name.as_str()).try_for_each(set)
    }

    /// The digests of all regions, as they are now.
    ///
    /// # Errors
    /// A region does not give them.
    pub fn digests(&self) -> Result<Vec<Digests>> {
        self.regions.iter().map(Region::digests).collect()
    }

    /// Waits until all regions have applied the same changes and nothing waits, twice in a row with
    /// the same digests. Whether the digests are equal is for the caller to check.
    ///
    /// # Errors
    /// They don't become quiet.
    pub fn wait_quiet(&self) -> Result<Vec<Digests>> {
        let mut before = None;
        wait_for("the regions to be quiet", PATIENCE, || {
            let now = self.digests()?;
            Digests::comparable(&now)?;
            if before.as_ref() == Some(&now) {
                return Ok(now);
            }
            before = Some(now);
            bail!("the regions are quiet, but may not stay so")
        })
    }

    /// Waits until the regions are quiet and checks that they hold the same bytes.
    ///
    /// # Errors
    /// They don't become quiet, or differ.
    pub fn wait_equal(&self) -> Result<Vec<Digests>> {
        let digests = self.wait_quiet()?;
        Digests::equal(&digests)?;
        Ok(digests)
    }
}
