//! Builds this repository's functions. Needs the wasm32 target and cargo's downloads, as any build of
//! theirs does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

use syncline_guest_build::{
    BuildError, BuiltGuest, Language, build, cases_dir, cases_files, example, example_in,
    examples_dir, manifest,
};
use wasmparser::{Parser, Payload};

/// Copies a folder without the results of builds.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), target).unwrap();
        } else if !["build", "node_modules", "target"].iter().any(|name| entry.file_name() == *name)
        {
            copy(&entry.path(), &target);
        }
    }
}

fn section_of(guest: &BuiltGuest, name: &str) -> String {
    let bytes = fs::read(&guest.path).unwrap();
    let sections = Parser::new(0).parse_all(&bytes).filter_map(|payload| match payload.unwrap() {
        Payload::CustomSection(section) if section.name() == name => {
            Some(String::from_utf8(section.data().to_vec()).unwrap())
        }
        _ => None,
    });
    let sections: Vec<_> = sections.collect();
    assert_eq!(sections.len(), 1, "{name}");
    sections[0].clone()
}

fn manifest_of(guest: &BuiltGuest) -> String {
    section_of(guest, manifest::SECTION)
}

#[test]
fn the_cases_are_in_the_component_the_same_from_either_language() {
    let files = cases_files(&cases_dir(&examples_dir().join("cart")).unwrap()).unwrap();
    assert!(!files.is_empty());
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap() + "\n");
    let expected: String = texts.collect();
    for language in [Language::Rust, Language::AssemblyScript] {
        let cart = example_in("cart", language).unwrap();
        assert_eq!(section_of(&cart, "syncline:cases"), expected, "{language:?}");
    }
}

#[test]
fn the_same_source_elsewhere_gives_the_same_bytes() {
    let here = example("cart").unwrap();
    assert!(here.path.is_file());
    let elsewhere = tempfile::tempdir().unwrap();
    let root = elsewhere.path().join("another").join("folder");
    let repository = examples_dir().join("..");
    for folder in ["sdk", "runtime/image", "wit", "guest-examples"] {
        copy(&repository.join(folder), &root.join(folder));
    }
    for file in ["Cargo.toml", "rust-toolchain.toml"] {
        fs::copy(repository.join(file), root.join(file)).unwrap();
    }
    let target = elsewhere.path().join("target");
    let there = build(&root.join("guest-examples/cart"), &target).unwrap();
    assert_eq!((there.version_hex, there.size), (here.version_hex, here.size));

    let here = example_in("cart", Language::AssemblyScript).unwrap();
    let there = build(&root.join("guest-examples/cart/assemblyscript"), &target).unwrap();
    assert_eq!((there.version_hex, there.size), (here.version_hex, here.size));
}

#[test]
fn a_build_at_rest_changes_nothing_and_builds_take_turns() {
    for (name, language) in [("first-word", Language::Rust), ("counter", Language::AssemblyScript)]
    {
        let first = example_in(name, language).unwrap();
        let written = fs::metadata(&first.path).unwrap().modified().unwrap();
        let again = std::thread::scope(|scope| {
            let builds = [(); 3].map(|()| scope.spawn(|| example_in(name, language).unwrap()));
            builds.map(|build| build.join().unwrap())
        });
        for guest in again {
            assert_eq!(guest, first);
        }
        assert_eq!(fs::metadata(&first.path).unwrap().modified().unwrap(), written);
    }
}

#[test]
fn the_manifest_is_in_the_component() {
    let manifest = manifest_of(&example("first-word").unwrap());
    let expected = r#"{"v":1,"name":"first-word","version":"0.1.0","needs_ancestor":false}"#;
    assert_eq!(manifest, expected);
    let manifest = manifest_of(&example("cart").unwrap());
    assert_eq!(manifest, r#"{"v":1,"name":"cart","version":"0.1.0","needs_ancestor":true}"#);
    let manifest = manifest_of(&example_in("cart", Language::AssemblyScript).unwrap());
    let expected =
        r#"{"v":1,"name":"cart-assemblyscript","version":"0.1.0","needs_ancestor":true}"#;
    assert_eq!(manifest, expected);
}

/// A package of its own, with a lock file, whose Cargo.toml has `more` at its end.
fn package(dir: &Path, more: &str, source: &str) {
    fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"odd\"\nversion = \"1.2.3\"\nedition = \"2024\"\n[workspace]\n{more}"
    );
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.join("src/lib.rs"), source).unwrap();
    let locked = Command::new("cargo")
        .args(["generate-lockfile", "--offline"])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(locked.status.success());
}

fn refusal(more: &str, source: &str) -> BuildError {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), more, source);
    build(folder.path(), &folder.path().join("target")).unwrap_err()
}

#[test]
fn what_is_no_function_is_refused_with_the_reason() {
    const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\"]\n";
    let error = refusal("", "").to_string();
    assert!(error.contains("crate-type = [\"cdylib\"]"), "{error}");
    let error = refusal(CDYLIB, "").to_string();
    assert!(error.contains("no merge function"), "{error}");
    let error = refusal(CDYLIB, "fn broken( {").to_string();
    assert!(error.contains("build `odd`") && error.contains("src/lib.rs:1"), "{error}");
    let misspelt = format!("{CDYLIB}[package.metadata.syncline]\nneeds-ancestor = false\n");
    let error = refusal(&misspelt, "");
    assert!(matches!(error, BuildError::Metadata { .. }), "{error}");

    let nothing = tempfile::tempdir().unwrap();
    let error = build(nothing.path(), &nothing.path().join("target")).unwrap_err();
    assert!(matches!(error, BuildError::Package { .. }), "{error}");
    let error = example("no-such-example").unwrap_err();
    assert!(matches!(error, BuildError::File { .. }), "{error}");
}

#[test]
fn what_is_no_function_in_assemblyscript_is_refused_in_the_words_of_its_build() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = examples_dir().join("../sdk/assemblyscript").canonicalize().unwrap();
    let source = folder.path().join("src");
    fs::create_dir_all(&source).unwrap();
    let package = |more: &str| {
        let text = format!(
            r#"{{"name":"odd","version":"1.2.3","scripts":{{"build":"syncline-build"}},
                "dependencies":{{"@syncline/sdk":"file:{}"}}{more}}}"#,
            sdk.display()
        );
        fs::write(folder.path().join("package.json"), text).unwrap();
    };
    let refusal = || build(folder.path(), &folder.path().join("target")).unwrap_err().to_string();

    package("");
    let error = refusal();
    assert!(error.contains("build `odd`") && error.contains("index.ts is missing"), "{error}");
    assert!(folder.path().join("package-lock.json").is_file());
    fs::write(source.join("index.ts"), "export const merge: i32 = \"x\";\n").unwrap();
    let error = refusal();
    assert!(error.contains("npm run") && error.contains("src/index.ts(1,"), "{error}");
    package(r#","syncline":{"needs-ancestor":false}"#);
    let error = refusal();
    assert!(error.contains("\"syncline.needs-ancestor\" is not known"), "{error}");
    fs::write(folder.path().join("package.json"), "{}").unwrap();
    let error = refusal();
    assert!(error.contains("package.json: missing field `name`"), "{error}");
}
