//! The arguments of `syncline function`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::functions::FunctionsCommand;

pub(in crate::cli) const FUNCTION_EXAMPLES: &str = "\
Examples:
  syncline function new my-cart --lang rust --template cart
  cd my-cart
  syncline function test
  syncline function verify
  syncline function build
  syncline deploy --table carts
  syncline function list";

const NEW_EXAMPLES: &str = "\
Examples:
  syncline function new my-cart
  syncline function new stock --lang assemblyscript --template counter
  syncline function new my-cart --sdk ../syncline

Writes a function that builds and passes its own cases at once, with a copy of the SDK beside it. In
Rust there is each template, in AssemblyScript cart, counter and order.";

const BUILD_EXAMPLES: &str = "\
Examples:
  syncline function build
  syncline function build my-cart --out cart.wasm

A function in Rust needs cargo and the target wasm32-unknown-unknown, one in AssemblyScript Node.js with
npm. The same source gives the same bytes, and so the same version, in any folder.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  syncline function inspect
  syncline function inspect cart.wasm --output json";

const RUN_EXAMPLES: &str = "\
Examples:
  syncline function run --conflict case.json
  syncline function run cart.wasm --conflict cases/golden.json --name 'quantities add up'

A conflict is a JSON object with ancestor, older and newer, each a row or null. Of a file with several
cases --name says which; without it all are run.";

const TEST_EXAMPLES: &str = "\
Examples:
  syncline function test
  syncline function test my-cart
  syncline function test cart.wasm --cases cases

Each file of the folder whose name ends in .json is a case or a list of cases. Exit code 4 where one
comes out differently.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  syncline function verify
  syncline function verify cart.wasm --cases cases --generated 10000 --seed 7
  syncline function verify --witnesses witnesses
  syncline function run --conflict witnesses/commutative.json

Exit code 4 where the function must not go live: it faults on a case that was given, or is not
deterministic. Broken laws are told and change no exit code, as regions converge without them.";

const BENCH_EXAMPLES: &str = "\
Examples:
  syncline function bench
  syncline function bench cart.wasm --cases cases --seconds 5";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FunctionCommand {
    /// Write a new merge function into a folder.
    #[command(after_help = NEW_EXAMPLES)]
    New(NewArgs),
    /// Build a function into a component.
    #[command(after_help = BUILD_EXAMPLES)]
    Build(BuildArgs),
    /// Show what a component is: its version, its imports, its limits.
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(Source),
    /// Run a function on a conflict, and show what it used up.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Compare a function's answers with those of its cases.
    #[command(after_help = TEST_EXAMPLES)]
    Test(TestArgs),
    /// Hold a function against the laws of merging.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Measure how long a function takes, in a fresh instance a call.
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArgs),
    /// Of functions that were uploaded.
    #[command(flatten)]
    Uploaded(FunctionsCommand),
}

/// The function.
#[derive(Debug, Args)]
pub(in crate::cli) struct Source {
    /// A component, or the folder of a function, which is built first.
    #[arg(value_name = "FILE|FOLDER", default_value = ".")]
    pub(super) path: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs {
    /// The folder; it must not exist yet, or be empty. Its name becomes the function's.
    #[arg(value_name = "FOLDER")]
    pub(super) folder: PathBuf,
    /// What it is written in.
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    pub(super) lang: Lang,
    /// What it starts as.
    #[arg(long, value_name = "TEMPLATE", default_value = "cart")]
    pub(super) template: Template,
    /// The SDK: a version of a package registry, or the folder of a checkout of this repository.
    /// Without it, this program's own SDK is copied beside the function.
    #[arg(long, value_name = "VERSION|PATH")]
    pub(super) sdk: Option<String>,
}

/// What a function is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Lang {
    Rust,
    #[value(name = "assemblyscript")]
    AssemblyScript,
}

/// What a new function starts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Template {
    /// A shopping cart: quantities add up.
    Cart,
    /// One plain number: what each side added counts once.
    Counter,
    /// A set whose elements come and go.
    Set,
    /// One value with a clock of its own: the newest stays.
    Register,
    /// A text, merged by lines.
    Document,
    /// An order with a status that only goes forward.
    Order,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BuildArgs {
    /// The function's folder: with a Cargo.toml, or with a package.json.
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub(super) folder: PathBuf,
    /// Put the component here too.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    pub(super) source: Source,
    /// A file with a conflict, a case, or a list of cases.
    #[arg(long, value_name = "FILE")]
    pub(super) conflict: PathBuf,
    /// Only the case of this name.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
}

/// Where cases are.
#[derive(Debug, Args)]
pub(super) struct CasesArgs {
    /// The folder of the cases, or one file. Without it: `cases` in the function's folder, or beside
    /// it; else those that the component brings with it.
    #[arg(long, value_name = "FOLDER|FILE")]
    pub(super) cases: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    #[command(flatten)]
    pub(super) source: Source,
    #[command(flatten)]
    pub(super) cases: CasesArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    pub(super) source: Source,
    #[command(flatten)]
    pub(super) cases: CasesArgs,
    /// How many conflicts are made of the cases.
    #[arg(
        long,
        value_name = "N",
        default_value = "1000",
        value_parser = clap::value_parser!(u32).range(0..=10_000_000)
    )]
    pub(super) generated: u32,
    /// What they are made from: the same seed and cases make the same conflicts.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) seed: u64,
    /// Write each witness, the smallest conflict that breaks a law, into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(super) witnesses: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    #[command(flatten)]
    pub(super) source: Source,
    #[command(flatten)]
    pub(super) cases: CasesArgs,
    /// How long each case is called.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=3600)
    )]
    pub(super) seconds: u32,
}
