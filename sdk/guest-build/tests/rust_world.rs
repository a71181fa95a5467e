//! The Rust SDK makes components without a generator of bindings: what says that a module is one
//! of the world stands as bytes in its src/world.rs. They have to be those of wit/merge.wit.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use syncline_guest_build::examples_dir;
use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

/// Set to write the file instead of comparing it: after a change of the world, or of
/// wit-component.
const WRITE: &str = "SYNCLINE_WRITE_WORLD";

const HEAD: &str = "\
//! What a module says to be made a component of.
//!
//! Written by sdk/guest-build/tests/rust_world.rs, which also checks it.

/// `world merge-function` of wit/merge.wit, as wit-component reads it: what a custom section with
/// a name in `component-type` has to hold.
";

#[test]
fn modules_of_rust_are_of_this_world() {
    let repository = examples_dir().join("..");
    let source = source(&world(&repository.join("wit/merge.wit")));
    let file = repository.join("sdk/rust/src/world.rs");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, &source).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == source, "{} is out of date: run this test with {WRITE}=1", file.display());
}

fn world(wit: &Path) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_file(wit).unwrap();
    let world = resolve.select_world(&[package], Some("merge-function")).unwrap();
    metadata::encode(&resolve, world, StringEncoding::UTF8, None).unwrap()
}

/// The bytes as a literal, in lines that break between bytes.
fn source(bytes: &[u8]) -> String {
    const COLUMNS: usize = 88;
    let mut source = format!("{HEAD}pub const WORLD: &[u8; {}] = b\"\\\n", bytes.len());
    let mut column = 0;
    for byte in bytes {
        // A space at the start of a line would be taken for indentation.
        let text = match byte {
            b' ' if column == 0 => "\\x20".into(),
            byte => byte.escape_ascii().to_string(),
        };
        column += text.len();
        source.push_str(&text);
        if column >= COLUMNS {
            source.push_str("\\\n");
            column = 0;
        }
    }
    source.push_str("\";\n");
    source
}
