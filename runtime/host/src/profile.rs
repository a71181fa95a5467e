//! The determinism profile: what a component may be made of, and what a call of it may use up. It is
//! numbered and pinned here, apart from the engine, because regions compare the profile, while the
//! engine's release and settings key only the compiled code.

use wasmtime::WasmFeatures;

/// The number of the profile that this build follows. Regions with different numbers may answer one
/// conflict differently, so it goes up with every change in this file that a guest could notice.
pub const PROFILE: u32 = 1;

/// The fuel of one call, unless the manifest asks for less.
pub const FUEL_MAX: u64 = 50_000_000;
/// The fuel of an instantiation: the start functions and what they call. It is a budget of its own
/// so that a call's fuel does not depend on how the engine brings memory into its first state.
pub const INSTANTIATION_FUEL: u64 = 10_000_000;
/// The guest's memory in bytes, unless the manifest asks for less.
pub const MEMORY_BYTES_MAX: u64 = 64 << 20;
/// The guest's answer in bytes, unless the manifest asks for less.
pub const OUTPUT_BYTES_MAX: u64 = 1 << 20;
/// The elements of each of a guest's tables. Asking for more gives -1, as WebAssembly has it.
pub const TABLE_ELEMENTS_MAX: usize = 10_000;

/// The size of an uploaded component in bytes.
pub const COMPONENT_BYTES_MAX: usize = 16 << 20;
/// How deep components may be nested in components.
pub(crate) const NESTING_MAX: u64 = 4;
/// What can be instantiated, over all levels: enough for a main module, its adapters and their
/// shims, few enough for a pool that gives every call the same room.
pub(crate) const CORE_INSTANCES_MAX: u64 = 8;
/// One, as everything that a function keeps in memory is in one budget.
pub(crate) const MEMORIES_MAX: u64 = 1;
/// Over all instances.
pub(crate) const TABLES_MAX: u64 = 4;
/// The rest bounds the time that compiling takes.
pub(crate) const COMPONENTS_MAX: u64 = 16;
pub(crate) const CORE_MODULES_MAX: u64 = 8;
pub(crate) const FUNCTIONS_MAX: u64 = 20_000;
pub(crate) const FUNCTION_BYTES_MAX: u64 = 256 << 10;
pub(crate) const CODE_BYTES_MAX: u64 = 2 << 20;
pub(crate) const LOOP_NESTING_MAX: u64 = 50;
pub(crate) const SIGNATURE_VALUES_MAX: u64 = 128;
pub(crate) const FUNCTION_JOINS_MAX: u64 = 1_000_000;
pub(crate) const JOINS_MAX: u64 = 4_000_000;
pub(crate) const TYPE_BYTES_MAX: u64 = 1 << 20;
pub(crate) const GLOBALS_MAX: u64 = 10_000;
pub(crate) const IMPORTS_AND_EXPORTS_MAX: u64 = 10_000;
pub(crate) const SEGMENTS_MAX: u64 = 10_000;
pub(crate) const SEGMENT_ELEMENTS_MAX: u64 = 100_000;
/// Where the engine can't map data it copies it, and that costs fuel of the instantiation.
pub(crate) const DATA_BYTES_MAX: u64 = 4 << 20;

/// WebAssembly 2.0 without references to host objects, in components without async. So relaxed
/// SIMD, 64-bit and multiple memories, tail calls, function references, threads, garbage collection
/// and exceptions are off, whatever the engine's release would take by itself.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::COMPONENT_MODEL);
