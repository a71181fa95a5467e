//! Three regions take conflicting writes, are cut apart and healed, and end with the same bytes.
//!
//! Meanwhile two more versions of the merge function are rolled out: one in stages, and a bad one that
//! its gate stops before it decides anything.
//!
//! Everything goes over HTTP to a `syncline dev` in a process of its own: the upload of the merge
//! function, the clients' writes, the cut and what is shown at the end. The clients keep their own
//! record of what was acknowledged to them, and the regions' rows are checked against that record,
//! not against anything that the regions say of themselves.

mod cart;
mod check;
mod clients;
mod ledger;
mod report;
mod rollouts;
mod scenario;
mod shopper;
mod story;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

/// Three regions take conflicting writes, are cut apart and healed, and end with the same bytes.
///
/// Exits 0 if no addition to a cart was lost and all regions hold the same bytes, else 1.
#[derive(Debug, Parser)]
#[command(
    name = "syncline-demo",
    max_term_width = 100,
    after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo --json | tail -n 1\n  \
                  syncline-demo --writes 20000 --seed 7"
)]
struct Arguments {
    /// Print the result as one JSON object on the last line of stdout, and all else on stderr.
    #[arg(long)]
    json: bool,
    /// How many writes the clients make.
    #[arg(
        long,
        value_name = "N",
        default_value = "2400",
        value_parser = clap::value_parser!(u32).range(100..)
    )]
    writes: u32,
    /// What the clients do follows from this, as far as they don't get in each other's way.
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// The first region's port; any free one by default.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..65_534))]
    port: Option<u16>,
}

fn main() -> ExitCode {
    let Arguments { json, writes, seed, port } = Arguments::parse();
    let plan = scenario::Plan { writes: writes as usize, seed, port };
    let report = match scenario::run(&plan) {
        Ok(report) => report,
        Err(error) => {
            say(&format!("the demo could not be carried out: {error:#}"));
            if json {
                show(&format!("{}\n", json!({ "ok": false, "error": format!("{error:#}") })));
            }
            return ExitCode::FAILURE;
        }
    };
    let text = report.text();
    if json {
        say(text.trim_end());
        // Plain data; it can always be written as JSON.
        let document = serde_json::to_string(&report).unwrap_or_default();
        show(&format!("{document}\n"));
    } else {
        show(&text);
    }
    if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says how far it is. Where nobody reads it, nothing is lost.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The result. A reader that has gone does not change the exit code.
fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
