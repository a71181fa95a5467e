//! The configuration of a region: a TOML file, any value of which can come from the environment.

mod bus;
mod nodes;
mod routes;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use syncline_core::{PartitionCount, RegionId, Routes};
use syncline_store::Engine;
use thiserror::Error;

pub use bus::BusConfig;
use bus::{BusSection, PeerSection};
use nodes::NodeSection;
pub use nodes::{Node, Nodes, ranges};

/// They stand in every record.
pub const REGION_TAGS_MAX: usize = 16;

/// In front of the names of environment variables: `SYNCLINE_API__LISTEN` is `listen` of `[api]`.
const ENVIRONMENT_PREFIX: &str = "SYNCLINE_";
/// Variables of the command line, which are no configuration.
const ENVIRONMENT_OF_CLI: [&str; 2] = ["SYNCLINE_URL", "SYNCLINE_TOKEN"];

/// The longest queue that can be asked for: room for all of it is taken at the start.
const QUEUE_MOST: usize = 100_000;

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, or a key or value in it is wrong. The reason names line and column.
    #[error("configuration {}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// Values that are each right do not go together.
    #[error("configuration {}, line {line}: {reason}", file.display())]
    Combination {
        /// The file.
        file: PathBuf,
        /// Where the key stands, or its section; 1 if neither does.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A value from the environment is wrong.
    #[error("environment variable {variable}: {reason}")]
    Environment {
        /// The variable.
        variable: String,
        /// Why.
        reason: String,
    },
}

/// A region's configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// This region.
    pub region: RegionId,
    /// All regions that are named, this one included.
    pub regions: Vec<RegionId>,
    /// Those of them that were there at the start; the others join.
    pub founders: Vec<RegionId>,
    /// The region that this one takes its data over from, if it joins.
    pub join_from: Option<RegionId>,
    /// In whose logs the others are heard, and whether this region passes on what it hears.
    pub routes: Routes,
    /// What this region's records are tagged with besides its name.
    pub tags: Vec<RegionId>,
    /// The nodes of this region, if it has several.
    pub nodes: Option<Nodes>,
    /// Where the region's data is.
    pub data: PathBuf,
    /// What keeps the region's store.
    pub engine: Engine,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// What carries the regions' logs.
    pub bus: BusConfig,
    /// Into how many partitions rows are spread.
    pub partitions: PartitionCount,
    /// The limits.
    pub limits: LimitsConfig,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileConfig {
    region: RegionSection,
    api: ApiSection,
    store: StoreSection,
    bus: BusSection,
    regions: BTreeMap<String, PeerSection>,
    nodes: BTreeMap<String, NodeSection>,
    limits: LimitsConfig,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RegionSection {
    id: Option<RegionName>,
    data: Option<PathBuf>,
    incarnation: Option<u32>,
    join_from: Option<String>,
    forwards: bool,
    tags: Vec<RegionName>,
    node: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ApiSection {
    listen: Option<SocketAddr>,
    auth: Option<Auth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Auth {
    None,
    Tokens,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StoreSection {
    engine: Option<EngineName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EngineName {
    Sled,
    Fjall,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Sled => Self::Sled,
            EngineName::Fjall => Self::Fjall,
        }
    }
}

/// Limits that can be set. All others stand in the reference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Writes and batches that wait for a partition's thread.
    pub queue: usize,
    /// A partition takes no local writes while so many of its changes are not confirmed by every
    /// region.
    pub unconfirmed_changes: usize,
    /// A link is not read while so many of its changes wait in a partition.
    pub waiting_changes: usize,
    /// Conflicts kept in the log of each partition; the oldest go first.
    pub conflicts: u64,
    /// Bytes of each table's conflicts in the log, with their images; older ones lose them.
    pub conflict_bytes: u64,
    /// Tables that local writes may make.
    pub tables: usize,
    /// How long a region that starts waits for peers that may know that its disk is old.
    pub start_wait: HumanDuration,
    /// How far the wall clock may be ahead of what the peers tell.
    pub max_clock_skew: HumanDuration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            queue: 1024,
            unconfirmed_changes: 1_000_000,
            waiting_changes: 100_000,
            conflicts: 10_000,
            conflict_bytes: 64 << 20,
            tables: 4096,
            start_wait: HumanDuration(Duration::from_secs(10)),
            max_clock_skew: HumanDuration(Duration::from_millis(500)),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct RegionName(RegionId);

impl TryFrom<String> for RegionName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let region: RegionId = text.parse().map_err(|e: syncline_core::InvalidId| e.to_string())?;
        if region.incarnation() > 1 {
            return Err("the incarnation stands in a key of its own, not in the id".into());
        }
        Ok(Self(region))
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u32")]
struct Partitions(PartitionCount);

impl TryFrom<u32> for Partitions {
    type Error = String;

    fn try_from(count: u32) -> Result<Self, String> {
        PartitionCount::new(count).map(Self).map_err(|e| e.to_string())
    }
}

/// A duration as people write it: `500ms`, `10s`, `5m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HumanDuration(pub Duration);

impl TryFrom<String> for HumanDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        match number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms)) {
            Some(ms) if unit_ms > 0 => Ok(Self(Duration::from_millis(ms))),
            _ => Err(format!("a duration is written as 500ms, 10s, 5m or 1h, not {text:?}")),
        }
    }
}

/// Reads a configuration file and the environment.
pub fn load(file: &Path) -> Result<Config, ConfigError> {
    let read = |source| ConfigError::Read { file: file.into(), source };
    let text = std::fs::read_to_string(file).map_err(read)?;
    parse(file, &text, environment(std::env::vars_os())?.into_iter())
}

/// The variables that set something. Others may be what they like, also no text.
fn environment(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let ours = all.filter(|(name, _)| {
        let name = name.to_string_lossy();
        let path = name.strip_prefix(ENVIRONMENT_PREFIX);
        path.is_some_and(|path| path.contains("__")) && !ENVIRONMENT_OF_CLI.contains(&&*name)
    });
    let text = |(name, value): (OsString, OsString)| {
        let no_text = |what: &str, name: &OsString| ConfigError::Environment {
            variable: name.to_string_lossy().into_owned(),
            reason: format!("its {what} is not UTF-8"),
        };
        let value = value.into_string().map_err(|_| no_text("value", &name))?;
        Ok((name.into_string().map_err(|name| no_text("name", &name))?, value))
    };
    ours.map(text).collect()
}

/// What a configuration comes to, for people.
pub fn summary(file: &Path, config: &Config) -> String {
    let regions: Vec<&str> = config.regions.iter().map(RegionId::as_str).collect();
    let bus = match &config.bus {
        BusConfig::Embedded(folder) => format!("the embedded bus in {}", folder.display()),
        BusConfig::Kafka(_) => "Kafka".to_owned(),
    };
    let node = match &config.nodes {
        None => String::new(),
        Some(nodes) => {
            let (own, lead) = (ranges(&nodes.own()), nodes.lead());
            format!(
                "node {} of {} with the partitions {own}, led by {lead}, of ",
                nodes.me(),
                nodes.all().len()
            )
        }
    };
    format!(
        "{} is in order: {node}region {} of {}, {} partitions, API on {}, data in {}, kept by {}, \
         on {bus}",
        file.display(),
        config.region,
        regions.join(", "),
        config.partitions.get(),
        config.listen,
        config.data.display(),
        config.engine
    )
}

fn parse(
    file: &Path,
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let in_file = |reason: String| ConfigError::File { file: file.into(), reason };
    // The file by itself first: its errors then name the line.
    let mut config: FileConfig =
        toml::from_str(text).map_err(|error| in_file(error.to_string().trim_end().into()))?;
    let mut table: toml::Table =
        toml::from_str(text).map_err(|error| in_file(error.to_string()))?;
    for (variable, value) in environment {
        let Some(path) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let wrong =
            |reason: String| ConfigError::Environment { variable: variable.clone(), reason };
        let typed = typed(&value);
        let is_typed = !typed.is_str();
        set(&mut table, path, typed).map_err(wrong)?;
        let mut read: Result<FileConfig, toml::de::Error> = table.clone().try_into();
        let is_other =
            read.as_ref().is_err_and(|error| error.message().starts_with("invalid type"));
        if is_typed && is_other {
            // A node may be called 0.
            set(&mut table, path, value.into()).map_err(wrong)?;
            read = table.clone().try_into();
        }
        config = read.map_err(|error| wrong(error.message().to_owned()))?;
    }
    combine(file, text, config)
}

/// A number or a truth value where it reads as one.
fn typed(value: &str) -> toml::Value {
    match (value.parse::<i64>(), value.parse::<bool>()) {
        (Ok(number), _) => number.into(),
        (_, Ok(truth)) => truth.into(),
        _ => value.into(),
    }
}

/// Sets the value at a path such as `API__LISTEN`.
fn set(table: &mut toml::Table, path: &str, value: toml::Value) -> Result<(), String> {
    let mut keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
    let Some(last) = keys.pop().filter(|last| !last.is_empty()) else {
        return Err("it names no key".into());
    };
    let mut at = table;
    for key in keys {
        let next = at.entry(key.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = next.as_table_mut().ok_or_else(|| format!("{key} is no section"))?;
    }
    at.insert(last, value);
    Ok(())
}

fn combine(file: &Path, text: &str, config: FileConfig) -> Result<Config, ConfigError> {
    let wrong = |section: &str, key: &str, reason: String| ConfigError::Combination {
        file: file.into(),
        line: line_of(text, section, key),
        reason,
    };
    let missing = |section: &str, key: &str, example: &str| {
        wrong(section, key, format!("[{section}] needs {key}, for example {key} = {example}"))
    };
    let id = config.region.id.ok_or_else(|| missing("region", "id", "\"eu-west-1\""))?.0;
    let region = RegionId::with_incarnation(id.as_str(), config.region.incarnation.unwrap_or(1))
        .map_err(|error| wrong("region", "incarnation", error.to_string()))?;
    let data = config.region.data.ok_or_else(|| missing("region", "data", "\"data/eu-west-1\""))?;
    let listen = config.api.listen.ok_or_else(|| missing("api", "listen", "\"127.0.0.1:8080\""))?;
    check_auth(config.api.auth, listen).map_err(|reason| wrong("api", "auth", reason))?;
    let (mut regions, mut founders) = (Vec::new(), Vec::new());
    for (name, peer) in &config.regions {
        let other: RegionId = name.parse().map_err(|e| wrong("regions", name, format!("{e}")))?;
        if other.incarnation() > 1 {
            let reason = format!("its section is [regions.{}] in every incarnation", other.name());
            return Err(wrong("regions", name, reason));
        }
        if !peer.joins {
            founders.push(other.clone());
        }
        regions.push(if other.name() == region.name() { region.clone() } else { other });
    }
    if !regions.contains(&region) {
        let reason = format!("the list of regions lacks this one: add [regions.{}]", id.as_str());
        return Err(wrong("region", "id", reason));
    }
    if regions.len() > 64 {
        return Err(wrong("regions", "", format!("{} regions, the limit is 64", regions.len())));
    }
    let join_from = join_from(config.region.join_from.as_deref(), &region, &regions, &founders)
        .map_err(|reason| wrong("region", "join_from", reason))?;
    let routes = routes::routes(&region, config.region.forwards, &config.regions)
        .map_err(|(section, key, reason)| wrong(&section, key, reason))?;
    let tags = tags(config.region.tags).map_err(|reason| wrong("region", "tags", reason))?;
    check_limits(&config.limits).map_err(|(key, reason)| wrong("limits", key, reason))?;
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let partitions = config.bus.partitions.map_or_else(default_partitions, |p| p.0);
    let bus = bus::bus(folder, config.bus, partitions, &config.regions)
        .map_err(|(section, key, reason)| wrong(&section, key, reason))?;
    let nodes = nodes::nodes(config.region.node.as_deref(), &config.nodes, partitions, listen)
        .and_then(|nodes| goes_with(nodes, &bus, join_from.as_ref(), routes.forwards()))
        .map_err(|(section, key, reason)| wrong(&section, key, reason))?;
    Ok(Config {
        region,
        regions,
        founders,
        join_from,
        routes,
        tags,
        nodes,
        data: folder.join(data),
        engine: config.store.engine.map_or_else(Engine::default, Engine::from),
        listen,
        bus,
        partitions,
        limits: config.limits,
    })
}

/// Without tokens it is only who is on this machine that may ask.
fn check_auth(auth: Option<Auth>, listen: SocketAddr) -> Result<(), String> {
    match auth {
        Some(Auth::None) if listen.ip().is_loopback() => Ok(()),
        Some(Auth::None) => {
            Err(format!("auth = \"none\" is taken on loopback only, not on {listen}"))
        }
        Some(Auth::Tokens) | None => {
            let reason = "this version has no tokens yet: listen on loopback, with auth = \"none\"";
            Err(reason.to_owned())
        }
    }
}

/// A limit at which a region could do nothing is a mistake.
fn check_limits(limits: &LimitsConfig) -> Result<(), (&'static str, String)> {
    for (key, value, most) in [
        ("queue", limits.queue, QUEUE_MOST),
        ("unconfirmed_changes", limits.unconfirmed_changes, usize::MAX),
        ("waiting_changes", limits.waiting_changes, usize::MAX),
    ] {
        if value == 0 {
            return Err((key, format!("{key} is 0: it must be 1 or more")));
        }
        if value > most {
            return Err((key, format!("{key} is {value}: it must be {most} or less")));
        }
    }
    Ok(())
}

/// A region of several nodes cannot be everything.
fn goes_with(
    nodes: Option<Nodes>,
    bus: &BusConfig,
    join_from: Option<&RegionId>,
    forwards: bool,
) -> Result<Option<Nodes>, bus::Wrong> {
    let wrong =
        |section: &str, key, reason: &str| Err((section.to_owned(), key, reason.to_owned()));
    if nodes.is_none() {
        return Ok(None);
    }
    if matches!(bus, BusConfig::Embedded(_)) {
        let reason = "the nodes of a region need kind = \"kafka\": the embedded bus has one writer";
        return wrong("bus", "kind", reason);
    }
    if join_from.is_some() {
        let reason = "a region of several nodes cannot take its data over from another: only one \
                      that was there at the start can have [nodes]";
        return wrong("region", "join_from", reason);
    }
    if forwards {
        let reason = "a region of several nodes cannot pass on what it hears";
        return wrong("region", "forwards", reason);
    }
    Ok(nodes)
}

fn tags(tags: Vec<RegionName>) -> Result<Vec<RegionId>, String> {
    let tags: Vec<RegionId> = tags.into_iter().map(|tag| tag.0).collect();
    if tags.len() > REGION_TAGS_MAX {
        return Err(format!("{} tags, the limit is {REGION_TAGS_MAX}", tags.len()));
    }
    match tags.iter().enumerate().find(|(at, tag)| tags[..*at].contains(tag)) {
        Some((_, tag)) => Err(format!("{tag} stands there twice")),
        None => Ok(tags),
    }
}

/// The region that this one takes its data over from. One that was not there at the start has to
/// name it: with an empty folder it would count for a region that has forgotten everything.
fn join_from(
    named: Option<&str>,
    region: &RegionId,
    regions: &[RegionId],
    founders: &[RegionId],
) -> Result<Option<RegionId>, String> {
    let example = regions.iter().find(|other| other.name() != region.name());
    let example = example.map_or("us-east-1", RegionId::name);
    match (named, founders.contains(region)) {
        (None, true) => Ok(None),
        (None, false) => Err(format!(
            "{region} was not there at the start, and takes its data over from a region that is: \
             name it, for example join_from = \"{example}\""
        )),
        (Some(_), true) => Err(format!(
            "{region} was there at the start, and does not join: take join_from out. A region that \
             was not there has joins = true in [regions.{0}], in every region's configuration; one \
             that lost its disk comes back with incarnation = 2",
            region.name()
        )),
        (Some(named), false) => {
            let donor: RegionId = named.parse().map_err(|error| format!("{error}"))?;
            if donor.name() == region.name() {
                return Err("a region does not take its data over from itself".into());
            }
            if !regions.iter().any(|other| other.name() == donor.name()) {
                return Err(format!("there is no section [regions.{}]", donor.name()));
            }
            Ok(Some(donor))
        }
    }
}

/// The number of partitions where nothing is said: 8.
pub fn default_partitions() -> PartitionCount {
    PartitionCount::new(8).unwrap_or_else(|_| unreachable!("8 is within the bounds"))
}

/// The line of a key, else of its section.
fn line_of(text: &str, section: &str, key: &str) -> usize {
    let mut current = "";
    let mut section_at = 1;
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            current = name.trim();
            if current == section || current == format!("{section}.{key}") {
                section_at = number;
            }
        } else if current == section
            && line.split('=').next().is_some_and(|name| name.trim() == key)
        {
            return number;
        }
    }
    section_at
}

#[cfg(test)]
mod tests;
