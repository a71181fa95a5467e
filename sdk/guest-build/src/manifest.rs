//! What a component says of itself: the custom section `syncline:manifest`.
//!
//! The section holds JSON, and being a part of the component it is covered by the checksum:
//! ```json
//! {"v":1,"name":"cart","version":"0.1.0","needs_ancestor":true,
//!  "limits":{"fuel":1000000,"memory_bytes":4194304,"output_bytes":65536}}
//! ```
//! `limits` and each of its fields may be absent: the runtime's own limit holds then. A function's
//! author writes the same names into Cargo.toml:
//! ```toml
//! [package.metadata.syncline]
//! needs_ancestor = false
//! limits = { fuel = 1_000_000 }
//! ```

use serde::{Deserialize, Serialize};

/// The section's name.
pub const SECTION: &str = "syncline:manifest";

/// The version of the format.
const FORMAT: u32 = 1;

/// The manifest as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest<'a> {
    v: u32,
    name: &'a str,
    version: &'a str,
    needs_ancestor: bool,
    #[serde(skip_serializing_if = "Limits::is_empty")]
    limits: Limits,
}

/// `[package.metadata.syncline]`. A name that isn't known is an error: most likely a slip.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    needs_ancestor: Option<bool>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<u64>,
}

impl Limits {
    fn is_empty(&self) -> bool {
        matches!(self, Self { fuel: None, memory_bytes: None, output_bytes: None })
    }
}

impl<'a> Manifest<'a> {
    /// Without settings a function is given ancestors: an answer from less would be a silent surprise.
    pub(crate) fn new(name: &'a str, version: &'a str, settings: Settings) -> Self {
        let needs_ancestor = settings.needs_ancestor.unwrap_or(true);
        Self { v: FORMAT, name, version, needs_ancestor, limits: settings.limits }
    }
}

/// Appends a custom section to a component.
pub fn append_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    const CUSTOM: u8 = 0;
    let mut body = Vec::with_capacity(name.len() + data.len() + 5);
    push_leb128(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    component.push(CUSTOM);
    push_leb128(component, body.len());
    component.extend_from_slice(&body);
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(settings: &str) -> String {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        serde_json::to_string(&Manifest::new("cart", "1.2.3", settings)).unwrap()
    }

    #[test]
    fn what_is_not_set_is_absent_but_the_ancestor() {
        assert_eq!(json("{}"), r#"{"v":1,"name":"cart","version":"1.2.3","needs_ancestor":true}"#);
        assert_eq!(
            json(r#"{"needs_ancestor":false,"limits":{"memory_bytes":65536}}"#),
            r#"{"v":1,"name":"cart","version":"1.2.3","needs_ancestor":false,"limits":{"memory_bytes":65536}}"#
        );
    }

    #[test]
    fn unknown_settings_are_refused() {
        for text in [r#"{"needs-ancestor":true}"#, r#"{"limits":{"gas":1}}"#] {
            assert!(serde_json::from_str::<Settings>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_of_sections_are_leb128() {
        let encoded = |value| {
            let mut out = Vec::new();
            push_leb128(&mut out, value);
            out
        };
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(127), [0x7f]);
        assert_eq!(encoded(128), [0x80, 1]);
        assert_eq!(encoded(624_485), [0xe5, 0x8e, 0x26]);
    }
}
