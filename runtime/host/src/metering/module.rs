//! One core module, rewritten.
//!
//! Functions keep their indices: types and one function are added at the end. The meter's globals and
//! its table are defined by the module that is instantiated first, at the end too; the others import
//! them, which moves up the indices of globals and tables that they define.

use std::collections::HashSet;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, BranchHints, CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection,
    EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType,
    HeapType, ImportSection, Instruction as I, MemorySection, Module, NameSection, RefType,
    StartSection, TableSection, TableType, TypeSection, ValType,
};
use wasmparser::{
    CompositeInnerType, ExternalKind, FuncToValidate, FuncType, FuncValidatorAllocations,
    FunctionBody, KnownCustom, Parser, Payload, TypeRef, ValidPayload, Validator,
    ValidatorResources,
};

use super::body::{Around, metered};
use super::shape::Shape;
use super::{Budget, FUEL_SLICE, Mark, MeterError};
use crate::profile::CORE_FEATURES;

/// The module name under which the others import what the first defines.
pub(super) const METER: &str = "syncline:meter";
/// What the first module exports beside the meter's globals and table: what is left of the budget.
pub(super) const LEFT: &str = "syncline:meter-left";
const FUEL: &str = "syncline:meter-fuel";
const RESERVE: &str = "syncline:meter-reserve";
const STACK: &str = "syncline:meter-stack";
const LOW: &str = "syncline:meter-low";
const MARKS: &str = "syncline:meter-marks";

/// Where the meter stands in a module, by index.
#[derive(Clone, Copy)]
pub(super) struct Meter {
    /// What is left of this slice of the fuel, while no metered function runs.
    pub(super) fuel: u32,
    /// What is left beside the slice.
    reserve: u32,
    /// What is left of the stack's account, for who is called next.
    pub(super) stack: u32,
    /// The least that was ever left of it.
    pub(super) low: u32,
    /// A table that stays empty. Asking it to grow tells the host something.
    marks: u32,
    /// The function that is called where the fuel or the stack is lower than expected.
    pub(super) check: u32,
}

/// Who defines the meter.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// This module, with this budget: it is instantiated first.
    Here(Budget),
    /// The module that was instantiated first.
    Elsewhere,
}

/// Raises the indices of what is defined after imports of ours.
pub(super) struct Renumber {
    imported_globals: u32,
    imported_tables: u32,
    globals_added: u32,
    tables_added: u32,
}

impl Reencode for Renumber {
    type Error = std::convert::Infallible;

    fn global_index(&mut self, global: u32) -> Result<u32, reencode::Error> {
        let moved = global >= self.imported_globals;
        Ok(if moved { global + self.globals_added } else { global })
    }

    fn table_index(&mut self, table: u32) -> Result<u32, reencode::Error> {
        let moved = table >= self.imported_tables;
        Ok(if moved { table + self.tables_added } else { table })
    }
}

/// What has to be known of a module before its first function is written.
#[derive(Default)]
struct Surface<'a> {
    types: Vec<FuncType>,
    /// The type of each function, the imported ones first.
    functions: Vec<u32>,
    imported_functions: u32,
    imported_globals: u32,
    imported_tables: u32,
    globals: u32,
    tables: u32,
    /// Functions that are called from outside.
    entries: HashSet<u32>,
    bodies: Vec<(FuncToValidate<ValidatorResources>, FunctionBody<'a>)>,
}

/// The sections of the new module, in their order.
#[derive(Default)]
struct Sections {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    globals: GlobalSection,
    exports: ExportSection,
    start: Option<StartSection>,
    elements: ElementSection,
    data_count: Option<DataCountSection>,
    hints: BranchHints,
    code: CodeSection,
    data: DataSection,
    names: NameSection,
}

/// Rewrites a core module that is valid. None: it has no code to meter.
pub(super) fn rewrite(module: &[u8], place: Place) -> Result<Option<Vec<u8>>, MeterError> {
    let mut surface = Surface::read(module)?;
    if surface.bodies.is_empty() {
        return Ok(None);
    }
    let (meter, mut renumber) = surface.place(place);
    let mut sections = Sections::default();
    for payload in Parser::new(0).parse_all(module) {
        sections.copy(payload?, &mut renumber)?;
    }
    sections.add_meter(meter, place);
    let bodies = std::mem::take(&mut surface.bodies);
    let vectors = surface.has_vectors();
    let mut types = TypesAdded { types: &mut sections.types, next: surface.types.len() as u32 };
    let check_type = types.add([ValType::I64], []);
    let left_type = types.add([], [ValType::I64]);
    let mut allocations = FuncValidatorAllocations::default();
    for (i, (to_validate, body)) in bodies.into_iter().enumerate() {
        let index = surface.imported_functions + i as u32;
        let ty = surface.type_of(index)?;
        let mut validator = to_validate.into_validator(allocations);
        let shape = Shape::of(&mut validator, &body, ty.params().len() as u32, vectors)?;
        allocations = validator.into_allocations();
        let around = Around {
            results: types.block(ty.results(), &mut renumber)?,
            is_entry: surface.entries.contains(&index),
        };
        let metered = metered(&body, &shape, &around, &meter, &mut renumber)?;
        sections.code.function(&metered.body);
        if !metered.unlikely.is_empty() {
            sections.hints.function_hints(index, metered.unlikely);
        }
    }
    sections.functions.function(check_type);
    sections.code.function(&check(&meter));
    if let Place::Here(_) = place {
        sections.functions.function(left_type);
        sections.code.function(&left(&meter));
    }
    Ok(Some(sections.finish()))
}

impl<'a> Surface<'a> {
    fn read(module: &'a [u8]) -> Result<Self, MeterError> {
        let mut validator = Validator::new_with_features(CORE_FEATURES);
        let mut surface = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            if let ValidPayload::Func(to_validate, body) = validator.payload(&payload)? {
                surface.bodies.push((to_validate, body));
            }
            surface.take(&payload)?;
        }
        Ok(surface)
    }

    fn take(&mut self, payload: &Payload<'_>) -> Result<(), MeterError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    for ty in group?.into_types() {
                        let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                            return Err(MeterError::new("a type that is no function's"));
                        };
                        self.types.push(ty);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    match import?.ty {
                        TypeRef::Func(ty) => {
                            self.functions.push(ty);
                            self.imported_functions += 1;
                        }
                        TypeRef::Global(_) => self.imported_globals += 1,
                        TypeRef::Table(_) => self.imported_tables += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section.clone() {
                    self.functions.push(ty?);
                }
            }
            Payload::GlobalSection(section) => self.globals = section.count(),
            Payload::TableSection(section) => self.tables = section.count(),
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        self.entries.insert(export.index);
                    }
                }
            }
            Payload::StartSection { func, .. } => {
                self.entries.insert(*func);
            }
            _ => {}
        }
        Ok(())
    }

    fn place(&self, place: Place) -> (Meter, Renumber) {
        let (globals, tables, added) = match place {
            Place::Here(_) => {
                (self.imported_globals + self.globals, self.imported_tables + self.tables, 0)
            }
            Place::Elsewhere => (self.imported_globals, self.imported_tables, 1),
        };
        let meter = Meter {
            fuel: globals,
            reserve: globals + 1,
            stack: globals + 2,
            low: globals + 3,
            marks: tables,
            check: self.functions.len() as u32,
        };
        let renumber = Renumber {
            imported_globals: self.imported_globals,
            imported_tables: self.imported_tables,
            globals_added: 4 * added,
            tables_added: added,
        };
        (meter, renumber)
    }

    fn type_of(&self, function: u32) -> Result<FuncType, MeterError> {
        let ty = self.functions.get(function as usize).copied();
        let ty = ty.and_then(|ty| self.types.get(ty as usize));
        ty.cloned().ok_or_else(|| MeterError::new("a function without a type"))
    }

    /// Where a call can leave a vector under other operands.
    fn has_vectors(&self) -> bool {
        self.types.iter().any(|ty| {
            ty.params().iter().chain(ty.results()).any(|ty| *ty == wasmparser::ValType::V128)
        })
    }
}

impl Sections {
    /// Takes over what is not changed but for indices. Function bodies come by themselves; of custom
    /// sections only the functions' names are kept, for traps.
    fn copy(&mut self, payload: Payload<'_>, r: &mut Renumber) -> Result<(), MeterError> {
        match payload {
            Payload::TypeSection(section) => r.parse_type_section(&mut self.types, section)?,
            Payload::ImportSection(section) => {
                r.parse_import_section(&mut self.imports, section)?
            }
            Payload::FunctionSection(section) => {
                r.parse_function_section(&mut self.functions, section)?;
            }
            Payload::TableSection(section) => r.parse_table_section(&mut self.tables, section)?,
            Payload::MemorySection(section) => {
                r.parse_memory_section(&mut self.memories, section)?;
            }
            Payload::GlobalSection(section) => {
                r.parse_global_section(&mut self.globals, section)?
            }
            Payload::ExportSection(section) => {
                r.parse_export_section(&mut self.exports, section)?
            }
            Payload::StartSection { func, .. } => {
                self.start = Some(StartSection { function_index: func });
            }
            Payload::ElementSection(section) => {
                r.parse_element_section(&mut self.elements, section)?;
            }
            Payload::DataCountSection { count, .. } => {
                self.data_count = Some(DataCountSection { count });
            }
            Payload::DataSection(section) => r.parse_data_section(&mut self.data, section)?,
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    self.names = function_names(names);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_meter(&mut self, meter: Meter, place: Place) {
        let global = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
        let marks = TableType {
            element_type: RefType::FUNCREF,
            minimum: 0,
            maximum: None,
            table64: false,
            shared: false,
        };
        match place {
            Place::Here(Budget { fuel, stack_bytes }) => {
                let [fuel, stack] = [fuel, stack_bytes].map(u64::cast_signed);
                let slice = fuel.min(FUEL_SLICE);
                let values = [slice, fuel - slice, stack, stack];
                for ((at, name), value) in meter.globals().into_iter().zip(values) {
                    self.globals.global(global, &ConstExpr::i64_const(value));
                    self.exports.export(name, ExportKind::Global, at);
                }
                self.tables.table(marks);
                self.exports.export(MARKS, ExportKind::Table, meter.marks);
                self.exports.export(LEFT, ExportKind::Func, meter.check + 1);
            }
            Place::Elsewhere => {
                for (_, name) in meter.globals() {
                    self.imports.import(METER, name, EntityType::Global(global));
                }
                self.imports.import(METER, MARKS, EntityType::Table(marks));
            }
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions);
        module.section(&self.tables).section(&self.memories).section(&self.globals);
        module.section(&self.exports);
        if let Some(start) = &self.start {
            module.section(start);
        }
        module.section(&self.elements);
        if let Some(count) = &self.data_count {
            module.section(count);
        }
        module.section(&self.hints).section(&self.code).section(&self.data).section(&self.names);
        module.finish()
    }
}

impl Meter {
    fn globals(&self) -> [(u32, &'static str); 4] {
        [(self.fuel, FUEL), (self.reserve, RESERVE), (self.stack, STACK), (self.low, LOW)]
    }
}

/// Types at the end of the type section.
struct TypesAdded<'a> {
    types: &'a mut TypeSection,
    next: u32,
}

impl TypesAdded<'_> {
    fn add<const P: usize, const R: usize>(
        &mut self,
        params: [ValType; P],
        results: [ValType; R],
    ) -> u32 {
        self.types.ty().function(params, results);
        self.next += 1;
        self.next - 1
    }

    fn block(
        &mut self,
        results: &[wasmparser::ValType],
        renumber: &mut Renumber,
    ) -> Result<BlockType, MeterError> {
        Ok(match results {
            [] => BlockType::Empty,
            [one] => BlockType::Result(renumber.val_type(*one)?),
            many => {
                let many = many.iter().map(|ty| renumber.val_type(*ty));
                let many = many.collect::<Result<Vec<_>, _>>()?;
                self.types.ty().function([], many);
                self.next += 1;
                BlockType::FunctionType(self.next - 1)
            }
        })
    }
}

/// `check(depth)`: notes a new depth, gives out the next slice of fuel, ends what has no more of
/// either. The host hears of each slice and may end the call there.
fn check(meter: &Meter) -> Function {
    const DEPTH: u32 = 0;
    const LEFT: u32 = 1;
    let mark = |mark: Mark| {
        [
            I::RefNull(HeapType::FUNC),
            I::I32Const(mark.elements().cast_signed()),
            I::TableGrow(meter.marks),
            I::Drop,
        ]
    };
    let negative = [I::I64Const(0), I::I64LtS, I::If(BlockType::Empty)];
    let mut f = Function::new([(1, ValType::I64)]);
    let mut put = |instructions: &[I<'_>]| {
        for instruction in instructions {
            f.instruction(instruction);
        }
    };
    put(&[I::LocalGet(DEPTH), I::GlobalGet(meter.low), I::I64LtS, I::If(BlockType::Empty)]);
    put(&[I::LocalGet(DEPTH), I::GlobalSet(meter.low), I::LocalGet(DEPTH)]);
    put(&negative);
    put(&mark(Mark::TooDeep));
    put(&[I::Unreachable, I::End, I::End]);
    put(&[I::GlobalGet(meter.fuel)]);
    put(&negative);
    put(&[I::GlobalGet(meter.fuel), I::GlobalGet(meter.reserve), I::I64Add, I::LocalTee(LEFT)]);
    put(&negative);
    put(&mark(Mark::OutOfFuel));
    put(&[I::Unreachable, I::End]);
    put(&[I::LocalGet(LEFT), I::I64Const(FUEL_SLICE)]);
    put(&[I::LocalGet(LEFT), I::I64Const(FUEL_SLICE), I::I64LtS, I::Select]);
    put(&[I::GlobalSet(meter.fuel)]);
    put(&[I::LocalGet(LEFT), I::GlobalGet(meter.fuel), I::I64Sub, I::GlobalSet(meter.reserve)]);
    put(&mark(Mark::Tick));
    put(&[I::End, I::End]);
    f
}

/// `left()`: the fuel that is left, or -1, in the upper half; the least that was left of the stack's
/// account in the lower.
fn left(meter: &Meter) -> Function {
    let mut f = Function::new([(1, ValType::I64)]);
    for instruction in [
        I::GlobalGet(meter.fuel),
        I::GlobalGet(meter.reserve),
        I::I64Add,
        I::LocalTee(0),
        I::I64Const(-1),
        I::LocalGet(0),
        I::I64Const(0),
        I::I64GeS,
        I::Select,
        I::I64Const(32),
        I::I64Shl,
        I::GlobalGet(meter.low),
        I::I64Or,
        I::End,
    ] {
        f.instruction(&instruction);
    }
    f
}

/// The functions' names, as far as they can be read: nothing but the text of traps depends on them.
fn function_names(names: wasmparser::NameSectionReader<'_>) -> NameSection {
    let mut map = wasm_encoder::NameMap::new();
    for subsection in names {
        let Ok(wasmparser::Name::Function(functions)) = subsection else { continue };
        let mut last = None;
        for naming in functions {
            let Ok(naming) = naming else { break };
            if last >= Some(naming.index) {
                break;
            }
            map.append(naming.index, naming.name);
            last = Some(naming.index);
        }
    }
    let mut section = NameSection::new();
    section.functions(&map);
    section
}
