//! Random core modules of the profile, by wasm-smith.

use std::convert::Infallible;

use arbitrary::Unstructured;
use fastrand::Rng;
use syncline_host::FEATURES;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_smith::{Config, InstructionKind, InstructionKinds, Module};
use wasmparser::{AbstractHeapType, Parser, Validator};

/// How random bytes go into a module: with few it has hardly any code.
const BYTES_MIN: usize = 512;
const BYTES_MAX: usize = 8 << 10;
/// Four pages, so that a memory is soon compared byte by byte.
const MEMORY_BYTES_MAX: u64 = 4 << 16;

/// What is asked of a module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// A module with the imports that may be used.
    pub(crate) imports: Option<Vec<u8>>,
    /// Each of its items is exported; else some are.
    pub(crate) exports_all: bool,
    /// How many memories it can have, with imported ones: 0 or 1.
    pub(crate) memories_max: usize,
    /// Calls and turns of loops after which it traps. None: it may never end.
    pub(crate) ends_after: Option<u32>,
}

/// A valid module of the profile. None: the dice gave none.
pub(crate) fn module(rng: &mut Rng, wanted: &Wanted) -> Option<Vec<u8>> {
    let mut bytes = vec![0; rng.usize(BYTES_MIN..BYTES_MAX)];
    rng.fill(&mut bytes);
    let config = config(rng, wanted);
    let mut module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    if let Some(fuel) = wanted.ends_after {
        module.ensure_termination(fuel).ok()?;
    }
    let module = without_host_references(&module.to_bytes())?;
    Validator::new_with_features(FEATURES).validate_all(&module).ok()?;
    Some(module)
}

fn config(rng: &mut Rng, wanted: &Wanted) -> Config {
    let mut allowed = InstructionKinds::all();
    if rng.u8(..3) == 0 {
        allowed = InstructionKinds::new(&[
            InstructionKind::NumericInt,
            InstructionKind::Numeric,
            InstructionKind::Parametric,
            InstructionKind::Variable,
            InstructionKind::Memory,
            InstructionKind::Control,
        ]);
    }
    Config {
        allowed_instructions: allowed,
        available_imports: wanted.imports.clone(),
        export_everything: wanted.exports_all,
        max_memories: wanted.memories_max,
        max_imports: if wanted.imports.is_some() { 100 } else { 0 },
        min_funcs: 1,
        max_funcs: rng.usize(2..20),
        max_types: 20,
        max_globals: 10,
        max_tables: 2,
        max_exports: 8,
        min_exports: 1,
        max_elements: 20,
        max_element_segments: 6,
        max_data_segments: 6,
        max_instructions: rng.usize(20..600),
        max_memory32_bytes: MEMORY_BYTES_MAX,
        max_table_elements: 200,
        table_max_size_required: rng.bool(),
        memory_max_size_required: rng.bool(),
        allow_start_export: rng.u8(..4) == 0,
        // What is not in the profile.
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        extended_const_enabled: false,
        ..Config::default()
    }
}

/// The profile has no references to host objects, and the generator can't do without. All its
/// modules are as valid with references to functions in their place.
fn without_host_references(module: &[u8]) -> Option<Vec<u8>> {
    let mut out = wasm_encoder::Module::new();
    ToFunctions.parse_core_module(&mut out, Parser::new(0), module).ok()?;
    Some(out.finish())
}

struct ToFunctions;

impl Reencode for ToFunctions {
    type Error = Infallible;

    fn abstract_heap_type(
        &mut self,
        value: AbstractHeapType,
    ) -> Result<wasm_encoder::AbstractHeapType, Error<Infallible>> {
        Ok(match value {
            AbstractHeapType::Extern => wasm_encoder::AbstractHeapType::Func,
            other => other.into(),
        })
    }
}
