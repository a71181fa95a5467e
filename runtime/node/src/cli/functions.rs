//! `syncline functions`: which merge functions a region has, and where they are active.

use serde::Deserialize;

use super::args::FunctionsCommand;
use super::client::{Client, encode};
use super::failure::Failure;
use super::output::{self, Output, short_version};

#[derive(Debug, Deserialize)]
struct Functions {
    items: Vec<Function>,
}

#[derive(Debug, Deserialize)]
struct Function {
    version: String,
    #[serde(default)]
    name: Option<String>,
    /// None, as the name and the time, while the component is not here.
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    uploaded_at: Option<String>,
    #[serde(default)]
    tables: Vec<Table>,
}

#[derive(Debug, Deserialize)]
struct Table {
    table: String,
    state: String,
    #[serde(default)]
    active_in: Vec<String>,
}

pub(super) fn run(command: FunctionsCommand, client: &Client, out: &Output) -> Result<(), Failure> {
    match command {
        FunctionsCommand::List => list(client, out),
        FunctionsCommand::Log { version } => log(&version, client, out),
    }
}

fn list(client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get("/v1/merge-functions", &[])?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let functions: Functions = client.decode(&answer)?;
    out.text(&functions.table())
}

fn log(version: &str, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get(&format!("/v1/merge-functions/{}/log", encode(version)), &[])?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let log: Log = client.decode(&answer)?;
    out.text(&log.text())
}

#[derive(Debug, Deserialize)]
struct Log {
    items: Vec<LogEntry>,
    #[serde(default)]
    dropped: u64,
}

#[derive(Debug, Deserialize)]
struct LogEntry {
    table_name: String,
    row_pk: String,
    lines: Vec<String>,
}

impl Log {
    /// For each call the row, and under it what it said.
    fn text(&self) -> String {
        let mut text = String::new();
        if self.dropped > 0 {
            text += &format!("({} older calls are not kept)\n", self.dropped);
        }
        for entry in &self.items {
            text += &format!("{}/{}\n", entry.table_name, entry.row_pk);
            for line in &entry.lines {
                text += &format!("  {line}\n");
            }
        }
        if text.is_empty() {
            text += "It has said nothing since this region started.\n";
        }
        text
    }
}

impl Functions {
    /// A line for each table of a function; one without a table has a line too.
    fn table(&self) -> String {
        let mut rows = Vec::new();
        for function in &self.items {
            let line = |table: &str, state: &str, active_in: String| {
                [
                    short_version(&function.version),
                    function.name.clone().unwrap_or_default(),
                    function.size.map_or_else(|| "-".to_owned(), |size| size.to_string()),
                    function.uploaded_at.clone().unwrap_or_default(),
                    table.to_owned(),
                    state.to_owned(),
                    active_in,
                ]
            };
            if function.tables.is_empty() {
                rows.push(line("-", "-", String::new()));
            }
            rows.extend(
                function.tables.iter().map(|t| line(&t.table, &t.state, t.active_in.join(", "))),
            );
        }
        let headings = ["VERSION", "NAME", "BYTES", "UPLOADED", "TABLE", "STATE", "ACTIVE IN"];
        output::table(headings, &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_of_a_function_has_a_line() {
        let functions: Functions = serde_json::from_str(
            r#"{"items":[
                {"version":"sha256:0123456789abcdef","name":"cart","size":48213,
                 "uploaded_at":"2026-11-20T19:33:32.955Z","tables":[
                   {"table":"carts","state":"complete","rollout_id":"r1","active_in":["a","b"]},
                   {"table":"wishes","state":"distributing","rollout_id":"r2","active_in":[]}]},
                {"version":"sha256:fedcba9876543210","name":null,"size":null,"uploaded_at":null,
                 "tables":[]}]}"#,
        )
        .unwrap();
        insta::assert_snapshot!(functions.table(), @r"
        VERSION       NAME  BYTES  UPLOADED                  TABLE   STATE         ACTIVE IN
        0123456789ab  cart  48213  2026-11-20T19:33:32.955Z  carts   complete      a, b
        0123456789ab  cart  48213  2026-11-20T19:33:32.955Z  wishes  distributing
        fedcba987654        -                                -       -
        ");
    }
}
