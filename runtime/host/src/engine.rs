//! The engine and its settings.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;

use sha2::{Digest, Sha256};
use wasmtime::{
    Config, Enabled, Engine, Inlining, OptLevel, PoolingAllocationConfig, RegallocAlgorithm,
    WasmFeatures,
};

use crate::backtrace::FRAMES_MAX;
use crate::profile::{
    CORE_INSTANCES_MAX, FEATURES, MEMORIES_MAX, MEMORY_BYTES_MAX, PROFILE, STACK_BYTES_MAX,
    TABLE_ELEMENTS_MAX, TABLES_MAX,
};

/// What a guest's frames may take of the stack. The engine's overflow is not the same everywhere, so
/// it decides no outcome: the meter's account ends a call at half of this, and frames were measured
/// to take up to 1.25 of what is accounted for them.
const GUEST_STACK_BYTES: usize = 2 * STACK_BYTES_MAX as usize;
/// What a call needs of its thread's stack: the rest is for the host's frames on top of the guest's. A
/// thread that has less left gets a stack for each call, which costs more than a small merge.
pub const CALL_STACK_BYTES: usize = 2 * GUEST_STACK_BYTES;
/// What a slot keeps of its memory and of a table, zeroed by hand, instead of giving it back to the
/// kernel after each call: page faults cost more than everything else in an instantiation.
const KEPT_MEMORY_BYTES: usize = 256 << 10;
const KEPT_TABLE_BYTES: usize = 64 << 10;
/// More would only reserve addresses.
const MEMORY_SLOTS_MAX: u32 = 1024;
/// A module's or component's bookkeeping; the counts of admission stay well below it.
const INSTANCE_BYTES_MAX: usize = 8 << 20;

/// How the engine is set up, in ways that no outcome may depend on. Regions run the first; the others
/// are there to find out whether a function, or the engine, keeps to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineSettings {
    /// Optimised for speed, with memory from a pool.
    #[default]
    Production,
    /// Compiled without optimisation.
    Unoptimized,
    /// Optimised for size too.
    Small,
    /// With the other register allocator.
    SinglePass,
    /// Functions are put into their callers where that is worth it.
    Inlined,
    /// Memory is copied into its first state, not mapped.
    Copied,
    /// Memory from the kernel, call by call.
    OnDemand,
    /// Each access to memory is compared with its end, and traps are raised by code, not by signals.
    BoundsChecked,
}

impl EngineSettings {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Production,
        Self::Unoptimized,
        Self::Small,
        Self::SinglePass,
        Self::Inlined,
        Self::Copied,
        Self::OnDemand,
        Self::BoundsChecked,
    ];
}

/// The engine's release, as the workspace pins it.
const RELEASE: &str = "48.0.8";

/// What runs merge functions here: the engine's release, and what it compiles for. Regions name it
/// where their outcomes differ.
pub fn engine_name() -> String {
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    format!("wasmtime {RELEASE}, {arch}-{os}")
}

/// Room for `slots` calls at a time of `functions` distinct components.
pub(crate) fn engine(
    slots: u32,
    functions: u32,
    settings: EngineSettings,
) -> wasmtime::Result<Engine> {
    let mut config = config(settings);
    match settings {
        EngineSettings::OnDemand | EngineSettings::BoundsChecked => {}
        _ => {
            config.allocation_strategy(pool(slots, functions));
        }
    }
    Engine::new(&config)
}

/// An engine that only compiles, for one of any number of slots: the pool reserves terabytes of
/// addresses, and the code does not depend on it.
pub(crate) fn compiling(settings: EngineSettings) -> wasmtime::Result<Engine> {
    Engine::new(&config(settings))
}

fn config(settings: EngineSettings) -> Config {
    let mut config = Config::new();
    for feature in WasmFeatures::all().iter() {
        config.wasm_features(feature, FEATURES.contains(feature));
    }
    config
        .consume_fuel(false)
        .epoch_interruption(false)
        .concurrency_support(false)
        .memory_init_cow(true)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .wasm_branch_hinting(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        // No call runs on such a stack, but the engine compares the two.
        .async_stack_size(CALL_STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        // One thread, whose stack is large and known; and the other one keeps merging meanwhile.
        .parallel_compilation(false);
    match settings {
        EngineSettings::Production | EngineSettings::OnDemand => &mut config,
        EngineSettings::Unoptimized => config.cranelift_opt_level(OptLevel::None),
        EngineSettings::Small => config.cranelift_opt_level(OptLevel::SpeedAndSize),
        EngineSettings::SinglePass => {
            config.cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass)
        }
        EngineSettings::Inlined => config.compiler_inlining(Inlining::Yes),
        EngineSettings::Copied => config.memory_init_cow(false),
        EngineSettings::BoundsChecked => {
            config.memory_reservation(1 << 20).memory_guard_size(0).signals_based_traps(false)
        }
    };
    config
}

/// A slot that last held the same component is ready at once, so there are as many as would let every
/// pair of a call and a component have its own.
fn pool(slots: u32, functions: u32) -> PoolingAllocationConfig {
    let memories = slots.saturating_mul(functions.max(1)).min(MEMORY_SLOTS_MAX).max(slots);
    // One is the meter's.
    let tables_each = TABLES_MAX as u32 + 1;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES_MAX as u32)
        .total_memories(memories)
        .total_tables(memories.max(slots * tables_each))
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
    pool
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_release_in_use() {
        let lock = include_str!("../../../Cargo.lock");
        let pinned = format!("name = \"wasmtime\"\nversion = \"{RELEASE}\"\n");
        assert!(lock.contains(&pinned), "RELEASE is not what Cargo.lock pins");
    }
}
