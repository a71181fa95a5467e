//! `syncline-fuzz`: random cases against the host. See [`syncline_fuzz::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    syncline_fuzz::cli::main()
}
