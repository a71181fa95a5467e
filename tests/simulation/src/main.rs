//! `syncline-sim`: plays regions in simulation. See [`syncline_sim::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    syncline_sim::cli::main()
}
