//! Runs users' merge functions: WASM components of the world in wit/merge.wit, uploaded by whoever
//! owns a table, trusted by no one.
//!
//! [`Host`] checks a component ([`Host::admit`]), compiles it once and keeps the code on disk, and
//! calls it ([`Host::run`], or as the core's `MergeFunctions`), each time in a fresh instance with
//! nothing but the conflict as its input. What a guest does wrong is an outcome, `GuestFault`, the
//! same in every region; what goes wrong around it is a `HostFault`, and never decides anything.
//!
//! It knows nothing of rows, regions, rollouts or stores, reads no clock but to give up a call, and
//! gives a guest no clock, no randomness, no files, no network, and nothing of an earlier call. The
//! WASI that a compiler's standard library drags in sees the conflict in place of a machine.

mod abi;
mod admission;
mod backtrace;
mod breach;
mod cache;
mod compile;
mod engine;
mod fault;
mod function;
mod function_log;
mod gate;
mod host;
mod limiter;
mod manifest;
mod metering;
mod profile;
mod state;
mod wasi;

pub use admission::{
    CASES_SECTION, GIVEN_CASES_BYTES_MAX, Inspected, Refused, given_cases, inspect,
};
pub use compile::{
    COMPILE_LOAD_BYTES_MAX, COMPILE_LOAD_SECONDS_MAX, COMPILE_UPLOAD_BYTES_MAX,
    COMPILE_UPLOAD_SECONDS_MAX, Compiler, UPLOAD_ANSWER_SECONDS_MAX, compile_worker,
};
pub use engine::{CALL_STACK_BYTES, EngineSettings, engine_name};
pub use function::{Run, Usage};
pub use function_log::{FunctionLog, LogEntry};
pub use host::{Admitted, Host, HostConfig, LoadError, StartError};
pub use manifest::{InvalidManifest, Limits, MANIFEST_SECTION, Manifest};
pub use metering::{Budget, METER_EXPORT, Mark, MeterError, meter};
pub use profile::{
    COMPONENT_BYTES_MAX, FEATURES, FUEL_MAX, MEMORY_BYTES_MAX, OUTPUT_BYTES_MAX, PROFILE,
    STACK_BYTES_MAX, TABLE_ELEMENTS_MAX,
};
