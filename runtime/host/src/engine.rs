//! The engine and its settings.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Enabled, Engine, OptLevel, PoolingAllocationConfig, WasmFeatures};

use crate::profile::{
    CORE_INSTANCES_MAX, FEATURES, MEMORIES_MAX, MEMORY_BYTES_MAX, PROFILE, TABLE_ELEMENTS_MAX,
    TABLES_MAX,
};

/// What a guest's frames may take of its stack. The engine's overflow is not the same everywhere, so
/// it decides no outcome; this only says how deep a guest may go before the host has no answer.
const GUEST_STACK_BYTES: usize = 2 << 20;
/// The stack that a call runs on, which is its own and not the caller's: the rest is for the
/// engine's frames on top of the guest's.
const CALL_STACK_BYTES: usize = 4 << 20;
/// What a slot keeps of its memory and of a table, zeroed by hand, instead of giving it back to the
/// kernel after each call: page faults cost more than everything else in an instantiation.
const KEPT_MEMORY_BYTES: usize = 256 << 10;
const KEPT_TABLE_BYTES: usize = 64 << 10;
/// More would only reserve addresses.
const MEMORY_SLOTS_MAX: u32 = 1024;
/// A module's or component's bookkeeping; the counts of admission stay well below it.
const INSTANCE_BYTES_MAX: usize = 8 << 20;

/// Room for `slots` calls at a time of `functions` distinct components. A slot that last held the
/// same component is ready at once, so there are as many as would let every pair have its own.
pub(crate) fn engine(slots: u32, functions: u32) -> wasmtime::Result<Engine> {
    let memories = slots.saturating_mul(functions.max(1)).min(MEMORY_SLOTS_MAX).max(slots);
    let tables_each = TABLES_MAX as u32;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES_MAX as u32)
        .total_memories(memories)
        .total_tables(memories.max(slots * tables_each))
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES_MAX as u32)
        .max_memories_per_component(MEMORIES_MAX as u32)
        .max_tables_per_component(tables_each)
        .max_tables_per_module(tables_each)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        // Larger than any limit of a guest, so that the pool's own never decides an outcome.
        .max_memory_size(2 * MEMORY_BYTES_MAX as usize)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(memories)
        .linear_memory_keep_resident(KEPT_MEMORY_BYTES)
        .table_keep_resident(KEPT_TABLE_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    for feature in WasmFeatures::all().iter() {
        config.wasm_features(feature, FEATURES.contains(feature));
    }
    config
        .allocation_strategy(pool)
        .consume_fuel(true)
        .epoch_interruption(false)
        .concurrency_support(false)
        .memory_init_cow(true)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(CALL_STACK_BYTES)
        .wasm_backtrace_max_frames(None)
        // One thread, whose stack is large and known; and the other one keeps merging meanwhile.
        .parallel_compilation(false);
    Engine::new(&config)
}

/// What compiled code depends on: the engine's release and settings, this machine's instruction
/// set, and the profile that admitted the component.
pub(crate) fn fingerprint(engine: &Engine) -> [u8; 32] {
    let mut hasher = Sha256Hasher(Sha256::new());
    PROFILE.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

/// Lets a hash that only promises to go into a `Hasher` go into one that is the same in each
/// process and that no one can find a collision of.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes([
            digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
        ])
    }
}
