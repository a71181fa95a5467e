//! Engines that have nothing in common but what WebAssembly says.

use anyhow::{Result, anyhow};
use syncline_host::{FEATURES, STACK_BYTES_MAX};
use wasmtime::{
    Config, Engine, Inlining, OperatorCost, OptLevel, RegallocAlgorithm, VariableOperatorCost,
    WasmFeatures,
};

/// As the host has it: twice what the meter's account gives.
const GUEST_STACK_BYTES: usize = 2 * STACK_BYTES_MAX as usize;

/// How an engine compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Optimized,
    Unoptimized,
    SinglePass,
    Inlined,
    BoundsChecked,
}

impl Setting {
    pub(super) const ALL: [Self; 5] =
        [Self::Optimized, Self::Unoptimized, Self::SinglePass, Self::Inlined, Self::BoundsChecked];
}

/// An engine for each setting, twice: for what is metered, and with a count of its own operators,
/// for what is not.
pub(super) struct Engines {
    metered: [Engine; 5],
    counting: [Engine; 5],
}

impl Engines {
    pub(super) fn new() -> Result<Self> {
        let all = |counting: bool| {
            let engines = Setting::ALL.map(|setting| engine(setting, counting));
            let engines: Result<Vec<_>> = engines.into_iter().collect();
            engines?.try_into().map_err(|_| anyhow!("an engine is missing"))
        };
        Ok(Self { metered: all(false)?, counting: all(true)? })
    }

    pub(super) fn metered(&self, setting: Setting) -> &Engine {
        &self.metered[setting as usize]
    }

    /// It counts one for each operator that the cost table does not give away.
    pub(super) fn counting(&self, setting: Setting) -> &Engine {
        &self.counting[setting as usize]
    }
}

fn engine(setting: Setting, counting: bool) -> Result<Engine> {
    let mut config = Config::new();
    for feature in WasmFeatures::all().iter() {
        config.wasm_features(feature, FEATURES.contains(feature));
    }
    config
        .consume_fuel(counting)
        .operator_cost(OperatorCost { variable: nothing(), ..OperatorCost::new() })
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .concurrency_support(false)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(2 * GUEST_STACK_BYTES)
        .parallel_compilation(false);
    match setting {
        Setting::Optimized => &mut config,
        Setting::Unoptimized => config.cranelift_opt_level(OptLevel::None),
        Setting::SinglePass => config.cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass),
        Setting::Inlined => config.compiler_inlining(Inlining::Yes),
        Setting::BoundsChecked => {
            config.memory_reservation(1 << 20).memory_guard_size(0).signals_based_traps(false)
        }
    };
    Engine::new(&config).map_err(|error| anyhow!("set up an engine: {error:#}"))
}

/// What the operators with a length cost there is not what they cost here.
fn nothing() -> VariableOperatorCost {
    VariableOperatorCost {
        memory_copy_per_byte: 0,
        memory_fill_per_byte: 0,
        memory_init_per_byte: 0,
        memory_grow_per_page: 0,
        table_copy_per_element: 0,
        table_fill_per_element: 0,
        table_init_per_element: 0,
        table_grow_per_element: 0,
        ..VariableOperatorCost::new()
    }
}
