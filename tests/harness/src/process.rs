//! The binary as a child process, with a log of its own.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::region::Region;
use crate::wait::{PATIENCE, wait_for};

/// How much of the child's log is shown when a test fails.
const LOG_BYTES_SHOWN: usize = 16 << 10;

/// A program that runs, or does not. It ends with this value.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// One that does not run yet, and writes to this log.
    pub fn new(name: &str, log: PathBuf) -> Self {
        Self { name: name.to_owned(), log, child: None }
    }

    /// Has a command write to the log.
    ///
    /// # Errors
    /// The log cannot be opened.
    pub fn attach<'a>(&self, command: &'a mut Command) -> Result<&'a mut Command> {
        let log = self.open_log()?;
        let again = log.try_clone().context("share the log")?;
        Ok(command.stdin(Stdio::null()).stdout(again).stderr(log))
    }

    fn open_log(&self) -> Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.log).context("open the log")
    }

    /// Starts it, and waits until all these regions take requests.
    ///
    /// # Errors
    /// It runs already, or does not start.
    pub fn start(&mut self, command: &mut Command, regions: &[Region]) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let started = self.attach(command)?.spawn();
        self.child = Some(started.with_context(|| format!("start {}", self.name))?);
        regions.iter().try_for_each(|region| self.wait_ready(region))
    }

    /// Waits until a region of the process takes requests.
    ///
    /// # Errors
    /// The process ended, or the region takes too long.
    pub fn wait_ready(&mut self, region: &Region) -> Result<()> {
        let what = format!("region {} to take requests", region.name);
        let ready = wait_for(&what, PATIENCE, || {
            // A process that has ended will not answer any more: that ends the wait, too.
            if let Some(status) = self.ended()? {
                let log = self.log();
                return Ok(Err(anyhow::anyhow!("{} ended with {status}:\n{log}", self.name)));
            }
            region.request("GET", "/readyz", &[], None)?.success()?;
            Ok(Ok(()))
        });
        ready?
    }

    /// What it ended with, if it did by itself.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait().context("look after the child")?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// Its number, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The end of what it wrote to stdout and stderr.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = bytes.len().saturating_sub(LOG_BYTES_SHOWN);
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// Asks it to end, as an operator would, and gives what it ended with. It is killed only if it
    /// does not end.
    ///
    /// # Errors
    /// It does not run, or had to be killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let Some(mut child) = self.child.take() else { bail!("{} does not run", self.name) };
        let ended =
            wait_for("the process to end", PATIENCE, || child.try_wait()?.context("it still runs"));
        if ended.is_err() {
            end(&mut child);
        }
        ended
    }

    /// Asks it to end, and does not wait for that.
    ///
    /// # Errors
    /// It does not run.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends it without a warning.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill9(&mut self) -> Result<()> {
        let child = self.child.take();
        end(&mut child.with_context(|| format!("{} does not run", self.name))?);
        Ok(())
    }

    /// Stops it where it is, until [`Process::resume`].
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Has it go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().with_context(|| format!("{} does not run", self.name))?;
        kill_process(Pid::from_child(child), signal).context("send a signal")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
        if thread::panicking() {
            eprintln!("--- the end of what {} wrote ---\n{}---", self.name, self.log());
        }
    }
}

/// Kills a child and takes its exit status, so that it leaves nothing behind. One that has ended
/// already is as good.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
