//! The command line as a process.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::binary::syncline;
use anyhow::{Context as _, Result};
use serde_json::Value;

/// What a command did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Its result.
    pub stdout: String,
    /// What it said beside it.
    pub stderr: String,
}

impl Ran {
    /// The result as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }
}

/// Runs `syncline` with these arguments and this stdin against the region at `url`.
///
/// # Errors
/// It cannot be run, or a signal ended it.
pub fn run_cli(url: &str, arguments: &[&str], stdin: &str) -> Result<Ran> {
    let mut child = Command::new(syncline()?)
        .args(arguments)
        .env("SYNCLINE_URL", url)
        .env_remove("SYNCLINE_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start syncline")?;
    if let Some(mut pipe) = child.stdin.take() {
        // Most commands read nothing, and may be gone already.
        let _ = pipe.write_all(stdin.as_bytes());
    }
    let Output { status, stdout, stderr } = child.wait_with_output().context("run syncline")?;
    Ok(Ran {
        code: status.code().with_context(|| format!("syncline ended with {status}"))?,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}
