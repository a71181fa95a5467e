//! The golden cases of this function.

use syncline_sdk::resolve;
use syncline_sdk::testing::check_cases;

const CASES: &str = include_str!("../cases/golden.json");

#[test]
fn golden_cases() {
    match check_cases(CASES, |conflict| resolve(hash_sides::merge, conflict)) {
        Ok(count) => assert_eq!(count, 6),
        Err(differing) => panic!("{differing}"),
    }
}
