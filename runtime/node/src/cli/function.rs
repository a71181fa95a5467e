//! `syncline function`: what the author of a merge function does before an upload, and what becomes
//! of it afterwards.

mod args;
mod bench;
mod build;
mod embedded;
pub(super) mod engines;
mod inspect;
mod manifests;
mod new;
mod run;
mod source;
mod test;
mod verify;

pub(super) use args::{FUNCTION_EXAMPLES, FunctionCommand, Source};
pub(super) use source::read_cases;

use super::client::Client;
use super::failure::Failure;
use super::functions;
use super::output::Output;

/// Only what is about an uploaded function asks a region.
pub(super) fn run(
    command: FunctionCommand,
    client: impl FnOnce() -> Client,
    out: &Output,
) -> Result<(), Failure> {
    match command {
        FunctionCommand::New(args) => new::run(&args, out),
        FunctionCommand::Build(args) => build::run(&args, out),
        FunctionCommand::Inspect(source) => inspect::run(&source, out),
        FunctionCommand::Run(args) => run::run(&args, out),
        FunctionCommand::Test(args) => test::run(&args, out),
        FunctionCommand::Verify(args) => verify::run(&args, out),
        FunctionCommand::Bench(args) => bench::run(&args, out),
        FunctionCommand::Uploaded(command) => functions::run(command, &client(), out),
    }
}

/// With the causes, as the outermost sentence alone rarely says what to do.
fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    Failure::Failed(text)
}
