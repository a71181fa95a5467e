//! The commands that run regions in this process, or look at a region's configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use syncline_bus::{Bus as _, BusError, KafkaBus, TopicsFound};
use syncline_core::RegionId;
use syncline_host::Compiler;

use super::args::{COMPILE_FUNCTION, CheckArgs, ConfigCommand, ConfigFile, DevArgs};
use super::failure::Failure;
use super::output::Output;
use crate::config::{BusConfig, Config, load, summary};

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
    let ConfigCommand::Check(CheckArgs { file: ConfigFile { config: file }, connect }) = command;
    let config = load(&file).map_err(|error| failed(&error.into()))?;
    let summary = summary(&file, &config);
    let clusters = look_at_clusters(&config, connect).map_err(|error| failed(&error.into()))?;
    if out.is_json() {
        let shown = clusters.iter().map(|(region, found)| match found {
            Ok(found) => json!({ "region": region, "ok": true, "found": found }),
            Err(wrong) => json!({ "region": region, "ok": false, "found": wrong }),
        });
        let clusters: Option<Vec<_>> = connect.then(|| shown.collect());
        out.json(&json!({ "file": file, "summary": summary, "clusters": clusters }))?;
    } else {
        let mut text = format!("{}\n", summary.trim_end());
        for (region, found) in &clusters {
            let (Ok(found) | Err(found)) = found;
            text += &format!("  {region}: {found}\n");
        }
        out.text(&text)?;
    }
    match clusters.iter().filter(|(_, found)| found.is_err()).count() {
        0 => Ok(()),
        _ => Err(Failure::Failed("not every cluster is as it must be".into())),
    }
}

/// What each region's cluster has, or what is wrong with it, by the region's name.
type ClustersFound = Vec<(String, Result<String, String>)>;

/// Nothing is made or changed. Where nothing is to be connected to, a cluster that no client could
/// be made for is found all the same, as it would be by a region that starts.
fn look_at_clusters(config: &Config, connect: bool) -> Result<ClustersFound, BusError> {
    let BusConfig::Kafka(options) = &config.bus else { return Ok(Vec::new()) };
    let bus = KafkaBus::open(options.clone())?;
    if !connect {
        return Ok(Vec::new());
    }
    let ask = |region: &RegionId| {
        if let Some(via) = config.routes.via(region) {
            let found = format!(
                "heard through {via}; whether {via} passes it on, by [region] forwards = true, \
                 is not seen from here"
            );
            return (region.to_string(), Ok(found));
        }
        let found = if *region == config.region {
            bus.check(region).map(|found| match found {
                TopicsFound::Sound => "reached; the region's topics are as they must be".to_owned(),
                TopicsFound::Usable(said) => format!("reached; {}", said.join("; ")),
                TopicsFound::Missing(topics) => format!(
                    "reached; the region makes these topics when it starts: {}",
                    topics.join(", ")
                ),
            })
        } else {
            bus.ends(region).map(|ends| match ends.iter().all(|(_, end)| *end == 0) {
                true => "reached; the region has written nothing yet".to_owned(),
                false => "reached; the region's log is there".to_owned(),
            })
        };
        let servers = options.clusters.get(region.name()).map(|c| c.bootstrap_servers.as_str());
        let wrong = |error: BusError| match error {
            BusError::Kafka { source, .. } => {
                format!("not reached at {}: {source}", servers.unwrap_or_default())
            }
            wrong => format!("{:#}", anyhow::Error::from(wrong)),
        };
        (region.to_string(), found.map_err(wrong))
    };
    Ok(config.regions.iter().map(ask).collect())
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
    fn a_cluster_that_no_client_can_be_made_for_is_found_without_connecting() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("region.toml");
        let check = |security: &str| {
            let text = format!(
                "[region]\nid = \"a\"\ndata = \"data\"\n[api]\nlisten = \"127.0.0.1:0\"\nauth = \
                 \"none\"\n[bus]\nkind = \"kafka\"\n[regions.a]\nbootstrap_servers = \
                 \"127.0.0.1:1\"\n[regions.a.security]\n{security}\n"
            );
            std::fs::write(&file, text).unwrap();
            let found = look_at_clusters(&load(&file).unwrap(), false);
            found.map(|found| found.len()).map_err(|error| error.to_string())
        };
        assert_eq!(check("security.protocol = \"plaintext\""), Ok(0));
        let missing = "security.protocol = \"ssl\"\nssl.ca.location = \"/nowhere/ca.pem\"";
        assert!(check(missing).unwrap_err().contains("use the cluster of a"));
    }

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
