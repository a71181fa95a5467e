//! What the tests of this crate have in common: they need a real broker.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use syncline_broker::Jars;

/// Runs a test that starts brokers, whose jars lie, or are put, in the folder that it is given, with
/// the names of what alone is to be played. Left out where Java or Maven is missing, unless
/// `SYNCLINE_TEST_KAFKA` says that there are brokers to be had. `target_tmpdir` is the test's
/// `CARGO_TARGET_TMPDIR`.
pub fn over_kafka(
    target_tmpdir: &str,
    play: impl FnOnce(&Path, Vec<String>) -> Result<()>,
) -> ExitCode {
    if std::env::args().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("SYNCLINE_TEST_KAFKA").is_none()
        && let Err(why) = Jars::can_be_had()
    {
        eprintln!("left out: {why:#}");
        return ExitCode::SUCCESS;
    }
    // Beside the brokers of `cargo xtask kafka`, which have fetched the same.
    let target = Path::new(target_tmpdir).parent();
    let kafka = target.unwrap_or(Path::new("target")).join("kafka");
    let names = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    match play(&kafka, names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}
