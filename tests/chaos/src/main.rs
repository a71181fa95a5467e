//! `syncline-chaos`: plays faults for as long as it is told to.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use syncline_chaos::{Brokers, Options, SCENARIOS, run};

/// Three regions over real Kafka brokers, and what goes wrong with them.
#[derive(Debug, Parser)]
#[command(name = "syncline-chaos", version)]
struct Args {
    /// How many regions are killed in the scenario that kills.
    #[arg(long, value_name = "N", default_value_t = 300)]
    cycles: usize,
    /// How often each scenario is played, with the next seed each time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: usize,
    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// What keeps the regions' stores.
    #[arg(long, value_name = "NAME", default_value = "sled")]
    engine: String,
    /// Lists the scenarios, and plays none.
    #[arg(long)]
    list: bool,
    /// Where Apache Kafka and its data are kept.
    #[arg(long, value_name = "FOLDER", default_value = "target/kafka")]
    kafka: PathBuf,
    /// Only these scenarios.
    scenarios: Vec<String>,
}

fn main() -> ExitCode {
    let Args { cycles, rounds, seed, engine, list, kafka, scenarios: only } = Args::parse();
    if list {
        for scenario in SCENARIOS {
            println!("{:<15}{}", scenario.name, scenario.what);
        }
        return ExitCode::SUCCESS;
    }
    let options = Options { cycles, seed, rounds, only, engine };
    match Brokers::start(&kafka).and_then(|brokers| run(&brokers, &options)) {
        Ok(()) => {
            println!("OK: everything was as promised.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}
