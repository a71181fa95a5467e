//! The determinism profile: what a component may be made of, and what a call of it may use up. It is
//! numbered and pinned here, apart from the engine, because regions compare the profile, while the
//! engine's release and settings key only the compiled code.

use wasmtime::WasmFeatures;

/// The number of the profile that this build follows. Regions with different numbers may answer one
/// conflict differently, so it goes up with every change in this file that a guest could notice.
pub const PROFILE: u32 = 1;

/// The fuel of one call, from the start functions of its instance to the cleaning up after the answer,
/// unless the manifest asks for less.
pub const FUEL_MAX: u64 = 50_000_000;
/// The account of the guest's stack in bytes: what its activations may take, by the meter's measure.
/// Half of the stack that the engine gives it, so that the engine's own limit, which depends on its
/// settings and on the machine, decides nothing.
pub const STACK_BYTES_MAX: u64 = 1 << 20;
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
/// Over all instances, the meter's not counted.
pub(crate) const TABLES_MAX: u64 = 4;
/// The rest bounds the time that compiling takes.
pub(crate) const COMPONENTS_MAX: u64 = 16;
/// Of all kinds and at all levels; an empty one takes three bytes, and several looks to read.
pub(crate) const SECTIONS_MAX: u64 = 10_000;
/// Imported, as instances. All of WASI's first release are some thirty.
pub(crate) const INTERFACES_MAX: u64 = 100;
/// In all of them. WASI's have some five hundred.
pub(crate) const DECLARATIONS_MAX: u64 = 2_000;
pub(crate) const CORE_MODULES_MAX: u64 = 8;
pub(crate) const FUNCTIONS_MAX: u64 = 20_000;
pub(crate) const FUNCTION_BYTES_MAX: u64 = 256 << 10;
pub(crate) const CODE_BYTES_MAX: u64 = 2 << 20;
pub(crate) const LOOP_NESTING_MAX: u64 = 50;
pub(crate) const SIGNATURE_VALUES_MAX: u64 = 128;
pub(crate) const FUNCTION_JOINS_MAX: u64 = 1_000_000;
pub(crate) const JOINS_MAX: u64 = 12_000_000;
/// Of all functions; what Rust compiles to has some 15 in each.
pub(crate) const LOCALS_MAX: u64 = 1_000_000;
/// By all functions to blocks and to one another; Rust passes some three in a call.
pub(crate) const PASSED_VALUES_MAX: u64 = 2_000_000;
pub(crate) const TYPE_BYTES_MAX: u64 = 1 << 20;
/// The compiler takes the product of them and of what uses them.
pub(crate) const GLOBALS_MAX: u64 = 1_000;
pub(crate) const IMPORTS_AND_EXPORTS_MAX: u64 = 10_000;
pub(crate) const SEGMENTS_MAX: u64 = 10_000;
pub(crate) const SEGMENT_ELEMENTS_MAX: u64 = 100_000;
/// Where the engine can't map data it copies it, for each call.
pub(crate) const DATA_BYTES_MAX: u64 = 4 << 20;

/// WebAssembly 2.0 without references to host objects, in components without async. So relaxed
/// SIMD, 64-bit and multiple memories, tail calls, function references, threads, garbage collection
/// and exceptions are off, whatever the engine's release would take by itself.
pub const FEATURES: WasmFeatures = CORE_FEATURES.union(WasmFeatures::COMPONENT_MODEL);

/// The same for what is inside of a core module.
pub(crate) const CORE_FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::SIMD);

/// The fuel of each call of a WASI function, whatever it does: what crossing over to the host takes,
/// in the time that as much of a guest's own code would.
pub(crate) const WASI_CALL_FUEL: u64 = 1_000;
/// In addition, of each byte that is written to an output stream.
pub(crate) const WASI_WRITTEN_BYTE_FUEL: u64 = 4;
/// In addition, of each random byte, which is half a round of SHA-256.
pub(crate) const WASI_RANDOM_BYTE_FUEL: u64 = 100;
/// In addition, of each pollable in a list that is polled.
pub(crate) const WASI_POLLED_FUEL: u64 = 500;
/// What an output stream takes at once: so much WASI promises for a write that blocks.
pub(crate) const WASI_WRITE_BYTES_MAX: u64 = 4 << 10;
/// The random bytes that one call gives.
pub(crate) const WASI_RANDOM_BYTES_MAX: u64 = 64 << 10;
/// The pollables in one list.
pub(crate) const WASI_POLL_MAX: usize = 1_000;
/// The streams and pollables that a guest holds at a time.
pub(crate) const WASI_HANDLES_MAX: u32 = 1_000;
/// The handles of every kind in the engine's tables, also of resources that a guest defines itself
/// and what is lent to a call: WASI's own limits stay well below it.
pub(crate) const HANDLES_MAX: usize = 16 << 10;
/// What is copied out of a guest for one call of the host, before that has looked at it: more than
/// any call of WASI takes.
pub(crate) const HOSTCALL_BYTES_MAX: usize = 128 << 10;
