//! Takes the bulk memory instructions out of a module.
//!
//! CosmWasm admits no bulk memory, and the standard library for wasm32-unknown-unknown is compiled
//! with it. So where the library copies and fills, the module's own `memory_copy` and
//! `memory_fill` are called instead, which is what a library without bulk memory does.

use anyhow::{Context as _, Result, ensure};
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{CodeSection, Instruction, Module, RawSection};
use wasmparser::{ExternalKind, FunctionBody, Operator, Parser, Payload};

/// The functions that take the instructions' place, by index. They have the instructions'
/// operands.
struct Instead {
    copy: u32,
    fill: u32,
}

/// The same module without `memory.copy`, `memory.fill` and custom sections.
pub fn lowered(wasm: &[u8]) -> Result<Vec<u8>> {
    let instead =
        Instead { copy: exported(wasm, "memory_copy")?, fill: exported(wasm, "memory_fill")? };
    let mut module = Module::new();
    let mut code = CodeSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.context("read the contract")?;
        match &payload {
            Payload::CodeSectionEntry(body) => instead.body(&mut code, body)?,
            // The count of data segments belongs to bulk memory; names and the like are not run.
            Payload::CodeSectionStart { .. }
            | Payload::DataCountSection { .. }
            | Payload::CustomSection(_) => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    if matches!(other, Payload::DataSection(_)) {
                        module.section(&code);
                    }
                    module.section(&RawSection { id, data: &wasm[range] });
                }
            }
        }
    }
    Ok(module.finish())
}

impl Instead {
    fn body(&self, code: &mut CodeSection, body: &FunctionBody<'_>) -> Result<()> {
        let mut function = RoundtripReencoder.new_function_with_parsed_locals(body)?;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            match operators.read()? {
                Operator::MemoryCopy { .. } => {
                    function.instruction(&Instruction::Call(self.copy));
                }
                Operator::MemoryFill { .. } => {
                    function.instruction(&Instruction::Call(self.fill));
                }
                other => {
                    function.instruction(&RoundtripReencoder.instruction(other)?);
                }
            }
        }
        code.function(&function);
        Ok(())
    }
}

/// The index of a function that the module exports.
fn exported(wasm: &[u8], name: &str) -> Result<u32> {
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(exports) = payload.context("read the contract")? {
            for export in exports {
                let export = export?;
                if export.name == name {
                    ensure!(export.kind == ExternalKind::Func, "{name} is no function");
                    return Ok(export.index);
                }
            }
        }
    }
    anyhow::bail!("the contract does not export {name}")
}
