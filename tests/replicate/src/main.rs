//! `syncline-replicate`: how fast a region applies what another wrote.
//!
//! Two regions, two brokers. The receiver is stopped where it is while the origin writes a backlog;
//! then the origin ends, the receiver goes on, and the time is taken until it has applied the last
//! change. MirrorMaker 2, stopped and woken up the same way, copies the same topic from the one broker to
//! the other in the same run. Neither runs while the other is measured.
//!
//! For conflicts the receiver has written some of the rows before, which the origin does not know of:
//! its link is cut. Such a row is in conflict with each change of the backlog.

mod mirror;
mod origin;
mod process;
mod receiver;
mod report;
mod run;
mod topic;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use syncline_store::Engine;

use crate::report::Measured;
use crate::run::{Brokers, Size};
use crate::workload::Workload;

const ENGINES: [Engine; 2] = [Engine::Fjall, Engine::Sled];

/// How fast a region applies what another wrote, beside MirrorMaker 2 copying the same topic.
#[derive(Debug, Parser)]
#[command(name = "syncline-replicate", version)]
struct Args {
    /// Changes of each backlog.
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    records: usize,
    /// Rows that they are spread over.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    rows: usize,
    /// Only with this store: sled or fjall.
    #[arg(long, value_name = "NAME", value_parser = engine)]
    store: Option<Engine>,
    /// A few records without conflicts, and with some: tells that it works.
    #[arg(long)]
    quick: bool,
    /// Writes what was measured to this file as well, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where Apache Kafka and its data are kept.
    #[arg(long, value_name = "FOLDER", default_value = "target/kafka")]
    kafka: PathBuf,
    /// Only these workloads.
    workloads: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let mut args_workloads = args.workloads.clone();
    let mut size = Size { records: args.records, rows: args.rows };
    if args.quick {
        size = Size { records: 20_000, rows: 5_000 };
        if args_workloads.is_empty() {
            args_workloads = ["uniform", "uniform-cart-10"].map(Into::into).to_vec();
        }
    }
    let workloads = chosen(&args_workloads)?;
    let engines = args.store.map_or(ENGINES.to_vec(), |engine| vec![engine]);
    let brokers = Brokers::start(&args.kafka)?;
    let mut all: Vec<Measured> = Vec::new();
    for engine in engines {
        for workload in &workloads {
            eprintln!("{engine}, {}", workload.name());
            let measured = run::measure(&brokers, workload, engine, size, all.len())?;
            eprintln!("  {measured}");
            all.push(measured);
        }
    }
    print!("{}", report::table(&all));
    if let Some(file) = &args.json {
        let text = format!("{:#}\n", report::json(&all));
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

fn engine(name: &str) -> Result<Engine> {
    let known = ENGINES.into_iter().find(|engine| engine.to_string() == name);
    known.with_context(|| format!("there is no store {name}; there are sled and fjall"))
}

fn chosen(names: &[String]) -> Result<Vec<Workload>> {
    let all = Workload::all();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|one| one.name() != **name)) {
        let known: Vec<String> = all.iter().map(Workload::name).collect();
        bail!("there is no workload {unknown}; there are: {}", known.join(", "));
    }
    let is_chosen = |one: &Workload| names.is_empty() || names.contains(&one.name());
    Ok(all.into_iter().filter(is_chosen).collect())
}
