//! The binary `syncline`.

fn main() -> std::process::ExitCode {
    syncline_node::cli::main()
}
