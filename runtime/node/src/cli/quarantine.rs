//! `syncline quarantine`: records that could not be read.

use std::fmt::Write as _;

use serde::Deserialize;
use ureq::http::Method;

use super::args::{QuarantineCommand, QuarantineListArgs};
use super::client::{Client, encode};
use super::failure::Failure;
use super::output::{self, Output, cut, fields, note, printable};

/// So much of a reason stands in a list.
const REASON_CHARS_SHOWN: usize = 60;

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Item {
    id: String,
    source: String,
    lane: String,
    #[serde(default)]
    partition: Option<u32>,
    #[serde(default)]
    offset: Option<u64>,
    reason: String,
    quarantined_at: String,
    raw_bytes: u64,
    #[serde(default)]
    truncated: bool,
}

/// A record that is shown alone.
#[derive(Debug, Deserialize)]
struct Whole {
    #[serde(flatten)]
    item: Item,
    #[serde(default)]
    damaged: bool,
    raw_base64: String,
    #[serde(default)]
    raw_text: Option<String>,
    #[serde(default)]
    record: Option<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    key: String,
    headers: Vec<Header>,
    payload_base64: String,
    #[serde(default)]
    payload_text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct Replayed {
    id: String,
    outcome: String,
    #[serde(default)]
    reason: Option<String>,
    kept: bool,
}

pub(super) fn run(
    command: QuarantineCommand,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        QuarantineCommand::List(args) => list(&args, client, out),
        QuarantineCommand::Show(args) => show(&args.id, client, out),
        QuarantineCommand::Replay(args) => replay(&args.id, client, out),
        QuarantineCommand::Drop(args) => drop_kept(&args.id, client, out),
    }
}

fn path(id: &str) -> String {
    format!("/v1/quarantine/{}", encode(id))
}

fn list(args: &QuarantineListArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let limit = args.page.limit.to_string();
    let query = [
        ("source", args.source.as_deref()),
        ("partition", args.partition.as_deref()),
        ("limit", Some(limit.as_str())),
        ("cursor", args.page.cursor.as_deref()),
    ];
    let answer = client.get("/v1/quarantine", &query)?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let page: Page = client.decode(&answer)?;
    out.text(&page.table())?;
    if let Some(cursor) = &page.next_cursor {
        note(&format!("There are more: --cursor {}", printable(cursor)));
    }
    Ok(())
}

impl Page {
    fn table(&self) -> String {
        let row = |item: &Item| {
            [
                item.id.clone(),
                item.quarantined_at.clone(),
                item.size(),
                cut(&item.reason, REASON_CHARS_SHOWN),
            ]
        };
        let rows: Vec<_> = self.items.iter().map(row).collect();
        output::table(["RECORD", "SINCE", "BYTES", "REASON"], &rows)
    }
}

impl Item {
    fn size(&self) -> String {
        format!("{}{}", self.raw_bytes, if self.truncated { " (cut)" } else { "" })
    }

    fn lane(&self) -> String {
        match self.partition {
            Some(partition) => format!("{}/{partition}", self.lane),
            None => self.lane.clone(),
        }
    }
}

fn show(id: &str, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get(&path(id), &[])?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let whole: Whole = client.decode(&answer)?;
    out.text(&whole.text())
}

impl Whole {
    fn text(&self) -> String {
        let Self { item, damaged, raw_base64, raw_text, record } = self;
        let mut text = fields(&[
            ("record", item.id.clone()),
            ("log of", item.source.clone()),
            ("lane", item.lane()),
            ("offset", item.offset.map(|offset| offset.to_string()).unwrap_or_default()),
            ("since", item.quarantined_at.clone()),
            ("bytes", item.size()),
            ("damaged", if *damaged { "in the log".to_owned() } else { String::new() }),
            ("reason", item.reason.clone()),
        ]);
        let mut bytes = |name: &str, as_text: Option<&str>, base64: &str| {
            let (how, shown) = match as_text {
                Some(text) => ("", text),
                None => (", base64", base64),
            };
            let _ = write!(text, "\n{name}{how}\n");
            for line in shown.lines() {
                let _ = writeln!(text, "  {}", printable(line));
            }
        };
        let Some(Record { key, headers, payload_base64, payload_text }) = record else {
            bytes("raw", raw_text.as_deref(), raw_base64);
            return text;
        };
        let headers: Vec<String> =
            headers.iter().map(|header| format!("{}: {}", header.name, header.value)).collect();
        bytes("key", Some(key), "");
        bytes("headers", Some(&headers.join("\n")), "");
        bytes("payload", payload_text.as_deref(), payload_base64);
        text
    }
}

fn replay(id: &str, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.send(Method::POST, &format!("{}/replay", path(id)), &[], Vec::new())?;
    let replayed: Replayed = client.decode(&answer)?;
    if out.is_json() {
        out.json_as_it_came(&answer.body)?;
    } else {
        out.text(&format!("{}: {}\n", printable(&replayed.id), printable(replayed.meaning())))?;
    }
    if !replayed.kept {
        return Ok(());
    }
    let reason = replayed.reason.as_deref().unwrap_or(replayed.meaning());
    Err(Failure::Failed(format!("the record stays in quarantine: {reason}")))
}

impl Replayed {
    fn meaning(&self) -> &str {
        match self.outcome.as_str() {
            "applied" => "applied",
            "waiting" => "taken; it waits for what it builds on, or for a merge function",
            "duplicate" => "known already",
            "dropped" => "applied nowhere: it went with a region that is gone",
            "gap" => {
                "not taken: one before it is missing, and will be sent again, as will this one"
            }
            "unreadable" => "still cannot be read",
            other => other,
        }
    }
}

fn drop_kept(id: &str, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.send(Method::DELETE, &path(id), &[], Vec::new())?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    out.text(&format!("dropped {}\n", printable(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &str = r#""id":"eu-west-1.2.3.4096","source":"eu-west-1#2","lane":"changes",
        "partition":3,"offset":4096,"reason":"its payload is not JSON\u001b[2J",
        "quarantined_at":"2026-11-20T19:33:32.955Z","raw_bytes":70000,"truncated":true"#;

    #[test]
    fn a_list_says_what_is_wrong_in_a_line() {
        let page = format!(r#"{{"items":[{{{ITEM}}}],"next_cursor":null}}"#);
        let page: Page = serde_json::from_str(&page).unwrap();
        insta::assert_snapshot!(page.table(), @r"
        RECORD              SINCE                     BYTES        REASON
        eu-west-1.2.3.4096  2026-11-20T19:33:32.955Z  70000 (cut)  its payload is not JSON\u{1b}[2J
        ");
    }

    fn shown(rest: &str) -> String {
        let whole: Whole = serde_json::from_str(&format!("{{{ITEM},{rest}}}")).unwrap();
        whole.text()
    }

    #[test]
    fn a_record_is_shown_in_its_parts() {
        let whole = shown(
            r#""damaged":false,"raw_base64":"AA==","raw_text":null,"record":{"key":"carts/c-1",
            "headers":[{"name":"kind","value":"change"},{"name":"event_id","value":"0193"}],
            "payload_base64":"e25vdA==","payload_text":"{not\nJSON"}"#,
        );
        insta::assert_snapshot!(whole, @r"
        record   eu-west-1.2.3.4096
        log of   eu-west-1#2
        lane     changes/3
        offset   4096
        since    2026-11-20T19:33:32.955Z
        bytes    70000 (cut)
        reason   its payload is not JSON\u{1b}[2J

        key
          carts/c-1

        headers
          kind: change
          event_id: 0193

        payload
          {not
          JSON
        ");
    }

    #[test]
    fn what_is_no_record_is_shown_as_bytes() {
        let damaged = shown(r#""damaged":true,"raw_base64":"/wA=","raw_text":null,"record":null"#);
        insta::assert_snapshot!(damaged, @r"
        record   eu-west-1.2.3.4096
        log of   eu-west-1#2
        lane     changes/3
        offset   4096
        since    2026-11-20T19:33:32.955Z
        bytes    70000 (cut)
        damaged  in the log
        reason   its payload is not JSON\u{1b}[2J

        raw, base64
          /wA=
        ");
    }

    #[test]
    fn what_a_replay_came_to_is_said_in_words() {
        for outcome in ["applied", "waiting", "duplicate", "dropped", "gap", "unreadable"] {
            let replayed = Replayed {
                id: "a.1.0.1".into(),
                outcome: outcome.into(),
                reason: None,
                kept: false,
            };
            assert!(outcome == "applied" || replayed.meaning() != outcome, "{outcome}");
        }
    }
}
