//! Dependencies point one way: node -> applier -> bus, store -> core, and node -> host -> core.

use crate::metadata::{Metadata, Package};
use crate::violation::Violation;

/// What a part of the product may use of this workspace. Whatever is not named here is a test or a
/// tool, and nothing of the product may use it but in its tests.
const LAYERS: [(&str, &[&str]); 11] = [
    ("syncline-image", &[]),
    ("syncline-core", &["syncline-image"]),
    ("syncline-host", &["syncline-core"]),
    ("syncline-bus", &["syncline-core"]),
    ("syncline-store", &["syncline-core"]),
    ("syncline-applier", &["syncline-bus", "syncline-core", "syncline-store"]),
    (
        "syncline-node",
        &[
            "syncline-applier",
            "syncline-bus",
            "syncline-core",
            "syncline-guest-build",
            "syncline-host",
            "syncline-sdk",
            "syncline-store",
            "syncline-verifier",
        ],
    ),
    ("syncline-sdk", &["syncline-sdk-macros"]),
    ("syncline-sdk-macros", &[]),
    ("syncline-verifier", &["syncline-image", "syncline-sdk"]),
    ("syncline-guest-build", &[]),
];

/// For tests of a part of the product there is more.
const FOR_ITS_TESTS: [&str; 3] = ["syncline-guest-build", "syncline-hostile", "syncline-store"];

/// Libraries that one part wraps, so that the others need not know them. Tests and tools may use
/// what is named last.
const WRAPPED: [(&str, &[&str]); 8] = [
    // Fuzzing holds what the host's pass makes against engines that are set up in other ways.
    ("wasmtime", &["syncline-host", "syncline-fuzz"]),
    // Faults are played by clients that are none of a region.
    ("rdkafka", &["syncline-bus", "syncline-chaos", "syncline-replicate"]),
    // The benchmarks measure the store beside the bare engines.
    ("sled", &["syncline-store", "syncline-bench"]),
    ("fjall", &["syncline-store", "syncline-bench"]),
    ("lsm-tree", &["syncline-store"]),
    ("axum", &["syncline-node"]),
    ("prometheus", &["syncline-node"]),
    (
        "clap",
        &[
            "syncline-node",
            "syncline-chaos",
            "syncline-demo",
            "syncline-fuzz",
            "syncline-replicate",
            "syncline-sim",
        ],
    ),
];

/// All that the core may ask for.
const CORE_ASKS_FOR: [&str; 4] = ["hex", "sha2", "syncline-image", "thiserror"];
/// In the core's tests too.
const CORE_TESTS_ASK_FOR: [&str; 2] = ["proptest", "serde_json"];
/// What may not get into the core on any way.
const NEVER_IN_CORE: [&str; 10] = [
    "axum", "fjall", "lsm-tree", "rand", "rdkafka", "serde", "sled", "tokio", "tracing", "wasmtime",
];

/// Every dependency that points the wrong way.
pub fn check(metadata: &Metadata) -> Vec<Violation> {
    let ours: Vec<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let mut violations = Vec::new();
    for package in metadata.members() {
        let mut add = |what: String, instead: &str| {
            let path = relative(&package.manifest_path);
            violations.push(Violation::new(path, 1, what, instead));
        };
        let layer = LAYERS.iter().find(|(name, _)| *name == package.name);
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let of_tests = dependency.kind.as_deref() == Some("dev");
            if let Some((of, allowed)) = layer
                && ours.contains(&name)
                && !allowed.contains(&name)
                && !(of_tests && (FOR_ITS_TESTS.contains(&name) || *of == name))
            {
                let instead = "Dependencies point one way: see LAYERS.";
                add(format!("{of} depends on {name}"), instead);
            }
            if let Some((_, by)) = WRAPPED.iter().find(|(wrapped, _)| *wrapped == name)
                && !by.contains(&package.name.as_str())
            {
                let instead = format!("Only {} knows it; ask that for what you need.", by[0]);
                add(format!("{} depends on {name}", package.name), &instead);
            }
        }
        if package.name == "syncline-core" {
            check_core(metadata, package, &mut add);
        }
    }
    violations
}

fn check_core(metadata: &Metadata, core: &Package, add: &mut impl FnMut(String, &str)) {
    for dependency in &core.dependencies {
        let name = dependency.name.as_str();
        let for_tests = dependency.kind.as_deref() == Some("dev");
        let on_its_list =
            CORE_ASKS_FOR.contains(&name) || (for_tests && CORE_TESTS_ASK_FOR.contains(&name));
        if !on_its_list {
            let instead = "It takes values and returns values; let the caller have the dependency.";
            add(format!("the core depends on {name}, which is not on its short list"), instead);
        }
    }
    for name in metadata.built_into(core).intersection(&NEVER_IN_CORE.into()) {
        let instead = "Find with `cargo tree` what brings it in, and leave that out.";
        add(format!("{name} gets into the core"), instead);
    }
}

/// From the repository's root, if the manifest lies there.
pub(crate) fn relative(manifest_path: &str) -> String {
    let root = crate::tree::root().canonicalize().unwrap_or_default();
    let path = std::path::Path::new(manifest_path);
    path.strip_prefix(&root).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Dependency, Edge, EdgeKind, Node, Resolve};

    /// `(package, [(dependency, kind)])`.
    fn workspace(packages: &[(&str, &[(&str, &str)])]) -> Metadata {
        let kind = |kind: &str| (!kind.is_empty()).then(|| kind.to_owned());
        let package = |(name, dependencies): &(&str, &[(&str, &str)])| Package {
            name: (*name).into(),
            id: (*name).into(),
            version: "1.0.0".into(),
            license: None,
            manifest_path: format!("{name}/Cargo.toml"),
            dependencies: dependencies
                .iter()
                .map(|(name, of)| Dependency { name: (*name).into(), kind: kind(of) })
                .collect(),
        };
        let node = |(name, dependencies): &(&str, &[(&str, &str)])| Node {
            id: (*name).into(),
            deps: dependencies
                .iter()
                .map(|(name, of)| Edge {
                    pkg: (*name).into(),
                    dep_kinds: vec![EdgeKind { kind: kind(of) }],
                })
                .collect(),
        };
        Metadata {
            packages: packages.iter().map(package).collect(),
            workspace_members: packages
                .iter()
                .filter(|(name, _)| name.starts_with("syncline"))
                .map(|(name, _)| (*name).to_owned())
                .collect(),
            resolve: Resolve { nodes: packages.iter().map(node).collect() },
        }
    }

    fn found(packages: &[(&str, &[(&str, &str)])]) -> Vec<String> {
        check(&workspace(packages)).into_iter().map(|found| found.what).collect()
    }

    #[test]
    fn a_dependency_against_the_direction_is_found() {
        let packages: [(&str, &[(&str, &str)]); 3] = [
            ("syncline-core", &[]),
            ("syncline-host", &[("syncline-store", ""), ("syncline-guest-build", "dev")]),
            ("syncline-store", &[("syncline-core", ""), ("syncline-demo", "dev")]),
        ];
        assert_eq!(found(&packages), ["syncline-host depends on syncline-store"]);
        let packages: [(&str, &[(&str, &str)]); 2] =
            [("syncline-store", &[("syncline-demo", "dev")]), ("syncline-demo", &[])];
        assert_eq!(found(&packages), ["syncline-store depends on syncline-demo"]);
    }

    #[test]
    fn a_wrapped_library_elsewhere_is_found() {
        let packages: [(&str, &[(&str, &str)]); 2] = [
            ("syncline-node", &[("wasmtime", ""), ("axum", ""), ("clap", "")]),
            ("syncline-bus", &[("axum", "dev"), ("rdkafka", "")]),
        ];
        let expected = ["syncline-node depends on wasmtime", "syncline-bus depends on axum"];
        assert_eq!(found(&packages), expected);
    }

    #[test]
    fn what_gets_into_the_core_is_found_however_far_down() {
        let packages: [(&str, &[(&str, &str)]); 5] = [
            ("syncline-core", &[("hex", ""), ("proptest", "dev"), ("serde_json", "")]),
            ("hex", &[("serde_json", "dev")]),
            ("serde_json", &[("serde", "")]),
            ("proptest", &[("rand", "")]),
            ("serde", &[]),
        ];
        let expected = [
            "the core depends on serde_json, which is not on its short list",
            "serde gets into the core",
        ];
        assert_eq!(found(&packages), expected);
    }
}
