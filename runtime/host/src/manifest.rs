//! What a component says of itself, in its custom section `syncline:manifest`.
//!
//! The build command embeds the section, so the checksum that is the function's version covers it.

use serde::Deserialize;
use thiserror::Error;

use crate::profile::{FUEL_MAX, MEMORY_BYTES_MAX, OUTPUT_BYTES_MAX};

/// The name of the custom section, at the component's own level.
pub const MANIFEST_SECTION: &str = "syncline:manifest";
const MANIFEST_BYTES_MAX: usize = 64 << 10;
const TEXT_CHARS_MAX: usize = 128;

/// What a component says of itself. Without a section: everything by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What its authors call it, for lists and logs. It identifies nothing.
    pub name: Option<String>,
    /// What its authors call this version of it. Likewise.
    pub version: Option<String>,
    /// Whether it is given the ancestor. Where it is not, its table need not keep history.
    pub needs_ancestor: bool,
    /// What one call may use up.
    pub limits: Limits,
}

/// What one call may use up, each at most the profile's maximum, which is also its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel for the call itself; an instantiation has its own.
    pub fuel: u64,
    /// The guest's memory.
    pub memory_bytes: u64,
    /// The answer as the guest hands it over, before it is brought into canonical form.
    pub output_bytes: u64,
}

impl Default for Manifest {
    fn default() -> Self {
        Self { name: None, version: None, needs_ancestor: true, limits: Limits::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel: FUEL_MAX, memory_bytes: MEMORY_BYTES_MAX, output_bytes: OUTPUT_BYTES_MAX }
    }
}

/// Why a manifest can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum InvalidManifest {
    #[error("there are two of them; leave one")]
    Twice,
    #[error("it has {bytes} bytes, the limit is {MANIFEST_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("it is not the JSON that it should be: {0}")]
    Json(String),
    #[error("its \"v\" is {0}, this release of Syncline knows 1 only; upgrade the region first")]
    UnknownVersion(u64),
    #[error("\"{0}\" is 1 to {TEXT_CHARS_MAX} characters without control characters")]
    Text(&'static str),
    #[error("limits.{name} is {asked}, it can be 1 to {max}; ask for less or leave it out")]
    Limit { name: &'static str, asked: u64, max: u64 },
}

/// The section as written. Fields that are not known are left alone, for later versions of it.
#[derive(Deserialize)]
struct Written {
    v: u64,
    name: Option<String>,
    version: Option<String>,
    needs_ancestor: Option<bool>,
    #[serde(default)]
    limits: WrittenLimits,
}

#[derive(Deserialize, Default)]
struct WrittenLimits {
    fuel: Option<u64>,
    memory_bytes: Option<u64>,
    output_bytes: Option<u64>,
}

/// Only the version, so that a later one is recognized whatever else has changed in it.
#[derive(Deserialize)]
struct Version {
    v: u64,
}

impl Manifest {
    /// Reads the sections of that name, of which there may be one.
    pub(crate) fn read(sections: &[&[u8]]) -> Result<Self, InvalidManifest> {
        match sections {
            [] => Ok(Self::default()),
            [section] => Self::parse(section),
            _ => Err(InvalidManifest::Twice),
        }
    }

    fn parse(section: &[u8]) -> Result<Self, InvalidManifest> {
        if section.len() > MANIFEST_BYTES_MAX {
            return Err(InvalidManifest::TooLarge { bytes: section.len() });
        }
        let json = |error: serde_json::Error| InvalidManifest::Json(error.to_string());
        match serde_json::from_slice(section).map_err(json)? {
            Version { v: 1 } => {}
            Version { v } => return Err(InvalidManifest::UnknownVersion(v)),
        }
        let written: Written = serde_json::from_slice(section).map_err(json)?;
        debug_assert_eq!(written.v, 1);
        let WrittenLimits { fuel, memory_bytes, output_bytes } = written.limits;
        Ok(Self {
            name: text("name", written.name)?,
            version: text("version", written.version)?,
            needs_ancestor: written.needs_ancestor.unwrap_or(true),
            limits: Limits {
                fuel: limit("fuel", fuel, FUEL_MAX)?,
                memory_bytes: limit("memory_bytes", memory_bytes, MEMORY_BYTES_MAX)?,
                output_bytes: limit("output_bytes", output_bytes, OUTPUT_BYTES_MAX)?,
            },
        })
    }
}

fn text(name: &'static str, text: Option<String>) -> Result<Option<String>, InvalidManifest> {
    match &text {
        Some(t)
            if t.is_empty()
                || t.chars().count() > TEXT_CHARS_MAX
                || t.chars().any(char::is_control) =>
        {
            Err(InvalidManifest::Text(name))
        }
        _ => Ok(text),
    }
}

fn limit(name: &'static str, asked: Option<u64>, max: u64) -> Result<u64, InvalidManifest> {
    match asked {
        None => Ok(max),
        Some(asked) if (1..=max).contains(&asked) => Ok(asked),
        Some(asked) => Err(InvalidManifest::Limit { name, asked, max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Manifest, InvalidManifest> {
        Manifest::read(&[json.as_bytes()])
    }

    #[test]
    fn everything_but_v_has_a_default() {
        assert_eq!(Manifest::read(&[]), Ok(Manifest::default()));
        assert_eq!(parse(r#"{"v":1}"#), Ok(Manifest::default()));
        assert_eq!(parse(r#"{"v":1,"later":[1],"limits":{"later":2}}"#), Ok(Manifest::default()));
        let full = parse(
            r#"{"v":1,"name":"cart","version":"0.1.0","needs_ancestor":false,
                "limits":{"fuel":7,"memory_bytes":65536,"output_bytes":1}}"#,
        )
        .unwrap();
        assert_eq!((full.name.as_deref(), full.version.as_deref()), (Some("cart"), Some("0.1.0")));
        assert!(!full.needs_ancestor);
        assert_eq!(full.limits, Limits { fuel: 7, memory_bytes: 65536, output_bytes: 1 });
    }

    #[test]
    fn what_cant_be_followed_is_refused() {
        use InvalidManifest as I;
        assert_eq!(parse(r#"{"v":2,"limits":"else"}"#), Err(I::UnknownVersion(2)));
        for json in ["", "{", "[]", "1", "{}", r#"{"v":"1"}"#, r#"{"v":1,"v":1}"#, "{\"v\":1}x"] {
            assert!(matches!(parse(json), Err(I::Json(_))), "{json}");
        }
        for json in [r#"{"v":1,"needs_ancestor":1}"#, r#"{"v":1,"limits":{"fuel":-1}}"#] {
            assert!(matches!(parse(json), Err(I::Json(_))), "{json}");
        }
        for (json, name) in [
            (r#"{"v":1,"limits":{"fuel":50000001}}"#, "fuel"),
            (r#"{"v":1,"limits":{"fuel":0}}"#, "fuel"),
            (r#"{"v":1,"limits":{"memory_bytes":67108865}}"#, "memory_bytes"),
            (r#"{"v":1,"limits":{"output_bytes":1048577}}"#, "output_bytes"),
        ] {
            assert!(matches!(parse(json), Err(I::Limit { name: n, .. }) if n == name), "{json}");
        }
        for json in [r#"{"v":1,"name":""}"#, r#"{"v":1,"name":"a\u001b[2J"}"#] {
            assert_eq!(parse(json), Err(I::Text("name")), "{json}");
        }
        assert_eq!(Manifest::read(&[b"{\"v\":1}", b"{\"v\":1}"]), Err(I::Twice));
        let long = format!("{{\"v\":1,\"x\":\"{}\"}}", "a".repeat(MANIFEST_BYTES_MAX));
        assert!(matches!(parse(&long), Err(I::TooLarge { .. })));
    }
}
