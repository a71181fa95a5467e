//! Time stands still. The wall clock shows the newer side's HLC, the other one shows nothing.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};

use super::Wasi;
use super::meter::Stop;

/// An HLC's.
const RESOLUTION_NS: u32 = 1_000_000;
const WAITING: Stop = Stop::NotGiven("it waits for time to pass, and none passes in a call");

impl wall_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        self.meter.call()?;
        // Below 1,000,000,000, so it fits.
        let nanoseconds = (self.time_ms % 1_000) as u32 * RESOLUTION_NS;
        Ok(wall_clock::Datetime { seconds: self.time_ms / 1_000, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        self.meter.call()?;
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: RESOLUTION_NS })
    }
}

impl monotonic_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.meter.call()?;
        Ok(0)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.meter.call()?;
        Ok(RESOLUTION_NS.into())
    }

    fn subscribe_instant(&mut self, _: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.meter.call()?;
        Err(WAITING.into())
    }

    fn subscribe_duration(&mut self, _: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.meter.call()?;
        Err(WAITING.into())
    }
}
