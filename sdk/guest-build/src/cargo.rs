//! Cargo and rustc as programs, shielded from the build that this one may run inside.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::BuildError;
use crate::package::Package;
use crate::wrapper;

/// What functions are compiled for: no system interface, so nothing to import.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Settings of memory, for the linker.
///
/// - 64 KiB of stack: the runtime meters depth, so a larger one only adds distance between the data
///   that a call touches.
/// - 1 MiB of memory from the start: growing it costs the host two system calls, so an ordinary call
///   must not.
const LINKER: [&str; 2] = ["-zstack-size=65536", "--initial-memory=1048576"];
/// How large a function may be that is put into its callers, in the compiler's measure, over twice
/// its default: the meter has work around each call. A cart of 16 KB took 13 % less time so, and the
/// component has 13 % more bytes.
const INLINE_THRESHOLD: u32 = 600;

/// Variables of an outer build that would change this one. `RUSTUP_TOOLCHAIN`, `CARGO_HOME` and
/// `RUSTUP_HOME` stay: they say which toolchain and which downloads are in use.
const SCRUBBED: [&str; 8] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_MAKEFLAGS",
    "MAKEFLAGS",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
];
const SCRUBBED_PREFIXES: [&str; 4] =
    ["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_UNSTABLE_"];

/// `cargo` in the folder of the function, whose rust-toolchain.toml thus counts.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    shield(&mut command, dir);
    command
}

fn shield(command: &mut Command, dir: &Path) {
    for (name, _) in env::vars_os().filter(|(name, _)| is_scrubbed(name)) {
        command.env_remove(name);
    }
    command.current_dir(dir).stdin(Stdio::null());
}

fn is_scrubbed(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        SCRUBBED.contains(&name) || SCRUBBED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// Runs a program to its end and takes what it writes.
pub(crate) fn run(command: &mut Command) -> Result<Output, BuildError> {
    command.output().map_err(|source| BuildError::Run {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}

/// What a program wrote to its standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// Builds a package's module into `target_dir`; the module's path.
pub(crate) fn build_module(
    package: &Package,
    manifest_dir: &Path,
    target_dir: &Path,
) -> Result<PathBuf, BuildError> {
    let toolchain = Toolchain::of(manifest_dir)?;
    toolchain.check_target()?;
    let mut command = command(manifest_dir);
    command.args(["build", "--release", "--locked", "--lib", "--target", TARGET]);
    command.arg("--manifest-path").arg(manifest_dir.join("Cargo.toml"));
    command.arg("--target-dir").arg(target_dir);
    let (folders, listed) = wrapper::folders(package);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(package, &toolchain));
    command.env("RUSTC_WRAPPER", wrapper::program(target_dir)?).env(folders, listed);
    let output = run(&mut command)?;
    if !output.status.success() {
        return Err(BuildError::Cargo { package: package.name.clone(), stderr: stderr(&output) });
    }
    Ok(target_dir.join(TARGET).join("release").join(format!("{}.wasm", package.module)))
}

/// The compiler's flags, in the form of `CARGO_ENCODED_RUSTFLAGS`.
fn flags(package: &Package, toolchain: &Toolchain) -> OsString {
    let linker = LINKER.iter().map(|setting| OsString::from(format!("-Clink-arg={setting}")));
    let inlining = OsString::from(format!("-Cllvm-args=-inline-threshold={INLINE_THRESHOLD}"));
    let standard = (toolchain.source.clone(), format!("/rustc/{}", toolchain.commit));
    let paths = package.sources.iter().chain([&standard]).map(|(folder, name)| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder);
        flag.push("=");
        flag.push(name);
        flag
    });
    linker
        .chain([inlining, wrapper::version_flag()])
        .chain(paths)
        .collect::<Vec<_>>()
        .join(OsStr::new("\u{1f}"))
}

/// The Rust toolchain that a folder's builds use.
struct Toolchain {
    /// Where rustup puts the standard library's source; the folder need not exist.
    source: PathBuf,
    /// The commit that rustc was built from: the name that the standard library's own paths have.
    commit: String,
    /// Where the standard library for [`TARGET`] lies, if it is installed.
    target_libraries: PathBuf,
}

impl Toolchain {
    fn of(dir: &Path) -> Result<Self, BuildError> {
        let sysroot = rustc(dir, &["--print", "sysroot"])?;
        let libraries = rustc(dir, &["--print", "target-libdir", "--target", TARGET])?;
        let version = rustc(dir, &["--version", "--verbose"])?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
        Ok(Self {
            source: Path::new(&sysroot).join("lib/rustlib/src/rust"),
            commit: commit.unwrap_or("unknown").to_owned(),
            target_libraries: libraries.into(),
        })
    }

    fn check_target(&self) -> Result<(), BuildError> {
        if self.target_libraries.is_dir() { Ok(()) } else { Err(BuildError::MissingTarget) }
    }
}

/// `rustc` as cargo would find it in this folder.
pub(crate) fn rustc_command(dir: &Path) -> Command {
    let mut command = Command::new("rustc");
    shield(&mut command, dir);
    command
}

fn rustc(dir: &Path, arguments: &[&str]) -> Result<String, BuildError> {
    let output = run(rustc_command(dir).args(arguments))?;
    if !output.status.success() {
        let reason = format!("rustc: {}", stderr(&output));
        return Err(BuildError::Package { manifest_dir: dir.into(), reason });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_target_says_what_to_run() {
        let toolchain = Toolchain {
            source: PathBuf::new(),
            commit: String::new(),
            target_libraries: Path::new("no-such-folder").into(),
        };
        let error = toolchain.check_target().unwrap_err().to_string();
        assert!(error.contains("rustup target add wasm32-unknown-unknown"), "{error}");
    }

    #[test]
    fn an_outer_build_is_scrubbed_and_the_toolchain_stays() {
        for name in ["RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_PROFILE_RELEASE_LTO", "RUSTC_WRAPPER"]
        {
            assert!(is_scrubbed(OsStr::new(name)), "{name}");
        }
        for name in ["RUSTUP_TOOLCHAIN", "CARGO_HOME", "RUSTUP_HOME", "PATH", "CARGO_NET_OFFLINE"] {
            assert!(!is_scrubbed(OsStr::new(name)), "{name}");
        }
    }
}
