//! A module that looks at what the others have exported: at memory, globals and tables. It is part
//! of the component, so it is metered too, and it has a table and globals of its own, which the
//! metering has to keep apart from those of the meter.

use anyhow::Result;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction as I, MemArg, Module,
    RefType, TableSection, TableType, TypeSection, ValType,
};

use super::surface::{Item, Surface};

/// Its exports, each `func() -> i64`: a hash of all that it sees, and how often it was asked for
/// one.
pub(super) const STATE: &str = "state";
pub(super) const TURNS: &str = "turns";

/// So much of a memory is looked at, in pages, which is all that there is; and so many elements
/// of a table.
const PAGES_MAX: i32 = super::trace::PAGES_MAX as i32;
const ELEMENTS_MAX: i32 = 300;
const PAGE_BITS: i32 = 16;

const HASH: u32 = 0;
const AT: u32 = 1;
const END: u32 = 2;

/// Looks at these modules' exports, imported by the modules' names.
pub(super) fn module(modules: &[(&str, &Surface)]) -> Result<Vec<u8>> {
    let mut imports = ImportSection::new();
    let (mut globals, mut tables, mut has_memory) = (Vec::new(), 0u32, false);
    for (module, surface) in modules {
        for (name, item) in &surface.exports {
            let ty = match item {
                Item::Func(_) => continue,
                Item::Memory(_) if has_memory => continue,
                Item::Memory(ty) => {
                    has_memory = true;
                    EntityType::Memory((*ty).into())
                }
                Item::Global(ty) => {
                    let ty = GlobalType::try_from(*ty)?;
                    globals.push(ty.val_type);
                    EntityType::Global(ty)
                }
                Item::Table(ty) => {
                    tables += 1;
                    EntityType::Table(TableType::try_from(*ty)?)
                }
            };
            imports.import(module, name, ty);
        }
    }
    let mut own_globals = GlobalSection::new();
    let own = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
    own_globals.global(own, &ConstExpr::i64_const(0));
    own_globals.global(own, &ConstExpr::i64_const(0x5851_f42d_4c95_7f2d));
    let mut own_tables = TableSection::new();
    own_tables.table(TableType {
        element_type: RefType::FUNCREF,
        minimum: 3,
        maximum: Some(5),
        table64: false,
        shared: false,
    });
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I64]);
    let mut functions = FunctionSection::new();
    functions.function(0).function(0);
    let mut exports = ExportSection::new();
    exports.export(STATE, ExportKind::Func, 0).export(TURNS, ExportKind::Func, 1);
    let mut code = CodeSection::new();
    code.function(&state(&globals, tables, has_memory));
    let mut turns = Function::new([]);
    put(&mut turns, &[I::GlobalGet(globals.len() as u32), I::End]);
    code.function(&turns);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&own_tables);
    module.section(&own_globals).section(&exports).section(&code);
    Ok(module.finish())
}

fn state(globals: &[ValType], tables: u32, has_memory: bool) -> Function {
    let mut f = Function::new([(1, ValType::I64), (2, ValType::I32)]);
    let turns = globals.len() as u32;
    let salt = turns + 1;
    put(&mut f, &[I::GlobalGet(turns), I::I64Const(1), I::I64Add, I::GlobalSet(turns)]);
    put(&mut f, &[I::GlobalGet(salt), I::LocalSet(HASH)]);
    for (at, ty) in globals.iter().enumerate() {
        global(&mut f, at as u32, *ty);
    }
    // The last one is its own.
    for table in 0..=tables {
        put(&mut f, &[I::TableSize(table), I::LocalTee(END), I::I64ExtendI32U]);
        mix(&mut f);
        up_to(&mut f, ELEMENTS_MAX);
        walk(&mut f, 1, &[I::TableGet(table), I::RefIsNull, I::I64ExtendI32U]);
    }
    if has_memory {
        put(&mut f, &[I::MemorySize(0), I::LocalTee(END), I::I64ExtendI32U]);
        mix(&mut f);
        up_to(&mut f, PAGES_MAX);
        put(&mut f, &[I::LocalGet(END), I::I32Const(PAGE_BITS), I::I32Shl, I::LocalSet(END)]);
        walk(&mut f, 8, &[I::I64Load(MemArg { offset: 0, align: 3, memory_index: 0 })]);
    }
    put(&mut f, &[I::LocalGet(HASH), I::End]);
    f
}

fn global(f: &mut Function, at: u32, ty: ValType) {
    put(f, &[I::GlobalGet(at)]);
    match ty {
        ValType::I32 => put(f, &[I::I64ExtendI32U]),
        ValType::I64 => {}
        ValType::F32 => put(f, &[I::I32ReinterpretF32, I::I64ExtendI32U]),
        ValType::F64 => put(f, &[I::I64ReinterpretF64]),
        ValType::V128 => {
            put(f, &[I::I64x2ExtractLane(0)]);
            mix(f);
            put(f, &[I::GlobalGet(at), I::I64x2ExtractLane(1)]);
        }
        ValType::Ref(_) => put(f, &[I::RefIsNull, I::I64ExtendI32U]),
    }
    mix(f);
}

/// Puts the number on top of the stack into the hash.
fn mix(f: &mut Function) {
    put(
        f,
        &[
            I::LocalGet(HASH),
            I::I64Xor,
            I::I64Const(23),
            I::I64Rotl,
            I::I64Const(0x2545_f491_4f6c_dd1d),
            I::I64Mul,
            I::LocalSet(HASH),
        ],
    );
}

fn up_to(f: &mut Function, max: i32) {
    put(f, &[I::LocalGet(END), I::I32Const(max), I::LocalGet(END), I::I32Const(max)]);
    put(f, &[I::I32LtU, I::Select, I::LocalSet(END)]);
}

/// Goes from 0 to the end, and mixes in what `get` makes of each place.
fn walk(f: &mut Function, step: i32, get: &[I<'_>]) {
    put(f, &[I::I32Const(0), I::LocalSet(AT), I::Block(BlockType::Empty)]);
    put(f, &[I::Loop(BlockType::Empty), I::LocalGet(AT), I::LocalGet(END), I::I32GeU, I::BrIf(1)]);
    put(f, &[I::LocalGet(AT)]);
    put(f, get);
    mix(f);
    put(f, &[I::LocalGet(AT), I::I32Const(step), I::I32Add, I::LocalSet(AT), I::Br(0)]);
    put(f, &[I::End, I::End]);
}

fn put(f: &mut Function, instructions: &[I<'_>]) {
    for instruction in instructions {
        f.instruction(instruction);
    }
}
