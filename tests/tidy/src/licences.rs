//! What Syncline is built from may be distributed under Apache-2.0.

use crate::metadata::{Metadata, Package};
use crate::spdx;
use crate::violation::Violation;

/// Permissive licences that ask for no more than Apache-2.0 can promise.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Packages that are not under such a licence, or under none.
pub fn check(metadata: &Metadata) -> Vec<Violation> {
    metadata.packages.iter().filter_map(check_package).collect()
}

fn check_package(package: &Package) -> Option<Violation> {
    let Package { name, version, license, .. } = package;
    let what = match license.as_deref().map(|licence| (licence, spdx::is_met(licence, &ALLOWED))) {
        Some((_, Ok(true))) => return None,
        Some((licence, Ok(false))) => format!("{name} {version} is under {licence}"),
        Some((licence, Err(error))) => {
            format!("{name} {version} is under {licence}, which is no SPDX expression: {error}")
        }
        None => format!("{name} {version} does not say under which licence it is"),
    };
    let instead = "Use another package, or add the licence here if it goes with Apache-2.0.";
    Some(Violation::new("Cargo.lock", 1, what, instead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(licence: Option<&str>) -> usize {
        let package = Package {
            name: "a".into(),
            id: "a".into(),
            version: "1.0.0".into(),
            license: licence.map(str::to_owned),
            manifest_path: String::new(),
            dependencies: Vec::new(),
        };
        usize::from(check_package(&package).is_some())
    }

    #[test]
    fn what_does_not_go_with_ours_is_found() {
        assert_eq!(found(Some("MIT OR Apache-2.0 WITH LLVM-exception")), 0);
        assert_eq!(found(Some("MIT AND GPL-3.0-only")), 1);
        assert_eq!(found(Some("see the file")), 1);
        assert_eq!(found(None), 1);
    }
}
