//! The binary `syncline`, built where it is needed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};

/// Names a binary that is to be run instead of one that is built.
const GIVEN: &str = "SYNCLINE_TEST_BINARY";

/// The path of the binary `syncline`, of the sources as they are now: the same profile and target
/// folder as those of the running program. Cargo is asked once a process; it is quick where nothing
/// changed.
///
/// # Errors
/// It cannot be built.
pub fn syncline() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!("build the binary syncline: {error}"))
}

fn build() -> Result<PathBuf> {
    if let Some(given) = env::var_os(GIVEN) {
        return Ok(given.into());
    }
    let own = env::current_exe().context("find this program's own folder")?;
    let folder = own.parent().context("a program lies in a folder")?;
    // Tests lie in `deps`, beside the binaries.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let target = folder.parent().context("a profile's folder lies in the target folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        // The selection of `cargo xtask`: with another one, features would differ, and with them
        // half of the dependencies would be built again.
        .args(["build", "--quiet", "--workspace", "--test", "tidy", "--bin", "syncline"])
        .args(["--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    let binary = folder.join(format!("syncline{}", env::consts::EXE_SUFFIX));
    ensure!(binary.is_file(), "{} is not there, though it was built", binary.display());
    Ok(binary)
}
