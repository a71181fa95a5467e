//! The merge functions of the model: a hash of what they are given, cut short.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use syncline_core::{
    FunctionVersion, GuestFault, HostFault, Image, MergeFunctions, MergeInput, Merged,
};

/// Functions by name. None is commutative, associative or idempotent; `v3` faults now and then; all
/// delete the row now and then.
#[derive(Clone, Debug, Default)]
pub struct Scramble(BTreeMap<FunctionVersion, String>);

impl Scramble {
    /// The version that stands for a function's name.
    pub fn version_of(&mut self, name: &str) -> FunctionVersion {
        let version = crate::version(name);
        self.0.entry(version).or_insert_with(|| name.to_owned());
        version
    }
}

impl MergeFunctions for Scramble {
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        let salt = self.0.get(version).ok_or(HostFault::NotHere(*version))?;
        let text = |image: Option<&Image>| image.map_or("null".into(), |i| quoted(i.as_bytes()));
        let asked = format!(
            "[{}, {}, {}, {}]",
            quoted(salt.as_bytes()),
            text(input.ancestor),
            text(input.older.image),
            text(input.newer.image)
        );
        let digest = hex::encode(Sha256::digest(asked.as_bytes()));
        let is_low = |at: usize| matches!(digest.as_bytes()[at], b'0'..=b'3');
        if salt == "v3" && is_low(1) {
            return Ok(Err(GuestFault::Trap("as the model says".into())));
        }
        Ok(Ok((!is_low(0)).then(|| Image::opaque(digest.as_bytes()[..8].to_vec()))))
    }
}

/// As Python's `json.dumps` writes a string: ASCII only.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for unit in String::from_utf8_lossy(bytes).encode_utf16() {
        match char::from_u32(u32::from(unit)) {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(c @ ' '..='~') => out.push(c),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn strings_are_quoted_as_python_does() {
        assert_eq!(
            quoted("a\"é\u{1f600}\u{7f}\n".as_bytes()),
            r#""a\"\u00e9\ud83d\ude00\u007f\n""#
        );
    }
}
