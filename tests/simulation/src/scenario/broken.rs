//! Runs in which the engine of one region gives other bytes for some conflicts.

use super::{Setup, Step};
use crate::topology::Topology;

/// In some runs, the region whose engine is broken. Drawn apart, so that all other runs are what
/// they were. What it takes to tell for sure who must have noticed is left in: nothing that was
/// said is lost, and nobody comes, goes or forgets.
pub(super) fn draw(seed: u64, setup: &mut Setup, steps: &mut Vec<Step>) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x6272_6f6b_656e);
    let functions = setup.tables.iter().any(Option::is_some);
    if rng.u8(0..10) > 0 || setup.calm || !functions {
        return;
    }
    setup.broken = Some(rng.u8(0..60));
    setup.topology = Topology::Direct;
    setup.unconfirmed_max = 10_000;
    setup.waiting_max = 10_000;
    setup.clock_bound_ms = None;
    steps.retain(|step| !loses(step));
}

fn loses(step: &Step) -> bool {
    matches!(
        step,
        Step::SkipAhead { .. }
            | Step::Crash { .. }
            | Step::LoseTail { .. }
            | Step::Retention { .. }
            | Step::Garbage { .. }
            | Step::DiskFull { .. }
            | Step::SyncFails { .. }
            | Step::Die { .. }
            | Step::LastWords { .. }
            | Step::Evict { .. }
            | Step::Join { .. }
            | Step::Snapshot { .. }
            | Step::Backup { .. }
            | Step::OldDisk { .. }
    )
}
