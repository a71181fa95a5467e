//! Wall clocks that are wrong, and what must not be said by them.

use std::collections::{BTreeMap, BTreeSet};

use syncline_applier::{ControlRead, Moment, Read, Sorted};
use syncline_bus::Lane;
use syncline_core::{Hlc, RegionId};

use super::World;
use crate::region::Running;

/// What a peer says so much later than before shows nothing.
const LATE_MS: i128 = 2_000;
/// What it says so much earlier is of a clock that was set back.
const SET_BACK_MS: i128 = 1_000;
/// What is kept of a peer is exact once it has not risen by so much for so long.
const RISE_MS: i128 = 50;
/// Until then it may be so much too little at least.
const FIRST_LATE_MS: i128 = 5_000;
const SETTLES_AFTER_MS: u64 = 3_000;

/// What one heartbeat of a peer said, and when it was heard.
#[derive(Clone, Copy, Debug)]
struct Said {
    hlc: Hlc,
    wall_ms: u64,
    steady_ms: u64,
    /// It was put into the log since the start.
    is_fresh: bool,
}

/// How far a peer's wall clock is ahead of the steady clock.
#[derive(Clone, Copy, Debug)]
struct Furthest {
    ms: i128,
    /// By so much that may be too little.
    slack_ms: i128,
}

/// What a region has heard of others' clocks since its start, all of it.
#[derive(Debug, Default)]
pub struct Heard {
    /// From where on each log is heard since the start.
    fresh_from: BTreeMap<(RegionId, Lane), u64>,
    /// What each peer has said.
    said: BTreeMap<RegionId, Vec<Said>>,
    /// When the region last looked at its clock, it had to doubt it, and what the others' time was.
    doubted: Option<u64>,
}

impl Heard {
    /// The median over those who were heard since the start.
    fn median_ms(&self, steady_ms: u64, of: impl Fn(Furthest) -> i128) -> Option<u64> {
        let said = self.said.values().filter(|said| said.iter().any(|said| said.is_fresh));
        let mut all: Vec<i128> = said.filter_map(|said| furthest(said)).map(of).collect();
        all.sort_unstable();
        let median = all.get(all.len() / 2)? + i128::from(steady_ms);
        Some(u64::try_from(median).unwrap_or_default())
    }
}

/// The furthest that a peer's wall clock was ahead since it was last set back, less a millisecond for
/// each second in which it said a little less. Until that stands still it may be as much more as was
/// read before what is fresh took.
fn furthest(said: &[Said]) -> Option<Furthest> {
    let ahead = |said: &Said| i128::from(said.wall_ms) - i128::from(said.steady_ms);
    let first = said.first()?;
    let (mut ms, mut risen, mut slack_ms) = (ahead(first), (ahead(first), first.steady_ms), 0);
    let (mut before, mut is_fresh) = (first, false);
    for (index, now) in said.iter().enumerate() {
        if index > 0 && now.hlc > before.hlc {
            let is_set = i128::from(before.wall_ms) - i128::from(now.wall_ms) > SET_BACK_MS;
            let is_other_second = before.steady_ms / 1000 != now.steady_ms / 1000;
            if ahead(now) >= ms || is_set {
                ms = ahead(now);
            } else if ms - ahead(now) <= LATE_MS && is_other_second {
                ms -= 1;
            }
            if ms - risen.0 > RISE_MS || is_set {
                risen = (ms, now.steady_ms);
            } else if now.steady_ms - risen.1 >= SETTLES_AFTER_MS {
                slack_ms = 0;
            }
            before = now;
        }
        if now.is_fresh && !is_fresh {
            is_fresh = true;
            slack_ms = i128::from(before.steady_ms - first.steady_ms).max(FIRST_LATE_MS);
        }
    }
    Some(Furthest { ms, slack_ms })
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
        let said = Said { hlc: beat.hlc, wall_ms: beat.wall_ms, steady_ms: steady, is_fresh };
        running.clocks.said.entry(from.clone()).or_default().push(said);
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
        let expected = running.clocks.median_ms(steady, |peer| peer.ms);
        let at_most = running.clocks.median_ms(steady, |peer| peer.ms + peer.slack_ms);
        let site = &running.site;
        let (moment, told) = (site.moment(wall, steady), site.peers_ms(steady));
        let is_ahead = match (bound, at_most) {
            (Some(bound), Some(at_most)) => wall > at_most.saturating_add(bound),
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
