//! Whole regions, simulated: the product's own core, applier, outbox, publisher and control records
//! over a bus, disks, clocks and a network that fail as a seed says.
//!
//! One thread, no wall time, no randomness but the seed's: the same seed is the same run. What is
//! promised is checked after every event, and once more when everything has healed, against a naive
//! model that keeps all changes and folds from scratch.
//!
//! `scenario` makes what happens, `world` carries it out, `oracle` says what must come of it; none
//! of the three looks into another. Around them, `seeds` says which runs are played, `run` plays
//! them, on several threads if there are many, `shrink` makes a failing one short, `report` tells
//! people of it, and `bugs` holds the checks themselves to account. Apart from all of these, `cost`
//! measures what the core's work on a row costs by how many rows there are.

#[cfg(feature = "planted-bugs")]
pub mod bugs;
pub mod bus;
pub mod cli;
pub mod cost;
pub mod founding;
pub mod functions;
pub mod oracle;
pub mod reference;
pub mod region;
pub mod report;
pub mod run;
pub mod scenario;
pub mod seeds;
pub mod shrink;
pub mod stats;
pub mod topology;
pub mod world;
