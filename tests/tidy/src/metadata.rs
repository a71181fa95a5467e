//! What cargo says of a workspace: packages, and what each depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// The output of `cargo metadata`, as far as rules ask.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// Every package, also those from elsewhere.
    pub packages: Vec<Package>,
    /// The ids of the workspace's own.
    pub workspace_members: Vec<String>,
    /// Which package was chosen for which dependency.
    pub resolve: Resolve,
}

/// One package.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Unique in this output.
    pub id: String,
    /// Its version.
    pub version: String,
    /// An SPDX expression, or something like it.
    pub license: Option<String>,
    /// Where its Cargo.toml lies.
    pub manifest_path: String,
    /// What it asks for.
    pub dependencies: Vec<Dependency>,
}

/// A dependency as a package asks for it.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// The name of the package that is asked for.
    pub name: String,
    /// `dev`, `build`, or nothing for an ordinary one.
    pub kind: Option<String>,
}

/// The graph of what depends on what.
#[derive(Clone, Debug, Deserialize)]
pub struct Resolve {
    /// One for each package.
    pub nodes: Vec<Node>,
}

/// A package in the graph.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// The package.
    pub id: String,
    /// What it depends on.
    pub deps: Vec<Edge>,
}

/// From one package to another.
#[derive(Clone, Debug, Deserialize)]
pub struct Edge {
    /// The other package.
    pub pkg: String,
    /// Why it is there.
    pub dep_kinds: Vec<EdgeKind>,
}

/// One reason for a dependency.
#[derive(Clone, Debug, Deserialize)]
pub struct EdgeKind {
    /// As [`Dependency::kind`].
    pub kind: Option<String>,
}

impl Metadata {
    /// Asks cargo about the workspace in a folder, as it is built for `platform`. For that platform
    /// alone, so that nothing has to be fetched that the build did not fetch.
    ///
    /// # Panics
    /// If cargo cannot say.
    pub fn read(folder: &Path, platform: &str) -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["metadata", "--format-version", "1", "--filter-platform", platform]);
        let output = command.current_dir(folder).output().expect("cargo can be started");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata failed:\n{errors}");
        serde_json::from_slice(&output.stdout).expect("cargo metadata is as documented")
    }

    /// The packages of the workspace itself.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The names of all that ends up in a package's library or binary, however far down.
    pub fn built_into(&self, package: &Package) -> BTreeSet<&str> {
        let names: BTreeMap<&str, &str> =
            self.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
        let nodes: BTreeMap<&str, &Node> =
            self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut seen = BTreeSet::new();
        let mut queue = vec![package.id.as_str()];
        while let Some(id) = queue.pop() {
            let edges = nodes.get(id).map(|node| node.deps.as_slice()).unwrap_or_default();
            for edge in edges {
                let ordinary = edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
                if ordinary && seen.insert(edge.pkg.as_str()) {
                    queue.push(&edge.pkg);
                }
            }
        }
        seen.into_iter().filter_map(|id| names.get(id).copied()).collect()
    }
}

/// This machine's platform, as rustc calls it.
///
/// # Panics
/// If rustc does not say.
pub fn this_platform() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}
