//! The memory of a process and of its children, as Linux tells it.

use std::fs;

use anyhow::{Context as _, Result};

/// The most that a process has had in memory at a time, in bytes.
///
/// # Errors
/// It is gone, or the system tells nothing of it.
pub fn peak_bytes(process_id: u32) -> Result<u64> {
    bytes(&status(process_id)?, "VmHWM:")
}

/// What a process has in memory now, and the most that each of the children has had that it has
/// now, in bytes. A child that ends meanwhile counts as nothing, and so does one that does not run
/// its program yet: it shares the memory of the process until then.
///
/// # Errors
/// The process is gone, or the system does not list its processes.
pub fn with_children_bytes(process_id: u32) -> Result<u64> {
    let own = command_line(process_id);
    let mut total = bytes(&status(process_id)?, "VmRSS:")?;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let parent = status(id).unwrap_or_default();
        if field(&parent, "PPid:") == Some(&process_id.to_string()) && command_line(id) != own {
            total += bytes(&status(id).unwrap_or_default(), "VmHWM:").unwrap_or_default();
        }
    }
    Ok(total)
}

fn command_line(process_id: u32) -> Vec<u8> {
    fs::read(format!("/proc/{process_id}/cmdline")).unwrap_or_default()
}

fn status(process_id: u32) -> Result<String> {
    fs::read_to_string(format!("/proc/{process_id}/status")).context("read a process's status")
}

fn bytes(status: &str, name: &str) -> Result<u64> {
    let kib = field(status, name).with_context(|| format!("no {name}"))?;
    let kib: u64 = kib.trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
