//! Which interfaces of WASI there are, by name and version.

use wasmtime::component::{Component, HasData, Linker};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sync};

use super::Wasi;
use crate::state::CallState;

/// What a component may import of WASI 0.2, without versions.
pub(crate) const ALLOWED: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Whether a component imports any of it.
pub(crate) fn is_imported(component: &Component) -> bool {
    let ty = component.component_type();
    ty.imports(component.engine()).any(|(name, _)| name.starts_with("wasi:"))
}

/// Provides all of it. An import is served if its version is of the same line, 0.2, and what it asks
/// for is there in the same form.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let l = linker;
    cli::environment::add_to_linker::<_, Wasi>(l, wasi)?;
    cli::exit::add_to_linker::<_, Wasi>(l, wasi)?;
    cli::stderr::add_to_linker::<_, Wasi>(l, wasi)?;
    cli::stdin::add_to_linker::<_, Wasi>(l, wasi)?;
    cli::stdout::add_to_linker::<_, Wasi>(l, wasi)?;
    cli::terminal_input::add_to_linker::<_, Wasi>(l, wasi)?;
    cli::terminal_output::add_to_linker::<_, Wasi>(l, wasi)?;
    cli::terminal_stderr::add_to_linker::<_, Wasi>(l, wasi)?;
    cli::terminal_stdin::add_to_linker::<_, Wasi>(l, wasi)?;
    cli::terminal_stdout::add_to_linker::<_, Wasi>(l, wasi)?;
    clocks::monotonic_clock::add_to_linker::<_, Wasi>(l, wasi)?;
    clocks::wall_clock::add_to_linker::<_, Wasi>(l, wasi)?;
    filesystem::preopens::add_to_linker::<_, Wasi>(l, wasi)?;
    sync::filesystem::types::add_to_linker::<_, WasiFilesystem>(l, files)?;
    io::error::add_to_linker::<_, Wasi>(l, wasi)?;
    sync::io::poll::add_to_linker::<_, Wasi>(l, wasi)?;
    sync::io::streams::add_to_linker::<_, Wasi>(l, wasi)?;
    random::insecure::add_to_linker::<_, Wasi>(l, wasi)?;
    random::insecure_seed::add_to_linker::<_, Wasi>(l, wasi)?;
    random::random::add_to_linker::<_, Wasi>(l, wasi)
}

impl HasData for Wasi {
    type Data<'a> = &'a mut Self;
}

fn wasi(state: &mut CallState) -> &mut Wasi {
    &mut state.wasi
}

/// Without a file that is open nothing of it can be called, so nothing is charged for it.
fn files(state: &mut CallState) -> WasiFilesystemCtxView<'_> {
    let Wasi { files, file_handles, .. } = &mut state.wasi;
    WasiFilesystemCtxView { ctx: files, table: file_handles }
}
