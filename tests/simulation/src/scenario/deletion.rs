//! A version that is deleted while changes that were made with it are still on their way.

use super::rollouts::Plan;
use super::versions::VersionAsked;
use super::{Pick, Setup, Step, Verb};
use crate::functions::Function;
use crate::topology::Topology;

/// As many rounds bring a rollout, or a deletion that may, to its end.
const ROUNDS: usize = 8;
/// More records than a lane ever has in these rounds.
const ALL: u8 = u8::MAX;

/// In some runs, how they begin: two regions change one row apart, and while rows do not travel the table
/// gets another version and the first one is deleted. Drawn apart, so that all other runs are what they
/// were.
pub(super) fn draw(seed: u64, setup: &mut Setup, steps: &mut Vec<Step>) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x6465_6c65_7469_6f6e);
    if rng.u8(0..16) > 0 || setup.calm {
        return;
    }
    // Of those that rollouts bring.
    let first = rng.usize(0..3);
    let (function, next) = (Function::ALL[first], Function::ALL[(first + 1) % 3]);
    setup.regions = [3, 3, 4][rng.usize(0..3)];
    setup.topology = Topology::Direct;
    setup.partitions = 1;
    setup.tables = vec![Some(function)];
    setup.skews_ms = vec![0; setup.regions];
    setup.unconfirmed_max = 10_000;
    let mut story = Vec::new();
    for region in 0..2 {
        story.push(Step::Write { region, table: 0, row: 0, verb: Verb::Put, amount: 1 + region });
    }
    let plan = Plan { stages: 1, first: 0, bake_s: 0, shadow_s: 0, manual: false, gate: false };
    let function_after = rng.bool().then_some(next);
    story.push(Step::RollOut { region: 2, table: 0, function: function_after, plan });
    without_rows(setup.regions, &mut story);
    story.push(Step::Version { region: 2, function, asked: VersionAsked::Delete });
    without_rows(setup.regions, &mut story);
    steps.splice(0..0, story);
}

/// Regions hear each other, but for what they say of rows.
fn without_rows(regions: usize, story: &mut Vec<Step>) {
    for _ in 0..ROUNDS {
        let regions = 0..regions as Pick;
        story.extend(regions.clone().map(|region| Step::Pump { region }));
        for region in regions.clone() {
            for source in regions.clone().skip(1) {
                // The lane behind the only partition.
                let (source, lane) = (source - 1, 1);
                story.push(Step::Read { region, source, lane, count: ALL, at_once: true });
            }
        }
        story.push(Step::Wait { ms: 1000 });
    }
}
