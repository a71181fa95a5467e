//! One broker.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher as _;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::Jars;

const PROPERTIES: &str = include_str!("../kafka/server.properties");

/// Small, but with the compiler and the collector that measurements need.
const HEAP: [&str; 5] =
    ["-server", "-Xms96m", "-Xmx320m", "-XX:MaxDirectMemorySize=96m", "-XX:+UseSerialGC"];

/// A broker that has to look through a large log without a clean end before it takes 15 seconds.
const START_WAIT: Duration = Duration::from_secs(90);
/// How long a broker may take to end in order before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// A broker by its name, running or not.
#[derive(Clone, Debug)]
pub struct Broker {
    name: String,
    folder: PathBuf,
}

impl Broker {
    /// The broker of this name, in a folder of its own below the one given.
    ///
    /// # Errors
    /// The name is not fit for a folder.
    pub fn named(name: &str, below: &Path) -> Result<Self> {
        let fit = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(fit) {
            bail!("a broker's name is 1 to 64 letters, digits, - or _, not {name:?}");
        }
        let below = std::path::absolute(below).context("find the folder of brokers")?;
        Ok(Self { name: name.to_owned(), folder: below.join(name) })
    }

    /// Where its log is kept. It may be copied and put back while the broker is not running.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What it prints.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Where clients reach it, once it was started.
    pub fn address(&self) -> Option<String> {
        self.ports().map(|[port, _]| format!("127.0.0.1:{port}"))
    }

    /// Where clients and where its controller reached it when it was last started.
    fn ports(&self) -> Option<[u16; 2]> {
        let text = fs::read_to_string(self.folder.join("ports")).ok()?;
        let (port, controller) = text.trim().split_once(' ')?;
        Some([port.parse().ok()?, controller.parse().ok()?])
    }

    /// It is running.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// The number of its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.pid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
    }

    /// Starts it, on the port given; else on the one that it had; else on a free one. Returns its
    /// address once it takes connections.
    ///
    /// # Errors
    /// It runs already, or does not start.
    pub fn start(&self, jars: &Jars, port: Option<u16>) -> Result<String> {
        if self.is_running() {
            bail!(
                "broker {} is running already, at {}",
                self.name,
                self.address().unwrap_or_default()
            );
        }
        fs::create_dir_all(&self.folder).context("create the broker's folder")?;
        // The controller's port is written down in its own log as well, and is kept for that.
        let [before, controller] = match self.ports() {
            Some(ports) => ports,
            None => free_ports().context("find free ports")?,
        };
        let port = port.unwrap_or(before);
        let properties = PROPERTIES
            .replace("@PORT@", &port.to_string())
            .replace("@CONTROLLER@", &controller.to_string())
            .replace("@DATA@", &self.data().to_string_lossy());
        fs::write(self.properties(), properties).context("write the broker's settings")?;
        fs::write(self.folder.join("ports"), format!("{port} {controller}"))
            .context("write the broker's ports")?;
        if !self.data().join("meta.properties").is_file() {
            self.format(jars)?;
        }
        let mut java = jars.program("kafka.Kafka", &HEAP);
        java.arg(self.properties()).stdout(self.output(true)?).stderr(self.output(false)?);
        // A signal from the keyboard is for whoever started it.
        let mut child = java.process_group(0).spawn().context("start Java")?;
        fs::write(self.folder.join("pid"), child.id().to_string())
            .context("write the broker's pid")?;
        let until = Instant::now() + START_WAIT;
        loop {
            let log = fs::read(self.log()).unwrap_or_default();
            if String::from_utf8_lossy(&log).contains("Kafka Server started") {
                return Ok(format!("127.0.0.1:{port}"));
            }
            if let Some(ended) = child.try_wait().context("look after the broker")? {
                bail!("broker {} ended at once ({ended}): {}", self.name, last_lines(&log));
            }
            if Instant::now() > until {
                self.kill()?;
                bail!("broker {} did not start in time: {}", self.name, last_lines(&log));
            }
            thread::sleep(LOOK);
        }
    }

    /// Has it end in order; kills it if that takes too long. Answers false if it did not run.
    ///
    /// # Errors
    /// It cannot be ended.
    pub fn stop(&self) -> Result<bool> {
        Ok(self.signal(Signal::TERM)? && (self.has_ended(STOP_WAIT) || self.kill()?))
    }

    /// Kills it, as a power cut would. Answers false if it did not run.
    ///
    /// # Errors
    /// It cannot be ended.
    pub fn kill(&self) -> Result<bool> {
        if !self.signal(Signal::KILL)? {
            return Ok(false);
        }
        if !self.has_ended(STOP_WAIT) {
            bail!("broker {} cannot be ended", self.name);
        }
        Ok(true)
    }

    /// Stops it where it is, until [`Broker::resume`]. Answers false if it did not run.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn pause(&self) -> Result<bool> {
        self.signal(Signal::STOP)
    }

    /// Has it go on. Answers false if it did not run.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn resume(&self) -> Result<bool> {
        self.signal(Signal::CONT)
    }

    /// Removes all that it has kept.
    ///
    /// # Errors
    /// It is running.
    pub fn clear(&self) -> Result<()> {
        if self.is_running() {
            bail!("broker {} is running", self.name);
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("remove the broker's folder")
            }
            _ => Ok(()),
        }
    }

    fn signal(&self, signal: Signal) -> Result<bool> {
        let Some(pid) = self.pid() else { return Ok(false) };
        match kill_process(pid, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("send broker {} a signal", self.name)),
        }
    }

    fn has_ended(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while self.is_running() {
            if Instant::now() > until {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }

    /// The process, if it is this broker: its number may have been given to another since.
    fn pid(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(self.folder.join("pid")).ok()?.trim().parse().ok()?;
        let ps = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output();
        let settings = self.properties();
        let is_it =
            String::from_utf8_lossy(&ps.ok()?.stdout).trim_end().ends_with(settings.to_str()?);
        is_it.then(|| Pid::from_raw(pid)).flatten()
    }

    /// Kafka keeps nothing in a folder that it has not marked as its own.
    fn format(&self, jars: &Jars) -> Result<()> {
        let mut tool = jars.program("kafka.tools.StorageTool", &["-Xmx128m"]);
        tool.args(["format", "--standalone", "--cluster-id", &cluster_id(), "--config"]);
        tool.arg(self.properties()).stdout(self.output(true)?).stderr(self.output(false)?);
        let formatted = tool.status().context("start Java")?;
        if !formatted.success() {
            let log = fs::read(self.log()).unwrap_or_default();
            bail!("the folder of broker {} cannot be set up: {}", self.name, last_lines(&log));
        }
        Ok(())
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn output(&self, fresh: bool) -> Result<Stdio> {
        let path = self.log();
        if fresh
            && let Err(error) = fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).context("remove the log of the last run");
        }
        let file = File::options().create(true).append(true).open(&path);
        Ok(file.context("open the broker's log")?.into())
    }
}

/// 22 characters that stand for 16 random bytes. The first is no dash, which would read as an
/// option.
fn cluster_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random = || RandomState::new().hash_one(());
    let mut bits = u128::from(random()) << 64 | u128::from(random());
    let mut id = String::from("S");
    for _ in 0..20 {
        id.push(char::from(DIGITS[(bits & 63) as usize]));
        bits >>= 6;
    }
    // The last stands for two bits only; the others must be zero.
    id.push('A');
    id
}

/// Two that nobody listens on now.
fn free_ports() -> std::io::Result<[u16; 2]> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}

fn last_lines(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_folders() {
        for name in ["", "..", "a/b", "a b", &"x".repeat(65)] {
            assert!(Broker::named(name, Path::new("run")).is_err(), "{name:?}");
        }
        let broker = Broker::named("eu-1", Path::new("run")).unwrap();
        assert!(broker.data().ends_with("run/eu-1/data"));
        assert!(!broker.is_running() && broker.address().is_none());
        assert!(!broker.stop().unwrap() && !broker.kill().unwrap());
    }

    #[test]
    fn cluster_ids_differ() {
        let (one, other) = (cluster_id(), cluster_id());
        assert_eq!((one.len(), other.len()), (22, 22));
        assert_ne!(one, other);
    }
}
