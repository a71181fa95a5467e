//! Counts of what a component is made of, at every level, before anything is built from it. They
//! bound how long compiling takes, and keep each instance within what the pool gives to a call, so
//! that the pool never has to say no.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType, ElementItems,
    Encoding, Instance, InstanceTypeDeclaration, Parser, Payload, TableType,
};

use super::{Refused, malformed};
use crate::metering::{METER_EXPORT, RESERVED};
use crate::profile::{
    CODE_BYTES_MAX, COMPONENTS_MAX, CORE_INSTANCES_MAX, CORE_MODULES_MAX, DATA_BYTES_MAX,
    DECLARATIONS_MAX, FUNCTION_BYTES_MAX, FUNCTIONS_MAX, GLOBALS_MAX, IMPORTS_AND_EXPORTS_MAX,
    INTERFACES_MAX, MEMORIES_MAX, NESTING_MAX, SECTIONS_MAX, SEGMENT_ELEMENTS_MAX, SEGMENTS_MAX,
    TABLE_ELEMENTS_MAX, TABLES_MAX, TYPE_BYTES_MAX,
};

const WASM_PAGE_BYTES: u64 = 64 << 10;

/// What comes to life when a module is instantiated, or the component as a whole. A component inside
/// it has no weight, as it has no modules.
#[derive(Clone, Copy, Default)]
pub(super) struct Weight {
    core_instances: u64,
    memories: u64,
    pub(super) memory_bytes: u64,
    tables: u64,
}

impl Weight {
    fn add(&mut self, other: Self) {
        self.core_instances = self.core_instances.saturating_add(other.core_instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        self.tables = self.tables.saturating_add(other.tables);
    }
}

/// A module or a component that is being read, and the modules it defines so far, by index. As none
/// can be brought in from elsewhere, the indices count definitions alone.
#[derive(Default)]
struct Level {
    is_module: bool,
    weight: Weight,
    /// None: it is instantiated. A module is so at most once, as its code says where its meter is.
    modules: Vec<Option<Weight>>,
}

/// What is written in the file, however often it is instantiated.
#[derive(Default)]
struct Totals {
    sections: u64,
    components: u64,
    component_instances: u64,
    instance_imports: u64,
    declarations: u64,
    modules: u64,
    functions: u64,
    code_bytes: u64,
    data_bytes: u64,
    type_bytes: u64,
    globals: u64,
    imports_and_exports: u64,
    segments: u64,
    segment_elements: u64,
}

/// Counts, and gives what the component as a whole brings to life.
pub(super) fn check_counts(component: &[u8]) -> Result<Weight, Refused> {
    let mut levels: Vec<Level> = Vec::new();
    let mut totals = Totals::default();
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                open(&mut levels, &mut totals, encoding == Encoding::Module)?;
            }
            Payload::End(_) => {
                let Some(level) = levels.pop() else { break };
                let Some(parent) = levels.last_mut() else { return check_weight(level.weight) };
                if level.is_module {
                    parent.modules.push(Some(level.weight));
                }
            }
            payload => {
                let Some(level) = levels.last_mut() else { break };
                if !matches!(payload, Payload::CodeSectionEntry(_)) {
                    add(&mut totals.sections, 1, "sections", SECTIONS_MAX)?;
                }
                count_core(&payload, level, &mut totals)?;
                count_component(&payload, level, &mut totals)?;
            }
        }
    }
    Err(Refused::Malformed { at: component.len(), what: "it has no end".into() })
}

fn open(levels: &mut Vec<Level>, totals: &mut Totals, is_module: bool) -> Result<(), Refused> {
    if is_module {
        if levels.len() > 1 {
            return Err(Refused::Structure { what: "has a core module in a component inside it" });
        }
        add(&mut totals.modules, 1, "core modules", CORE_MODULES_MAX)?;
    } else {
        add(&mut totals.components, 1, "components", COMPONENTS_MAX)?;
    }
    // A module is the innermost level of what holds it.
    most("levels of nesting", levels.len() as u64, NESTING_MAX)?;
    levels.push(Level { is_module, ..Level::default() });
    Ok(())
}

fn check_weight(weight: Weight) -> Result<Weight, Refused> {
    most("core instances", weight.core_instances, CORE_INSTANCES_MAX)?;
    most("memories", weight.memories, MEMORIES_MAX)?;
    most("tables", weight.tables, TABLES_MAX)?;
    Ok(weight)
}

/// The sections of core modules.
fn count_core(payload: &Payload<'_>, level: &mut Level, t: &mut Totals) -> Result<(), Refused> {
    let ends = |t: &mut Totals, count: u32| {
        let count = u64::from(count);
        add(&mut t.imports_and_exports, count, "imports and exports", IMPORTS_AND_EXPORTS_MAX)
    };
    match payload {
        Payload::TypeSection(section) => type_bytes(t, section.range().len()),
        Payload::ImportSection(section) => {
            ends(t, section.count())?;
            section.clone().into_imports().try_for_each(|import| {
                let import = import.map_err(malformed)?;
                refuse_reserved(import.module)?;
                refuse_reserved(import.name)
            })
        }
        Payload::ExportSection(section) => {
            ends(t, section.count())?;
            section
                .clone()
                .into_iter()
                .try_for_each(|export| refuse_reserved(export.map_err(malformed)?.name))
        }
        Payload::FunctionSection(section) => {
            add(&mut t.functions, section.count().into(), "functions", FUNCTIONS_MAX)
        }
        Payload::GlobalSection(section) => {
            add(&mut t.globals, section.count().into(), "globals", GLOBALS_MAX)
        }
        Payload::TableSection(section) => {
            most("tables", section.count().into(), TABLES_MAX)?;
            level.weight.tables += u64::from(section.count());
            for table in section.clone() {
                let TableType { initial, .. } = table.map_err(malformed)?.ty;
                most("elements in a table", initial, TABLE_ELEMENTS_MAX as u64)?;
            }
            Ok(())
        }
        Payload::MemorySection(section) => {
            most("memories", section.count().into(), MEMORIES_MAX)?;
            level.weight.memories += u64::from(section.count());
            for memory in section.clone() {
                let pages = memory.map_err(malformed)?.initial;
                let bytes = pages.saturating_mul(WASM_PAGE_BYTES);
                level.weight.memory_bytes = level.weight.memory_bytes.saturating_add(bytes);
            }
            Ok(())
        }
        Payload::CodeSectionEntry(body) => {
            let bytes = body.range().len() as u64;
            most("bytes in one function", bytes, FUNCTION_BYTES_MAX)?;
            add(&mut t.code_bytes, bytes, "bytes of code", CODE_BYTES_MAX)
        }
        Payload::DataSection(section) => {
            add(&mut t.segments, section.count().into(), "segments", SEGMENTS_MAX)?;
            let bytes = section.range().len() as u64;
            add(&mut t.data_bytes, bytes, "bytes of data", DATA_BYTES_MAX)
        }
        Payload::ElementSection(section) => {
            add(&mut t.segments, section.count().into(), "segments", SEGMENTS_MAX)?;
            for element in section.clone() {
                let count = match element.map_err(malformed)?.items {
                    ElementItems::Functions(items) => items.count(),
                    ElementItems::Expressions(_, items) => items.count(),
                };
                let what = "elements in segments";
                add(&mut t.segment_elements, count.into(), what, SEGMENT_ELEMENTS_MAX)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The sections of components. Modules and components are defined where they are instantiated:
/// brought in by an import or an alias, they could not be counted.
fn count_component(
    payload: &Payload<'_>,
    level: &mut Level,
    t: &mut Totals,
) -> Result<(), Refused> {
    let ends = |t: &mut Totals, count: u32| {
        let count = u64::from(count);
        add(&mut t.imports_and_exports, count, "imports and exports", IMPORTS_AND_EXPORTS_MAX)
    };
    match payload {
        Payload::CoreTypeSection(section) => type_bytes(t, section.range().len()),
        Payload::ComponentTypeSection(section) => {
            type_bytes(t, section.range().len())?;
            section.clone().into_iter().try_for_each(|ty| check_type(&ty.map_err(malformed)?, t))
        }
        Payload::ComponentCanonicalSection(section) => {
            add(&mut t.functions, section.count().into(), "functions", FUNCTIONS_MAX)
        }
        Payload::ComponentExportSection(section) => {
            ends(t, section.count())?;
            for export in section.clone() {
                let export = export.map_err(malformed)?;
                refuse_reserved(export.name.name)?;
                refuse_code(export.kind, "exports a core module or component")?;
            }
            Ok(())
        }
        Payload::ComponentImportSection(section) => {
            ends(t, section.count())?;
            for import in section.clone() {
                let kind = import.map_err(malformed)?.ty.kind();
                refuse_code(kind, "imports a core module or component")?;
                if kind == ComponentExternalKind::Instance {
                    let what = "imported interfaces";
                    add(&mut t.instance_imports, 1, what, INTERFACES_MAX)?;
                }
            }
            Ok(())
        }
        Payload::ComponentAliasSection(section) => {
            ends(t, section.count())?;
            section.clone().into_iter().try_for_each(|a| check_alias(&a.map_err(malformed)?))
        }
        Payload::InstanceSection(section) => {
            ends(t, section.count())?;
            for instance in section.clone() {
                if let Instance::Instantiate { module_index, .. } = instance.map_err(malformed)? {
                    let module = instantiated(&mut level.modules, module_index)?;
                    level.weight.add(Weight { core_instances: 1, ..module });
                }
            }
            Ok(())
        }
        Payload::ComponentInstanceSection(section) => {
            let count = section.count().into();
            add(&mut t.component_instances, count, "component instances", COMPONENTS_MAX)
        }
        _ => Ok(()),
    }
}

/// The validator copies what an instance's type declares for each import of it, resources and all.
/// So there are few, and none in one another, as WIT has neither.
fn check_type(ty: &ComponentType<'_>, totals: &mut Totals) -> Result<(), Refused> {
    let nested = || Err(Refused::Structure { what: "nests the types of instances" });
    let declarations = match ty {
        ComponentType::Instance(declarations) => declarations,
        ComponentType::Component(_) => return nested(),
        _ => return Ok(()),
    };
    let count = declarations.len() as u64;
    add(&mut totals.declarations, count, "declarations in interfaces", DECLARATIONS_MAX)?;
    for declaration in declarations {
        match declaration {
            InstanceTypeDeclaration::Type(
                ComponentType::Instance(_) | ComponentType::Component(_),
            ) => return nested(),
            InstanceTypeDeclaration::Export { ty, .. }
                if ty.kind() == ComponentExternalKind::Instance =>
            {
                return nested();
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_alias(alias: &ComponentAlias<'_>) -> Result<(), Refused> {
    let what = "takes a core module or component from elsewhere";
    match alias {
        ComponentAlias::InstanceExport { kind, .. } => refuse_code(*kind, what),
        ComponentAlias::Outer {
            kind: ComponentOuterAliasKind::CoreModule | ComponentOuterAliasKind::Component,
            ..
        } => Err(Refused::Structure { what }),
        ComponentAlias::CoreInstanceExport { .. } | ComponentAlias::Outer { .. } => Ok(()),
    }
}

fn refuse_code(kind: ComponentExternalKind, what: &'static str) -> Result<(), Refused> {
    match kind {
        ComponentExternalKind::Module | ComponentExternalKind::Component => {
            Err(Refused::Structure { what })
        }
        _ => Ok(()),
    }
}

fn instantiated(modules: &mut [Option<Weight>], index: u32) -> Result<Weight, Refused> {
    let what = "instantiates what it has not defined before";
    let module = modules.get_mut(index as usize).ok_or(Refused::Structure { what })?;
    module.take().ok_or(Refused::Structure { what: "instantiates a core module twice" })
}

/// The meter's own names must not be there twice.
fn refuse_reserved(name: &str) -> Result<(), Refused> {
    if name == METER_EXPORT || name.starts_with(RESERVED) {
        return Err(Refused::Structure {
            what: "uses a name that the meter needs, syncline-meter",
        });
    }
    Ok(())
}

fn type_bytes(totals: &mut Totals, bytes: usize) -> Result<(), Refused> {
    add(&mut totals.type_bytes, bytes as u64, "bytes of types", TYPE_BYTES_MAX)
}

pub(super) fn add(
    total: &mut u64,
    count: u64,
    what: &'static str,
    max: u64,
) -> Result<(), Refused> {
    *total = total.saturating_add(count);
    most(what, *total, max)
}

pub(super) fn most(what: &'static str, count: u64, max: u64) -> Result<(), Refused> {
    if count > max { Err(Refused::TooMany { what, count, max }) } else { Ok(()) }
}
