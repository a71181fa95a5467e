//! Everyone builds the same: lock files are committed. A guest's bytes, and so its version, depend
//! on its lock file.

use crate::violation::Violation;

const LOCK_FILES: [&str; 10] = [
    "Cargo.lock",
    "guest-examples/Cargo.lock",
    "guest-examples/cart/assemblyscript/package-lock.json",
    "guest-examples/counter/assemblyscript/package-lock.json",
    "guest-examples/order/assemblyscript/package-lock.json",
    "sdk/assemblyscript/package-lock.json",
    "tests/bench/cosmwasm/Cargo.lock",
    "tests/bench/cosmwasm/contract/Cargo.lock",
    "tests/guests/Cargo.lock",
    "tests/hostile/guests/std/Cargo.lock",
];

/// Lock files that are not among the tracked files.
pub fn check(tracked: &[String]) -> Vec<Violation> {
    let missing = LOCK_FILES.iter().filter(|lock| !tracked.iter().any(|path| path == *lock));
    let instead = "Commit it, and see that no .gitignore names it.";
    missing
        .map(|lock| Violation::new(*lock, 1, "a lock file that is not committed", instead))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_that_is_not_tracked_is_found() {
        assert!(check(&LOCK_FILES.map(str::to_owned)).is_empty());
        assert_eq!(check(&["Cargo.lock".to_owned()]).len(), LOCK_FILES.len() - 1);
    }
}
