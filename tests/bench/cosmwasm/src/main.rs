//! Merges a second: natively, in Syncline's host and in cosmwasm-vm, in one run, the same function
//! over the same conflicts. Both engines give each call an instance of its own, and meter it.
//!
//! It reports, and asserts nothing of time; that all answer alike it does assert.
//! docs/internals/performance.md says how to read the numbers, and what is fair about them.

#[path = "../../src/cart.rs"]
mod cart;
mod contender;
mod contract;
mod frame;
mod lowering;
mod reused;
mod turns;
mod vm;

use std::env;
use std::process::ExitCode;

use anyhow::Result;

use crate::contender::{Contender, Rig};
use crate::turns::{Paces, Turn, measure};

const ROUNDS: usize = 31;
/// Two hours: a round takes about 0.8 seconds.
const ROUNDS_MAX: usize = 10_000;

/// Each contender on one thread, then those that are hosts of guests, and native, on two.
const TURNS: [Turn; 7] = [
    Turn { contender: Contender::Native, threads: 1 },
    Turn { contender: Contender::Syncline, threads: 1 },
    Turn { contender: Contender::Cosmwasm, threads: 1 },
    Turn { contender: Contender::Reused, threads: 1 },
    Turn { contender: Contender::Native, threads: 2 },
    Turn { contender: Contender::Syncline, threads: 2 },
    Turn { contender: Contender::Cosmwasm, threads: 2 },
];

fn main() -> Result<ExitCode> {
    let Some(rounds) = rounds() else {
        eprintln!("takes the number of rounds, 1 to {ROUNDS_MAX}; {ROUNDS} without one");
        return Ok(ExitCode::from(2));
    };
    let rig = Rig::new()?;
    let processors = std::thread::available_parallelism()?;
    let measured =
        rig.cases.iter().map(|case| Ok((case.name, measure(&rig, case, &TURNS, rounds)?)));
    let measured: Vec<_> = measured.collect::<Result<_>>()?;
    println!(
        "Merges a second, the best of {rounds} rounds; {processors} processors. A ratio is that of the best\n\
         rounds, and in brackets the median over all rounds.\n"
    );
    print!("{}\n{}", one_thread(&measured), two_threads(&measured));
    Ok(ExitCode::SUCCESS)
}

/// None: wrong usage.
fn rounds() -> Option<usize> {
    let mut arguments = env::args().skip(1);
    let rounds = arguments.next().map_or(Some(ROUNDS), |rounds| rounds.parse().ok())?;
    ((1..=ROUNDS_MAX).contains(&rounds) && arguments.next().is_none()).then_some(rounds)
}

fn one_thread(measured: &[(&str, [Paces; 7])]) -> String {
    let mut table = String::from(
        "| one thread | native | Syncline | cosmwasm-vm | instance reused | native / Syncline \
         | Syncline / cosmwasm-vm | fresh over reused |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (case, [native, syncline, cosmwasm, reused, ..]) in measured {
        let paces = [native, syncline, cosmwasm, reused].map(|paces| shown(paces.best()));
        let (price, gain) = (ratio(native.over(syncline)), ratio(syncline.over(cosmwasm)));
        let more = 1e6 / syncline.best() - 1e6 / reused.best();
        let paces = paces.join(" | ");
        table += &format!("| {case} | {paces} | {price} | {gain} | {more:.1} µs |\n");
    }
    table
}

fn two_threads(measured: &[(&str, [Paces; 7])]) -> String {
    let mut table = String::from(
        "| two threads | native | Syncline | cosmwasm-vm | each over its one thread |\n\
         |---|---|---|---|---|\n",
    );
    for (case, [one @ .., _, native, syncline, cosmwasm]) in measured {
        let two = [native, syncline, cosmwasm];
        let paces = two.map(|paces| shown(paces.best()));
        let gains: Vec<String> =
            two.iter().zip(one).map(|(two, one)| ratio(two.over(one))).collect();
        table += &format!("| {case} | {} | {} |\n", paces.join(" | "), gains.join(", "));
    }
    table
}

fn ratio((best, median): (f64, f64)) -> String {
    format!("{best:.2} ({median:.2})")
}

/// A pace with the time of one merge.
fn shown(pace: f64) -> String {
    format!("{pace:.0} ({:.1} µs)", 1e6 / pace)
}
