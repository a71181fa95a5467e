//! `syncline tables`: which version resolves a table's conflicts, where and since when.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::args::table;
use super::client::{Client, encode};
use super::failure::Failure;
use super::output::{self, Output, fields, printable, short_version};

pub(super) const TABLES_EXAMPLES: &str = "\
Examples:
  syncline tables list
  syncline tables show carts
  syncline tables history carts";

/// What a table is resolved by where it has no function.
#[derive(Debug, Subcommand)]
pub(super) enum TablesCommand {
    /// List the tables, and the version of each.
    #[command(after_help = TABLES_EXAMPLES)]
    List,
    /// Show one table: its version, and which each region uses.
    #[command(after_help = TABLES_EXAMPLES)]
    Show(TableArg),
    /// Show the versions that a table had or was to get, the latest first: who, when and why.
    #[command(after_help = TABLES_EXAMPLES)]
    History(TableArg),
}

#[derive(Debug, Args)]
pub(super) struct TableArg {
    /// The table.
    #[arg(value_name = "TABLE", value_parser = table)]
    table: String,
}

#[derive(Debug, Deserialize)]
struct Tables {
    items: Vec<Table>,
}

#[derive(Debug, Deserialize)]
struct Table {
    table: String,
    version: String,
    name: Option<String>,
    rollout_id: Option<String>,
    since: Option<String>,
    open_rollout: Option<OpenRollout>,
    /// By region.
    active: BTreeMap<String, String>,
    rows: u64,
    digest: String,
}

#[derive(Debug, Deserialize)]
struct OpenRollout {
    rollout_id: String,
    version: String,
    state: String,
    place: String,
}

#[derive(Debug, Deserialize)]
struct History {
    items: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    version: String,
    previous_version: String,
    rollout_id: String,
    state: String,
    in_force: bool,
    region: String,
    actor: Option<String>,
    why: Option<String>,
    reason: Option<String>,
    created_at: String,
    ended_at: Option<String>,
}

pub(super) fn run(command: TablesCommand, client: &Client, out: &Output) -> Result<(), Failure> {
    let path = |arg: &TableArg| format!("/v1/tables/{}", encode(&arg.table));
    let answer = match &command {
        TablesCommand::List => client.get("/v1/tables", &[])?,
        TablesCommand::Show(arg) => client.get(&path(arg), &[])?,
        TablesCommand::History(arg) => client.get(&format!("{}/history", path(arg)), &[])?,
    };
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    out.text(&match command {
        TablesCommand::List => client.decode::<Tables>(&answer)?.table(),
        TablesCommand::Show(_) => client.decode::<Table>(&answer)?.text(),
        TablesCommand::History(_) => client.decode::<History>(&answer)?.table(),
    })
}

impl Tables {
    fn table(&self) -> String {
        let row = |table: &Table| {
            let open = table.open_rollout.as_ref();
            [
                table.table.clone(),
                short_version(&table.version),
                table.name.clone().unwrap_or_default(),
                table.rows.to_string(),
                table.since.clone().unwrap_or_default(),
                open.map(OpenRollout::text).unwrap_or_default(),
            ]
        };
        let rows: Vec<_> = self.items.iter().map(row).collect();
        output::table(["TABLE", "VERSION", "NAME", "ROWS", "SINCE", "ROLLOUT"], &rows)
    }
}

impl OpenRollout {
    fn text(&self) -> String {
        let at = if self.state == "paused" { "paused at " } else { "" };
        format!("{} {at}{}", short_version(&self.version), self.place)
    }
}

impl Table {
    fn text(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let open = self.open_rollout.as_ref();
        let mut shown = fields(&[
            ("table", self.table.clone()),
            ("version", self.version.clone()),
            ("name", text(&self.name)),
            ("since", text(&self.since)),
            ("rollout", text(&self.rollout_id)),
            (
                "open",
                open.map(|open| format!("{}, {}", open.text(), open.rollout_id))
                    .unwrap_or_default(),
            ),
            ("rows", self.rows.to_string()),
            ("digest", self.digest.clone()),
        ]);
        shown += "\n";
        let active =
            self.active.iter().map(|(region, version)| [region.clone(), short_version(version)]);
        shown + &output::table(["REGION", "USES"], &active.collect::<Vec<_>>())
    }
}

impl History {
    fn table(&self) -> String {
        let row = |line: &Line| {
            let state = if line.in_force { "in force" } else { &line.state };
            let said = [&line.why, &line.reason];
            let said: Vec<String> = said.into_iter().flatten().cloned().collect();
            [
                short_version(&line.version),
                short_version(&line.previous_version),
                state.to_owned(),
                line.created_at.clone(),
                line.ended_at.clone().unwrap_or_default(),
                line.actor.clone().unwrap_or_default(),
                line.region.clone(),
                line.rollout_id.clone(),
                printable(&said.join("; ")),
            ]
        };
        let rows: Vec<_> = self.items.iter().map(row).collect();
        output::table(
            ["VERSION", "BEFORE", "STATE", "CREATED", "ENDED", "WHO", "REGION", "ROLLOUT", "WHY"],
            &rows,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_a_function_has_a_line_too() {
        let tables: Tables = serde_json::from_str(
            r#"{"items":[
                {"table":"carts","version":"sha256:0123456789abcdef","name":"cart",
                 "rollout_id":"r1","since":"2026-11-20T19:33:32.955Z","active":{},"rows":7,
                 "open_rollout":{"rollout_id":"r2","version":"sha256:fedcba9876543210",
                   "state":"paused","place":"stage 1"},"digest":"00"},
                {"table":"plain","version":"lww","name":null,"rollout_id":null,"since":null,
                 "open_rollout":null,"active":{"a":"lww"},"rows":3,"digest":"01"}]}"#,
        )
        .unwrap();
        insta::assert_snapshot!(tables.table(), @r"
        TABLE  VERSION       NAME  ROWS  SINCE                     ROLLOUT
        carts  0123456789ab  cart  7     2026-11-20T19:33:32.955Z  fedcba987654 paused at stage 1
        plain  lww                 3
        ");
        let shown =
            "table    plain\nversion  lww\nrows     3\ndigest   01\n\nREGION  USES\na       lww\n";
        assert_eq!(tables.items[1].text(), shown);
    }

    #[test]
    fn the_history_says_who_when_and_why() {
        let history: History = serde_json::from_str(
            r#"{"items":[
                {"version":"sha256:fedcba9876543210","previous_version":"sha256:0123456789abcdef",
                 "rollout_id":"r2","state":"aborted","in_force":false,"region":"eu","actor":"ann",
                 "why":"sums","reason":"prices are lost","created_at":"2026-11-21T09:00:00.000Z",
                 "ended_at":"2026-11-21T09:10:00.000Z"},
                {"version":"sha256:0123456789abcdef","previous_version":"lww","rollout_id":"r1",
                 "state":"complete","in_force":true,"region":"us","actor":null,"why":null,
                 "reason":null,"created_at":"2026-11-20T19:33:32.955Z","ended_at":null}]}"#,
        )
        .unwrap();
        insta::assert_snapshot!(history.table(), @r"
        VERSION       BEFORE        STATE     CREATED                   ENDED                     WHO  REGION  ROLLOUT  WHY
        fedcba987654  0123456789ab  aborted   2026-11-21T09:00:00.000Z  2026-11-21T09:10:00.000Z  ann  eu      r2       sums; prices are lost
        0123456789ab  lww           in force  2026-11-20T19:33:32.955Z                                 us      r1
        ");
    }
}
