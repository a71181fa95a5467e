//! From a package's folder to a component on disk.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;

use sha2::{Digest, Sha256};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::cargo;
use crate::cases;
use crate::error::BuildError;
use crate::manifest::{self, Manifest};
use crate::npm;
use crate::package::Package;

/// A component on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuiltGuest {
    /// The component's file: `components/<package>.wasm` in the target folder.
    pub path: PathBuf,
    /// The function's version: SHA-256 of the file's bytes in hexadecimal, as `sha256sum` shows it.
    pub version_hex: String,
    /// The file's length in bytes.
    pub size: u64,
}

/// Builds the package in `manifest_dir` into a component under `target_dir`, which is made if absent.
///
/// A folder with Cargo.toml is built by cargo, one with package.json by npm. Quick if nothing changed:
/// cargo then only looks at the sources' times, npm is not called at all, and the component's file is
/// left as it is. The build takes the package's lock file as it stands.
///
/// # Errors
/// A package that is not one of a function, a missing tool, a build that fails: see [`BuildError`].
pub fn build(manifest_dir: &Path, target_dir: &Path) -> Result<BuiltGuest, BuildError> {
    let manifest_dir =
        &manifest_dir.canonicalize().map_err(BuildError::file("find", manifest_dir))?;
    fs::create_dir_all(target_dir).map_err(BuildError::file("make folder", target_dir))?;
    let target_dir = &target_dir.canonicalize().map_err(BuildError::file("find", target_dir))?;
    let components = target_dir.join("components");
    fs::create_dir_all(&components).map_err(BuildError::file("make folder", &components))?;

    let cargo_manifest = manifest_dir.join("Cargo.toml");
    if !cargo_manifest.is_file() && manifest_dir.join(npm::MANIFEST).is_file() {
        let path = npm::build(manifest_dir, &components)?;
        let component = fs::read(&path).map_err(BuildError::file("read component", &path))?;
        return Ok(BuiltGuest::new(path, &component));
    }
    let package = Package::read(manifest_dir)?;
    // Held until the component is written: cargo's own lock ends with cargo, and the module must not
    // change while it is read.
    let _lock = lock(&target_dir.join("syncline-guest-build.lock"))?;
    let module = cargo::build_module(&package, manifest_dir, target_dir)?;
    let module = fs::read(&module).map_err(BuildError::file("read module", module))?;
    let mut component = wrap(&package, &module)?;
    if let Some(cases) = cases::section(manifest_dir)? {
        manifest::append_section(&mut component, cases::SECTION, &cases);
    }

    let path = components.join(format!("{}.wasm", package.name));
    write_if_changed(&path, &component)?;
    Ok(BuiltGuest::new(path, &component))
}

impl BuiltGuest {
    fn new(path: PathBuf, component: &[u8]) -> Self {
        let version_hex = hex::encode(Sha256::digest(component));
        Self { path, version_hex, size: component.len() as u64 }
    }
}

/// What an example is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// The folder of the example itself.
    Rust,
    /// Its folder `assemblyscript`, where it has one.
    AssemblyScript,
}

/// Builds the Rust function `guest-examples/<name>` of this repository into [`guests_target_dir`].
///
/// # Errors
/// As [`build`]; a name that is no folder there.
pub fn example(name: &str) -> Result<BuiltGuest, BuildError> {
    example_in(name, Language::Rust)
}

/// Builds `guest-examples/<name>` of this repository, as it is written in one language.
///
/// # Errors
/// As [`build`]; a name that is no folder there, or is not written in this language.
pub fn example_in(name: &str, language: Language) -> Result<BuiltGuest, BuildError> {
    let example = examples_dir().join(name);
    let folder = match language {
        Language::Rust => example,
        Language::AssemblyScript => example.join("assemblyscript"),
    };
    build(&folder, &guests_target_dir())
}

/// This repository's folder of examples, as it was when this crate was compiled.
pub fn examples_dir() -> PathBuf {
    repository().join("guest-examples")
}

/// Where this repository's functions are built: `guests` in the target folder of its workspace, or in
/// `CARGO_TARGET_DIR` where that is set.
pub fn guests_target_dir() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty());
    // A relative CARGO_TARGET_DIR is taken from the workspace, where cargo is usually called.
    repository().join(target.map_or("target".into(), PathBuf::from)).join("guests")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Waits for its turn among all builds that take this lock.
pub(crate) fn lock(path: &Path) -> Result<File, BuildError> {
    let file = File::create(path).map_err(BuildError::file("open", path))?;
    file.lock().map_err(BuildError::file("lock", path))?;
    Ok(file)
}

/// The component of a module, with its manifest.
fn wrap(package: &Package, module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let fail = |reason| BuildError::Component { package: package.name.clone(), reason };
    let mut component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| fail(format!("{error:#}")))?;
    if !exports_merge(&component).map_err(|error| fail(error.to_string()))? {
        return Err(fail("it has no merge function: mark one with `#[merge_function]`".into()));
    }
    let manifest = Manifest::new(&package.name, &package.version, package.settings);
    let manifest = serde_json::to_vec(&manifest)
        .map_err(|source| BuildError::Metadata { package: package.name.clone(), source })?;
    manifest::append_section(&mut component, manifest::SECTION, &manifest);
    Ok(component)
}

/// Any module can be wrapped: one that knows nothing of the world becomes a component without exports.
fn exports_merge(component: &[u8]) -> wasmparser::Result<bool> {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::ComponentExportSection(exports) = payload? {
            for export in exports {
                if export?.name.name == "merge" {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Puts the whole file in place at once, so that a reader never sees half of it. A file that holds
/// these bytes already keeps its time, or everything that depends on it would be built again.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let draft = path.with_extension(format!("{}.tmp", process::id()));
    let mut file = File::create(&draft).map_err(BuildError::file("create", &draft))?;
    file.write_all(bytes).map_err(BuildError::file("write", &draft))?;
    drop(file);
    fs::rename(&draft, path).map_err(BuildError::file("put in place", path))
}
