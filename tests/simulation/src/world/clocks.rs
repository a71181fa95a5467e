//! Wall clocks that are wrong, and what must not be said by them.

use std::collections::{BTreeMap, BTreeSet};

use syncline_applier::{ControlRead, Moment, Read, Sorted};
use syncline_bus::Lane;
use syncline_core::RegionId;

use super::World;
use crate::region::Running;

/// A record alone may have been on its way for long: so far a clock may be ahead before a region can
/// be sure of it.
const DOUBT_MS: u64 = 60_000;

/// What a region has heard of others' clocks since its start, all of it.
#[derive(Debug, Default)]
pub struct Heard {
    /// From where on each log is heard since the start.
    fresh_from: BTreeMap<(RegionId, Lane), u64>,
    /// What each peer has said, whether by its wall clock or not: how far it was ahead of the steady
    /// clock, in milliseconds.
    said: BTreeMap<RegionId, Vec<(bool, i128)>>,
    /// Peers of which one of them was heard since the start.
    fresh: BTreeSet<RegionId>,
    /// When the region last looked at its clock, it had to doubt it, and what the others' time was.
    doubted: Option<u64>,
}

impl Heard {
    /// The median, over those who were heard since the start, of the most that each has said since
    /// it goes by its wall clock, or no longer does.
    fn reference_ms(&self, steady_ms: u64) -> Option<u64> {
        let mut most: Vec<i128> = Vec::new();
        for peer in &self.fresh {
            let said = self.said.get(peer).map(Vec::as_slice).unwrap_or_default();
            let Some((last, _)) = said.last() else { continue };
            let since = said.iter().rev().take_while(|(by_wall, _)| by_wall == last);
            most.extend(since.map(|(_, ahead)| ahead).max());
        }
        most.sort_unstable();
        let median = most.get(most.len() / 2)? + i128::from(steady_ms);
        Some(u64::try_from(median).unwrap_or_default())
    }
}

/// The regions whose logs are read.
fn peers(running: &Running) -> BTreeSet<RegionId> {
    let membership = running.control.control().membership();
    let (mut counted, fenced) = (membership.counted(), membership.fenced());
    counted.retain(|region| *region != running.site.region && !fenced.contains(region));
    counted
}

impl World {
    /// What was read of a log says what time it is there.
    pub(super) fn hear_clock(
        &mut self,
        region: usize,
        (from, lane, position): (&RegionId, Lane, u64),
        sorted: &Sorted,
    ) {
        let (steady, end) = (self.steady_ms(), self.bus.log(from, lane).end());
        let Some(running) = self.regions[region].running.as_mut() else { return };
        let start = *running.clocks.fresh_from.entry((from.clone(), lane)).or_insert(end);
        let (Sorted::Row(Read::Heartbeat(beat, _))
        | Sorted::Control(ControlRead::Heartbeat(beat, _))) = sorted
        else {
            return;
        };
        if beat.region != *from || !peers(running).contains(from) {
            return;
        }
        let is_fresh = position >= start;
        running.site.hear_clock(beat, steady, is_fresh);
        let says = i128::from(beat.hlc.millis()) + i128::from(beat.clock_ahead_ms);
        let said = (beat.clock_ahead_ms == 0, says - i128::from(steady));
        running.clocks.said.entry(from.clone()).or_default().push(said);
        if is_fresh {
            running.clocks.fresh.insert(from.clone());
        }
    }

    /// Logs that are read no more tell no time.
    pub(super) fn forget_clocks(&mut self, region: usize) {
        let Some(running) = self.running(region) else { return };
        let peers = peers(running);
        let gone: Vec<RegionId> =
            running.clocks.said.keys().filter(|peer| !peers.contains(*peer)).cloned().collect();
        for peer in gone {
            running.site.forget_clock(&peer);
            running.clocks.said.remove(&peer);
            running.clocks.fresh.remove(&peer);
        }
    }

    /// Now, as far as a region may believe its wall clock.
    pub(super) fn moment(&mut self, region: usize) -> Moment {
        // What was drawn until now goes by what was known before.
        self.check_drawn(region);
        let (wall, steady) = (self.regions[region].wall_ms(self.now_ms), self.steady_ms());
        let bound = self.setup.clock_bound_ms;
        let Some(running) = self.running(region) else { return Moment::of(wall) };
        let (site, expected) = (&running.site, running.clocks.reference_ms(steady));
        let (moment, told) = (site.moment(wall, steady), site.peers_ms(steady));
        let is_ahead = |by: u64| match (bound, expected) {
            (Some(bound), Some(expected)) => {
                wall > expected.saturating_add(bound).saturating_add(by)
            }
            _ => false,
        };
        let (may, must) = (is_ahead(0), is_ahead(DOUBT_MS));
        let name = site.region.clone();
        if told != expected {
            self.fail("time", || {
                format!("{name} takes {told:?} for the others' time, they come to {expected:?}")
            });
        } else if moment.ahead_ms.is_some() && !may {
            self.fail("time", || {
                format!("{name} takes no writes, its clock at {wall}, the others' at {expected:?}")
            });
        } else if moment.ahead_ms.is_none() && must {
            self.fail("time", || {
                format!("{name} takes writes, its clock at {wall}, the others' at {expected:?}")
            });
        }
        if must {
            self.stats.state("a clock was not believed");
        }
        if let Some(running) = self.running(region) {
            running.clocks.doubted = expected.filter(|_| must);
        }
        moment
    }

    /// A region whose clock is not believed says nothing that is later than all others and all that it
    /// was told, or it would drag them along.
    pub(super) fn check_drawn(&mut self, region: usize) {
        let furthest = self.furthest;
        let Some(running) = self.running(region) else { return };
        // What it has heard since it looked at its clock came too late for what it has drawn.
        let (drawn, doubted) = (running.clock(), running.clocks.doubted);
        self.furthest = furthest.max(drawn);
        let Some(expected) = doubted else { return };
        // One more, as a counter may be full.
        if drawn.millis() > furthest.millis().max(expected) + 1 {
            let name = self.regions[region].id.clone();
            self.fail("time", || {
                format!(
                    "{name} says {drawn}, the others are at {expected}, nobody beyond {furthest}"
                )
            });
        }
    }

    /// True while a region takes no writes for its clock: once all are right that ends.
    pub(super) fn doubts_its_clock(&self, region: usize) -> bool {
        let (wall, steady) = (self.regions[region].wall_ms(self.now_ms), self.steady_ms());
        let running = self.regions[region].running.as_ref();
        running.is_some_and(|running| running.site.moment(wall, steady).ahead_ms.is_some())
    }

    /// Somebody sets all clocks.
    pub(super) fn set_clocks(&mut self) {
        if self.setup.clock_bound_ms.is_some() {
            self.regions.iter_mut().for_each(|region| region.skew_ms = 0);
        }
    }
}
