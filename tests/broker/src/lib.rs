//! Runs real Apache Kafka on this machine: one broker a name, each its own controller, with a small
//! heap, on the loopback interface.
//!
//! A broker is a process of its own that outlives whoever started it, until [`Broker::stop`] or
//! [`Broker::kill`] is called from any process. Its data stay in its folder. Nothing here speaks
//! Kafka's protocol.

mod broker;
mod jars;
mod java;

pub use broker::Broker;
pub use jars::Jars;
