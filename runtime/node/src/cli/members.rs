//! `syncline topology join` and `evict`: regions come and go.

use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::args::{duration, region};
use super::client::Client;
use super::failure::Failure;
use super::output::{Output, fields, note, printable};

/// How often a change is looked at while the command waits.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) const TOPOLOGY_EXAMPLES: &str = "\
Examples:
  syncline topology
  syncline topology show --url http://127.0.0.1:8081 --output json
  syncline topology join sa-east-1 --watch
  syncline topology evict ap-south-1 --yes --watch";

const SHOW_EXAMPLES: &str = "\
Examples:
  syncline topology show
  syncline topology show --url http://127.0.0.1:8081 --output json";

const JOIN_EXAMPLES: &str = "\
Examples:
  syncline topology join sa-east-1 --plan
  syncline topology join sa-east-1 --watch
  syncline topology join 'eu-west-1#2' --watch

The region that is asked is the donor: it copies what it has for the new region, whose configuration
names it with join_from. Every member must have [regions.NAME] with the new region's cluster. A region
that lost its disk is evicted first, and then joins as its next incarnation.
Asked again while the new region has not joined yet, the region that is asked makes another copy.";

const EVICT_EXAMPLES: &str = "\
Examples:
  syncline topology evict ap-south-1 --plan
  syncline topology evict ap-south-1 --yes --watch
  syncline topology evict ap-south-1 sa-east-1 --yes

For regions that are gone for good: what they had not passed on is lost, and they never come back
as the same incarnation. Name all that are gone at once; the others have to agree.";

/// What is asked of the topology.
#[derive(Debug, Subcommand)]
pub(super) enum TopologyCommand {
    /// Show the regions, the links to them, and what changes.
    #[command(after_help = SHOW_EXAMPLES)]
    Show,
    /// Count a new region, and copy for it what the asked region has.
    #[command(after_help = JOIN_EXAMPLES)]
    Join(JoinArgs),
    /// Go on without regions that are gone for good.
    #[command(after_help = EVICT_EXAMPLES)]
    Evict(EvictArgs),
}

#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// The region, with #N for an incarnation above 1.
    #[arg(value_name = "REGION", value_parser = region)]
    region: String,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(super) struct EvictArgs {
    /// All regions that are gone.
    #[arg(value_name = "REGION", required = true, value_parser = region)]
    regions: Vec<String>,
    /// Do it: it cannot be undone.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
struct WaitArgs {
    /// Only say what would happen.
    #[arg(long, conflicts_with = "watch")]
    plan: bool,
    /// Wait until it is carried out, and say on the way who is waited for.
    #[arg(long)]
    watch: bool,
    /// How long to wait with --watch.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    timeout: Duration,
}

/// A change of the regions, as far as it is shown.
#[derive(Clone, Debug, Deserialize)]
struct Change {
    id: String,
    change: String,
    regions: Vec<String>,
    state: String,
    #[serde(default)]
    waits_for: Vec<String>,
    #[serde(default)]
    refused: std::collections::BTreeMap<String, String>,
}

/// What would happen.
#[derive(Debug, Deserialize)]
struct Plan {
    change: String,
    regions: Vec<String>,
    participants: Vec<String>,
    silent: Vec<String>,
    members: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Topology {
    membership: Vec<Change>,
}

pub(super) fn join(args: &JoinArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let body = json!({ "region": args.region });
    carry_out("/v1/topology/join", &body, &args.wait, client, out)
}

pub(super) fn evict(args: &EvictArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let body = json!({ "regions": args.regions });
    if !args.yes && !args.wait.plan {
        let plan = client.decode::<Plan>(&send("/v1/topology/evict?plan=true", &body, client)?)?;
        note(&plan.text());
        return Err(Failure::Usage(
            "this cannot be undone: nothing is done without --yes".to_owned(),
        ));
    }
    carry_out("/v1/topology/evict", &body, &args.wait, client, out)
}

fn send(path: &str, body: &Value, client: &Client) -> Result<super::client::Answer, Failure> {
    let json = [("content-type", "application/json".to_owned())];
    client.send(Method::POST, path, &json, body.to_string().into_bytes())
}

fn carry_out(
    path: &str,
    body: &Value,
    wait: &WaitArgs,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    if wait.plan {
        let answer = send(&format!("{path}?plan=true"), body, client)?;
        if out.is_json() {
            return out.json_as_it_came(&answer.body);
        }
        return out.text(&client.decode::<Plan>(&answer)?.text());
    }
    let answer = send(path, body, client)?;
    let mut change: Change = client.decode(&answer)?;
    if wait.watch {
        change = watch(change, wait.timeout, client)?;
    } else if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    if out.is_json() {
        let Change { id, change, regions, state, waits_for, .. } = change;
        return out.json(&json!({
            "id": id, "change": change, "regions": regions, "state": state, "waits_for": waits_for,
        }));
    }
    out.text(&change.text())
}

/// Waits until the change is carried out.
fn watch(first: Change, timeout: Duration, client: &Client) -> Result<Change, Failure> {
    let deadline = Instant::now() + timeout;
    let mut shown = String::new();
    let mut last = first;
    loop {
        let progress = last.progress();
        if progress != shown {
            note(&progress);
            shown = progress;
        }
        match last.state.as_str() {
            "complete" => return Ok(last),
            "dead" => return Err(last.lost()),
            _ if Instant::now() >= deadline => return Err(last.late(timeout)),
            _ => thread::sleep(LOOK_EVERY),
        }
        let topology: Topology = client.decode(&client.get("/v1/topology", &[])?)?;
        let now = topology.membership.into_iter().find(|change| change.id == last.id);
        // One that is not told of any more was followed by another.
        last = now.unwrap_or_else(|| Change { state: "complete".into(), ..last });
    }
}

impl Change {
    fn text(&self) -> String {
        fields(&[
            ("change", self.id.clone()),
            (&self.change, self.regions.join(", ")),
            ("state", self.state.clone()),
            ("waits for", if self.waits_for.is_empty() { "-".into() } else { self.waits() }),
        ])
    }

    pub(super) fn waits(&self) -> String {
        self.waits_for.join(", ")
    }

    fn progress(&self) -> String {
        let waits = if self.waits_for.is_empty() {
            String::new()
        } else {
            format!(", waits for {}", printable(&self.waits()))
        };
        format!("  {}{waits}", printable(&self.state))
    }

    fn lost(&self) -> Failure {
        let by: Vec<&str> = self.refused.keys().map(String::as_str).collect();
        let by = if by.is_empty() { String::new() } else { format!(" to {}", by.join(", ")) };
        Failure::Failed(format!(
            "membership change {} is dead: it lost{by} against another; `syncline topology` shows \
             what there is now",
            self.id
        ))
    }

    fn late(&self, timeout: Duration) -> Failure {
        Failure::Failed(format!(
            "membership change {} is {} after {} s, and waits for {}; it goes on without this \
             command, `syncline topology` shows it",
            self.id,
            self.state,
            timeout.as_secs_f32(),
            self.waits()
        ))
    }
}

impl Plan {
    fn text(&self) -> String {
        let silent = if self.silent.is_empty() { "-".to_owned() } else { self.silent.join(", ") };
        fields(&[
            (&self.change, self.regions.join(", ")),
            ("have to agree", self.participants.join(", ")),
            ("not heard now", silent),
            ("members then", self.members.join(", ")),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(state: &str) -> Change {
        serde_json::from_value(json!({
            "id": "0193", "change": "join", "regions": ["d"], "state": state,
            "waits_for": ["b", "c"], "refused": {"c": "0192"},
        }))
        .unwrap()
    }

    #[test]
    fn progress_says_who_is_waited_for() {
        assert_eq!(change("open").progress(), "  open, waits for b, c");
    }

    #[test]
    fn a_change_that_lost_or_is_late_says_so() {
        let text = |failure| match failure {
            Failure::Failed(text) => text,
            other => panic!("{other:?}"),
        };
        assert!(text(change("dead").lost()).contains("lost to c against another"));
        let late = text(change("open").late(Duration::from_secs(2)));
        assert!(late.contains("open after 2 s, and waits for b, c;"), "{late}");
    }

    #[test]
    fn a_plan_names_those_who_cannot_answer() {
        let plan: Plan = serde_json::from_value(json!({
            "change": "evict", "regions": ["c"], "participants": ["a", "b"], "silent": ["b"],
            "members": ["a", "b"],
        }))
        .unwrap();
        insta::assert_snapshot!(plan.text(), @r"
        evict          c
        have to agree  a, b
        not heard now  b
        members then   a, b
        ");
    }
}
