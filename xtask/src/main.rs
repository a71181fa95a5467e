//! `cargo xtask`: sets up what a fresh machine lacks, then builds and runs what was asked for.
//!
//! It depends on next to nothing, as it is built before everything else, and it keeps no list of
//! packages: whatever is a member of the workspace is linted, built and tested.

mod cargo;
mod chaos;
mod demo;
mod fuzz;
mod help;
mod kafka;
mod other;
mod report;
mod setup;
mod sim;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Help,
    Demo(demo::Options),
    Test(test::Options),
    Sim(sim::Options),
    Fuzz(Vec<OsString>),
    Chaos(Vec<OsString>),
    Kafka(kafka::Task),
    Vectors(OsString),
    Bench(Vec<OsString>),
    BenchCosmwasm(Vec<OsString>),
    BenchReplicate(Vec<OsString>),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match parse(&arguments) {
        Ok(command) => run(command),
        Err(wrong) => {
            eprintln!("xtask: {wrong}\n\n{}", help::TEXT);
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Help => {
            print!("{}", help::TEXT);
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(options) => demo::run(&options),
        Command::Test(options) => test::run(options),
        Command::Sim(options) => sim::run(&options),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Kafka(task) => kafka::run(&task),
        Command::Vectors(file) => other::vectors(&file),
        Command::Bench(arguments) => other::bench(&arguments),
        Command::BenchCosmwasm(arguments) => other::bench_cosmwasm(&arguments),
        Command::BenchReplicate(arguments) => other::bench_replicate(&arguments),
    }
}

/// The error is what is wrong with the arguments.
fn parse(arguments: &[OsString]) -> Result<Command, String> {
    let Some((name, rest)) = arguments.split_first() else {
        return Err("which task?".into());
    };
    let is = |argument: &OsString, words: &[&str]| words.iter().any(|word| argument == word);
    if is(name, &["help", "--help", "-h"])
        || rest.first().is_some_and(|first| is(first, &["--help", "-h"]))
    {
        return Ok(Command::Help);
    }
    match name.to_str() {
        Some("demo") => {
            let own = rest.iter().take_while(|argument| *argument != "--").count();
            let mut arguments = rest.to_vec();
            if own < arguments.len() {
                arguments.remove(own);
            }
            let json = rest[..own].iter().any(|argument| argument == "--json");
            Ok(Command::Demo(demo::Options { json, arguments }))
        }
        Some("test") => match rest {
            [] => Ok(Command::Test(test::Options { ci: false })),
            [flag] if flag == "--ci" => Ok(Command::Test(test::Options { ci: true })),
            _ => Err("test takes nothing but --ci".into()),
        },
        Some("sim") => Ok(Command::Sim(sim::Options::of(rest))),
        Some("fuzz") => match rest {
            [] => Err("fuzz takes what is to be fuzzed: admission, meter or merge".into()),
            arguments => Ok(Command::Fuzz(arguments.to_vec())),
        },
        Some("chaos") => Ok(Command::Chaos(rest.to_vec())),
        Some("kafka") => kafka::Task::of(rest).map(Command::Kafka),
        Some("vectors") => match rest {
            [file] => Ok(Command::Vectors(file.clone())),
            _ => Err("vectors takes one file".into()),
        },
        Some("bench") => match rest {
            [name, rest @ ..] if name == "cosmwasm" => Ok(Command::BenchCosmwasm(rest.to_vec())),
            [name, rest @ ..] if name == "replicate" => Ok(Command::BenchReplicate(rest.to_vec())),
            _ => Ok(Command::Bench(rest.to_vec())),
        },
        _ => Err(format!("there is no task {:?}", name.to_string_lossy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn demo(json: bool, arguments: &[&str]) -> Result<Command, String> {
        let arguments = arguments.iter().map(OsString::from).collect();
        Ok(Command::Demo(demo::Options { json, arguments }))
    }

    #[test]
    fn each_task_takes_what_it_knows() {
        assert_eq!(parsed(&["demo"]), demo(false, &[]));
        assert_eq!(parsed(&["demo", "--json"]), demo(true, &["--json"]));
        assert_eq!(parsed(&["demo", "--", "--help"]), demo(false, &["--help"]));
        assert_eq!(parsed(&["test", "--ci"]), Ok(Command::Test(test::Options { ci: true })));
        let played = sim::Options { bugs: false, arguments: vec!["run".into(), "--twice".into()] };
        assert_eq!(parsed(&["sim", "--twice"]), Ok(Command::Sim(played)));
        let fuzzed = ["meter", "--seed", "7"].map(OsString::from).to_vec();
        assert_eq!(parsed(&["fuzz", "meter", "--seed", "7"]), Ok(Command::Fuzz(fuzzed)));
        let struck = ["--cycles", "9", "kill"].map(OsString::from).to_vec();
        assert_eq!(parsed(&["chaos", "--cycles", "9", "kill"]), Ok(Command::Chaos(struck)));
        let started = kafka::Task::Start { name: "eu".into(), port: Some(19092) };
        let port = ["kafka", "start", "eu", "--port", "19092"];
        assert_eq!(parsed(&port), Ok(Command::Kafka(started)));
        let stopped = kafka::Task::Stop { name: kafka::NAME.into() };
        assert_eq!(parsed(&["kafka", "stop"]), Ok(Command::Kafka(stopped)));
        assert_eq!(parsed(&["vectors", "a b"]), Ok(Command::Vectors("a b".into())));
        assert_eq!(parsed(&["bench", "fold"]), Ok(Command::Bench(vec!["fold".into()])));
        let rounds = Ok(Command::BenchCosmwasm(vec!["101".into()]));
        assert_eq!(parsed(&["bench", "cosmwasm", "101"]), rounds);
        let quick = Ok(Command::BenchReplicate(vec!["--quick".into()]));
        assert_eq!(parsed(&["bench", "replicate", "--quick"]), quick);
        for help in [&["help"][..], &["-h"], &["--help"], &["demo", "--help"], &["test", "-h"]] {
            assert_eq!(parsed(help), Ok(Command::Help), "{help:?}");
        }
    }

    #[test]
    fn what_it_does_not_know_is_wrong_usage() {
        for wrong in [
            &[][..],
            &["tset"],
            &["test", "--fast"],
            &["fuzz"],
            &["kafka"],
            &["kafka", "restart"],
            &["kafka", "start", "eu", "us"],
            &["kafka", "start", "--port", "0"],
            &["kafka", "start", "--port"],
            &["kafka", "stop", "eu", "--port", "19092"],
            &["vectors"],
            &["vectors", "a", "b"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_help_names_every_task_with_an_example() {
        for task in ["demo", "test", "sim", "fuzz", "kafka", "vectors", "bench"] {
            assert!(help::TEXT.contains(&format!("\n  cargo xtask {task}")), "{task}");
        }
    }
}
