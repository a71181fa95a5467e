//! `syncline topology` and `syncline link`: the links between regions.

use serde::Deserialize;
use ureq::http::Method;

use super::args::{LinkArgs, LinkCommand};
use super::client::{Client, encode};
use super::failure::Failure;
use super::members::{self, TopologyCommand};
use super::output::{self, Output, fields};

/// A region and its links to the others.
#[derive(Debug, Deserialize)]
struct Topology {
    region: String,
    incarnation: u32,
    partitions: u32,
    /// It passes on what it hears.
    #[serde(default)]
    forwards: bool,
    /// Changes that not every region has confirmed yet.
    #[serde(default)]
    outbox: u64,
    #[serde(default)]
    waiting: u64,
    regions: Vec<Region>,
    #[serde(default)]
    members: Vec<String>,
    /// What changes, and the last change before.
    #[serde(default)]
    membership: Vec<Change>,
}

/// A change of the regions.
#[derive(Debug, Deserialize)]
struct Change {
    id: String,
    change: String,
    regions: Vec<String>,
    state: String,
    #[serde(default)]
    waits_for: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Region {
    region: String,
    #[serde(rename = "self", default)]
    is_self: bool,
    #[serde(default)]
    via: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    link: Option<String>,
    #[serde(default)]
    lag_ms: Option<u64>,
    #[serde(default)]
    waiting: u64,
    #[serde(default)]
    in_quarantine: u64,
    #[serde(default)]
    watermark: Option<String>,
}

/// The links of `syncline dev` that are not as they should be.
#[derive(Debug, Deserialize)]
struct Links {
    links: Vec<Link>,
}

#[derive(Debug, Deserialize)]
struct Link {
    a: String,
    b: String,
    state: String,
}

/// Shows the regions, or changes which there are.
pub(super) fn run(
    command: Option<TopologyCommand>,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        None | Some(TopologyCommand::Show) => show(client, out),
        Some(TopologyCommand::Join(args)) => members::join(&args, client, out),
        Some(TopologyCommand::Evict(args)) => members::evict(&args, client, out),
    }
}

fn show(client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get("/v1/topology", &[])?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let topology: Topology = client.decode(&answer)?;
    out.text(&topology.text())
}

/// Cuts or heals the link between two regions.
pub(super) fn link(command: LinkCommand, client: &Client, out: &Output) -> Result<(), Failure> {
    let (LinkArgs { a, b }, action) = match command {
        LinkCommand::Cut(args) => (args, "cut"),
        LinkCommand::Heal(args) => (args, "heal"),
    };
    let path = format!("/v1/dev/links/{}/{}/{action}", encode(&a), encode(&b));
    let answer = client.send(Method::POST, &path, &[], Vec::new())?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let links: Links = client.decode(&answer)?;
    out.text(&links.table())
}

impl Topology {
    fn text(&self) -> String {
        let head = fields(&[
            ("region", self.region.clone()),
            ("incarnation", self.incarnation.to_string()),
            ("partitions", self.partitions.to_string()),
            ("forwards", if self.forwards { "yes" } else { "no" }.to_owned()),
            ("outbox", self.outbox.to_string()),
            ("waiting", self.waiting.to_string()),
            ("members", self.members.join(", ")),
        ]);
        let row = |region: &Region| {
            let lag = region.lag_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
            let link = region.link.clone().unwrap_or_else(|| "-".to_owned());
            [
                region.region.clone(),
                if region.is_self && link == "up" { "(itself)".to_owned() } else { link },
                region.via.clone().unwrap_or_else(|| "-".to_owned()),
                if region.is_self { "-".to_owned() } else { lag },
                region.waiting.to_string(),
                region.in_quarantine.to_string(),
                region.watermark.clone().unwrap_or_default(),
                region.tags.join(" "),
            ]
        };
        let rows: Vec<_> = self.regions.iter().map(row).collect();
        let links = output::table(
            ["REGION", "LINK", "VIA", "LAG", "WAITING", "QUARANTINE", "WATERMARK", "TAGS"],
            &rows,
        );
        let change = |change: &Change| {
            let waits = change.waits_for.join(", ");
            let waits = if waits.is_empty() { "-".to_owned() } else { waits };
            let regions = change.regions.join(", ");
            [change.id.clone(), change.change.clone(), regions, change.state.clone(), waits]
        };
        if self.membership.is_empty() {
            return format!("{head}\n{links}");
        }
        let changes: Vec<_> = self.membership.iter().map(change).collect();
        let changes =
            output::table(["MEMBERSHIP", "CHANGE", "REGIONS", "STATE", "WAITS FOR"], &changes);
        format!("{head}\n{links}\n{changes}")
    }
}

impl Links {
    fn table(&self) -> String {
        if self.links.is_empty() {
            return "no link is cut\n".to_owned();
        }
        let row = |link: &Link| [link.a.clone(), link.b.clone(), link.state.clone()];
        let rows: Vec<_> = self.links.iter().map(row).collect();
        output::table(["A", "B", "LINK"], &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topology_shows_each_link() {
        let topology: Topology = serde_json::from_str(
            r#"{"region":"us-east-1","incarnation":1,"partitions":8,"forwards":true,"outbox":3,
                "waiting":0,"members":["ap-south-1","eu-west-1","us-east-1"],
                "membership":[{"id":"0193","change":"join","regions":["sa-east-1"],"state":"open",
                  "waits_for":["ap-south-1"]}],
                "regions":[
                  {"region":"us-east-1","self":true,"link":"up","lag_ms":0,"waiting":0,
                   "watermark":"1795203212955.00000"},
                  {"region":"eu-west-1","self":false,"link":"cut","lag_ms":1250,"waiting":2,"in_quarantine":7,
                   "watermark":"1795203211705.00001"},
                  {"region":"ap-south-1","self":false,"via":"eu-west-1","tags":["ap-south-1","apac"],"link":"silent","lag_ms":null,"waiting":0,
                   "watermark":null}]}"#,
        )
        .unwrap();
        insta::assert_snapshot!(topology.text(), @r"
        region       us-east-1
        incarnation  1
        partitions   8
        forwards     yes
        outbox       3
        waiting      0
        members      ap-south-1, eu-west-1, us-east-1

        REGION      LINK      VIA        LAG      WAITING  QUARANTINE  WATERMARK            TAGS
        us-east-1   (itself)  -          -        0        0           1795203212955.00000
        eu-west-1   cut       -          1250 ms  2        7           1795203211705.00001
        ap-south-1  silent    eu-west-1  -        0        0                                ap-south-1 apac

        MEMBERSHIP  CHANGE  REGIONS    STATE  WAITS FOR
        0193        join    sa-east-1  open   ap-south-1
        ");
    }

    #[test]
    fn links_are_shown_with_their_state() {
        let links: Links =
            serde_json::from_str(r#"{"links":[{"a":"x","b":"yy","state":"cut"}]}"#).unwrap();
        assert_eq!(links.table(), "A  B   LINK\nx  yy  cut\n");
        assert_eq!(Links { links: Vec::new() }.table(), "no link is cut\n");
    }
}
