//! Core modules made into a component whose functions can be called.

use anyhow::Result;
use fastrand::Rng;
use wasm_encoder::{
    ComponentBuilder, ComponentExportKind, ExportKind, ModuleArg, PrimitiveValType,
};
use wasmparser::{FuncType, ValType};

use super::observer::{self, STATE, TURNS};
use super::operators::Operators;
use super::surface::{Item, Surface, available};
use crate::smith::{self, Wanted};

/// What the canonical ABI passes without memory.
const PARAMS_MAX: usize = 16;
/// Names of the modules, as others import from them.
const NAMES: [&str; 2] = ["first", "second"];

/// A component of one or two random modules and the observer.
pub(super) struct Built {
    pub(super) bytes: Vec<u8>,
    /// What can be called, beside the observer.
    pub(super) functions: Vec<Lifted>,
    pub(super) modules: usize,
    /// What its random modules are made of.
    pub(super) operators: Operators,
    /// The observer sees all that one call can leave behind for the next.
    pub(super) shows_all: bool,
}

/// An exported function.
#[derive(Clone)]
pub(super) struct Lifted {
    pub(super) name: String,
    pub(super) params: Vec<ValType>,
}

/// Makes one from dice. None: they gave no valid module.
pub(super) fn random(rng: &mut Rng, ends_after: Option<u32>) -> Result<Option<Built>> {
    let exports_all = rng.u8(..3) > 0;
    let wanted = Wanted { exports_all, memories_max: 1, ends_after, imports: None };
    let Some(first) = smith::module(rng, &wanted) else { return Ok(None) };
    let mut modules = vec![first];
    let second = rng.u8(..5) < 2;
    if second {
        let available = available(NAMES[0], &Surface::of(&modules[0])?)?;
        let wanted = Wanted { imports: Some(available), ..wanted };
        modules.extend(smith::module(rng, &wanted));
    }
    let surfaces = modules.iter().map(|module| Surface::of(module)).collect::<Result<Vec<_>>>()?;
    let mut component = Wrapping::default();
    let through_bag = rng.bool();
    for (at, module) in modules.iter().enumerate() {
        component.add(module, &surfaces, at, through_bag);
    }
    component.observe(&surfaces)?;
    for (instance, surface) in surfaces.iter().enumerate() {
        for (name, item) in &surface.exports {
            if let Item::Func(ty) = item {
                component.lift(instance, name, ty);
            }
        }
    }
    let operators = Operators::of(&modules)?;
    let shows_all =
        exports_all && modules.len() == 1 && !operators.hides_state && !surfaces[0].has_reference();
    let Wrapping { builder, functions, .. } = component;
    let bytes = builder.finish();
    Ok(Some(Built { bytes, functions, modules: modules.len(), operators, shows_all }))
}

#[derive(Default)]
struct Wrapping {
    builder: ComponentBuilder,
    instances: Vec<u32>,
    functions: Vec<Lifted>,
}

impl Wrapping {
    fn add(&mut self, module: &[u8], surfaces: &[Surface], at: usize, through_bag: bool) {
        let index = self.builder.core_module_raw(None, module);
        let mut args = Vec::new();
        if let (Some(first), true) = (self.instances.first().copied(), at > 0) {
            let from = if through_bag { self.bag(first, &surfaces[0]) } else { first };
            args.push((NAMES[0], ModuleArg::Instance(from)));
        }
        self.instances.push(self.builder.core_instantiate(None, index, args));
    }

    /// An instance that is made of another's exports.
    fn bag(&mut self, instance: u32, surface: &Surface) -> u32 {
        let mut items = Vec::new();
        for (name, item) in &surface.exports {
            let kind = match item {
                Item::Func(_) => ExportKind::Func,
                Item::Table(_) => ExportKind::Table,
                Item::Memory(_) => ExportKind::Memory,
                Item::Global(_) => ExportKind::Global,
            };
            let index = self.builder.core_alias_export(None, instance, name, kind);
            items.push((name.as_str(), kind, index));
        }
        self.builder.core_instantiate_exports(None, items)
    }

    fn observe(&mut self, surfaces: &[Surface]) -> Result<()> {
        let named: Vec<_> = NAMES.into_iter().zip(surfaces).collect();
        let module = self.builder.core_module_raw(None, &observer::module(&named)?);
        let args = NAMES.into_iter().zip(&self.instances);
        let args: Vec<_> = args.map(|(name, i)| (name, ModuleArg::Instance(*i))).collect();
        let observer = self.builder.core_instantiate(None, module, args);
        for name in [STATE, TURNS] {
            self.export(observer, name, name, &[], Some(PrimitiveValType::S64));
        }
        Ok(())
    }

    /// Functions that can't be called from outside are left to the others.
    fn lift(&mut self, instance: usize, core_name: &str, ty: &FuncType) {
        let params: Option<Vec<_>> = ty.params().iter().copied().map(lifted).collect();
        let results: Option<Vec<_>> = ty.results().iter().copied().map(lifted).collect();
        let (Some(params), Some(results)) = (params, results) else { return };
        if params.len() > PARAMS_MAX || results.len() > 1 {
            return;
        }
        let name = format!("f{}", self.functions.len());
        self.export(self.instances[instance], core_name, &name, &params, results.first().copied());
        self.functions.push(Lifted { name, params: ty.params().to_vec() });
    }

    fn export(
        &mut self,
        instance: u32,
        core_name: &str,
        name: &str,
        params: &[PrimitiveValType],
        result: Option<PrimitiveValType>,
    ) {
        let b = &mut self.builder;
        let core = b.core_alias_export(None, instance, core_name, ExportKind::Func);
        let (ty, mut encoder) = b.type_function(None);
        let names: Vec<_> = (0..params.len()).map(|n| format!("p{n}")).collect();
        encoder.params(names.iter().map(String::as_str).zip(params.iter().copied()));
        encoder.result(result.map(Into::into));
        let func = b.lift_func(None, core, ty, []);
        b.export(name, ComponentExportKind::Func, func, None);
    }
}

fn lifted(ty: ValType) -> Option<PrimitiveValType> {
    match ty {
        ValType::I32 => Some(PrimitiveValType::U32),
        ValType::I64 => Some(PrimitiveValType::S64),
        ValType::F32 => Some(PrimitiveValType::F32),
        ValType::F64 => Some(PrimitiveValType::F64),
        _ => None,
    }
}
