//! `syncline conflicts replay`: what a function would have made of the conflicts that happened.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::ConflictsReplayArgs;
use crate::cli::client::{Client, encode};
use crate::cli::failure::Failure;
use crate::cli::function::{Source, engines};
use crate::cli::json;
use crate::cli::output::{Output, fields, note, printable, short_version};
use crate::recorded::Recorded;
use crate::replay::{Ending, Replay, ReplayReport};

/// What is asked for at once.
const PAGE: u32 = 200;

#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

pub(super) fn run(
    args: &ConflictsReplayArgs,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let loaded = Source::of(args.with.clone()).load()?;
    let component = engines::production(&loaded)?;
    let mut replay = Replay::by(&component.host, component.version.into())
        .ok_or_else(|| Failure::Failed("the function was not loaded".into()))?;
    match &args.table {
        Some(table) => of_table(table, args.last, client, &mut replay)?,
        None => {
            for id in &args.ids {
                let answer = client.get(&format!("/v1/conflicts/{}", encode(id)), &[])?;
                replay.add(&client.decode::<Recorded>(&answer)?.record().map_err(unreadable)?);
            }
        }
    }
    let report = replay.finish();
    if out.is_json() {
        out.json(&report)?
    } else {
        out.text(&text_of(&report))?
    }
    if report.different() == 0 { Ok(()) } else { Err(Failure::Difference) }
}

/// The last conflicts of a table, newest first.
fn of_table(
    table: &str,
    last: u32,
    client: &Client,
    replay: &mut Replay<'_>,
) -> Result<(), Failure> {
    let (mut left, mut cursor) = (last, None::<String>);
    while left > 0 {
        let limit = left.min(PAGE).to_string();
        let query = [
            ("table", Some(table)),
            ("images", Some("true")),
            ("limit", Some(limit.as_str())),
            ("cursor", cursor.as_deref()),
        ];
        let answer = client.get("/v1/conflicts", &query)?;
        let page: Page = client.decode(&answer)?;
        for item in &page.items {
            let recorded: Recorded =
                serde_json::from_str(item.get()).map_err(|error| unreadable(error.to_string()))?;
            replay.add(&recorded.record().map_err(unreadable)?);
            left -= 1;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
        note(&format!("replayed {} of up to {last}", last - left));
    }
    if left == last {
        note(&format!("this region has recorded no conflict of table {table}"));
    }
    Ok(())
}

fn unreadable(what: String) -> Failure {
    Failure::Failed(format!("the region's answer is no conflict that this software knows: {what}"))
}

fn text_of(report: &ReplayReport) -> String {
    let mut text = fields(&report.summary());
    for difference in report.differences() {
        let heading = format!(
            "{} of {}/{}",
            difference.conflict_id, difference.table_name, difference.row_pk
        );
        let _ = write!(text, "\n{}\n", printable(&heading));
        for (what, ending) in
            [("it was", &difference.recorded), ("it would be", &difference.replayed)]
        {
            let Ending { by, outcome, result, fault } = ending;
            let fault = fault.as_ref().map(|fault| format!(" ({fault})")).unwrap_or_default();
            let line = printable(&format!("{what}, {outcome} by {}{fault}", short_version(by)));
            let _ = write!(text, "  {line}\n{}", json::shown(result.as_deref(), 4));
        }
    }
    let left = report.different() - report.differences().len() as u64;
    if left > 0 {
        let _ = write!(text, "\n{left} more differ\n");
    }
    text
}
