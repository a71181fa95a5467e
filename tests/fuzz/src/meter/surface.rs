//! What of a core module can be reached from outside.

use anyhow::{Result, bail};
use wasm_encoder::{EntityType, ImportSection, Module, TypeSection};
use wasmparser::{
    CompositeInnerType, ExternalKind, FuncType, GlobalType, MemoryType, Parser, Payload, TableType,
    TypeRef, ValType,
};

/// The type of an export.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Func(FuncType),
    Table(TableType),
    Memory(MemoryType),
    Global(GlobalType),
}

/// The exports of a module, by name.
pub(crate) struct Surface {
    pub(crate) exports: Vec<(String, Item)>,
}

#[derive(Default)]
struct Items {
    types: Vec<FuncType>,
    funcs: Vec<u32>,
    tables: Vec<TableType>,
    memories: Vec<MemoryType>,
    globals: Vec<GlobalType>,
}

impl Surface {
    /// Of a valid module of the profile.
    pub(crate) fn of(module: &[u8]) -> Result<Self> {
        let mut items = Items::default();
        let mut exports = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            items.take(&payload)?;
            if let Payload::ExportSection(section) = payload {
                for export in section {
                    let export = export?;
                    exports.push((export.name.to_owned(), items.item(export.kind, export.index)?));
                }
            }
        }
        Ok(Self { exports })
    }

    /// Whether there is a variable for references, of which not all can be seen.
    pub(crate) fn has_reference(&self) -> bool {
        self.exports.iter().any(|(_, item)| {
            let Item::Global(ty) = item else { return false };
            ty.mutable && matches!(ty.content_type, ValType::Ref(_))
        })
    }
}

impl Items {
    fn take(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    for ty in group?.into_types() {
                        let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                            bail!("a type that is no function's");
                        };
                        self.types.push(ty);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    match import?.ty {
                        TypeRef::Func(ty) => self.funcs.push(ty),
                        TypeRef::Table(ty) => self.tables.push(ty),
                        TypeRef::Memory(ty) => self.memories.push(ty),
                        TypeRef::Global(ty) => self.globals.push(ty),
                        other => bail!("an import of {other:?}"),
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section.clone() {
                    self.funcs.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.tables.push(table?.ty);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.memories.push(memory?);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    self.globals.push(global?.ty);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn item(&self, kind: ExternalKind, index: u32) -> Result<Item> {
        let at = index as usize;
        let item = match kind {
            ExternalKind::Func => {
                let ty = self.funcs.get(at).and_then(|ty| self.types.get(*ty as usize));
                ty.cloned().map(Item::Func)
            }
            ExternalKind::Table => self.tables.get(at).copied().map(Item::Table),
            ExternalKind::Memory => self.memories.get(at).copied().map(Item::Memory),
            ExternalKind::Global => self.globals.get(at).copied().map(Item::Global),
            _ => None,
        };
        item.ok_or_else(|| anyhow::anyhow!("an export that is not there"))
    }
}

/// A module that imports all that a surface offers.
pub(crate) fn available(module: &str, surface: &Surface) -> Result<Vec<u8>> {
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    for (name, item) in &surface.exports {
        let ty = match item {
            Item::Func(ty) => {
                let index = types.len();
                let encoded = |types: &[ValType]| {
                    types.iter().map(|ty| Ok((*ty).try_into()?)).collect::<Result<Vec<_>>>()
                };
                types.ty().function(encoded(ty.params())?, encoded(ty.results())?);
                EntityType::Function(index)
            }
            Item::Table(ty) => EntityType::Table((*ty).try_into()?),
            Item::Memory(ty) => EntityType::Memory((*ty).into()),
            Item::Global(ty) => EntityType::Global((*ty).try_into()?),
        };
        imports.import(module, name, ty);
    }
    let mut out = Module::new();
    out.section(&types).section(&imports);
    Ok(out.finish())
}
