//! The runtime's engine, in this process.

use std::path::Path;

use syncline_host::{EngineSettings, Host, HostConfig};

use super::failed;
use super::source::Loaded;
use crate::cli::failure::Failure;
use crate::component::Component;

/// The settings that a function is tried on, and what reports call them: regions run the first.
pub(super) const ALL: [(EngineSettings, &str); 3] = [
    (EngineSettings::Production, "production"),
    (EngineSettings::Unoptimized, "unoptimized"),
    (EngineSettings::BoundsChecked, "bounds-checked"),
];

/// The function as regions run it.
pub(in crate::cli) fn production(loaded: &Loaded) -> Result<Component, Failure> {
    let [(settings, name), ..] = ALL;
    engine(loaded, settings, name)
}

/// An engine that has loaded the function. It is the author's own, so it is compiled right here.
pub(super) fn engine(
    loaded: &Loaded,
    engine: EngineSettings,
    name: &'static str,
) -> Result<Component, Failure> {
    let config = HostConfig { slots: 1, functions: 1, engine, ..HostConfig::default() };
    let host = Host::new(config).map_err(|error| failed(&error))?;
    host.load(loaded.version, &loaded.bytes).map_err(|error| refused(&loaded.file, &error))?;
    Ok(Component { host, version: loaded.version, name })
}

fn refused(file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", file.display()))
}
