//! What an uploaded component must be, checked in one order, the cheapest first, before anything is
//! compiled. Every region admits the same components, as nothing here depends on the engine.

mod code;
mod counts;
mod world;

use syncline_core::FunctionVersion;
use thiserror::Error;
use wasmparser::types::Types;
use wasmparser::{Encoding, Parser, Payload, Validator};

use crate::fault::shown;
use crate::manifest::{InvalidManifest, MANIFEST_SECTION, Manifest};
use crate::metering::{Budget, meter};
use crate::profile::{COMPONENT_BYTES_MAX, FEATURES, STACK_BYTES_MAX};

const MESSAGE_BYTES_MAX: usize = 512;

/// The name of the custom section with the cases that came with a function, at the component's own
/// level.
pub const CASES_SECTION: &str = "syncline:cases";
/// The cases that a component brings with it: 1 MiB.
pub const GIVEN_CASES_BYTES_MAX: usize = 1 << 20;

/// Why a component is not taken. Its text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum Refused {
    #[error(
        "the component has {bytes} bytes, the limit is {COMPONENT_BYTES_MAX}: \
         build it for release and strip it"
    )]
    TooLarge { bytes: usize },
    #[error("this is no WebAssembly: upload the .wasm file that the build wrote")]
    NotWasm,
    #[error(
        "this is a core module, not a component: \
         build it with the SDK's build command, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    #[error("the component is damaged or cut short, at byte {at}: {what}; upload it again")]
    Malformed { at: usize, what: String },
    #[error("the component has {count} {what}, the limit is {max}: make it smaller")]
    TooMany { what: &'static str, count: u64, max: u64 },
    #[error(
        "the component {what}, which is not allowed in a merge function: \
         put all code into one core module"
    )]
    Structure { what: &'static str },
    #[error(
        "the component is not valid, at byte {at}: {what}; \
         if that names a feature, build for plain WebAssembly 2.0"
    )]
    Invalid { at: usize, what: String },
    #[error(
        "the component imports `{name}`, which a merge function is not given: of the system there \
         are only the parts of WASI 0.2 that a compiler's standard library itself needs, without \
         sockets and HTTP; leave out what needs that import"
    )]
    Import { name: String },
    #[error(
        "the component imports something in another form than it is given ({what}): \
         build it against WASI 0.2"
    )]
    WrongImport { what: String },
    #[error(
        "the component is built for `{name}`, and this release of Syncline knows 1.0.0: \
         upgrade the region first, or build with an older SDK"
    )]
    NewerWorld { name: String },
    #[error(
        "the component exports no function `merge`: \
         it must be built for the world `merge-function` of syncline:merge@1.0.0"
    )]
    NoMerge,
    #[error(
        "the component's `merge` is not that of syncline:merge@1.0.0 ({what}): \
         build it against that version's WIT"
    )]
    WrongType { what: String },
    #[error("the component's section {MANIFEST_SECTION} can't be followed: {0}")]
    Manifest(#[from] InvalidManifest),
    #[error("the component's section {CASES_SECTION} can't be used: {what}")]
    Cases { what: String },
    #[error(
        "the component's memory starts with {bytes} bytes, which is over its limit of \
         {limit_bytes}: lower its initial memory"
    )]
    MemoryTooLarge { bytes: u64, limit_bytes: u64 },
    #[error("{what}; make its functions smaller")]
    Unmeterable { what: String },
    #[error("the component can't be compiled: {what}; build it with another compiler's release")]
    Compile { what: String },
    #[error("nothing is wrong with the component, but it can't be compiled now: {what}; try again")]
    NotNow { what: String },
    #[error(
        "the component takes {what} to compile: \
         split its longest functions, and leave out what is generated or unrolled"
    )]
    TooExpensive { what: String },
}

impl Refused {
    /// A stable word for the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "component-too-large",
            Self::NotWasm => "not-wasm",
            Self::CoreModule => "core-module",
            Self::Malformed { .. } => "malformed-component",
            Self::TooMany { .. } => "component-too-complex",
            Self::Structure { .. } => "component-structure",
            Self::Invalid { .. } => "invalid-component",
            Self::Import { .. } => "import-not-allowed",
            Self::WrongImport { .. } => "wrong-import-type",
            Self::NewerWorld { .. } => "newer-world",
            Self::NoMerge => "no-merge-export",
            Self::WrongType { .. } => "wrong-merge-type",
            Self::Manifest(_) => "invalid-manifest",
            Self::Cases { .. } => "invalid-cases",
            Self::MemoryTooLarge { .. } => "memory-too-large",
            Self::Unmeterable { .. } => "not-meterable",
            Self::Compile { .. } => "compile-failed",
            Self::NotNow { .. } => "compile-unavailable",
            Self::TooExpensive { .. } => "compile-too-expensive",
        }
    }
}

/// A component that is taken.
pub(crate) struct Checked {
    pub(crate) manifest: Manifest,
    types: Types,
}

/// What a component is, as far as its bytes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The checksum of its bytes.
    pub version: FunctionVersion,
    /// What it says of itself.
    pub manifest: Manifest,
    /// What it imports, in its own order: the world's types, and parts of WASI.
    pub imports: Vec<String>,
}

/// Looks at a component as an upload does, short of compiling it.
pub fn inspect(component: &[u8]) -> Result<Inspected, Refused> {
    let Checked { manifest, .. } = check(component)?;
    let imports = world::imports(component)?.into_iter().map(str::to_owned).collect();
    Ok(Inspected { version: FunctionVersion::of(component), manifest, imports })
}

/// All that is checked of a component's bytes.
pub(crate) fn check(component: &[u8]) -> Result<Checked, Refused> {
    check_size(component)?;
    check_is_component(component)?;
    let counts = counts::check_counts(component)?;
    let types = check_valid(component)?;
    code::check_code(component)?;
    world::check_imports(component, &types)?;
    world::check_export(&types)?;
    let sections = own_sections(component)?;
    let manifest = Manifest::read(&named(&sections, MANIFEST_SECTION))?;
    cases_of(&sections)?;
    check_memory(counts.memory_bytes, &manifest)?;
    Ok(Checked { manifest, types })
}

impl Checked {
    /// The component with the meter in it, which is what is compiled.
    pub(crate) fn metered(&self, component: &[u8]) -> Result<Vec<u8>, Refused> {
        let budget = Budget { fuel: self.manifest.limits.fuel, stack_bytes: STACK_BYTES_MAX };
        meter(component, self.types.as_ref(), &budget)
            .map_err(|error| Refused::Unmeterable { what: told(&error.to_string()) })
    }
}

fn check_size(component: &[u8]) -> Result<(), Refused> {
    match component.len() {
        bytes if bytes > COMPONENT_BYTES_MAX => Err(Refused::TooLarge { bytes }),
        _ => Ok(()),
    }
}

fn check_is_component(component: &[u8]) -> Result<(), Refused> {
    if !component.starts_with(b"\0asm") {
        return Err(Refused::NotWasm);
    }
    match Parser::new(0).parse_all(component).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => Ok(()),
        Some(Ok(Payload::Version { encoding: Encoding::Module, .. })) => Err(Refused::CoreModule),
        Some(Err(error)) => Err(malformed(error)),
        _ => Err(Refused::NotWasm),
    }
}

fn check_valid(component: &[u8]) -> Result<Types, Refused> {
    Validator::new_with_features(FEATURES)
        .validate_all(component)
        .map_err(|error| Refused::Invalid { at: error.offset(), what: told(error.message()) })
}

/// The text of the cases that a component brings with it: what the files of its function's folder
/// `cases` hold, one after the other. Empty without a section.
pub fn given_cases(component: &[u8]) -> Result<&str, Refused> {
    cases_of(&own_sections(component)?)
}

fn cases_of<'a>(sections: &[OwnSection<'a>]) -> Result<&'a str, Refused> {
    let refused = |what: String| Refused::Cases { what };
    match named(sections, CASES_SECTION)[..] {
        [] => Ok(""),
        [section] if section.len() > GIVEN_CASES_BYTES_MAX => Err(refused(format!(
            "it has {} bytes, the limit is {GIVEN_CASES_BYTES_MAX}; keep large cases elsewhere, and \
             name their folder with --cases",
            section.len()
        ))),
        [section] => {
            std::str::from_utf8(section).map_err(|error| refused(format!("it is no text: {error}")))
        }
        _ => Err(refused("there are two of them; leave one".to_owned())),
    }
}

/// The name and the bytes of a custom section.
type OwnSection<'a> = (&'a str, &'a [u8]);

/// The custom sections at the component's own level, where the build command puts them; not inside of
/// its modules.
fn own_sections(component: &[u8]) -> Result<Vec<OwnSection<'_>>, Refused> {
    let mut sections = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(malformed)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::CustomSection(section) if depth == 1 => {
                sections.push((section.name(), section.data()));
            }
            _ => {}
        }
    }
    Ok(sections)
}

fn named<'a>(sections: &[OwnSection<'a>], name: &str) -> Vec<&'a [u8]> {
    let named = sections.iter().filter(|(its, _)| *its == name);
    named.map(|(_, data)| *data).collect()
}

fn check_memory(bytes: u64, manifest: &Manifest) -> Result<(), Refused> {
    let limit_bytes = manifest.limits.memory_bytes;
    if bytes > limit_bytes { Err(Refused::MemoryTooLarge { bytes, limit_bytes }) } else { Ok(()) }
}

fn malformed(error: wasmparser::Error) -> Refused {
    Refused::Malformed { at: error.offset(), what: told(error.message()) }
}

/// A message of the tools below, which may quote the component.
pub(crate) fn told(message: &str) -> String {
    shown(message, MESSAGE_BYTES_MAX)
}
