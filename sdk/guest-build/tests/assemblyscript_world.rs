//! The AssemblyScript SDK makes components without a tool for it: the bytes around the core module are
//! always the same, and stand in its tool/component.json. They have to be those of wit/merge.wit.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use syncline_guest_build::examples_dir;
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Exports what the AssemblyScript compiler is made to export.
const MODULE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "merge") (param i32) (result i32) unreachable)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable))"#;

/// Set to write the file instead of comparing it: after a change of the world, or of wit-component.
const WRITE: &str = "SYNCLINE_WRITE_WORLD";

#[test]
fn components_of_assemblyscript_are_of_this_world() {
    let repository = examples_dir().join("..");
    let (before, after) = around(&repository.join("wit/merge.wit"));
    let json = format!(
        "{{\n  \"before\": \"{}\",\n  \"after\": \"{}\"\n}}\n",
        hex::encode(before),
        hex::encode(after)
    );
    let file = repository.join("sdk/assemblyscript/tool/component.json");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, &json).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == json, "{} is out of date: run this test with {WRITE}=1", file.display());
}

/// The bytes before and after the core module of a component of the world.
fn around(wit: &Path) -> (Vec<u8>, Vec<u8>) {
    let mut resolve = Resolve::default();
    let package = resolve.push_file(wit).unwrap();
    let world = resolve.select_world(&[package], Some("merge-function")).unwrap();
    let mut module = wat::parse_str(MODULE).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().validate(true).module(&module).unwrap();
    let component = { encoder }.encode().unwrap();

    let mut before = 0;
    let mut payloads = Parser::new(0).parse_all(&component);
    let module = payloads.find_map(|payload| match payload.unwrap() {
        Payload::ModuleSection { unchecked_range, .. } => Some(unchecked_range),
        Payload::Version { range, .. } => {
            before = range.end;
            None
        }
        payload => {
            before = payload.as_section().map_or(before, |(_, range)| range.end);
            None
        }
    });
    (component[..before].to_vec(), component[module.unwrap().end..].to_vec())
}
