//! Decides about a guest's memory and tables, in place of the pool, whose answer would depend on
//! how the pool is set up, and hears what the meter in the guest's code has to say.

use std::time::Instant;

use thiserror::Error;
use wasmtime::ResourceLimiter;

use crate::metering::Mark;
use crate::profile::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};

/// Ends a call: the guest asked for more memory than its limit. Raised in the place of the -1 that
/// WebAssembly gives, as guests turn that into all kinds of traps and the reason would be lost.
#[derive(Debug, Error)]
#[error("over the memory limit")]
pub(crate) struct OverMemoryLimit;

/// Ends a call: the guest may have the memory, but the machine has none. Not an answer.
#[derive(Debug, Error)]
#[error("the machine has no memory for the guest: {0}")]
pub(crate) struct NoMemoryHere(String);

/// Ends a call: the meter found no fuel left.
#[derive(Debug, Error)]
#[error("out of fuel")]
pub(crate) struct OutOfFuel;

/// Ends a call: the meter found the account of the stack used up.
#[derive(Debug, Error)]
#[error("calls nested too deeply")]
pub(crate) struct TooDeep;

/// Ends a call: the wall clock ran out before the fuel did. Not an answer.
#[derive(Debug, Error)]
#[error("the wall clock ran out")]
pub(crate) struct TookTooLong;

/// What the engine says where a guest asks for more than 4 GiB. It has no type to know it by, and
/// calls the limiter only afterwards; a test tells when an upgrade of the engine changes the words.
const BEYOND_ITS_TYPE: &str = "memory growth exceeds memory type's limits";

pub(crate) struct Limiter {
    memory_bytes_max: usize,
    /// The most that the guest had.
    memory_bytes: usize,
    deadline: Instant,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: u64, deadline: Instant) -> Self {
        let memory_bytes_max = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
        Self { memory_bytes_max, memory_bytes: 0, deadline }
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes as u64
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.memory_bytes_max {
            return Err(OverMemoryLimit.into());
        }
        // The module's own maximum is no limit of ours: it gets the -1 that it expects.
        let granted = maximum.is_none_or(|maximum| desired <= maximum);
        if granted {
            self.memory_bytes = self.memory_bytes.max(desired);
        }
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if error.to_string() == BEYOND_ITS_TYPE {
            Err(OverMemoryLimit.into())
        } else {
            Err(NoMemoryHere(format!("{error:#}")).into())
        }
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match Mark::of(desired) {
            Some(Mark::OutOfFuel) => Err(OutOfFuel.into()),
            Some(Mark::TooDeep) => Err(TooDeep.into()),
            Some(Mark::Tick) if Instant::now() >= self.deadline => Err(TookTooLong.into()),
            _ => {
                let granted = desired <= TABLE_ELEMENTS_MAX;
                Ok(granted && maximum.is_none_or(|maximum| desired <= maximum))
            }
        }
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize + 1
    }
}
