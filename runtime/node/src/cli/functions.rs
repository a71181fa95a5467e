//! `syncline function list` and what else is asked of a region about functions that were uploaded.

mod args;

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use syncline_core::FunctionVersion;
use ureq::http::Method;

pub(super) use args::FunctionsCommand;

use super::client::{Answer, Client, encode};
use super::failure::Failure;
use super::output::{self, Output, fields, note, printable, short_version};
use super::rollout::actor;
use args::{DownloadArgs, VersionArg};

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
    state: String,
    #[serde(default)]
    tables: Vec<Table>,
    /// As this, and what follows, of one that is shown alone.
    #[serde(default)]
    uses: Vec<Use>,
    #[serde(default)]
    deletion: Option<Deletion>,
    #[serde(default)]
    history: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Use {
    what: String,
    #[serde(default)]
    table: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    rollout_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Deletion {
    waits_for: Vec<String>,
    needed_by: Option<Needed>,
}

#[derive(Debug, Deserialize)]
struct Needed {
    table_name: String,
    row_pk: String,
    waits: bool,
}

#[derive(Debug, Deserialize)]
struct Line {
    at: String,
    region: String,
    actor: Option<String>,
    what: String,
    why: Option<String>,
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
        FunctionsCommand::Show(version) => show(&version, client, out),
        FunctionsCommand::Logs(version) => logs(&version, client, out),
        FunctionsCommand::Download(args) => download(&args, client, out),
        FunctionsCommand::Retire(args) => {
            let verb = if args.undo { "reinstate" } else { "retire" };
            asked(&args.version, verb, args.why.as_deref(), client, out)
        }
        FunctionsCommand::Delete(args) => {
            asked(&args.version, "delete", args.why.as_deref(), client, out)
        }
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

fn logs(version: &VersionArg, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get(&format!("{}/log", path(version, client)?), &[])?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let log: Log = client.decode(&answer)?;
    out.text(&log.text())
}

fn download(args: &DownloadArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let version = full_version(&args.version.version, client)?;
    let answer = client.get(&format!("{}/component", path_of(&version)), &[])?;
    let found = FunctionVersion::of(&answer.body).to_string();
    if found != version {
        let what = format!("what arrived is {found}, and not {version}: it is not written");
        return Err(Failure::Failed(printable(&what)));
    }
    let named = || PathBuf::from(format!("{}.wasm", short_version(&version)));
    let file = args.out.clone().unwrap_or_else(named);
    std::fs::write(&file, &answer.body)
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", file.display())))?;
    if out.is_json() {
        let shown = json!({"version": version, "file": file, "size": answer.body.len()});
        return out.json(&shown);
    }
    note(&format!("{} has {} bytes", file.display(), answer.body.len()));
    Ok(())
}

fn show(version: &VersionArg, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get(&path(version, client)?, &[])?;
    shown(&answer, client, out)
}

fn asked(
    version: &VersionArg,
    verb: &str,
    why: Option<&str>,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let path = format!("{}/{verb}", path(version, client)?);
    let body = json!({"why": why, "actor": actor()}).to_string();
    let answer = client.send(Method::POST, &path, &[], body.into_bytes())?;
    shown(&answer, client, out)
}

fn shown(answer: &Answer, client: &Client, out: &Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let function: Function = client.decode(answer)?;
    out.text(&function.text())
}

fn path(version: &VersionArg, client: &Client) -> Result<String, Failure> {
    Ok(path_of(&full_version(&version.version, client)?))
}

fn path_of(version: &str) -> String {
    format!("/v1/merge-functions/{}", encode(version))
}

/// The version that these digits begin: lists show the first twelve.
fn full_version(digits: &str, client: &Client) -> Result<String, Failure> {
    if let Ok(version) = digits.parse::<FunctionVersion>() {
        return Ok(version.to_string());
    }
    let answer = client.get("/v1/merge-functions", &[])?;
    let known: Functions = client.decode(&answer)?;
    one_of(digits, known.items.into_iter().map(|function| function.version))
}

fn one_of(digits: &str, known: impl Iterator<Item = String>) -> Result<String, Failure> {
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
    let begins = |version: &String| {
        version.strip_prefix("sha256:").is_some_and(|known| known.starts_with(digits))
    };
    let mut found: Vec<String> = known.filter(begins).collect();
    match (found.pop(), found.is_empty()) {
        (Some(version), true) => Ok(version),
        (None, _) => Err(Failure::Failed(printable(&format!(
            "this region knows of no function whose version begins with {digits}"
        )))),
        (Some(_), false) => Err(Failure::Usage(printable(&format!(
            "the versions of several functions begin with {digits}: type more of it"
        )))),
    }
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

impl Function {
    fn text(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let tables = self.tables.iter().map(|table| format!("{} ({})", table.table, table.state));
        let waits_for = |deletion: &Deletion| deletion.waits_for.join(", ");
        let needed = |deletion: &Deletion| {
            let Needed { table_name, row_pk, waits } = deletion.needed_by.as_ref()?;
            let how = if *waits { "a waiting change of" } else { "the history of" };
            Some(format!("{how} {table_name}/{row_pk}"))
        };
        let deletion = self.deletion.as_ref();
        let mut shown = fields(&[
            ("version", self.version.clone()),
            ("name", text(&self.name)),
            ("bytes", self.size.map(|size| size.to_string()).unwrap_or_default()),
            ("uploaded", text(&self.uploaded_at)),
            ("state", self.state.clone()),
            ("tables", tables.collect::<Vec<_>>().join(", ")),
            ("used by", self.uses.iter().map(Use::text).collect::<Vec<_>>().join(", ")),
            ("waits for", deletion.map(waits_for).unwrap_or_default()),
            ("needed by", deletion.and_then(needed).unwrap_or_default()),
        ]);
        if !self.history.is_empty() {
            let line = |line: &Line| {
                let Line { at, region, actor, what, why } = line;
                [at, what, region, &text(actor), &text(why)].map(Clone::clone)
            };
            let lines: Vec<_> = self.history.iter().map(line).collect();
            shown += "\n";
            shown += &output::table(["WHEN", "WHAT", "REGION", "WHO", "WHY"], &lines);
        }
        shown
    }
}

impl Use {
    fn text(&self) -> String {
        let parts = [Some(&self.what), self.table.as_ref(), self.region.as_ref()];
        let parts = parts.into_iter().chain([self.rollout_id.as_ref()]).flatten();
        parts.map(String::as_str).collect::<Vec<_>>().join(" ")
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
                    function.state.clone(),
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
        let headings =
            ["VERSION", "NAME", "BYTES", "UPLOADED", "STATE", "TABLE", "ROLLOUT", "ACTIVE IN"];
        output::table(headings, &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_digits_name_a_version_if_they_name_one_alone() {
        let known = || ["sha256:0a1b", "sha256:0a2c"].map(str::to_owned).into_iter();
        assert!(matches!(one_of("0a1", known()), Ok(version) if version == "sha256:0a1b"));
        assert!(matches!(one_of("sha256:0a2", known()), Ok(version) if version == "sha256:0a2c"));
        assert!(matches!(one_of("0a", known()), Err(Failure::Usage(_))));
        assert!(matches!(one_of("ff", known()), Err(Failure::Failed(_))));
    }

    #[test]
    fn each_table_of_a_function_has_a_line() {
        let functions: Functions = serde_json::from_str(
            r#"{"items":[
                {"version":"sha256:0123456789abcdef","name":"cart","size":48213,
                 "uploaded_at":"2026-11-20T19:33:32.955Z","state":"kept","tables":[
                   {"table":"carts","state":"complete","rollout_id":"r1","active_in":["a","b"]},
                   {"table":"wishes","state":"distributing","rollout_id":"r2","active_in":[]}]},
                {"version":"sha256:fedcba9876543210","name":null,"size":null,"uploaded_at":null,
                 "state":"absent","tables":[]}]}"#,
        )
        .unwrap();
        insta::assert_snapshot!(functions.table(), @r"
        VERSION       NAME  BYTES  UPLOADED                  STATE   TABLE   ROLLOUT       ACTIVE IN
        0123456789ab  cart  48213  2026-11-20T19:33:32.955Z  kept    carts   complete      a, b
        0123456789ab  cart  48213  2026-11-20T19:33:32.955Z  kept    wishes  distributing
        fedcba987654        -                                absent  -       -
        ");
    }
}
