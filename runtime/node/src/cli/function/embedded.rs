//! The SDKs and the examples, as they were when this program was built.

/// Paths from the repository's root, in their order, and what stands there.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files in a folder, each by its path inside that folder.
pub(super) fn folder(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().filter_map(move |(path, bytes)| {
        let inside = path.strip_prefix(folder)?.strip_prefix('/')?;
        Some((inside, *bytes))
    })
}

/// A file that is text. Empty: there is no such file.
pub(super) fn text(path: &str) -> &'static str {
    let found = FILES.binary_search_by(|(name, _)| (*name).cmp(path));
    found.ok().and_then(|n| std::str::from_utf8(FILES[n].1).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdks_and_the_examples_are_there_and_nothing_that_was_built() {
        for path in [
            "Cargo.toml",
            "guest-examples/Cargo.lock",
            "guest-examples/cart/src/lib.rs",
            "runtime/image/src/lib.rs",
            "sdk/assemblyscript/package.json",
            "sdk/rust/Cargo.toml",
            "sdk/rust/macros/src/lib.rs",
            "sdk/verifier/src/lib.rs",
            "wit/merge.wit",
        ] {
            assert!(!text(path).is_empty(), "{path}");
        }
        assert_eq!(text("wit/nothing.wit"), "");
        for (path, _) in FILES {
            assert!(!path.contains("/node_modules/") && !path.contains("/target/"), "{path}");
        }
        let wit: Vec<&str> = folder("wit").map(|(path, _)| path).collect();
        assert_eq!(wit, ["merge.wit"]);
    }
}
