//! The command line `syncline`: what runs a region, and what talks to one over HTTP.
//!
//! Results go to stdout, everything else to stderr, so that a result can be piped. The exit code
//! says what happened (see `failure.rs`). It never opens a region's data folder itself:
//! what it shows is what the HTTP API of a running region answers.

mod args;
mod client;
mod conflicts;
mod deploy;
mod digests;
mod divergences;
mod failure;
mod function;
mod functions;
mod json;
mod local;
mod members;
mod output;
mod plan;
mod quarantine;
mod rollout;
mod rows;
mod tables;
mod topology;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use client::Client;
use failure::Failure;
use output::Output;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_usage(&error),
    };
    let format = cli.shared.output;
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            failure.report(format);
            failure.exit_code()
        }
    }
}

/// Help and version are asked for and go to stdout; everything else is wrong usage.
fn refuse_usage(error: &clap::Error) -> ExitCode {
    // Where nobody reads the text there is nobody to tell that it could not be written.
    let _ = error.print();
    if error.use_stderr() { failure::WRONG_USAGE.into() } else { ExitCode::SUCCESS }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let out = Output::new(cli.shared.output);
    let client = || Client::new(&cli.shared.url, cli.shared.token.as_deref());
    match cli.command {
        Command::Dev(args) => local::dev(args),
        Command::Serve(args) => local::serve(&args.config),
        Command::Config(command) => local::config(command, &out),
        Command::Rows(command) => rows::run(command, &client(), &out),
        Command::Deploy(args) => deploy::run(&args, &client(), &out),
        Command::Function(command) => function::run(command, client, &out),
        Command::Tables(command) => tables::run(command, &client(), &out),
        Command::Conflicts(command) => conflicts::run(command, &client(), &out),
        Command::Rollout(command) => rollout::run(command, &client(), &out),
        Command::Quarantine(command) => quarantine::run(command, &client(), &out),
        Command::Divergences(command) => divergences::run(command, &client(), &out),
        Command::Repair(args) => divergences::repair(&args, &client(), &out),
        Command::Digests(args) => digests::run(&args, &cli.shared, &out),
        Command::Topology { command } => topology::run(command, &client(), &out),
        Command::Link(command) => topology::link(command, &client(), &out),
        Command::CompileFunction => return Ok(syncline_host::compile_worker()),
    }
    .map(|()| ExitCode::SUCCESS)
}
