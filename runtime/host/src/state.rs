//! What the store of one call holds.

use std::time::Instant;

use syncline_core::{GuestFault, MergeInput};
use wasmtime::{Engine, Error, Store};

use crate::backtrace;
use crate::limiter::Limiter;
use crate::manifest::Limits;
use crate::profile::{HANDLES_MAX, HOSTCALL_BYTES_MAX};
use crate::wasi::Wasi;

pub(crate) struct CallState {
    limiter: Limiter,
    /// Without use for a component that imports nothing of WASI, and made of nothing then.
    pub(crate) wasi: Wasi,
}

impl CallState {
    /// A store for one call. `wasi`: whether the component imports anything of it. After the deadline
    /// the call is given up.
    pub(crate) fn store(
        engine: &Engine,
        limits: &Limits,
        input: &MergeInput<'_>,
        wasi: bool,
        deadline: Instant,
    ) -> Store<Self> {
        let wasi = if wasi { Wasi::of(input, limits.fuel) } else { Wasi::absent() };
        let limiter = Limiter::new(limits.memory_bytes, deadline);
        let mut store = Store::new(engine, Self { limiter, wasi });
        store.limiter(|state| &mut state.limiter);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store
    }

    /// The fuel that calls of the host used up, which the guest's own counter knows nothing of.
    pub(crate) fn host_fuel(&self) -> u64 {
        self.wasi.fuel_spent()
    }

    /// The most memory that the guest had.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.limiter.memory_bytes()
    }

    /// The log of an ended call: what the guest wrote, and where it was when it failed. Empty, or
    /// lines that each end in a line feed.
    pub(crate) fn log(&self, failure: Option<(&Error, &GuestFault)>) -> String {
        let mut log = self.wasi.log();
        if let Some((error, fault)) = failure {
            log.push_str(&backtrace::of(error, fault));
        }
        log
    }
}
