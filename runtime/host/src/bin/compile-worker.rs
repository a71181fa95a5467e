//! The child that compiles, for this crate's tests: a region starts its own binary instead.

fn main() -> std::process::ExitCode {
    syncline_host::compile_worker()
}
