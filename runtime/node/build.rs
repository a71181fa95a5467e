//! Takes into the program what `syncline function new` writes: the SDKs and the examples that serve
//! as templates, as they are in this repository.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// What is taken, from the repository's root. Of a folder everything but [`LEFT_OUT`].
const TAKEN: [&str; 18] = [
    "Cargo.toml",
    "runtime/image/Cargo.toml",
    "runtime/image/src",
    "sdk/assemblyscript/assembly",
    "sdk/assemblyscript/bin",
    "sdk/assemblyscript/package-lock.json",
    "sdk/assemblyscript/package.json",
    "sdk/assemblyscript/tool",
    "sdk/assemblyscript/tsconfig.json",
    "sdk/rust/Cargo.toml",
    "sdk/rust/README.md",
    "sdk/rust/macros/Cargo.toml",
    "sdk/rust/macros/src",
    "sdk/rust/src",
    "sdk/verifier/Cargo.toml",
    "sdk/verifier/src",
    "wit",
    "guest-examples",
];

/// What builds and installations leave behind.
const LEFT_OUT: [&str; 3] = ["build", "node_modules", "target"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let mut files = Vec::new();
    for taken in TAKEN {
        collect(&root.join(taken), &mut files)?;
    }
    files.sort();
    let mut source = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&root)?.to_str().ok_or("a path that is not UTF-8")?;
        source += &format!("    ({name:?}, include_bytes!({:?})),\n", file.display().to_string());
    }
    source += "]\n";
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("embedded.rs"), source)?;
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    // Of a folder Cargo looks at all that is in it. Where builds and installations leave something,
    // which is beside a manifest, it would find a change each time.
    let has_manifest = ["Cargo.toml", "package.json"].iter().any(|name| path.join(name).is_file());
    if !has_manifest {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?.path();
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !LEFT_OUT.contains(&name) && !name.starts_with('.') {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
