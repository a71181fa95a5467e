//! `build-guest MANIFEST_DIR TARGET_DIR`: builds a merge function and prints its version and path.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [manifest_dir, target_dir] = &arguments[..] else {
        eprintln!("usage: build-guest MANIFEST_DIR TARGET_DIR");
        return ExitCode::from(2);
    };
    match syncline_guest_build::build(Path::new(manifest_dir), Path::new(target_dir)) {
        Ok(guest) => {
            println!("{}  {}  {} bytes", guest.version_hex, guest.path.display(), guest.size);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
