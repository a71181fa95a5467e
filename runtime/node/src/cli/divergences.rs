//! `syncline divergences` and `syncline repair`: regions that hold what cannot be both right.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::args::table;
use super::client::{Client, encode};
use super::failure::Failure;
use super::output::{self, Output, note, printable};

pub(super) const DIVERGENCES_EXAMPLES: &str = "\
Examples:
  syncline divergences list
  syncline divergences acknowledge 0123456789abcdef0123456789abcdef

Regions tell each other how conflicts ended and what their rows come to. What differs and cannot is
kept until the regions agree again, or somebody has seen to it.";

const LIST_EXAMPLES: &str = "\
Examples:
  syncline divergences list
  syncline divergences list --output json";

const ACKNOWLEDGE_EXAMPLES: &str = "\
Examples:
  syncline divergences acknowledge 0123456789abcdef0123456789abcdef

It is about this region alone: the other one keeps its own note. What still differs is found again.";

pub(super) const REPAIR_EXAMPLES: &str = "\
Examples:
  syncline repair carts --plan
  syncline repair carts --partition 3
  syncline repair carts --url http://127.0.0.1:8081
  syncline repair carts --from eu-west-1 --plan

A row is folded again from its heads, or from what the conflict log has of them, and replaced where it
is something else. It changes this region alone, so ask the region that has it wrong.

With --from the region that is asked has it right: it writes its rows again where regions differ, as
new changes that supersede all others, and every region takes them.";

#[derive(Debug, Subcommand)]
pub(super) enum DivergencesCommand {
    /// List what is known to differ, the last found first.
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Keep a divergence no longer: somebody has seen to it.
    #[command(after_help = ACKNOWLEDGE_EXAMPLES)]
    Acknowledge {
        /// The divergence's id, as the list shows it.
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    /// The table.
    #[arg(value_name = "TABLE", value_parser = table)]
    table: String,
    /// Only the rows of this partition.
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,
    /// The region whose rows are right: the one that is asked. It writes them again, in all
    /// partitions of the table in which regions are known to differ, or in that of --partition.
    #[arg(long, value_name = "REGION")]
    from: Option<String>,
    /// Say which rows would change, and change nothing.
    #[arg(long)]
    plan: bool,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    id: String,
    kind: String,
    partition: u32,
    #[serde(default)]
    table_name: Option<String>,
    #[serde(default)]
    row_pk: Option<String>,
    #[serde(default)]
    conflict_id: Option<String>,
    #[serde(default)]
    tables: Vec<String>,
    here: Side,
    there: Side,
    found_at: String,
}

#[derive(Debug, Deserialize)]
struct Side {
    region: String,
    digest: String,
    #[serde(default)]
    engine: Option<String>,
}

/// What one request came to, or all of them.
#[derive(Debug, Default, Deserialize)]
struct Repaired {
    rows_looked_at: usize,
    rows_changed: usize,
    changed: Vec<String>,
    rows_settled: usize,
    rows_waiting: usize,
    #[serde(default)]
    rows_written_since: usize,
    digests: Vec<Value>,
    next_cursor: Option<String>,
}

pub(super) fn run(
    command: DivergencesCommand,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        DivergencesCommand::List => list(client, out),
        DivergencesCommand::Acknowledge { id } => {
            let path = format!("/v1/divergences/{}", encode(&id));
            let answer = client.send(Method::DELETE, &path, &[], Vec::new())?;
            if out.is_json() {
                return out.json_as_it_came(&answer.body);
            }
            out.text(&format!("acknowledged {}\n", printable(&id)))
        }
    }
}

fn list(client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get("/v1/divergences", &[])?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    out.text(&client.decode::<List>(&answer)?.table())
}

impl List {
    fn table(&self) -> String {
        let row = |item: &Item| {
            [
                item.id.clone(),
                item.found_at.clone(),
                item.what(),
                item.here.text(),
                item.there.text(),
            ]
        };
        let rows: Vec<_> = self.items.iter().map(row).collect();
        output::table(["DIVERGENCE", "FOUND", "WHAT", "HERE", "THERE"], &rows)
    }
}

impl Item {
    fn what(&self) -> String {
        let row = || {
            let (table, pk) = (self.table_name.as_deref(), self.row_pk.as_deref());
            format!("{}/{}", table.unwrap_or("?"), pk.unwrap_or("?"))
        };
        match (self.kind.as_str(), &self.conflict_id) {
            ("outcome", Some(conflict)) => format!("conflict {conflict} of {}", row()),
            ("state", _) if self.tables.is_empty() => format!("partition {}", self.partition),
            ("state", _) => format!("partition {}: {}", self.partition, self.tables.join(", ")),
            (kind, _) => format!("{kind} of {}", row()),
        }
    }
}

impl Side {
    fn text(&self) -> String {
        let digest: String = self.digest.chars().take(12).collect();
        let engine = self.engine.as_deref().unwrap_or("an engine that it did not name");
        format!("{} {digest} ({engine})", self.region)
    }
}

pub(super) fn repair(args: &RepairArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let path = if args.plan { "/v1/repair?plan=true" } else { "/v1/repair" };
    let mut all = Repaired::default();
    let mut cursor: Option<String> = None;
    loop {
        let asked = json!({
            "table": args.table,
            "partition": args.partition,
            "from": args.from,
            "cursor": cursor,
        });
        let json = ("content-type", "application/json".to_owned());
        let answer = client.send(Method::POST, path, &[json], asked.to_string().into_bytes())?;
        let repaired: Repaired = client.decode(&answer)?;
        cursor = repaired.next_cursor.clone();
        all.add(repaired);
        if cursor.is_none() {
            break;
        }
        note(&format!("{} rows looked at", all.rows_looked_at));
    }
    if out.is_json() {
        return out.json(&json!({
            "table": args.table,
            "plan": args.plan,
            "rows_looked_at": all.rows_looked_at,
            "rows_changed": all.rows_changed,
            "changed": all.changed,
            "rows_settled": all.rows_settled,
            "rows_waiting": all.rows_waiting,
            "rows_written_since": all.rows_written_since,
            "digests": all.digests,
        }));
    }
    out.text(&all.text(args.plan))
}

impl Repaired {
    fn add(&mut self, other: Self) {
        self.rows_looked_at += other.rows_looked_at;
        self.rows_changed += other.rows_changed;
        self.changed.extend(other.changed);
        self.rows_settled += other.rows_settled;
        self.rows_waiting += other.rows_waiting;
        self.rows_written_since += other.rows_written_since;
        self.digests.extend(other.digests);
    }

    fn text(&self, plan: bool) -> String {
        let verb = if plan { "would change" } else { "changed" };
        let mut text =
            format!("{} rows looked at, {} {verb}\n", self.rows_looked_at, self.rows_changed);
        for pk in &self.changed {
            text.push_str(&format!("  {}\n", printable(pk)));
        }
        let more = self.rows_changed - self.changed.len();
        if more > 0 {
            text.push_str(&format!("  and {more} more\n"));
        }
        if self.rows_settled > 0 {
            text.push_str(&format!(
                "{} cannot be told: their history is dropped, and nothing recorded\n",
                self.rows_settled
            ));
        }
        if self.rows_waiting > 0 {
            text.push_str(&format!(
                "{} wait: their function could not be asked\n",
                self.rows_waiting
            ));
        }
        if self.rows_written_since > 0 {
            text.push_str(&format!(
                "{} were written meanwhile, and left as they are: look whether regions still differ\n",
                self.rows_written_since
            ));
        }
        let wrong = self.digests.iter().filter(|digest| digest["equal"] == false).count();
        if wrong > 0 {
            let done = if plan { "would be set right" } else { "were set right" };
            text.push_str(&format!(
                "the digests of {wrong} partitions {done}: they were not those of the rows\n"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divergence_is_a_line() {
        let list: List = serde_json::from_value(json!({"items": [
            {"id": "0123", "kind": "outcome", "partition": 3, "table_name": "carts", "row_pk": "c-1",
             "conflict_id": "ab", "found_at": "2026-11-20T19:33:32.955Z",
             "here": {"region": "a", "digest": "0123456789abcdef", "engine": "wasmtime 1, x86_64"},
             "there": {"region": "b", "digest": "fedcba9876543210", "engine": null}},
            {"id": "4567", "kind": "state", "partition": 3, "tables": ["carts"],
             "found_at": "2026-11-20T19:33:32.955Z",
             "here": {"region": "a", "digest": "01"}, "there": {"region": "b", "digest": "02"}},
        ]}))
        .unwrap();
        let table = list.table();
        assert!(table.contains("conflict ab of carts/c-1"), "{table}");
        assert!(table.contains("a 0123456789ab (wasmtime 1, x86_64)"), "{table}");
        assert!(table.contains("partition 3: carts"), "{table}");
    }

    #[test]
    fn a_repair_says_what_changed_and_what_cannot_be_told() {
        let of = |digests| Repaired {
            rows_looked_at: 9,
            rows_changed: 2,
            changed: vec!["c-1".into()],
            rows_settled: 4,
            digests,
            ..Repaired::default()
        };
        let mut all = of(vec![json!({"equal": false})]);
        assert_eq!(
            all.text(true),
            "9 rows looked at, 2 would change\n  c-1\n  and 1 more\n4 cannot be told: their history is \
             dropped, and nothing recorded\nthe digests of 1 partitions would be set right: they \
             were not those of the rows\n"
        );
        all.add(of(Vec::new()));
        assert!(all.text(false).starts_with("18 rows looked at, 4 changed\n  c-1\n  c-1\n"));
    }
}
