//! A WASI without a machine behind it, for components that a compiler's standard library makes
//! import one: the same conflict sees the same in every region.
//!
//! The interfaces, their types and the rules about versions are those of wasmtime-wasi. What they do
//! is ours, as its own streams and pollables run on a runtime of tasks and wait in real time; only the
//! files' functions are its own, and without a file to begin with none of them can be called.
//!
//! - Time stands still, at the newer side's HLC. Randomness comes from the conflict's id.
//! - There are no arguments, variables and files. Standard input is at its end.
//! - What is written to standard output and standard error goes to the call's log.
//! - Nothing waits. What would, and leaving by `exit`, ends the call as a trap of the guest.
//!
//! No handle has anything behind it: a stream's or pollable's number says which it is, so that nothing
//! is kept for it here but a count.
//!
//! # Fuel
//! Each function pays before it acts, by its length where it has one. The engine's hook around calls
//! of the host would not do: it also sees the engine's own helpers, and which of those compiled code
//! uses depends on the engine's settings.

mod cli;
mod clocks;
mod io;
mod linker;
mod log;
mod meter;
mod random;

use syncline_core::MergeInput;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;

pub(crate) use linker::{ALLOWED, is_imported, link};
use log::Log;
use meter::Meter;
pub(crate) use meter::Stop;
use random::Random;

/// WASI as one call sees it.
pub(crate) struct Wasi {
    meter: Meter,
    /// Milliseconds since 1970.
    time_ms: u64,
    random: Random,
    log: Log,
    /// wasmtime-wasi's own functions for files ask for these. They stay empty.
    files: WasiFilesystemCtx,
    file_handles: ResourceTable,
}

impl Wasi {
    /// For a call with this fuel.
    pub(crate) fn of(input: &MergeInput<'_>, fuel: u64) -> Self {
        Self::new(input.newer.hlc.millis(), Random::of(input), fuel)
    }

    /// For a call that can't come here.
    pub(crate) fn absent() -> Self {
        Self::new(0, Random::none(), 0)
    }

    fn new(time_ms: u64, random: Random, fuel: u64) -> Self {
        Self {
            meter: Meter::new(fuel),
            time_ms,
            random,
            log: Log::default(),
            files: WasiFilesystemCtx::default(),
            file_handles: ResourceTable::new(),
        }
    }

    pub(crate) fn fuel_spent(&self) -> u64 {
        self.meter.spent()
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }
}
