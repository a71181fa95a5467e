//! Whole regions under faults: real processes, each with a Kafka broker of its own, joined by
//! nothing else, while clients write.
//!
//! A [`scenario`](SCENARIOS) starts its regions, has [`Writers`] write in all of them, and strikes.
//! Then everything is healed, the regions become quiet, and it is checked from outside: no
//! acknowledged write is missing, all hold the same bytes, and every record that was read is
//! accounted for.

mod console;
mod faults;
mod foreign;
mod ledger;
mod members;
mod operated;
mod over_kafka;
mod poison;
mod rollouts;
mod run;
mod scene;
mod topology;
mod writers;

pub use faults::{SCENARIOS, Scenario};
pub use over_kafka::over_kafka;
pub use run::{Brokers, Options, run};
pub use scene::Scene;
pub use topology::Topology;
pub use writers::Writers;
