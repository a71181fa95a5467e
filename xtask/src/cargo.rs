//! Cargo and the other programs that tasks run.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

/// Selects what every build of this workspace must select, so that nothing is compiled twice.
///
/// Cargo settles the features of dependencies for the packages that a command names, and counts
/// dev-dependencies only if it names a test, example or bench. So each build names the whole
/// workspace and the one test that is quick to build; then every feature is as in `cargo test
/// --workspace`, also where only a binary is wanted.
const SHARED: [&str; 3] = ["--workspace", "--test", "tidy"];

/// Where the workspace lies.
pub(crate) fn root() -> PathBuf {
    // Cargo says where it is now; the compiler only where it was when this was built.
    let manifest_dir = env::var_os("CARGO_MANIFEST_DIR");
    let manifest_dir = manifest_dir.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest_dir).parent().map(Path::to_owned).unwrap_or_default()
}

/// `cargo` in the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Builds binaries, with the features and the profile that the tests use. What cargo prints goes to
/// stderr, as stdout may belong to the binary.
pub(crate) fn build(binaries: &[&str]) -> Result<()> {
    run(&mut build_command(binaries))
}

/// As [`build`], for whoever runs it later.
pub(crate) fn build_command(binaries: &[&str]) -> Command {
    let mut command = cargo(&["build"]);
    command.args(SHARED).stdout(Stdio::from(std::io::stderr()));
    for binary in binaries {
        command.args(["--bin", binary]);
    }
    command
}

/// A binary of this workspace: it lies where this one does.
pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("find this program's own folder")?;
    let path = own.with_file_name(format!("{name}{}", env::consts::EXE_SUFFIX));
    if !path.is_file() {
        bail!("{} is not there, though it was built just now", path.display());
    }
    Ok(path)
}

/// Runs a program to its end; fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if status.success() { Ok(()) } else { Err(anyhow!("{} {}", shown(command), ended(status))) }
}

/// Runs a program to its end.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("start {}", shown(command)))
}

/// What a program prints; none if it fails or is not there.
pub(crate) fn output(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(root()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A program's exit code as this one's own.
pub(crate) fn passed_on(status: ExitStatus) -> ExitCode {
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => ExitCode::from(code),
        // A signal ended it.
        _ => ExitCode::FAILURE,
    }
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command() {
        let mut command = cargo(&["no-such-command"]);
        let error = run(command.stderr(Stdio::null())).unwrap_err().to_string();
        assert_eq!(error, "cargo no-such-command ended with exit code 101");
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().join("rust-toolchain.toml").is_file());
    }
}
