//! `syncline function inspect`.

use serde_json::json;
use syncline_host::{PROFILE, inspect};

use super::args::Source;
use crate::cases::given;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, fields, printable};

/// What a function's world is called, by the types that it imports.
const WORLD: &str = "syncline:merge/merge-function@1.0.0";

pub(super) fn run(source: &Source, out: &Output) -> Result<(), Failure> {
    let loaded = source.load()?;
    let inspected = inspect(&loaded.bytes).map_err(|refused| {
        Failure::Failed(format!("{} ({}): {refused}", loaded.file.display(), refused.code()))
    })?;
    let cases = given(&loaded.bytes).map_err(|refused| Failure::Failed(refused.to_string()))?.len();
    let (manifest, limits) = (&inspected.manifest, &inspected.manifest.limits);
    if out.is_json() {
        return out.json(&json!({
            "version": inspected.version.to_string(),
            "file": loaded.file,
            "size": loaded.bytes.len(),
            "world": WORLD,
            "profile": PROFILE,
            "imports": inspected.imports,
            "cases": cases,
            "manifest": {
                "name": manifest.name,
                "version": manifest.version,
                "needs_ancestor": manifest.needs_ancestor,
                "limits": {
                    "fuel": limits.fuel,
                    "memory_bytes": limits.memory_bytes,
                    "output_bytes": limits.output_bytes,
                },
            },
        }));
    }
    let text = |text: &Option<String>| text.as_deref().map_or("-".into(), printable);
    let imports: Vec<String> = inspected.imports.iter().map(|name| printable(name)).collect();
    out.text(&fields(&[
        ("version", inspected.version.to_string()),
        ("file", loaded.file.display().to_string()),
        ("size", format!("{} bytes", loaded.bytes.len())),
        ("world", WORLD.to_owned()),
        ("profile", PROFILE.to_string()),
        ("imports", if imports.is_empty() { "nothing".into() } else { imports.join(", ") }),
        ("cases", cases.to_string()),
        ("name", text(&manifest.name)),
        ("release", text(&manifest.version)),
        ("needs ancestor", if manifest.needs_ancestor { "yes" } else { "no" }.to_owned()),
        ("fuel", format!("{} at most", limits.fuel)),
        ("memory", format!("{} bytes at most", limits.memory_bytes)),
        ("output", format!("{} bytes at most", limits.output_bytes)),
    ]))
}
