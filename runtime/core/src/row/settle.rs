//! Raising the floor: dropping the history that no later change can ask for.

use super::Row;
use crate::planted::{self, Bug};
use crate::{Change, ChangeId, HostFault, MergeFunctions, RowKey, VersionVector};

/// What settling did.
#[derive(Debug, Default)]
pub struct Settled {
    /// The changes that fell below the floor.
    pub dropped: Vec<ChangeId>,
    /// The floor moved.
    pub moved: bool,
    /// The row is deleted everywhere: nothing needs to be kept of it.
    pub forget: bool,
}

impl Row {
    /// Raises the floor to where every later change builds on it, and drops what lies below.
    ///
    /// `stable` says, for each region, up to where all its changes to whatever row are applied
    /// everywhere; `waiting` are this row's changes that are here but not applied. On a host fault
    /// the floor stays for now.
    pub fn settle<'a>(
        &mut self,
        stable: &VersionVector,
        waiting: impl Iterator<Item = &'a Change>,
        row: &RowKey,
        functions: &dyn MergeFunctions,
    ) -> Result<Settled, HostFault> {
        let floor = self.next_floor(stable, waiting);
        let mut settled = Settled::default();
        if floor != self.state.floor && floor.covers(&self.state.floor) {
            let as_it_is = floor == self.state.vv || planted::is(Bug::FloorImageIsImage);
            self.state.floor_image =
                if as_it_is { self.state.image.clone() } else { self.at(&floor, row, functions)? };
            self.state.floor = floor;
            settled.moved = true;
            settled.dropped = self.past.drop_within(&self.state.floor);
            self.cache.drop_unheld(&self.past);
        }
        let everywhere = self.state.vv == self.state.floor || planted::is(Bug::ForgetEarly);
        settled.forget = self.state.image.is_none() && everywhere;
        Ok(settled)
    }

    fn next_floor<'a>(
        &self,
        stable: &VersionVector,
        waiting: impl Iterator<Item = &'a Change>,
    ) -> VersionVector {
        let mut floor = self.state.floor.clone();
        for held in self.past.last_covered(stable) {
            floor.join(&held.vv);
        }
        let waiting = waiting.filter(|_| !planted::is(Bug::FloorPastWaiting));
        let waiting: Vec<VersionVector> = waiting.map(|change| self.resolve(change)).collect();
        if planted::is(Bug::FloorPastConcurrent) {
            return floor;
        }
        loop {
            // Along a region's changes contexts only grow: the first that is not within the floor
            // decides. A region has always seen what it did itself.
            let beyond = self.past.firsts_beyond(&floor).map(|held| &held.vv);
            let Some(lower) =
                beyond.chain(&waiting).find(|seen| !seen.covers(&floor)).map(|v| floor.meet(v))
            else {
                return floor;
            };
            floor = lower;
        }
    }
}
