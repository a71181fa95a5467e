//! What cargo knows of a function's package.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cargo;
use crate::error::BuildError;
use crate::manifest::Settings;

/// A function's package, and where the source of everything it is built from lies.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) settings: Settings,
    /// The file name, without its ending, of the module that cargo builds.
    pub(crate) module: String,
    /// Folders of source and what to call each in panic messages.
    pub(crate) sources: Vec<(PathBuf, String)>,
    /// Folders of the packages that are used by path, this one among them.
    pub(crate) local: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<CargoPackage>,
}

#[derive(Deserialize)]
struct CargoPackage {
    name: String,
    version: String,
    manifest_path: PathBuf,
    /// Absent for a package that is a folder on this machine.
    source: Option<String>,
    targets: Vec<Target>,
    #[serde(default)]
    metadata: Option<PackageMetadata>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

#[derive(Deserialize)]
struct PackageMetadata {
    syncline: Option<serde_json::Value>,
}

impl Package {
    /// Asks cargo for the package whose Cargo.toml lies in `manifest_dir`, an absolute path.
    pub(crate) fn read(manifest_dir: &Path) -> Result<Self, BuildError> {
        let fail =
            |reason: String| BuildError::Package { manifest_dir: manifest_dir.into(), reason };
        let mut command = cargo::command(manifest_dir);
        command.args(["metadata", "--format-version", "1", "--locked"]);
        command.args(["--filter-platform", cargo::TARGET]);
        command.arg("--manifest-path").arg(manifest_dir.join("Cargo.toml"));
        let output = cargo::run(&mut command)?;
        if !output.status.success() {
            return Err(fail(cargo::stderr(&output)));
        }
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).map_err(|error| fail(error.to_string()))?;
        let sources = sources(&metadata.packages);
        let local = metadata.packages.iter().filter(|package| package.source.is_none());
        let local = local.map(|package| package.dir().to_owned()).collect();
        let here = |package: &CargoPackage| package.dir() == manifest_dir;
        let package = metadata
            .packages
            .into_iter()
            .find(here)
            .ok_or_else(|| fail("it is a workspace without a package of its own".into()))?;
        let module = package
            .targets
            .iter()
            .find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
            .map(|target| target.name.replace('-', "_"))
            .ok_or_else(|| fail("[lib] needs `crate-type = [\"cdylib\"]`".into()))?;
        let settings = settings(&package)?;
        let CargoPackage { name, version, .. } = package;
        Ok(Self { name, version, settings, module, sources, local })
    }
}

impl CargoPackage {
    fn dir(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new(""))
    }
}

fn settings(package: &CargoPackage) -> Result<Settings, BuildError> {
    let value = package.metadata.as_ref().and_then(|metadata| metadata.syncline.clone());
    let Some(value) = value else { return Ok(Settings::default()) };
    serde_json::from_value(value)
        .map_err(|source| BuildError::Metadata { package: package.name.clone(), source })
}

/// Where the packages' sources lie: a package of this machine under its name, and the folders that
/// hold downloaded ones, whose own names differ between registries and homes, all under one.
fn sources(packages: &[CargoPackage]) -> Vec<(PathBuf, String)> {
    let mut sources = BTreeSet::new();
    for package in packages {
        let downloads = package.source.as_ref().and_then(|_| package.dir().parent());
        sources.insert(match downloads {
            Some(folder) => (folder.to_owned(), "/registry".to_owned()),
            None => (package.dir().to_owned(), format!("/source/{}", package.name)),
        });
    }
    // Of the mappings that fit a path rustc takes the last: a folder comes before those inside it.
    sources.into_iter().collect()
}
