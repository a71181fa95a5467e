//! Wall clocks that are wrong, and what must not be said by them.

use std::collections::{BTreeMap, BTreeSet};

use syncline_applier::{ControlRead, Moment, Read, Sorted};
use syncline_bus::Lane;
use syncline_core::{Hlc, RegionId};

use super::World;
use crate::region::Running;

/// What a peer says so much later than before is of a backlog; so much earlier, of a clock that was set.
const LATE_MS: i128 = 60_000;

/// What one heartbeat of a peer said, and when it was heard.
#[derive(Clone, Copy, Debug)]
struct Said {
    hlc: Hlc,
    wall_ms: u64,
    steady_ms: u64,
}

/// What a region has heard of others' clocks since its start, all of it.
#[derive(Debug, Default)]
pub struct Heard {
    /// From where on each log is heard since the start.
    fresh_from: BTreeMap<(RegionId, Lane), u64>,
    /// What each peer has said.
    said: BTreeMap<RegionId, Vec<Said>>,
    /// Peers of which one of them was heard since the start.
    fresh: BTreeSet<RegionId>,
    /// When the region last looked at its clock, it had to doubt it, and what the others' time was.
    doubted: Option<u64>,
}

impl Heard {
    /// The median over those who were heard since the start.
    fn reference_ms(&self, steady_ms: u64) -> Option<u64> {
        let said = self.fresh.iter().filter_map(|peer| self.said.get(peer));
        let mut all: Vec<i128> = said.filter_map(|said| furthest(said)).collect();
        all.sort_unstable();
        let median = all.get(all.len() / 2)? + i128::from(steady_ms);
        Some(u64::try_from(median).unwrap_or_default())
    }
}

/// How far a peer's wall clock was ahead of the steady clock at most, since it was last set back; less a
/// millisecond for each second in which it said less.
fn furthest(said: &[Said]) -> Option<i128> {
    let mut last: Option<Said> = None;
    let mut furthest = i128::MIN;
    for now in said {
        if last.is_some_and(|last| now.hlc <= last.hlc) {
            continue;
        }
        let ahead = i128::from(now.wall_ms) - i128::from(now.steady_ms);
        let before = last.replace(*now);
        let is_set = |last: Said| i128::from(last.wall_ms) - i128::from(now.wall_ms) > LATE_MS;
        if ahead >= furthest || before.is_some_and(is_set) {
            furthest = ahead;
        } else if furthest - ahead <= LATE_MS
            && before.is_some_and(|last| last.steady_ms / 1000 != now.steady_ms / 1000)
        {
            furthest -= 1;
        }
    }
    last.map(|_| furthest)
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
        let said = Said { hlc: beat.hlc, wall_ms: beat.wall_ms, steady_ms: steady };
        running.clocks.said.entry(from.clone()).or_default().push(said);
        if is_fresh {
            running.clocks.fresh.insert(from.clone());
        }
        let shown = self.regions.iter().find(|region| region.id == *from);
        let furthest = shown.map_or(0, |region| region.wall_most_ms);
        if self.setup.clock_bound_ms.is_some() && said.wall_ms > furthest {
            self.fail("time", || {
                format!("{from} says {}, its clock was never beyond {furthest}", said.wall_ms)
            });
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
        let most = &mut self.regions[region].wall_most_ms;
        *most = wall.max(*most);
        let bound = self.setup.clock_bound_ms;
        let Some(running) = self.running(region) else { return Moment::of(wall) };
        let (site, expected) = (&running.site, running.clocks.reference_ms(steady));
        let (moment, told) = (site.moment(wall, steady), site.peers_ms(steady));
        let is_ahead = match (bound, expected) {
            (Some(bound), Some(expected)) => wall > expected.saturating_add(bound),
            _ => false,
        };
        let name = site.region.clone();
        if told != expected {
            self.fail("time", || {
                format!("{name} takes {told:?} for the others' time, they come to {expected:?}")
            });
        } else if moment.ahead_ms.is_some() && !is_ahead {
            self.fail("time", || {
                format!("{name} takes no writes, its clock at {wall}, the others' at {expected:?}")
            });
        } else if moment.ahead_ms.is_none() && is_ahead {
            self.fail("time", || {
                format!("{name} takes writes, its clock at {wall}, the others' at {expected:?}")
            });
        }
        if is_ahead {
            self.stats.state("a clock was not believed");
        }
        if let Some(running) = self.running(region) {
            running.clocks.doubted = expected.filter(|_| is_ahead);
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
