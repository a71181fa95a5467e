//! Rollouts in a run: plans, what people ask for, and what regions report.

use super::{Pick, Step};
use crate::functions::Function;

/// A rollout's plan, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// So many stages; the last one has the rest.
    pub stages: u8,
    /// Which region is in the first stage, the others following in their order.
    pub first: Pick,
    /// Seconds.
    pub bake_s: u8,
    /// Seconds.
    pub shadow_s: u8,
    /// Stages begin only when someone says so.
    pub manual: bool,
    /// With a gate on faults.
    pub gate: bool,
}

/// What someone asks of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To go on to the next stage.
    Promote,
    /// To go on to this stage.
    PromoteTo(u8),
    /// To stand still.
    Pause,
    /// To go on after a pause.
    Resume,
    /// To go back.
    Abort,
    /// To decide.
    Claim,
}

/// What is wrong with a region's self-tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// They come to something else than elsewhere.
    Differs,
    /// They do not pass.
    Fails,
}

/// In a run with rollouts, the number of regions and the steps that are put among the others. Drawn
/// apart, so that all other runs are what they were.
pub(super) fn draw(seed: u64) -> Option<(usize, Vec<Step>)> {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x726f_6c6c_6f75_7473);
    if rng.u8(0..3) > 0 {
        return None;
    }
    let regions = [2, 2, 3, 3, 4, 5, 6, 7][rng.usize(0..8)];
    let odd = rng.u8(0..4) == 0;
    let mut steps = Vec::new();
    for _ in 0..rng.usize(8..50) {
        let step = step(&mut rng, odd);
        // What matters most is what two regions ask that have not heard of each other.
        if let Step::Ask { table, .. } = step
            && rng.bool()
        {
            steps.push(Step::Ask { region: rng.u8(0..60), table, asked: asked(&mut rng) });
        }
        steps.push(step);
    }
    Some((regions, steps))
}

fn asked(rng: &mut fastrand::Rng) -> Asked {
    match rng.u8(0..14) {
        0..=3 => Asked::Promote,
        4 => Asked::PromoteTo(rng.u8(1..6)),
        5 | 6 => Asked::Pause,
        7..=9 => Asked::Resume,
        10 | 11 => Asked::Abort,
        _ => Asked::Claim,
    }
}

fn step(rng: &mut fastrand::Rng, odd: bool) -> Step {
    let (region, table) = (rng.u8(0..60), rng.u8(0..60));
    match rng.u8(0..24) {
        0..=4 => {
            let function = Function::ALL[..3].get(rng.usize(0..4)).copied();
            let plan = Plan {
                stages: rng.u8(1..5),
                first: rng.u8(0..60),
                bake_s: [0, 0, 1, 3][rng.usize(0..4)],
                shadow_s: [0, 0, 1, 3][rng.usize(0..4)],
                manual: rng.u8(0..3) == 0,
                gate: rng.bool(),
            };
            Step::RollOut { region, table, function, plan }
        }
        5..=10 => Step::Ask { region, table, asked: asked(rng) },
        11 | 12 => Step::Report { region, faults: rng.u8(0..4) == 0 },
        13 if odd => {
            let odd = if rng.bool() { Oddity::Differs } else { Oddity::Fails };
            Step::Odd { region, odd }
        }
        14 => Step::Wait { ms: rng.u32(500..3000) },
        15..=18 => Step::Pump { region },
        _ => Step::Pull { region },
    }
}
