//! The manifests of a new function: those of the example that it starts as, brought to stand alone.

use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

use super::embedded;

/// Where a function keeps its copy of the SDK.
pub(super) const COPY: &str = "syncline";
/// The AssemblyScript SDK, as npm knows it.
const NPM_SDK: &str = "@syncline/sdk";

/// The packages of the copy: what a function and its tests need, in the repository's own layout.
pub(super) const RUST_COPY: [&str; 4] = ["runtime/image", "sdk/rust", "sdk/verifier", "wit"];
pub(super) const NPM_COPY: [&str; 1] = ["sdk/assemblyscript"];
/// Of these the copy is a workspace.
const MEMBERS: [&str; 4] = ["runtime/image", "sdk/rust", "sdk/rust/macros", "sdk/verifier"];

/// The copy, as seen from the function.
pub(super) fn copy() -> String {
    format!("./{COPY}")
}

/// Where a function takes its SDK from.
pub(super) enum Sdk {
    /// A folder, as seen from the function: with `sdk/rust`, `sdk/assemblyscript` and so on in it.
    Path(String),
    /// A version of the package registry.
    Version(String),
}

/// A manifest of this program's own, which is in order, or the tests would tell.
fn table(path: &str) -> Table {
    embedded::text(path).parse().unwrap_or_default()
}

/// The Cargo.toml of a function called `name` that starts as an example.
pub(super) fn cargo_toml(name: &str, example: &str, sdk: &Sdk) -> String {
    let shared = table("guest-examples/Cargo.toml");
    let own = table(&format!("guest-examples/{example}/Cargo.toml"));
    let shared_of = |path: [&str; 2]| shared.get(path[0]).and_then(|table| table.get(path[1]));
    let mut package = inherited(own.get("package"), shared_of(["workspace", "package"]));
    package.insert("name".into(), name.into());
    package.remove("description");

    let dependencies = shared_of(["workspace", "dependencies"]);
    let mut whole = Table::new();
    whole.insert("package".into(), package.into());
    for key in ["lib", "features"] {
        if let Some(value) = own.get(key) {
            whole.insert(key.into(), value.clone());
        }
    }
    for key in ["dependencies", "dev-dependencies"] {
        let mut own = inherited(own.get(key), dependencies);
        own.iter_mut().for_each(|(name, value)| resolve(name, value, sdk));
        whole.insert(key.into(), own.into());
    }
    if let Some(lints) = shared_of(["workspace", "lints"]) {
        whole.insert("lints".into(), lints.clone());
    }
    if let Some(profile) = shared.get("profile") {
        whole.insert("profile".into(), profile.clone());
    }
    let mut workspace = Table::new();
    if matches!(sdk, Sdk::Path(_)) {
        workspace.insert("exclude".into(), vec![Value::from(COPY)].into());
    }
    whole.insert("workspace".into(), workspace.into());
    toml::to_string(&whole).unwrap_or_default()
}

/// A table in which what is inherited from the workspace stands itself.
fn inherited(own: Option<&Value>, shared: Option<&Value>) -> Table {
    let Some(Value::Table(own)) = own else { return Table::new() };
    let resolved = own.iter().map(|(key, value)| {
        let Some(Value::Boolean(true)) = value.get("workspace") else {
            return (key.clone(), value.clone());
        };
        let shared = shared.and_then(|shared| shared.get(key)).cloned();
        let mut resolved = shared.unwrap_or_else(|| Value::Table(Table::new()));
        // What stands beside `workspace`, such as features, comes on top.
        if let (Value::Table(resolved), Value::Table(own)) = (&mut resolved, value) {
            let own = own.iter().filter(|(key, _)| *key != "workspace");
            resolved.extend(own.map(|(key, value)| (key.clone(), value.clone())));
        }
        (key.clone(), resolved)
    });
    resolved.collect()
}

/// Lets a dependency on one of our packages lead to the SDK that was chosen.
fn resolve(name: &str, dependency: &mut Value, sdk: &Sdk) {
    let Value::Table(table) = dependency else { return };
    let folder = match name {
        "syncline-sdk" => "sdk/rust",
        "syncline-verifier" => "sdk/verifier",
        _ => return,
    };
    match sdk {
        Sdk::Path(root) => table.insert("path".into(), format!("{root}/{folder}").into()),
        Sdk::Version(version) => {
            table.remove("path");
            table.insert("version".into(), version.as_str().into())
        }
    };
}

/// The Cargo.toml of the copy's workspace: the repository's, with what the copy holds.
pub(super) fn copy_cargo_toml() -> String {
    let mut whole = table("Cargo.toml");
    let needed: Vec<Table> =
        MEMBERS.iter().map(|member| table(&format!("{member}/Cargo.toml"))).collect();
    let is_needed =
        |name: &str| needed.iter().any(|manifest| names_in(manifest).any(|needed| needed == name));
    let Some(Value::Table(workspace)) = whole.remove("workspace") else { return String::new() };
    let mut workspace = workspace;
    let members: Vec<Value> = MEMBERS.map(Value::from).into();
    workspace.insert("members".into(), members.into());
    workspace.remove("exclude");
    if let Some(Value::Table(dependencies)) = workspace.get_mut("dependencies") {
        dependencies.retain(|name, _| is_needed(name));
    }
    let mut copy = Table::new();
    copy.insert("workspace".into(), workspace.into());
    toml::to_string(&copy).unwrap_or_default()
}

/// The dependencies that a manifest names, of all kinds.
fn names_in(manifest: &Table) -> impl Iterator<Item = &String> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let targets = targets.filter_map(|(_, target)| target.as_table());
    std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flat_map(Table::keys)
}

/// package.json and package-lock.json of a function called `name`. None: the example is not there in
/// AssemblyScript.
pub(super) fn npm(name: &str, example: &str, sdk: &Sdk) -> Option<[(&'static str, String); 2]> {
    let read = |file: &str| -> Option<Json> {
        let path = format!("guest-examples/{example}/assemblyscript/{file}");
        serde_json::from_str(embedded::text(&path)).ok()
    };
    let wanted = match sdk {
        Sdk::Path(root) => format!("file:{root}/sdk/assemblyscript"),
        Sdk::Version(version) => version.clone(),
    };
    let mut package = read("package.json")?;
    package["name"] = json!(name);
    package["dependencies"][NPM_SDK] = json!(wanted);
    let lock = match sdk {
        Sdk::Path(root) if root == &copy() => lock(read("package-lock.json")?, name, &wanted, root),
        // What else there is of it is not known here; npm writes it down.
        _ => String::new(),
    };
    Some([("package.json", pretty(&package)), ("package-lock.json", lock)])
}

/// A lock file with the SDK in its place, and with what the SDK's own lock file pins: npm installs that
/// into the function's folder where the SDK is inside.
fn lock(mut lock: Json, name: &str, wanted: &str, root: &str) -> String {
    let place = format!("{root}/sdk/assemblyscript").trim_start_matches("./").to_owned();
    let sdk = embedded::text("sdk/assemblyscript/package-lock.json");
    let sdk: Json = serde_json::from_str(sdk).unwrap_or_default();
    lock["name"] = json!(name);
    let mut packages = Map::new();
    for (path, package) in lock["packages"].as_object().into_iter().flatten() {
        let mut package = package.clone();
        let path = if path.is_empty() {
            package["name"] = json!(name);
            package["dependencies"][NPM_SDK] = json!(wanted);
            path.clone()
        } else if path.starts_with("node_modules/") {
            package["resolved"] = json!(place);
            path.clone()
        } else {
            place.clone()
        };
        packages.insert(path, package);
    }
    let pinned = sdk["packages"].as_object().into_iter().flatten();
    packages.extend(
        pinned.filter(|(path, _)| !path.is_empty()).map(|(path, p)| (path.clone(), p.clone())),
    );
    lock["packages"] = packages.into();
    pretty(&lock)
}

fn pretty(json: &Json) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default() + "\n"
}
