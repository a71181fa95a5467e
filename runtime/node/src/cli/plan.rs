//! What a rollout would do, for people.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use super::client::{Answer, Client};
use super::failure::Failure;
use super::output::{self, Output, fields, printable, short_version};

#[derive(Deserialize)]
struct Plan {
    table: String,
    version: String,
    replaces: String,
    stages: Vec<Vec<String>>,
    regions: Vec<Region>,
    #[serde(default)]
    changes: Vec<Change>,
    #[serde(default)]
    replayed: Option<Value>,
    #[serde(default)]
    refused: Option<Refused>,
}

#[derive(Deserialize)]
struct Region {
    region: String,
    stage: u8,
    link: String,
    has_it: Option<bool>,
}

#[derive(Deserialize)]
struct Change {
    what: String,
    from: Value,
    to: Value,
}

#[derive(Deserialize)]
struct Refused {
    code: String,
    detail: String,
}

/// Shows a plan. That the rollout would be refused is a failure.
pub(super) fn show(answer: &Answer, client: &Client, out: &Output) -> Result<(), Failure> {
    let plan: Plan = client.decode(answer)?;
    if out.is_json() {
        out.json_as_it_came(&answer.body)?;
    } else {
        out.text(&plan.text())?;
    }
    match plan.refused {
        None => Ok(()),
        Some(Refused { code, detail }) => {
            Err(Failure::Failed(printable(&format!("it would be refused: {detail} ({code})"))))
        }
    }
}

impl Plan {
    fn text(&self) -> String {
        let stages: Vec<String> = self.stages.iter().map(|stage| stage.join(",")).collect();
        let mut text = fields(&[
            ("table", self.table.clone()),
            ("version", self.version.clone()),
            ("replaces", self.replaces.clone()),
            ("stages", stages.join(";")),
        ]);
        let row = |region: &Region| {
            let has_it = match region.has_it {
                Some(true) => "yes",
                Some(false) => "no",
                None => "-",
            };
            let (name, link) = (region.region.clone(), region.link.clone());
            [name, region.stage.to_string(), link, has_it.to_owned()]
        };
        let rows: Vec<_> = self.regions.iter().map(row).collect();
        text += "\n";
        text += &output::table(["REGION", "STAGE", "LINK", "HAS IT"], &rows);
        for Change { what, from, to } in &self.changes {
            let _ = write!(text, "\n{}: {from} -> {to}", printable(what));
        }
        if !self.changes.is_empty() {
            text.push('\n');
        }
        if let Some(replayed) = &self.replayed {
            text += &told(replayed);
        }
        text
    }
}

/// What came of the recorded conflicts.
fn told(replayed: &Value) -> String {
    let number = |name: &str| replayed[name].as_u64().unwrap_or_default();
    let mut text = format!(
        "\n{} recorded conflicts replayed: {} leave the same row, {} another\n",
        number("replayed"),
        number("same"),
        number("different")
    );
    for (code, count) in replayed["faults"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "  {count} ended in {}", printable(code));
    }
    for difference in replayed["differences"].as_array().into_iter().flatten() {
        let word = |name: &str| difference[name].as_str().unwrap_or("?").to_owned();
        let row = format!("{}/{}", word("table_name"), word("row_pk"));
        let _ = writeln!(text, "  {} of {}", printable(&word("conflict_id")), printable(&row));
        for (what, name) in [("it was", "recorded"), ("it would be", "replayed")] {
            let ending = &difference[name];
            let by = short_version(ending["by"].as_str().unwrap_or("?"));
            let _ = writeln!(text, "    {what}, by {}: {}", printable(&by), ending["result"]);
        }
    }
    text
}
