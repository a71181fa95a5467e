//! `syncline deploy`: upload a merge function and watch its rollout.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use syncline_verifier::Case;

use super::args::DeployArgs;
use super::client::{Client, encode};
use super::failure::Failure;
use super::output::{Output, fields, note, printable};

/// How often the rollout is looked at while the command waits.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The answer to an upload.
#[derive(Debug, Deserialize)]
struct Uploaded {
    version: String,
    table: String,
    state: String,
    rollout_id: Option<String>,
    #[serde(default)]
    report: Value,
}

/// A rollout, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Rollout {
    state: String,
    #[serde(default)]
    regions: BTreeMap<String, Region>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Region {
    state: String,
    #[serde(default)]
    active: bool,
}

pub(super) fn run(args: &DeployArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let cases = args.cases.read_any(&args.source)?;
    // What is too large is not even sent: a region would close the connection in the middle, which
    // says less than the file's own limit does.
    let component = args.source.load()?.bytes;
    let cases: Vec<String> = cases.iter().map(Case::to_json).collect();
    let cases = (!cases.is_empty()).then(|| format!("[{}]", cases.join(",")));
    let answer = client.upload(&component, &args.table, cases)?;
    let mut uploaded: Uploaded = client.decode(&answer)?;
    let before = if answer.status == 200 { ", as it was before" } else { "" };
    note(&format!("uploaded {}{before}", printable(&uploaded.version)));
    if let (Some(id), false) = (&uploaded.rollout_id, args.no_wait) {
        uploaded.state = wait(id, args.timeout, client)?;
    }
    show(&uploaded, out)
}

/// Waits until all regions use the function, and says on the way how far each is.
fn wait(id: &str, timeout: Duration, client: &Client) -> Result<String, Failure> {
    let deadline = Instant::now() + timeout;
    let path = format!("/v1/rollouts/{}", encode(id));
    let mut shown = BTreeMap::new();
    loop {
        let rollout: Rollout = client.decode(&client.get(&path, &[])?)?;
        for (name, region) in &rollout.regions {
            if shown.insert(name.clone(), region.clone()).as_ref() != Some(region) {
                note(&progress(name, region));
            }
        }
        match rollout.state.as_str() {
            "complete" => return Ok(rollout.state),
            "superseded" | "aborted" => return Err(ended(id, &rollout)),
            _ if Instant::now() >= deadline => return Err(late(id, timeout, &rollout)),
            _ => thread::sleep(LOOK_EVERY),
        }
    }
}

fn progress(name: &str, region: &Region) -> String {
    let state = if region.active { "active" } else { &region.state };
    format!("  {}: {}", printable(name), printable(state))
}

fn ended(id: &str, rollout: &Rollout) -> Failure {
    let why = match &rollout.reason {
        Some(reason) => format!(": {reason}"),
        None if rollout.state == "superseded" => {
            ": another rollout of this table came first".to_owned()
        }
        None => String::new(),
    };
    Failure::Failed(format!("rollout {id} is {}{why}; it is active nowhere", rollout.state))
}

fn late(id: &str, timeout: Duration, rollout: &Rollout) -> Failure {
    let missing = rollout.regions.iter().filter(|(_, region)| !region.active);
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    Failure::Failed(format!(
        "rollout {id} is {} after {} s, not active in {}; it goes on without this command, \
         `syncline functions list` shows it",
        rollout.state,
        timeout.as_secs_f32(),
        if missing.is_empty() { "any region".to_owned() } else { missing.join(", ") }
    ))
}

fn show(uploaded: &Uploaded, out: &Output) -> Result<(), Failure> {
    let Uploaded { version, table, state, rollout_id, report } = uploaded;
    if out.is_json() {
        return out.json(&json!({
            "version": version,
            "table": table,
            "state": state,
            "rollout_id": rollout_id,
            "report": report,
        }));
    }
    out.text(&fields(&[
        ("version", version.clone()),
        ("table", table.clone()),
        ("state", state.clone()),
        ("rollout", rollout_id.clone().unwrap_or_default()),
        ("verified", verified(&report["verified"])),
    ]))
}

/// What the region found out about the function, in a line; `syncline function verify` says more.
fn verified(report: &Value) -> String {
    let number = |name: &str| report[name].as_u64().unwrap_or_default();
    let tried = number("given") + number("recorded") + number("generated");
    if tried == 0 {
        return "not yet: no case was given, and the table had no conflict".to_owned();
    }
    let findings = report["findings"].as_array().into_iter().flatten();
    let broken = findings.filter(|finding| finding["verdict"] == "broken");
    let broken: Vec<&str> = broken.filter_map(|finding| finding["law"].as_str()).collect();
    let recorded = number("recorded");
    let on = format!("on {tried} conflicts, {recorded} of them recorded");
    if broken.is_empty() { on } else { format!("{on}; not {}", broken.join(", not ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(state: &str) -> Rollout {
        serde_json::from_value(json!({
            "state": state,
            "regions": {
                "a": {"state": "stage", "active": true},
                "b": {"state": "distributing", "active": false},
            },
        }))
        .unwrap()
    }

    fn text(failure: Failure) -> String {
        match failure {
            Failure::Failed(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn progress_names_the_region_and_how_far_it_is() {
        let rollout = rollout("stage");
        assert_eq!(progress("a", &rollout.regions["a"]), "  a: active");
        assert_eq!(progress("b", &rollout.regions["b"]), "  b: distributing");
    }

    #[test]
    fn a_rollout_that_is_late_names_the_regions_it_waits_for() {
        let text = text(late("r1", Duration::from_millis(1500), &rollout("distributing")));
        assert!(text.contains("distributing after 1.5 s, not active in b;"), "{text}");
    }

    #[test]
    fn a_rollout_that_lost_says_so() {
        let text = text(ended("r1", &rollout("superseded")));
        assert!(text.contains("another rollout"), "{text}");
    }
}
