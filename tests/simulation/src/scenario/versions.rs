//! What is asked for versions in a run: to retire them, and to delete them.

use super::{Pick, Step};
use crate::functions::Function;

/// What someone asks for a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionAsked {
    /// That no rollout brings it any more.
    Retire,
    /// The contrary.
    Reinstate,
    /// That it is not kept.
    Delete,
}

/// In some runs with rollouts, the steps that are put among the others. Drawn apart, so that all
/// other runs are what they were.
pub(super) fn draw(seed: u64) -> Vec<Step> {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x7665_7273_696f_6e73);
    if rng.bool() {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for _ in 0..rng.usize(4..24) {
        // Of three functions: those that rollouts bring.
        let function = Function::ALL[rng.usize(0..3)];
        let region: Pick = rng.u8(0..60);
        let asked = match rng.u8(0..8) {
            0 => VersionAsked::Retire,
            1 => VersionAsked::Reinstate,
            _ => VersionAsked::Delete,
        };
        steps.push(Step::Version { region, function, asked });
    }
    steps
}
