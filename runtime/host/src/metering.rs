//! Metering: fuel and stack depth, counted by code that is put into a component's core modules before
//! they are compiled. What a function may use up is so a property of its code alone: no engine, no
//! optimisation and no processor takes part in it.
//!
//! The first core module that is instantiated gets the meter: globals with what is left of the fuel
//! and of the stack's account, and a table without elements. Each function takes what its code costs
//! from the fuel, and what an activation of it may take of the stack from the account. Where one is
//! used up, the code asks the empty table to grow by a number of elements that no guest can ask for;
//! the host's limiter sees the number, and ends the call with the reason. Fuel comes in slices, and
//! between two of them the host is asked in the same way: so the wall clock can end a call too.
//!
//! The cost table, the rules of segments and frames, and the order of looks are profile 1. They are
//! held by golden files, and a change of them is a new profile.
//!
//! It is a pass over a component that admission has found to be valid: core modules at the
//! component's own level only, each instantiated at most once.

mod body;
mod cost;
mod module;
mod shape;

use std::fmt::Display;

use thiserror::Error;
use wasm_encoder::{
    Alias, CanonicalFunctionSection, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentTypeSection, Encode as _, ExportKind, InstanceSection,
    ModuleArg, PrimitiveValType, reencode,
};
use wasmparser::types::TypesRef;
use wasmparser::{BinaryReader, Instance, InstanceSectionReader, Validator};

use crate::profile::FEATURES;
use module::{LEFT, METER, Place};

/// What a metered component may use up, its instantiation included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Units of fuel, at most 2^31 - 1.
    pub fuel: u64,
    /// The account of the stack in bytes, at most 2^31 - 1.
    pub stack_bytes: u64,
}

/// What the name of everything begins with that the pass adds. A guest that uses it is refused.
pub const RESERVED: &str = "syncline:meter";
/// The function that is added to the component's exports: `func() -> u64`, with the fuel that is left
/// in the upper 32 bits, -1 if it is overdrawn, and in the lower the least that was left of the
/// stack's account. It can be asked after a call that did not trap.
pub const METER_EXPORT: &str = "syncline-meter";

/// Fuel is given out in slices of so much.
const FUEL_SLICE: i64 = 1_000_000;
/// How many elements the empty table is asked for. A guest can't ask for as many: each of them costs
/// fuel, and the fuel that there is does not reach.
const MARKS: u32 = 0x7379_6e00;

/// What the meter tells the host by asking its empty table to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Another slice of fuel was given out: whoever limits the wall clock may end the call. Else the
    /// growth is to be denied.
    Tick = 0,
    /// The fuel is used up: the call is to be ended.
    OutOfFuel = 1,
    /// The account of the stack is used up: the call is to be ended.
    TooDeep = 2,
}

impl Mark {
    const ALL: [Self; 3] = [Self::Tick, Self::OutOfFuel, Self::TooDeep];

    /// What it means that a table is asked to grow to so many elements. None: a guest asks.
    pub fn of(elements: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.elements() as usize == elements)
    }

    fn elements(self) -> u32 {
        MARKS + self as u32
    }
}

const COMPONENT_HEADER_BYTES: usize = 8;
const CORE_MODULE_SECTION: u8 = 1;
const CORE_INSTANCE_SECTION: u8 = 2;

/// A component could not be rewritten.
#[derive(Debug, Error)]
#[error("the component can't be metered: {0}")]
pub struct MeterError(String);

impl MeterError {
    fn new(what: impl Display) -> Self {
        Self(what.to_string())
    }
}

impl From<wasmparser::Error> for MeterError {
    fn from(error: wasmparser::Error) -> Self {
        Self::new(error.message())
    }
}

impl From<reencode::Error> for MeterError {
    fn from(error: reencode::Error) -> Self {
        Self::new(error)
    }
}

/// What a call left of its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// None: it is overdrawn.
    pub(crate) fuel: Option<u64>,
    pub(crate) stack_bytes: u64,
}

impl Left {
    /// Reads the answer of [`METER_EXPORT`].
    pub(crate) fn read(answer: u64) -> Self {
        let fuel = (answer >> 32) as u32;
        Self {
            fuel: (fuel != u32::MAX).then_some(fuel.into()),
            stack_bytes: answer & u64::from(u32::MAX),
        }
    }
}

/// Puts the meter into a component that is valid; `types` are what its validation found.
///
/// # Errors
/// The component is not what the pass takes: see the module's text. With too many locals or types
/// there is no room for ours.
pub fn meter(
    component: &[u8],
    types: TypesRef<'_>,
    budget: &Budget,
) -> Result<Vec<u8>, MeterError> {
    let order = Order::read(component)?;
    let Some(first) = order.first_metered else { return Ok(component.to_vec()) };
    let mut out = component[..COMPONENT_HEADER_BYTES].to_vec();
    let (mut modules, mut instances, mut home) = (0u32, 0u32, None);
    for section in sections(component)? {
        let (id, body) = section?;
        match id {
            CORE_MODULE_SECTION => {
                let place = if modules == first { Place::Here(*budget) } else { Place::Elsewhere };
                let rewritten = module::rewrite(body, place)?;
                put(&mut out, id, rewritten.as_deref().unwrap_or(body))?;
                modules += 1;
            }
            CORE_INSTANCE_SECTION => {
                let mut rewritten = InstanceSection::new();
                for instance in InstanceSectionReader::new(BinaryReader::new(body, 0))? {
                    let instance = instance?;
                    if matches!(instance, Instance::Instantiate { module_index, .. }
                        if module_index == first)
                    {
                        home = Some(instances);
                        copy_instance(&mut rewritten, &instance, None)?;
                    } else {
                        let meter = home.filter(|_| order.is_metered(&instance));
                        copy_instance(&mut rewritten, &instance, meter)?;
                    }
                    instances += 1;
                }
                wasm_encoder::ComponentSection::append_to_component(&rewritten, &mut out);
            }
            _ => put(&mut out, id, body)?,
        }
    }
    let home = home.ok_or_else(|| MeterError::new("its first module is never instantiated"))?;
    export_left(&mut out, types, home);
    Validator::new_with_features(FEATURES).validate_all(&out)?;
    Ok(out)
}

/// Which module is instantiated first, of those that have code.
struct Order {
    /// For each core module, whether it has code.
    has_code: Vec<bool>,
    first_metered: Option<u32>,
}

impl Order {
    fn read(component: &[u8]) -> Result<Self, MeterError> {
        let mut order = Self { has_code: Vec::new(), first_metered: None };
        let mut instantiated = Vec::new();
        for section in sections(component)? {
            match section? {
                (CORE_MODULE_SECTION, body) => order.has_code.push(has_code(body)?),
                (CORE_INSTANCE_SECTION, body) => {
                    for instance in InstanceSectionReader::new(BinaryReader::new(body, 0))? {
                        let instance = instance?;
                        let Instance::Instantiate { module_index, .. } = &instance else {
                            continue;
                        };
                        if instantiated.contains(module_index) {
                            return Err(MeterError::new("a module is instantiated twice"));
                        }
                        instantiated.push(*module_index);
                        if order.first_metered.is_none() && order.is_metered(&instance) {
                            order.first_metered = Some(*module_index);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(order)
    }

    fn is_metered(&self, instance: &Instance<'_>) -> bool {
        match instance {
            Instance::Instantiate { module_index, .. } => {
                self.has_code.get(*module_index as usize).copied().unwrap_or(false)
            }
            Instance::FromExports(_) => false,
        }
    }
}

/// Whether a core module defines functions.
fn has_code(module: &[u8]) -> Result<bool, MeterError> {
    const CODE_SECTION: u8 = 10;
    for section in sections(module)? {
        let (id, body) = section?;
        if id == CODE_SECTION {
            return Ok(BinaryReader::new(body, 0).read_var_u32()? > 0);
        }
    }
    Ok(false)
}

fn copy_instance(
    out: &mut InstanceSection,
    instance: &Instance<'_>,
    meter: Option<u32>,
) -> Result<(), MeterError> {
    match instance {
        Instance::Instantiate { module_index, args } => {
            let args = args.iter().map(|arg| (arg.name, arg.index));
            let args = args.chain(meter.map(|home| (METER, home)));
            let args: Vec<_> =
                args.map(|(name, index)| (name, ModuleArg::Instance(index))).collect();
            out.instantiate(*module_index, args);
        }
        Instance::FromExports(exports) => {
            let exports = exports.iter().map(|export| {
                let kind: ExportKind = export.kind.into();
                (export.name, kind, export.index)
            });
            out.export_items(exports.collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// Lifts the function of the first module that tells what is left.
fn export_left(out: &mut Vec<u8>, types: TypesRef<'_>, home: u32) {
    use wasm_encoder::ComponentSection as _;
    let mut alias = ComponentAliasSection::new();
    alias.alias(Alias::CoreInstanceExport { instance: home, kind: ExportKind::Func, name: LEFT });
    let mut ty = ComponentTypeSection::new();
    let no_params: [(&str, PrimitiveValType); 0] = [];
    ty.function().params(no_params).result(Some(PrimitiveValType::U64.into()));
    let mut lift = CanonicalFunctionSection::new();
    lift.lift(types.function_count(), types.component_type_count(), []);
    let mut export = ComponentExportSection::new();
    let lifted = types.component_function_count();
    export.export(METER_EXPORT, ComponentExportKind::Func, lifted, None);
    alias.append_to_component(out);
    ty.append_to_component(out);
    lift.append_to_component(out);
    export.append_to_component(out);
}

type Section<'a> = Result<(u8, &'a [u8]), MeterError>;

/// The sections of a module or a component, as they are.
fn sections(bytes: &[u8]) -> Result<impl Iterator<Item = Section<'_>>, MeterError> {
    let body = bytes.get(COMPONENT_HEADER_BYTES..).ok_or_else(|| MeterError::new("no header"))?;
    let mut reader = BinaryReader::new(body, COMPONENT_HEADER_BYTES);
    Ok(std::iter::from_fn(move || (!reader.eof()).then(|| section(&mut reader))))
}

fn section<'a>(reader: &mut BinaryReader<'a>) -> Section<'a> {
    let id = reader.read_u8()?;
    let bytes = reader.read_var_u32()?;
    Ok((id, reader.read_bytes(bytes as usize)?))
}

fn put(out: &mut Vec<u8>, id: u8, body: &[u8]) -> Result<(), MeterError> {
    let bytes = u32::try_from(body.len()).map_err(|_| MeterError::new("a section is too large"))?;
    out.push(id);
    bytes.encode(out);
    out.extend(body);
    Ok(())
}
