//! What Kafka's own console consumer shows of a region's topics, held against the golden files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::faults::Strike;
use crate::scene::Scene;
use crate::writers::Writers;

const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
/// It ends when nothing has come for so long, in milliseconds.
const QUIET_MS: &str = "10000";
/// Every record begins with it.
const FIRST_HEADER: &str = "originating_region:";
/// What a golden file has of every field, an optional one included.
const CHANGE: &str = "change-update.json";
/// The second one has what a heartbeat need not have, too.
const HEARTBEAT: [&str; 2] = ["heartbeat.json", "heartbeat-evidence.json"];
const ROLLOUT: &str = "control-rollout-create-first.json";

/// A record as a line of the console.
struct Line {
    headers: BTreeMap<String, String>,
    key: String,
    payload: Value,
}

/// Reads the topics of a region while it writes.
pub(crate) fn reads(scene: &mut Scene, writers: &Writers, _: &mut Strike<'_>) -> Result<()> {
    writers.wait_for_more(50)?;
    let region = scene.serves[0].region.name.clone();
    let changes = consume(scene, &format!("syncline.changes.{region}"), 100)?;
    let control = consume(scene, &format!("syncline.control.{region}"), 15)?;
    let (mut kinds, mut rollouts) = (BTreeSet::new(), 0);
    for line in changes.iter().chain(&control) {
        let Line { headers, key, payload } = line;
        let header = |name: &str| headers.get(name).map(String::as_str);
        let kind = header("kind").context("a record without a kind")?;
        ensure!(header("originating_region") == Some(&*region), "of another region: {headers:?}");
        ensure!(header("content-type") == Some("application/json"), "{headers:?}");
        ensure!(payload["region_id"] == region.as_str(), "another region in {payload}");
        match kind {
            "change" => {
                like([CHANGE; 2], line, "")?;
                let row = [&payload["table_name"], &payload["row_pk"]].map(|part| part.as_str());
                let [Some(table), Some(row_pk)] = row else { bail!("no row in {payload}") };
                ensure!(*key == format!("{table}/{row_pk}"), "another key than of {payload}");
                ensure!(header("table_name") == Some(table), "{headers:?}");
                ensure!(header("event_id") == payload["event_id"].as_str(), "{headers:?}");
            }
            "heartbeat" => like(HEARTBEAT, line, "")?,
            _ if payload["body"]["type"] == "rollout_create" => {
                rollouts += 1;
                like([ROLLOUT; 2], line, "body")?;
            }
            _ => ensure!(key == "control" && kind == "control", "{key} is a {kind}"),
        }
        kinds.insert(kind.to_owned());
    }
    let seen: Vec<&str> = kinds.iter().map(String::as_str).collect();
    ensure!(seen == ["change", "control", "heartbeat"] && rollouts == 1, "there were {seen:?}");
    writers.wait_for_more(50)
}

/// The first records of a topic, as soon as there are so many.
fn consume(scene: &Scene, topic: &str, records: usize) -> Result<Vec<Line>> {
    let address = scene.brokers[0].address().context("a broker has an address")?;
    let mut command = scene.jars.program(CONSUMER, &["-Xmx128m"]);
    command.args(["--bootstrap-server", &address, "--topic", topic, "--from-beginning"]);
    command.args(["--property", "print.headers=true", "--property", "print.key=true"]);
    command.args(["--max-messages", &records.to_string(), "--timeout-ms", QUIET_MS]);
    let output = command.output().context("start the console consumer")?;
    let text = String::from_utf8(output.stdout).context("records are UTF-8")?;
    // What the consumer logs stands between the records.
    let records_only = text.lines().filter(|line| line.starts_with(FIRST_HEADER));
    let lines: Vec<Line> = records_only.map(line).collect::<Result<_>>()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(lines.len() == records, "{} records of {topic} came: {said}", lines.len());
    Ok(lines)
}

/// Headers, key and payload, with tabs between them.
fn line(text: &str) -> Result<Line> {
    let mut parts = text.splitn(3, '\t');
    let (Some(headers), Some(key), Some(payload)) = (parts.next(), parts.next(), parts.next())
    else {
        bail!("not headers, key and payload: {text}");
    };
    let header = |header: &str| {
        let (name, value) = header.split_once(':')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let headers = headers.split(',').map(header).collect::<Option<_>>();
    Ok(Line {
        headers: headers.with_context(|| format!("not headers: {text}"))?,
        key: key.to_owned(),
        payload: serde_json::from_str(payload).with_context(|| format!("not JSON: {text}"))?,
    })
}

/// Checks that a record has the headers and the fields, also those of a part, of one golden file, and
/// none that is not in another.
fn like(golden: [&str; 2], line: &Line, part: &str) -> Result<()> {
    let [least, most] = [read(golden[0])?, read(golden[1])?];
    let expected = least["headers"].as_array().into_iter().flatten();
    let expected: BTreeSet<&str> = expected.filter_map(|header| header[0].as_str()).collect();
    let headers: BTreeSet<&str> = line.headers.keys().map(String::as_str).collect();
    ensure!(headers == expected, "headers {headers:?}, not {expected:?}");
    let of_payloads = [&least["payload"], &line.payload, &most["payload"]];
    is_between(of_payloads.map(fields))?;
    if part.is_empty() { Ok(()) } else { is_between(of_payloads.map(|of| fields(&of[part]))) }
}

fn read(golden: &str) -> Result<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/wire").join(golden);
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {golden}"))?;
    serde_json::from_str(&text).context("read a golden file")
}

fn fields(of: &Value) -> BTreeSet<&str> {
    of.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn is_between([least, held, most]: [BTreeSet<&str>; 3]) -> Result<()> {
    let is_between = least.is_subset(&held) && held.is_subset(&most) && !least.is_empty();
    ensure!(is_between, "fields {held:?}, not at least {least:?} and at most {most:?}");
    Ok(())
}
