//! The golden cases of this function.

use syncline_sdk::resolve;
use syncline_verifier::Native;

const CASES: &str = include_str!("../cases/golden.json");

#[test]
fn golden_cases() {
    let function = Native::new(|conflict| resolve(or_set::merge, conflict));
    function.assert_cases(CASES);
}
