//! Runs users' merge functions: WASM components of the world in wit/merge.wit, uploaded by whoever
//! owns a table, trusted by no one.
//!
//! [`Host`] checks a component ([`Host::admit`]), compiles it once and keeps the code on disk, and
//! calls it ([`Host::run`], or as the core's `MergeFunctions`), each time in a fresh instance with
//! nothing but the conflict as its input. What a guest does wrong is an outcome, `GuestFault`, the
//! same in every region; what goes wrong around it is a `HostFault`, and never decides anything.
//!
//! It knows nothing of rows, regions, rollouts or stores, reads no clock but to give up a call, and
//! gives a guest no clock, no randomness, no files, no network, and nothing of an earlier call.

mod abi;
mod admission;
mod cache;
mod compile;
mod engine;
mod fault;
mod function;
mod gate;
mod host;
mod limiter;
mod manifest;
mod profile;

pub use admission::Refused;
pub use function::Run;
pub use host::{Admitted, Host, HostConfig, LoadError, StartError};
pub use manifest::{InvalidManifest, Limits, MANIFEST_SECTION, Manifest};
pub use profile::{
    COMPONENT_BYTES_MAX, FUEL_MAX, INSTANTIATION_FUEL, MEMORY_BYTES_MAX, OUTPUT_BYTES_MAX, PROFILE,
    TABLE_ELEMENTS_MAX,
};
