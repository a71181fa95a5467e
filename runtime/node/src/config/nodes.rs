//! The nodes of a region, where it has several: which partitions each owns, and where it is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use syncline_core::{NODES_MAX, PartitionCount};

use super::bus::Wrong;

/// The longest name of a node.
const NAME_CHARS_MAX: usize = 32;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NodeSection {
    url: Option<String>,
    partitions: Option<String>,
}

/// The nodes of a region, each with partitions of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    me: String,
    all: BTreeMap<String, Node>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where the others reach it, without a slash at its end.
    pub url: String,
    /// Its partitions.
    pub partitions: BTreeSet<u32>,
}

impl Nodes {
    /// These nodes, of which `me` is this one.
    pub fn new(me: &str, all: BTreeMap<String, Node>) -> Self {
        Self { me: me.to_owned(), all }
    }

    /// This node's name.
    pub fn me(&self) -> &str {
        &self.me
    }

    /// All nodes, by name.
    pub fn all(&self) -> &BTreeMap<String, Node> {
        &self.all
    }

    /// All but this one.
    pub fn others(&self) -> impl Iterator<Item = (&str, &Node)> {
        let others = self.all.iter().filter(|(name, _)| **name != self.me);
        others.map(|(name, node)| (name.as_str(), node))
    }

    /// This node's partitions.
    pub fn own(&self) -> BTreeSet<u32> {
        self.all.get(&self.me).map(|node| node.partitions.clone()).unwrap_or_default()
    }

    /// The node that has a partition.
    pub fn owner_of(&self, partition: u32) -> &str {
        let owner = self.all.iter().find(|(_, node)| node.partitions.contains(&partition));
        owner.map_or(self.me.as_str(), |(name, _)| name)
    }

    /// The node that has the control partition: that with partition 0.
    pub fn lead(&self) -> &str {
        self.owner_of(0)
    }

    /// Which of the nodes it is: the remainder of its HLCs.
    pub fn place(&self) -> usize {
        self.all.keys().take_while(|name| **name != self.me).count()
    }

    /// Who claims what, which must be the same in every node.
    pub fn claims(&self) -> BTreeMap<String, BTreeSet<u32>> {
        self.all.iter().map(|(name, node)| (name.clone(), node.partitions.clone())).collect()
    }
}

/// Partitions as the configuration writes them: `0-3,6`.
pub fn ranges(partitions: &BTreeSet<u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in partitions {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let text = |(first, last): (u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.into_iter().map(text).collect::<Vec<_>>().join(",")
}

/// What the sections of the nodes come to. None where there are none: the region is one node.
pub(super) fn nodes(
    me: Option<&str>,
    sections: &BTreeMap<String, NodeSection>,
    partitions: PartitionCount,
    listen: SocketAddr,
) -> Result<Option<Nodes>, Wrong> {
    let of_region = |reason: String| Err(("region".to_owned(), "node", reason));
    let me = match (me, sections.is_empty()) {
        (None, true) => return Ok(None),
        (Some(me), _) if !sections.contains_key(me) => {
            return of_region(format!("there is no section [nodes.{me}]"));
        }
        (None, false) => {
            return of_region(
                "the region has several nodes: node says which of them this one is".into(),
            );
        }
        (Some(me), _) => me.to_owned(),
    };
    if sections.len() > NODES_MAX {
        let reason = format!("{} nodes, the limit is {NODES_MAX}", sections.len());
        return Err(("nodes".into(), "", reason));
    }
    let mut all: BTreeMap<String, Node> = BTreeMap::new();
    for (name, section) in sections {
        let node = node(name, section, partitions)?;
        for (other, before) in &all {
            if let Some(both) = before.partitions.intersection(&node.partitions).next() {
                let reason = format!("partition {both} is that of node {other} already");
                return Err((format!("nodes.{name}"), "partitions", reason));
            }
            if before.url == node.url {
                let reason = format!("it is the url of node {other} as well");
                return Err((format!("nodes.{name}"), "url", reason));
            }
        }
        all.insert(name.clone(), node);
    }
    let owned: BTreeSet<u32> = all.values().flat_map(|node| node.partitions.clone()).collect();
    let missing: BTreeSet<u32> = (0..partitions.get()).filter(|n| !owned.contains(n)).collect();
    if !missing.is_empty() {
        let reason = format!("no node has the partitions {}", ranges(&missing));
        return Err((format!("nodes.{me}"), "partitions", reason));
    }
    let nodes = Nodes { me, all };
    is_reached(&nodes, listen)?;
    Ok(Some(nodes))
}

/// Where the others look for this node it has to listen. Of a host that is not this machine's own
/// nothing is known: something may stand in between.
fn is_reached(nodes: &Nodes, listen: SocketAddr) -> Result<(), Wrong> {
    let me = nodes.me();
    let Some(node) = nodes.all().get(me) else { return Ok(()) };
    let address = node.url.trim_start_matches("http://");
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (address, Some(80)),
    };
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let ip = plain.parse::<IpAddr>();
    let is_loopback = plain == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
    if !is_loopback || listen.port() == 0 || port == Some(listen.port()) {
        return Ok(());
    }
    let reason = format!(
        "this node is {me}, whose url is {}, and it listens on {listen}: the ports must be the same",
        node.url
    );
    Err((format!("nodes.{me}"), "url", reason))
}

fn node(name: &str, section: &NodeSection, count: PartitionCount) -> Result<Node, Wrong> {
    let wrong = |key, reason: &str| Err((format!("nodes.{name}"), key, reason.to_owned()));
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
        return wrong("", "a node's name is 1 to 32 letters, digits, - and _");
    }
    let Some(url) = &section.url else {
        return wrong("url", "it needs url, for example url = \"http://127.0.0.1:8080\"");
    };
    let url = url.trim_end_matches('/');
    let host = url.strip_prefix("http://").filter(|host| !host.is_empty());
    if host.is_none_or(|host| host.contains(['/', '?', '#', '@', ' '])) {
        return wrong("url", "it is http://, a host and a port, such as http://127.0.0.1:8080");
    }
    let Some(text) = &section.partitions else {
        return wrong("partitions", "it needs partitions, for example partitions = \"0-3\"");
    };
    match partitions_of(text, count) {
        Ok(partitions) => Ok(Node { url: url.to_owned(), partitions }),
        Err(reason) => wrong("partitions", &reason),
    }
}

fn partitions_of(text: &str, count: PartitionCount) -> Result<BTreeSet<u32>, String> {
    let wrong = || format!("partitions are written as 0-3 or 0-3,6, not {text:?}");
    let mut partitions = BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(wrong());
        }
        if last >= count.get() {
            return Err(format!(
                "there is no partition {last}: [bus] has {} partitions, from 0",
                count.get()
            ));
        }
        if let Some(twice) = (first..=last).find(|number| !partitions.insert(*number)) {
            return Err(format!("partition {twice} stands there twice"));
        }
    }
    Ok(partitions)
}
