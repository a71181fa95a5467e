//! Turns an admitted component into code, apart from everything else.

use thiserror::Error;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The compiler recurses over what it compiles, on a stack that is large enough for what admission
/// lets through.
const STACK_BYTES: usize = 32 << 20;

/// Why an admitted component did not become code.
#[derive(Debug, Error)]
pub(crate) enum CompileError {
    #[error("{0:#}")]
    Engine(wasmtime::Error),
    #[error("the compiler panicked")]
    Panic,
    #[error("no thread to compile on")]
    Thread(#[source] std::io::Error),
}

/// Compiles on a thread of its own: a panic of the compiler ends there.
pub(crate) fn compile(engine: &Engine, component: &[u8]) -> Result<Component, CompileError> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("compile".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || Component::from_binary(engine, component))
            .map_err(CompileError::Thread)?
            .join()
            .map_err(|_| CompileError::Panic)?
            .map_err(CompileError::Engine)
    })
}
