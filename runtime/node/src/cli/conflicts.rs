//! `syncline conflicts`: what met, and how it was resolved.

mod args;
mod replay;

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) use args::{CONFLICTS_EXAMPLES, ConflictsCommand};

use args::ConflictsListArgs;

use super::client::{Client, encode};
use super::failure::Failure;
use super::json;
use super::output::{self, Output, fields, note, printable, short_version};

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Conflict>,
    next_cursor: Option<String>,
}

/// A conflict in a list, and the head of one that is shown alone.
#[derive(Debug, Deserialize)]
struct Conflict {
    conflict_id: String,
    table_name: String,
    row_pk: String,
    heads: Vec<Head>,
    resolution_strategy: String,
    outcome: String,
    #[serde(default)]
    merge_function: Option<String>,
    #[serde(default)]
    winner_event_id: Option<String>,
    #[serde(default)]
    resolved_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Head {
    region: String,
}

/// A conflict that is shown alone. Its two parts are read in a pass each: serde's `flatten` goes
/// through a copy of the document in which numbers are no longer as they were written.
#[derive(Debug)]
struct Story {
    conflict: Conflict,
    images: Images,
}

/// What the heads left, and what came of them.
#[derive(Debug, Deserialize)]
struct Images {
    #[serde(default)]
    sides: Vec<Side>,
    #[serde(default)]
    ancestor: Option<Box<RawValue>>,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    fault: Option<Fault>,
}

#[derive(Debug, Deserialize)]
struct Side {
    region: String,
    hlc: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    image: Option<Box<RawValue>>,
    #[serde(default)]
    ancestor: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    code: String,
    #[serde(default)]
    text: String,
}

pub(super) fn run(command: ConflictsCommand, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        ConflictsCommand::List(args) => list(&args, client, out),
        ConflictsCommand::Show { id } => show(&id, client, out),
        ConflictsCommand::Replay(args) => replay::run(&args, client, out),
    }
}

fn list(args: &ConflictsListArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let limit = args.page.limit.to_string();
    let query = [
        ("table", args.table.as_deref()),
        ("row_pk", args.row_pk.as_deref()),
        ("outcome", args.outcome.as_deref()),
        ("resolution_strategy", args.strategy.as_deref()),
        ("limit", Some(limit.as_str())),
        ("cursor", args.page.cursor.as_deref()),
    ];
    let answer = client.get("/v1/conflicts", &query)?;
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
        let row = |conflict: &Conflict| {
            [
                conflict.conflict_id.clone(),
                format!("{}/{}", conflict.table_name, conflict.row_pk),
                conflict.regions(),
                conflict.outcome.clone(),
                conflict.resolved_by(),
                conflict.resolved_at.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<_> = self.items.iter().map(row).collect();
        output::table(["CONFLICT", "ROW", "BETWEEN", "OUTCOME", "BY", "RESOLVED"], &rows)
    }
}

impl Conflict {
    fn regions(&self) -> String {
        let regions: Vec<&str> = self.heads.iter().map(|head| head.region.as_str()).collect();
        regions.join(", ")
    }

    fn resolved_by(&self) -> String {
        match &self.merge_function {
            Some(version) => short_version(version),
            None => self.resolution_strategy.clone(),
        }
    }
}

fn show(id: &str, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get(&format!("/v1/conflicts/{}", encode(id)), &[])?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let story = Story { conflict: client.decode(&answer)?, images: client.decode(&answer)? };
    out.text(&story.text())
}

impl Story {
    fn text(&self) -> String {
        let Self { conflict, images } = self;
        let Images { sides, ancestor, result, fault } = images;
        let fault = fault.as_ref().map(|fault| format!("{}: {}", fault.code, fault.text));
        let mut text = fields(&[
            ("conflict", conflict.conflict_id.clone()),
            ("row", format!("{}/{}", conflict.table_name, conflict.row_pk)),
            ("outcome", conflict.outcome.clone()),
            ("by", conflict.merge_function.clone().unwrap_or(conflict.resolution_strategy.clone())),
            ("fault", fault.unwrap_or_default()),
            ("winner", conflict.winner_event_id.clone().unwrap_or_default()),
            ("resolved", conflict.resolved_at.clone().unwrap_or_default()),
        ]);
        let _ = write!(text, "\nancestor\n{}", json::shown(ancestor.as_deref(), 2));
        for side in sides {
            let Side { region, hlc, operation, .. } = side;
            let heading = printable(&format!("{region} at {hlc}, {operation}"));
            let _ = write!(text, "\n{heading}\n{}", json::shown(side.image.as_deref(), 2));
            if let Some(own) = side.own_ancestor(ancestor.as_deref()) {
                let _ = write!(text, "  merged with the ancestor\n{}", json::shown(Some(own), 4));
            }
        }
        let _ = write!(text, "\nresult\n{}", json::shown(result.as_deref(), 2));
        text
    }
}

impl Side {
    /// With three heads and more, a head may meet what the older ones became with an ancestor that
    /// is not the one of all.
    fn own_ancestor(&self, of_all: Option<&RawValue>) -> Option<&RawValue> {
        let own = self.ancestor.as_deref()?;
        (Some(own.get()) != of_all.map(RawValue::get)).then_some(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORY: &str = r#"{"conflict_id":"0f3a","table_name":"carts","row_pk":"c-17",
        "heads":[{"region":"eu-west-1","hlc":"1795203212955.00000","event_id":"e1"},
                 {"region":"us-east-1","hlc":"1795203212956.00000","event_id":"e2"}],
        "resolution_strategy":"merge-function","outcome":"merged","merge_function":"sha256:0123456789abcdef",
        "winner_event_id":null,"resolved_at":"2026-11-20T19:33:32.955Z",
        "ancestor":{"items":[{"id":"fig","qty":1}],"price":1.50},
        "sides":[{"region":"eu-west-1","hlc":"1795203212955.00000","operation":"update",
                  "image":{"items":[{"id":"fig","qty":3}],"price":1.50},"ancestor":null},
                 {"region":"us-east-1","hlc":"1795203212956.00000","operation":"delete",
                  "image":null,"ancestor":{"items":[]}}],
        "result":{"items":[{"id":"fig","qty":2}],"price":1.50},"fault":null}"#;

    fn story(text: &str) -> Story {
        Story {
            conflict: serde_json::from_str(text).unwrap(),
            images: serde_json::from_str(text).unwrap(),
        }
    }

    #[test]
    fn a_story_shows_ancestor_sides_and_result_with_numbers_as_written() {
        insta::assert_snapshot!(story(STORY).text(), @r#"
        conflict  0f3a
        row       carts/c-17
        outcome   merged
        by        sha256:0123456789abcdef
        resolved  2026-11-20T19:33:32.955Z

        ancestor
          {"items":[{"id":"fig","qty":1}],"price":1.50}

        eu-west-1 at 1795203212955.00000, update
          {"items":[{"id":"fig","qty":3}],"price":1.50}

        us-east-1 at 1795203212956.00000, delete
          (no row)
          merged with the ancestor
            {"items":[]}

        result
          {"items":[{"id":"fig","qty":2}],"price":1.50}
        "#);
    }

    #[test]
    fn a_fallback_says_what_the_function_did() {
        let fallback = STORY
            .replace(r#""outcome":"merged""#, r#""outcome":"fallback""#)
            .replace(r#""fault":null"#, r#""fault":{"code":"trap","text":"unreachable"}"#);
        let text = story(&fallback).text();
        assert!(text.contains("outcome   fallback\n"), "{text}");
        assert!(text.contains("fault     trap: unreachable\n"), "{text}");
    }

    #[test]
    fn a_list_names_the_row_and_who_met() {
        let page: Page =
            serde_json::from_str(&format!(r#"{{"items":[{STORY}],"next_cursor":null}}"#)).unwrap();
        insta::assert_snapshot!(page.table(), @r"
        CONFLICT  ROW         BETWEEN               OUTCOME  BY            RESOLVED
        0f3a      carts/c-17  eu-west-1, us-east-1  merged   0123456789ab  2026-11-20T19:33:32.955Z
        ");
    }
}
