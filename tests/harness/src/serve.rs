//! `syncline serve` as a child process: one region.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::binary::syncline;
use crate::ports::free_ports;
use crate::process::Process;
use crate::region::Region;

/// One region in a process of its own, in a folder of its own.
#[derive(Debug)]
pub struct Serve {
    /// A client of the region.
    pub region: Region,
    /// The process.
    pub process: Process,
    folder: PathBuf,
}

impl Serve {
    /// A region that does not run yet. `rest` is its configuration but for its id, its data, which
    /// are in `data` of the folder, and its API, which is on a free port of the loopback interface.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(name: &str, folder: &Path, rest: &str) -> Result<Self> {
        fs::create_dir_all(folder).context("make a region's folder")?;
        let port = free_ports(1)?;
        let config = format!(
            "[region]\nid = \"{name}\"\ndata = \"data\"\n[api]\nlisten = \"127.0.0.1:{port}\"\n\
             auth = \"none\"\n{rest}"
        );
        fs::write(folder.join("region.toml"), config).context("write a region's configuration")?;
        Ok(Self {
            region: Region::new(name, &format!("http://127.0.0.1:{port}")),
            process: Process::new(&format!("syncline serve of {name}"), folder.join("log")),
            folder: folder.to_owned(),
        })
    }

    /// The same, with another line in the section `[region]` of its configuration.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn with_region_line(self, line: &str) -> Result<Self> {
        let read = fs::read_to_string(self.config()).context("read a region's configuration")?;
        let config = read.replacen("[region]\n", &format!("[region]\n{line}\n"), 1);
        fs::write(self.config(), config).context("write a region's configuration")?;
        Ok(self)
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.folder.join("region.toml")
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The command that runs the region.
    ///
    /// # Errors
    /// The binary is not to be had.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(syncline()?);
        command.args(["serve", "--config"]).arg(self.config());
        Ok(command)
    }

    /// Starts the region, and waits until it takes requests.
    ///
    /// # Errors
    /// It runs already, or does not start.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// The same, with these variables in its environment.
    ///
    /// # Errors
    /// As [`Serve::start`].
    pub fn start_with(&mut self, variables: &[(&str, &str)]) -> Result<()> {
        let mut command = self.command()?;
        command.envs(variables.iter().copied());
        self.process.start(&mut command, std::slice::from_ref(&self.region))
    }
}
