//! `syncline function new`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::args::{Lang, NewArgs, Template};
use super::embedded;
use super::manifests::{self, COPY, NPM_COPY, RUST_COPY, Sdk};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, note};

/// A function's name goes into file names, package names and code.
const NAME_CHARS_MAX: usize = 64;

pub(super) fn run(args: &NewArgs, out: &Output) -> Result<(), Failure> {
    let name = name_of(&args.folder)?;
    let example = example(args.lang, args.template)?;
    let sdk = sdk(args)?;
    check_folder(&args.folder)?;
    let mut files = match args.lang {
        Lang::Rust => rust(&name, example, &sdk),
        Lang::AssemblyScript => assemblyscript(&name, example, &sdk)?,
    };
    files.extend(cases(example));
    files.push(("README.md".into(), readme(&name, args).into_bytes()));
    files.push((".gitignore".into(), b"/build\n/node_modules\n/target\n".to_vec()));
    if matches!(&sdk, Sdk::Path(root) if *root == manifests::copy()) {
        files.extend(copy(args.lang));
    }
    for (path, bytes) in &files {
        write(&args.folder.join(path), bytes)?;
    }
    if args.lang == Lang::Rust {
        pin(&args.folder);
    }
    let folder = args.folder.display().to_string();
    if out.is_json() {
        return out.json(&json!({ "name": name, "folder": folder, "files": files.len() }));
    }
    out.text(&format!(
        "{folder}: a new function, {name}\n\n\
         Try it:\n  cd {folder}\n  syncline function test\n  syncline function verify\n  \
         syncline function build\n"
    ))
}

/// The folder's own name, if it can be that of a package in either language.
fn name_of(folder: &Path) -> Result<String, Failure> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fits = name.len() <= NAME_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fits && name != COPY {
        return Ok(name.to_owned());
    }
    Err(Failure::Usage(format!(
        "the folder's name becomes the function's, so it is lower-case letters, digits and hyphens, \
         at most {NAME_CHARS_MAX}, with a letter first; {name:?} is not"
    )))
}

/// The example that a template is.
fn example(lang: Lang, template: Template) -> Result<&'static str, Failure> {
    let example = match template {
        Template::Cart => "cart",
        Template::Counter => "counter",
        Template::Set => "or-set",
        Template::Register => "register",
        Template::Document => "document",
        Template::Order => "order",
    };
    let is_there = |folder: &str| embedded::folder(folder).next().is_some();
    if lang == Lang::AssemblyScript
        && !is_there(&format!("guest-examples/{example}/assemblyscript"))
    {
        return Err(Failure::Usage(
            "this template is there in Rust only; in AssemblyScript there are cart, counter and \
             order"
                .into(),
        ));
    }
    Ok(example)
}

fn sdk(args: &NewArgs) -> Result<Sdk, Failure> {
    let Some(sdk) = &args.sdk else { return Ok(Sdk::Path(manifests::copy())) };
    if sdk.starts_with(|c: char| c.is_ascii_digit()) && !Path::new(sdk).exists() {
        return Ok(Sdk::Version(sdk.clone()));
    }
    let path = Path::new(sdk);
    if !path.join("sdk/rust/Cargo.toml").is_file() {
        return Err(Failure::Usage(format!(
            "--sdk {sdk}: neither a version, such as 0.1.0, nor the folder of a checkout of Syncline's \
             repository"
        )));
    }
    let path = path.canonicalize().map_err(|error| Failure::Failed(format!("{sdk}: {error}")))?;
    let path = path.to_str().map(str::to_owned);
    path.map(Sdk::Path).ok_or_else(|| Failure::Usage(format!("--sdk {sdk}: not UTF-8")))
}

/// Nothing is ever written over.
fn check_folder(folder: &Path) -> Result<(), Failure> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_empty {
        return Ok(());
    }
    let folder = folder.display();
    Err(Failure::Failed(format!("{folder} is there and not empty; choose another folder")))
}

type Files = Vec<(PathBuf, Vec<u8>)>;

fn rust(name: &str, example: &str, sdk: &Sdk) -> Files {
    let module = |text: &str| {
        text.replace(&format!("{}::", module(example)), &format!("{}::", module(name)))
    };
    let mut files: Files = vec![
        ("Cargo.toml".into(), manifests::cargo_toml(name, example, sdk).into_bytes()),
        ("Cargo.lock".into(), embedded::text("guest-examples/Cargo.lock").as_bytes().to_vec()),
    ];
    for folder in ["src", "tests"] {
        for (path, bytes) in embedded::folder(&format!("guest-examples/{example}/{folder}")) {
            let text = module(&String::from_utf8_lossy(bytes));
            files.push((Path::new(folder).join(path), text.into_bytes()));
        }
    }
    files
}

/// A package's name in code.
fn module(package: &str) -> String {
    package.replace('-', "_")
}

fn assemblyscript(name: &str, example: &str, sdk: &Sdk) -> Result<Files, Failure> {
    let missing = || Failure::Failed(format!("the template {example} is damaged in this program"));
    let manifests = manifests::npm(name, example, sdk).ok_or_else(missing)?;
    let manifests = manifests.into_iter().filter(|(_, text)| !text.is_empty());
    let mut files: Files = manifests.map(|(path, text)| (path.into(), text.into_bytes())).collect();
    for (path, bytes) in embedded::folder(&format!("guest-examples/{example}/assemblyscript")) {
        if !matches!(path, "package.json" | "package-lock.json") {
            files.push((path.into(), bytes.to_vec()));
        }
    }
    Ok(files)
}

fn cases(example: &str) -> Files {
    let folder = format!("guest-examples/{example}/cases");
    let cases = embedded::folder(&folder);
    cases.map(|(path, bytes)| (Path::new("cases").join(path), bytes.to_vec())).collect()
}

/// The SDK beside the function, in the repository's own layout.
fn copy(lang: Lang) -> Files {
    let folders: &[&str] = match lang {
        Lang::Rust => &RUST_COPY,
        Lang::AssemblyScript => &NPM_COPY,
    };
    let mut files = Files::new();
    for folder in folders {
        for (path, bytes) in embedded::folder(folder) {
            files.push((Path::new(COPY).join(folder).join(path), bytes.to_vec()));
        }
    }
    if lang == Lang::Rust {
        let manifest = manifests::copy_cargo_toml().into_bytes();
        files.push((Path::new(COPY).join("Cargo.toml"), manifest));
    }
    files
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot = |error| Failure::Failed(format!("write {}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(cannot)?;
    }
    fs::write(path, bytes).map_err(cannot)
}

/// Lets cargo bring the lock file in line with the function's manifest. It holds the versions that the
/// examples are tested with, and those stay.
fn pin(folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--quiet"]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => note(&format!(
            "cargo could not write the lock file yet, `cargo generate-lockfile` does:\n{}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => note(&format!(
            "there is no cargo here ({error}); install Rust from https://rustup.rs to build the \
             function"
        )),
    }
}

fn readme(name: &str, args: &NewArgs) -> String {
    let (needs, source, native) = match args.lang {
        Lang::Rust => (
            "Rust and its target for WebAssembly, `rustup target add wasm32-unknown-unknown`",
            "src/lib.rs",
            "cargo test                          # natively, as fast as it gets\n",
        ),
        Lang::AssemblyScript => ("Node.js 20 or later, with npm", "src/index.ts", ""),
    };
    let copy = if args.sdk.is_none() {
        format!("\n`{COPY}/` is a copy of the SDK. Commit it: the function's bytes depend on it.\n")
    } else {
        String::new()
    };
    format!(
        "# {name}\n\
         A merge function for Syncline: it decides what a row becomes that two regions changed at \
         once. It needs {needs}.\n\n\
         ```sh\n{native}\
         syncline function test              # the cases in cases/\n\
         syncline function verify            # the laws of merging\n\
         syncline function build             # target/syncline/components/{name}.wasm\n\
         syncline deploy target/syncline/components/{name}.wasm --table TABLE\n\
         ```\n\n\
         The function is in `{source}`. A case in `cases/` is a conflict, `ancestor`, `older` and \
         `newer`, and what has to come of it, `merged` or `error`.\n{copy}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(folder: &str) -> Option<String> {
        name_of(Path::new(folder)).ok()
    }

    #[test]
    fn a_folder_names_the_function_if_it_can() {
        assert_eq!(name("a/my-cart2"), Some("my-cart2".into()));
        for bad in ["", ".", "My", "2cart", "cart_x", "é", "syncline", "-a"] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_an_example_inherits_stands_in_the_manifest_itself() {
        let sdk = Sdk::Path(manifests::copy());
        let text = manifests::cargo_toml("my-cart", "cart", &sdk);
        let table: toml::Table = text.parse().unwrap();
        assert!(!text.contains("workspace = true"), "{text}");
        assert_eq!(table["package"]["name"].as_str(), Some("my-cart"));
        assert_eq!(table["package"]["edition"].as_str(), Some("2024"));
        let dependency = &table["dependencies"]["syncline-sdk"]["path"];
        assert_eq!(dependency.as_str(), Some("./syncline/sdk/rust"));
        assert_eq!(table["profile"]["release"]["lto"].as_bool(), Some(true));
    }

    #[test]
    fn a_version_of_a_registry_leaves_no_path() {
        let text = manifests::cargo_toml("c", "cart", &Sdk::Version("0.1.0".into()));
        assert!(!text.contains("path ="), "{text}");
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["dependencies"]["syncline-sdk"]["version"].as_str(), Some("0.1.0"));
    }

    #[test]
    fn the_copy_is_a_workspace_of_what_it_holds() {
        let table: toml::Table = manifests::copy_cargo_toml().parse().unwrap();
        let dependencies = table["workspace"]["dependencies"].as_table().unwrap();
        assert!(dependencies.contains_key("serde") && dependencies.contains_key("syncline-image"));
        assert!(!dependencies.contains_key("wasmtime"));
    }
}
