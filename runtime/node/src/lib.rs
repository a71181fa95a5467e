//! The node: regions over a store and a bus, with an HTTP API and a command line.
//!
//! Rules are the core's, sandboxing is the host's, and what is durable is the store's. This crate
//! decides nothing about rows: it moves values between those three, in the order that the core asks
//! for, and talks to people.

pub mod alerts;
pub mod api;
pub mod cases;
pub mod cli;
mod component;
pub mod config;
pub mod dev;
pub mod metrics;
pub mod problem;
mod recorded;
pub mod region;
mod replay;
mod self_test;
pub mod serve;
mod text;
