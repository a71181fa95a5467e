//! `syncline dev` as a child process.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::binary::syncline;
use crate::digests::Digests;
use crate::region::Region;
use crate::wait::{PATIENCE, wait_for};

/// Below the ports that systems give to outgoing connections, which would come and go.
const PORTS: std::ops::Range<u32> = 20_000..32_000;
/// Another process may take a port between the look and the use; so many times in a row it doesn't.
const PORT_TRIES: usize = 10;
/// How much of the child's log is shown when a test fails.
const LOG_BYTES_SHOWN: usize = 16 << 10;

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
    folder: TempDir,
    child: Option<Child>,
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
            let mut dev = Self {
                regions: names.iter().enumerate().map(region).collect(),
                port,
                folder: tempfile::tempdir().context("make a data folder")?,
                child: None,
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
        ensure!(self.child.is_none(), "the regions run already");
        let child = self.command(&self.data(), self.port)?.spawn().context("start syncline dev")?;
        self.child = Some(child);
        for i in 0..self.regions.len() {
            let what = format!("region {} to take requests", self.regions[i].name);
            let ready = wait_for(&what, PATIENCE, || {
                // A process that has ended will not answer any more: that ends the wait, too.
                if let Some(status) = self.ended()? {
                    return Ok(Err(anyhow!("syncline dev ended with {status}:\n{}", self.log())));
                }
                self.regions[i].request("GET", "/readyz", &[], None)?.success()?;
                Ok(Ok(()))
            });
            ready??;
        }
        Ok(())
    }

    /// A command that would run the same regions on some data and port. Its output goes to the log.
    ///
    /// # Errors
    /// The binary or the log is not to be had.
    pub fn command(&self, data: &Path, port: u16) -> Result<Command> {
        let log = self.open_log()?;
        let names: Vec<&str> = self.regions.iter().map(|region| region.name.as_str()).collect();
        let mut command = Command::new(syncline()?);
        command
            .args(["dev", "--regions", &names.join(","), "--port", &port.to_string(), "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log);
        Ok(command)
    }

    fn open_log(&self) -> Result<File> {
        let path = self.folder.path().join("log");
        OpenOptions::new().create(true).append(true).open(path).context("open the log")
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait().context("look after the child")?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
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
        self.child.as_ref().map(Child::id)
    }

    /// The first region's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The end of what the process wrote to stdout and stderr.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let start = bytes.len().saturating_sub(LOG_BYTES_SHOWN);
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// Asks the process to end, as an operator would, and gives what it ended with. It is killed only
    /// if it does not end.
    ///
    /// # Errors
    /// It does not run, or had to be killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("the regions do not run")?;
        kill_process(Pid::from_child(&child), Signal::TERM).context("ask the process to end")?;
        let ended =
            wait_for("the process to end", PATIENCE, || child.try_wait()?.context("it still runs"));
        if ended.is_err() {
            end(&mut child);
        }
        ended
    }

    /// Ends the process without a warning.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill9(&mut self) -> Result<()> {
        end(&mut self.child.take().context("the regions do not run")?);
        Ok(())
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

impl Drop for Dev {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
        if thread::panicking() {
            eprintln!("--- the end of what syncline dev wrote ---\n{}---", self.log());
        }
    }
}

/// Kills a child and takes its exit status, so that it leaves nothing behind. One that has ended
/// already is as good.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The first of so many ports in a row that nobody listens on.
fn free_ports(count: usize) -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let room = PORTS.end - PORTS.start - count as u32;
    for _ in 0..room {
        // Processes that run at the same time start far from each other.
        let step = NEXT.fetch_add(count as u32, Ordering::Relaxed);
        let start = PORTS.start + std::process::id().wrapping_mul(641).wrapping_add(step) % room;
        let free = |port: u32| {
            u16::try_from(port)
                .is_ok_and(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        };
        if (start..start + count as u32).all(free) {
            return u16::try_from(start).context("ports have 16 bits");
        }
        // Look again from another place; the time between keeps two processes from racing.
        thread::sleep(Duration::from_millis(1));
    }
    bail!("there are no {count} free ports in a row from {} on", PORTS.start)
}
