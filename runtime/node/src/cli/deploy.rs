//! `syncline deploy`: upload a merge function and watch its rollout.

use serde::Deserialize;
use serde_json::{Value, json};
use syncline_verifier::Case;

use super::args::DeployArgs;
use super::client::{Client, Upload};
use super::failure::Failure;
use super::function::read_cases;
use super::output::{Output, fields, note, printable};
use super::{plan, rollout};

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

pub(super) fn run(args: &DeployArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let cases = args.cases.as_deref().map_or_else(|| Ok(Vec::new()), read_cases)?;
    // What is too large is not even sent: a region would close the connection in the middle, which
    // says less than the file's own limit does.
    let component = args.source.load()?.bytes;
    let cases: Vec<String> = cases.iter().map(Case::to_json).collect();
    let cases = (!cases.is_empty()).then(|| format!("[{}]", cases.join(",")));
    let rollout = (!args.plan.is_default()).then(|| args.plan.body().to_string());
    let upload = Upload { component: &component, table: &args.table, cases, rollout };
    let answer = client.upload(upload, args.plan.plan)?;
    if args.plan.plan {
        return plan::show(&answer, client, out);
    }
    let mut uploaded: Uploaded = client.decode(&answer)?;
    let before = if answer.status == 200 { ", as it was before" } else { "" };
    note(&format!("uploaded {}{before}", printable(&uploaded.version)));
    if let Some(id) = &uploaded.rollout_id {
        let timeout = (!args.watch).then_some(args.timeout);
        let waits = args.watch || !(args.no_wait || args.plan.manual);
        if waits {
            uploaded.state = rollout::watch(id, timeout, client)?.state;
        } else if args.plan.manual {
            note(&format!("`syncline rollout promote {}` begins the next stage", printable(id)));
        }
    }
    show(&uploaded, out)
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
