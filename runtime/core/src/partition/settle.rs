//! Heartbeats: what this region says of itself, and what history the others' allow to be dropped.

use super::batch::{Batch, Touched};
use super::commit::LoadError;
use crate::Hlc;
use crate::planted::{self, Bug};

/// So many rows are settled with one heartbeat, so that none takes long.
const ROWS_SETTLED_MAX: usize = 4096;

impl Batch<'_> {
    pub(super) fn beat(&mut self, hlc: Hlc) -> Result<(), LoadError> {
        let partition = &mut *self.partition;
        let me = partition.chains.me().clone();
        partition.watermarks.raise(&me, hlc);
        let mut watermarks = partition.watermarks.clone();
        if planted::is(Bug::HeartbeatSaysTaken) {
            watermarks.join(&partition.chains.taken());
        }
        self.commit.heartbeat = Some(partition.chains.beat(hlc, watermarks));
        self.commit.needless = partition.chains.needless();
        self.raise_stable();
        self.settle()
    }

    /// The minimum, region by region, of what each region says is applied there. What it was before
    /// stays true: a region that starts to be counted only stops it.
    fn raise_stable(&mut self) {
        let partition = &mut *self.partition;
        let mut now = partition.watermarks.clone();
        for heard in partition.chains.heard.values() {
            if planted::is(Bug::StablePastSilent) && heard.is_silent() {
                continue;
            }
            now = now.meet(&heard.watermarks);
        }
        if !planted::is(Bug::StableGoesBack) {
            now.join(&partition.stable);
        }
        if now == partition.stable {
            return;
        }
        partition.stable = now;
        let stable = &partition.stable;
        let reached = partition
            .unsettled
            .iter()
            .filter(|(_, firsts)| firsts.iter().any(|first| stable.has(first)));
        partition.to_settle.extend(reached.map(|(row, _)| row.clone()));
    }

    fn settle(&mut self) -> Result<(), LoadError> {
        for _ in 0..ROWS_SETTLED_MAX {
            let Some(key) = self.partition.to_settle.pop_first() else { return Ok(()) };
            let partition = &*self.partition;
            let row = self.rows.row(&key)?;
            let image_before = row.image().cloned();
            let waiting = partition.waiting.of_row(&key);
            let Ok(settled) = row.settle(&partition.stable, waiting, &key, self.functions) else {
                continue; // the floor's image is not to be had now; stable will move again
            };
            if settled.moved || settled.forget {
                let touched = self.touched.entry(key);
                let touched =
                    touched.or_insert_with(|| Touched { image_before, ..Touched::default() });
                touched.dropped.extend(settled.dropped);
                touched.forget = settled.forget;
            }
        }
        Ok(())
    }
}
