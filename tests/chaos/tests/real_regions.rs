//! Every fault once, over real brokers. Left out where Java or Maven is missing, unless
//! `SYNCLINE_TEST_KAFKA` says that there are brokers to be had.

use std::path::Path;
use std::process::ExitCode;

use syncline_broker::Jars;
use syncline_chaos::{Brokers, Options, run};

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if std::env::args().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("SYNCLINE_TEST_KAFKA").is_none()
        && let Err(why) = Jars::can_be_had()
    {
        eprintln!("left out: {why:#}");
        return ExitCode::SUCCESS;
    }
    let options = Options { only: names, ..Options::default() };
    // Beside the brokers of `cargo xtask kafka`, which have fetched the same.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let kafka = target.unwrap_or(Path::new("target")).join("kafka");
    match Brokers::start(&kafka).and_then(|brokers| run(&brokers, &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}
