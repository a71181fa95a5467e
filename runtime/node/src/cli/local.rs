//! The commands that run regions in this process, or look at a region's configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use syncline_host::Compiler;

use super::args::{COMPILE_FUNCTION, ConfigCommand, ConfigFile, DevArgs};
use super::failure::Failure;
use super::output::Output;

/// Runs several regions until the process is told to stop.
pub(super) fn dev(args: DevArgs) -> Result<(), Failure> {
    let DevArgs { regions, data, port } = args;
    check_regions(&regions, port).map_err(Failure::Usage)?;
    let options = crate::dev::DevOptions { regions, data, port, compiler: compiler() };
    crate::dev::run(options).map_err(|error| failed(&error))
}

/// Runs one region until the process is told to stop.
pub(super) fn serve(config: &Path) -> Result<(), Failure> {
    crate::serve::run(config, compiler()).map_err(|error| failed(&error))
}

/// This program again, as a child. On Linux by the name that stays the same file when another
/// release takes this one's place on disk.
fn compiler() -> Compiler {
    let program = if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        // Where it is not known, no component can be compiled, and the answer to an upload says so.
        std::env::current_exe().unwrap_or_default()
    };
    Compiler::Process { program, args: vec![COMPILE_FUNCTION.into()] }
}

/// Looks at a configuration.
pub(super) fn config(command: ConfigCommand, out: &Output) -> Result<(), Failure> {
    let ConfigCommand::Check(ConfigFile { config }) = command;
    let summary =
        crate::config::check(&config).map_err(|error| failed(&anyhow::Error::from(error)))?;
    if out.is_json() {
        out.json(&json!({ "file": config, "summary": summary }))
    } else {
        out.text(&format!("{}\n", summary.trim_end()))
    }
}

/// With the causes, as the outermost sentence alone rarely says what to do.
fn failed(error: &anyhow::Error) -> Failure {
    Failure::Failed(format!("{error:#}"))
}

/// Each region is there once, and each has a port.
fn check_regions(regions: &[String], port: u16) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = regions.iter().find(|region| !seen.insert(*region)) {
        return Err(format!("--regions names {twice} twice"));
    }
    if let Some(region) = regions.iter().find(|region| region.contains('#')) {
        return Err(format!("{region}: an incarnation is given by the region, not to it"));
    }
    let last = usize::from(port) + regions.len() - 1;
    if last > usize::from(u16::MAX) {
        return Err(format!("--port {port} leaves no port for each of {} regions", regions.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_distinct_and_each_has_a_port() {
        let check = |names: &[&str], port| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            check_regions(&names, port)
        };
        assert_eq!(check(&["a", "b", "c"], 65_533), Ok(()));
        assert!(check(&["a", "b", "c"], 65_534).unwrap_err().contains("65534"));
        assert!(check(&["a", "b", "a"], 8080).unwrap_err().contains("a twice"));
        assert!(check(&["a#2"], 8080).is_err());
    }
}
