//! Which bus carries the regions' logs, and how it is reached.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use syncline_bus::{Cluster, KafkaOptions, TopicSettings};
use syncline_core::PartitionCount;

use super::{HumanDuration, Partitions};

/// A property whose name ends so is read from the file that is its value.
const FROM_FILE: &str = "_file";
/// A property whose name ends so is read from the environment variable that is its value.
const FROM_ENVIRONMENT: &str = "_env";

/// The shortest time that a topic may keep its records: less, and a region that is started again
/// would find them gone.
const RETENTION_LEAST: Duration = Duration::from_secs(60 * 60);

/// The bus of a region.
#[derive(Clone, Debug)]
pub enum BusConfig {
    /// Logs in files of this machine, in a folder that the regions share.
    Embedded(PathBuf),
    /// A cluster for each region.
    Kafka(KafkaOptions),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BusSection {
    pub(super) kind: Option<BusKind>,
    pub(super) partitions: Option<Partitions>,
    dir: Option<PathBuf>,
    retention: Option<HumanDuration>,
    replicas: Option<u32>,
    min_insync_replicas: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BusKind {
    Embedded,
    Kafka,
}

/// What is said of a region.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PeerSection {
    bootstrap_servers: Option<String>,
    security: toml::Table,
    /// It was not there at the start.
    pub(super) joins: bool,
    /// The region in whose log this one is heard.
    pub(super) via: Option<String>,
    /// It passes on what it hears.
    pub(super) forwards: bool,
}

/// What is wrong, with the section and the key that it is about.
pub(super) type Wrong = (String, &'static str, String);

/// `folder` is where relative paths begin.
pub(super) fn bus(
    folder: &Path,
    section: BusSection,
    partitions: PartitionCount,
    regions: &BTreeMap<String, PeerSection>,
) -> Result<BusConfig, Wrong> {
    let wrong = |key, reason: &str| Err(("bus".to_owned(), key, reason.to_owned()));
    let kafka_only = [
        ("retention", section.retention.is_some()),
        ("replicas", section.replicas.is_some()),
        ("min_insync_replicas", section.min_insync_replicas.is_some()),
    ];
    match section.kind {
        None => wrong("kind", "[bus] needs kind: \"kafka\", or \"embedded\" on one machine"),
        Some(BusKind::Embedded) => {
            if let Some((key, _)) = kafka_only.into_iter().find(|(_, is_set)| *is_set) {
                return wrong(key, "it is for kind = \"kafka\" only");
            }
            Ok(BusConfig::Embedded(folder.join(section.dir.unwrap_or_else(|| "bus".into()))))
        }
        Some(BusKind::Kafka) => {
            if section.dir.is_some() {
                return wrong("dir", "it is for kind = \"embedded\" only");
            }
            if section.replicas == Some(0) || section.min_insync_replicas == Some(0) {
                return wrong("replicas", "there is at least one replica");
            }
            let mut topics = TopicSettings {
                replicas: section.replicas,
                min_insync_replicas: section.min_insync_replicas,
                ..TopicSettings::default()
            };
            if let Some(HumanDuration(retention)) = section.retention {
                if retention < RETENTION_LEAST {
                    let reason = "retention is below 1h: what a region has not read by then has to \
                                  be sent again, all of it";
                    return wrong("retention", reason);
                }
                topics.retention = retention;
            }
            // The cluster of a region that is heard through another one is not read.
            let read = regions.iter().filter(|(_, peer)| peer.via.is_none());
            let clusters = read.map(|(name, peer)| {
                let cluster = cluster(folder, name, peer);
                cluster
                    .map(|cluster| (name.clone(), cluster))
                    .map_err(|(key, reason)| (format!("regions.{name}"), key, reason))
            });
            let clusters = clusters.collect::<Result<_, _>>()?;
            Ok(BusConfig::Kafka(KafkaOptions { partitions, clusters, topics }))
        }
    }
}

fn cluster(
    folder: &Path,
    name: &str,
    peer: &PeerSection,
) -> Result<Cluster, (&'static str, String)> {
    let servers = peer.bootstrap_servers.clone().unwrap_or_default();
    if servers.trim().is_empty() {
        let reason = format!(
            "[regions.{name}] needs bootstrap_servers, for example bootstrap_servers = \
             \"127.0.0.1:19092\""
        );
        return Err(("bootstrap_servers", reason));
    }
    let mut security = BTreeMap::new();
    properties(folder, "", &peer.security, &mut security).map_err(|reason| ("security", reason))?;
    Ok(Cluster { bootstrap_servers: servers, security })
}

/// Collects librdkafka's properties: a table within stands for the part of a name before a dot.
fn properties(
    folder: &Path,
    before: &str,
    table: &toml::Table,
    into: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for (key, value) in table {
        let name = format!("{before}{key}");
        let value = match value {
            toml::Value::Table(inner) => {
                properties(folder, &format!("{name}."), inner, into)?;
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            _ => return Err(format!("{name} is neither text nor a number nor true or false")),
        };
        let (name, value) = if let Some(name) = name.strip_suffix(FROM_FILE) {
            let file = folder.join(value);
            let read = std::fs::read_to_string(&file);
            let read = read.map_err(|error| format!("{name}: read {}: {error}", file.display()))?;
            (name, read.trim_end_matches(['\r', '\n']).to_owned())
        } else if let Some(name) = name.strip_suffix(FROM_ENVIRONMENT) {
            let read =
                std::env::var(&value).map_err(|error| format!("{name}: {value}: {error}"))?;
            (name, read)
        } else if is_secret(&name) {
            return Err(format!(
                "{name} is a secret, and does not stand in this file: give {name}{FROM_FILE} with \
                 the path of a file that holds it, or {name}{FROM_ENVIRONMENT} with the name of an \
                 environment variable"
            ));
        } else {
            (name.as_str(), value)
        };
        into.insert(name.to_owned(), value);
    }
    Ok(())
}

/// Properties of librdkafka that are secrets.
fn is_secret(name: &str) -> bool {
    ["password", "secret", "key.pem"].iter().any(|end| name.ends_with(end))
}
