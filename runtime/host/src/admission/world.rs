//! Whether a component is of the world of wit/merge.wit.

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType};
use wasmparser::types::Types;
use wasmparser::{Parser, Payload};

use super::{Refused, malformed};
use crate::abi::{MERGE, TYPES};
use crate::fault::shown;
use crate::wasi;

const NAME_BYTES_MAX: usize = 256;

/// Nothing may be imported but the world's own types, which are no code, and the parts of WASI that
/// are provided. That those are used in their own form shows when they are linked.
pub(super) fn check_imports(component: &[u8], types: &Types) -> Result<(), Refused> {
    imports(component)?.into_iter().try_for_each(|name| check_import(name, types))
}

/// The names of what the component itself imports.
pub(super) fn imports(component: &[u8]) -> Result<Vec<&str>, Refused> {
    let mut names = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(malformed)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    names.push(import.map_err(malformed)?.name.name);
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

fn check_import(name: &str, types: &Types) -> Result<(), Refused> {
    let shown_name = || shown(name, NAME_BYTES_MAX);
    if is_newer(name) {
        return Err(Refused::NewerWorld { name: shown_name() });
    }
    let harmless = match types.component_item_for_import(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(_)) if is_wasi(name) => true,
        Some(ComponentEntityType::Type { referenced, .. }) => is_value_type(referenced),
        Some(ComponentEntityType::Instance(id)) if name == TYPES => {
            types[id].exports.values().all(|item| {
                matches!(item.ty, ComponentEntityType::Type { referenced, .. }
                    if is_value_type(referenced))
            })
        }
        _ => false,
    };
    if harmless { Ok(()) } else { Err(Refused::Import { name: shown_name() }) }
}

/// Whether it is an interface that is provided, in a release of 0.2. A later one of the same line may
/// be asked for: it is served where it asks for nothing new.
fn is_wasi(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else { return false };
    let patch = version.strip_prefix("0.2.").unwrap_or_default();
    let is_release = !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit());
    is_release && wasi::ALLOWED.contains(&interface)
}

/// A resource is a type too, but one that somebody must provide.
fn is_value_type(id: ComponentAnyTypeId) -> bool {
    matches!(id, ComponentAnyTypeId::Defined(_))
}

/// Whether the name is one of our package, in a version after the one that we know.
fn is_newer(name: &str) -> bool {
    let Some((package, version)) = name.split_once('@') else { return false };
    let Some((_, known)) = TYPES.split_once('@') else { return false };
    package.starts_with("syncline:merge/") && parts(version) > parts(known)
}

fn parts(version: &str) -> Vec<u64> {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    numbers.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

/// That its type is right shows when it is linked; here only what is quick to say.
pub(super) fn check_export(types: &Types) -> Result<(), Refused> {
    match types.component_item_for_export(MERGE).map(|item| item.ty) {
        Some(ComponentEntityType::Func(_)) => Ok(()),
        _ => Err(Refused::NoMerge),
    }
}
