//! Every fault once, over real brokers.

use std::process::ExitCode;

use syncline_chaos::{Brokers, Options, over_kafka, run};

fn main() -> ExitCode {
    over_kafka(env!("CARGO_TARGET_TMPDIR"), |kafka, only| {
        let options = Options { only, ..Options::default() };
        run(&Brokers::start(kafka)?, &options)
    })
}
