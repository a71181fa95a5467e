//! Decides about a guest's memory and tables, in place of the pool, whose answer would depend on
//! how the pool is set up.

use thiserror::Error;
use wasmtime::ResourceLimiter;

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

/// What the engine says where a guest asks for more than 4 GiB. It has no type to know it by, and
/// calls the limiter only afterwards; a test tells when an upgrade of the engine changes the words.
const BEYOND_ITS_TYPE: &str = "memory growth exceeds memory type's limits";

pub(crate) struct Limiter {
    memory_bytes: usize,
}

impl Limiter {
    pub(crate) fn new(memory_bytes: u64) -> Self {
        Self { memory_bytes: usize::try_from(memory_bytes).unwrap_or(usize::MAX) }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.memory_bytes {
            return Err(OverMemoryLimit.into());
        }
        // The module's own maximum is no limit of ours: it gets the -1 that it expects.
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
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
        Ok(desired <= TABLE_ELEMENTS_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }
}
