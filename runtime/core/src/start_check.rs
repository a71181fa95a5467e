//! Whether a region that starts may trust its disk.
//!
//! An old disk that was put back would have the region say things a second time, otherwise. Whatever
//! was produced was synced before, so after a mere loss of power nobody knows more of a region than
//! its own disk does.

use std::collections::{BTreeMap, BTreeSet};

use crate::planted::{self, Bug};
use crate::{Heartbeat, Hlc, RegionId};

/// What the start has come to so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartVerdict {
    /// Some peers were not heard yet. Up to a limit, wait for them.
    Waiting {
        /// Which.
        peers: BTreeSet<RegionId>,
    },
    /// Nobody knows more than the disk does.
    Fine,
    /// The disk is old. The region must neither write nor produce; it comes back as another
    /// incarnation.
    Old {
        /// The highest HLC on the disk.
        known: Hlc,
        /// An HLC of this region that somebody knows.
        told: Hlc,
    },
}

/// Compares what others know of a region with what its disk does. Before it takes a write or
/// produces anything, a region shows this the end of each lane of its own log, and a heartbeat of
/// each peer that was made after the start, in each lane.
///
/// A region that did not wait for all of them goes on showing it what it hears: see
/// [`StartCheck::takes_up`].
#[derive(Clone, Debug)]
pub struct StartCheck {
    me: RegionId,
    known: Hlc,
    told: Hlc,
    /// HLCs from here on may be of this start itself.
    own_from: Hlc,
    awaited: BTreeSet<RegionId>,
    /// For each peer that was heard in its own log its first heartbeat since the start.
    fresh: BTreeMap<RegionId, Hlc>,
}

impl StartCheck {
    /// `known` is the highest HLC on the disk of `me`, of any region.
    pub fn new(me: RegionId, known: Hlc, peers: impl IntoIterator<Item = RegionId>) -> Self {
        let awaited = peers.into_iter().filter(|peer| *peer != me).collect();
        Self { me, known, told: Hlc::ZERO, own_from: Hlc::MAX, awaited, fresh: BTreeMap::new() }
    }

    /// The peer has nothing to tell: it is not waited for.
    pub fn does_not_await(&mut self, peer: &RegionId) {
        self.awaited.remove(peer);
    }

    /// The region takes writes and produces from now on, with HLCs from `from` on. What it is told
    /// of those says nothing of its disk any more.
    pub fn takes_up(&mut self, from: Hlc) {
        self.own_from = from;
    }

    /// A record of this region stands in its own log.
    pub fn own_record(&mut self, hlc: Hlc) {
        self.is_told(hlc);
    }

    fn is_told(&mut self, hlc: Hlc) {
        if hlc < self.own_from {
            self.told = self.told.max(hlc);
        }
    }

    /// A peer says what it knows. Only a heartbeat from after the start counts as having heard it.
    pub fn heard(&mut self, beat: &Heartbeat, is_fresh: bool) {
        self.is_told(beat.watermarks.get(&self.me));
        self.is_told(beat.taken.get(&self.me));
        if is_fresh {
            self.awaited.remove(&beat.region);
            self.fresh.entry(beat.region.clone()).or_insert(beat.hlc);
        }
    }

    /// The same, of a peer's heartbeat that `source` has passed on: it may have been on its way for
    /// long. It was made after the start if its region had then heard what `source` said since.
    pub fn heard_through(&mut self, source: &RegionId, beat: &Heartbeat) {
        let knows = |since: &Hlc| beat.watermarks.get(source) >= *since;
        let is_fresh = self.fresh.get(source).is_some_and(knows);
        self.heard(beat, is_fresh);
    }

    /// What it comes to.
    pub fn verdict(&self) -> StartVerdict {
        if self.told > self.known && !planted::is(Bug::TrustTheDisk) {
            StartVerdict::Old { known: self.known, told: self.told }
        } else if self.awaited.is_empty() {
            StartVerdict::Fine
        } else {
            StartVerdict::Waiting { peers: self.awaited.clone() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VersionVector;

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    fn beat(of: &str, knows: u64, has_taken: u64) -> Heartbeat {
        let of_me = |n| VersionVector::from_iter([(region("me"), hlc(n))]);
        Heartbeat {
            region: region(of),
            hlc: hlc(99),
            prev: Hlc::ZERO,
            watermarks: of_me(knows),
            taken: of_me(has_taken),
            evidence: crate::Evidence::default(),
            wall_ms: 0,
        }
    }

    fn check() -> StartCheck {
        StartCheck::new(region("me"), hlc(10), ["me", "a", "b"].map(region))
    }

    #[test]
    fn a_disk_that_knows_all_is_fine_once_every_peer_was_heard() {
        let mut start = check();
        start.own_record(hlc(10));
        start.heard(&beat("a", 10, 9), true);
        start.heard(&beat("b", 3, 3), false);
        assert_eq!(start.verdict(), StartVerdict::Waiting { peers: [region("b")].into() });
        start.heard(&beat("b", 3, 3), true);
        assert_eq!(start.verdict(), StartVerdict::Fine);
    }

    #[test]
    fn a_disk_is_old_if_anyone_knows_more() {
        let old = |told| StartVerdict::Old { known: hlc(10), told: hlc(told) };
        let mut start = check();
        start.own_record(hlc(11));
        assert_eq!(start.verdict(), old(11));
        for (beat, told) in [(beat("a", 12, 0), 12), (beat("a", 0, 13), 13)] {
            let mut start = check();
            start.heard(&beat, false);
            assert_eq!(start.verdict(), old(told));
        }
    }

    #[test]
    fn what_was_passed_on_is_fresh_once_it_knows_what_the_forwarder_said_since_the_start() {
        let mut start = check();
        let waits_for = |names: &[&str]| StartVerdict::Waiting {
            peers: names.iter().map(|name| region(name)).collect(),
        };
        let knows_a = |hlc_of_a: u64| {
            let mut far = beat("b", 3, 3);
            far.watermarks.set(&region("a"), hlc(hlc_of_a));
            far
        };
        start.heard_through(&region("a"), &knows_a(99));
        start.heard(&beat("a", 0, 0), false);
        assert_eq!(start.verdict(), waits_for(&["a", "b"]));
        start.heard(&beat("a", 0, 0), true);
        start.heard_through(&region("a"), &knows_a(98));
        assert_eq!(start.verdict(), waits_for(&["b"]));
        start.heard_through(&region("a"), &knows_a(99));
        assert_eq!(start.verdict(), StartVerdict::Fine);
    }

    #[test]
    fn who_did_not_wait_still_finds_out() {
        let mut start = check();
        start.own_record(hlc(10));
        start.does_not_await(&region("b"));
        start.takes_up(hlc(20));
        start.heard(&beat("a", 20, 25), true);
        assert_eq!(start.verdict(), StartVerdict::Fine);
        start.heard(&beat("b", 25, 19), false);
        assert_eq!(start.verdict(), StartVerdict::Old { known: hlc(10), told: hlc(19) });
    }
}
