//! What a process has used, as the system tells.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Ticks of a second: on Linux this is the same everywhere.
const TICKS: u64 = 100;

/// The processor time that a process has used, with the system's on its behalf.
///
/// # Errors
/// There is no such process, or the system does not tell.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read a process's times")?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks * 1000 / TICKS)).context("find the times")
}

/// The 14th and the 15th field. The 2nd is a name in brackets, with anything in it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// How much memory a process holds now, in MiB.
///
/// # Errors
/// As of [`cpu`].
pub fn resident_mib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(path).context("read a process's memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.context("find the memory")? / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "17 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("17 (x) S 1"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        assert!(cpu(std::process::id()).is_ok());
        assert!(resident_mib(std::process::id()).unwrap() > 0);
    }
}
