//! `syncline-sim` in a build that has planted bugs: a program of its own, so that it never lies
//! where the product's is looked for.

use std::process::ExitCode;

fn main() -> ExitCode {
    syncline_sim::cli::main()
}
