//! `syncline rollout remerge`.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http::Method;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, cut, printable, short_version};

/// So much of a row stands in a line.
const ROW_CHARS_SHOWN: usize = 160;

#[derive(Deserialize)]
struct Remerged {
    table: String,
    from: String,
    to: String,
    rows: Vec<Row>,
    same: u64,
    written_since: u64,
    unknown: u64,
    more: bool,
}

#[derive(Deserialize)]
struct Row {
    row_pk: String,
    state: String,
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
    fault: Option<String>,
}

pub(super) fn run(id: &str, plan: bool, client: &Client, out: &Output) -> Result<(), Failure> {
    let query = if plan { "?plan=true" } else { "" };
    let path = format!("{}/remerge{query}", super::path(id));
    let answer = client.send(Method::POST, &path, &[], Vec::new())?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    out.text(&client.decode::<Remerged>(&answer)?.text())
}

impl Remerged {
    fn text(&self) -> String {
        let [from, to] = [&self.from, &self.to].map(|version| short_version(version));
        let mut text = format!("{}: {from} -> {to}\n", printable(&self.table));
        let shown = |row: &Option<Box<RawValue>>| {
            let row = row.as_ref().map_or("no row", |row| row.get());
            printable(&cut(row, ROW_CHARS_SHOWN))
        };
        for row in &self.rows {
            let _ = writeln!(text, "{} ({})", printable(&row.row_pk), printable(&row.state));
            let _ = writeln!(text, "  - {}\n  + {}", shown(&row.before), shown(&row.after));
            if let Some(fault) = &row.fault {
                let _ = writeln!(
                    text,
                    "  its newest change, as the version fails: {}",
                    printable(fault)
                );
            }
        }
        let counts = [
            (self.same, "stay as they are"),
            (self.written_since, "were written since"),
            (self.unknown, "cannot be decided again: what they were decided from is gone"),
        ];
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            let _ = writeln!(text, "{count} {what}");
        }
        if self.more {
            text += "There are more: run it again.\n";
        } else if self.rows.is_empty() {
            text += "No row would be another one.\n";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shown_before_and_after() {
        let remerged: Remerged = serde_json::from_str(
            r#"{"table":"carts","from":"sha256:0123456789abcdef","to":"lww","rows":[
                {"row_pk":"c-1","conflict_id":"0f","state":"planned","before":{"n":1.50},
                 "after":null,"fault":null}],
                "same":2,"written_since":1,"unknown":0,"more":false}"#,
        )
        .unwrap();
        let expected = "carts: 0123456789ab -> lww\nc-1 (planned)\n  - {\"n\":1.50}\n  + no row\n\
            2 stay as they are\n1 were written since\n";
        assert_eq!(remerged.text(), expected);
    }
}
