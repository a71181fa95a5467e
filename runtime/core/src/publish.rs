//! In which order a partition's records go to the bus.

use std::collections::BTreeMap;

use crate::{Heartbeat, Hlc, PassOn, RegionId};

/// What to produce next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedStep {
    /// Nothing.
    Idle,
    /// The outbox's changes above `after`, up to and with `upto`.
    Changes {
        /// The last change produced.
        after: Hlc,
        /// The last change that may be produced now.
        upto: Hlc,
    },
    /// This heartbeat.
    Heartbeat(Heartbeat),
    /// Changes of a region that is gone, as they were received.
    PassOn(PassOn),
}

/// Feeds one partition of this region's log, changes and heartbeats in one order. It keeps no
/// records, only how far it is: changes are read from the outbox, and of heartbeats only the last
/// matters, as each says all that the one before said.
///
/// The caller produces what [`Feed::next`] says, and reports it; what could not be produced is said
/// again.
#[derive(Clone, Debug)]
pub struct Feed {
    produced: Hlc,
    synced: Hlc,
    heartbeat: Option<Heartbeat>,
    /// For each region that is gone what is still to be passed on.
    passing_on: BTreeMap<RegionId, PassOn>,
}

impl Feed {
    /// At the start: everything that is not confirmed by every region goes first.
    pub fn starting_after(confirmed: Hlc, last_change: Hlc) -> Self {
        let produced = confirmed.min(last_change);
        Self { produced, synced: last_change, heartbeat: None, passing_on: BTreeMap::new() }
    }

    /// A commit is synced: its last change, if it had any, and its heartbeat may be produced.
    pub fn synced(&mut self, last_change: Option<Hlc>, heartbeat: Option<Heartbeat>) {
        self.synced = self.synced.max(last_change.unwrap_or_default());
        if heartbeat.is_some() {
            self.heartbeat = heartbeat;
        }
    }

    /// Some region has not taken what came after this.
    pub fn resend_after(&mut self, hlc: Hlc) {
        self.produced = self.produced.min(hlc);
    }

    /// Someone lacks changes of a region that is gone.
    pub fn pass_on(&mut self, what: PassOn) {
        let known = self.passing_on.entry(what.region.clone()).or_insert_with(|| what.clone());
        known.after = known.after.min(what.after);
        known.upto = known.upto.max(what.upto);
    }

    /// What to produce next.
    pub fn next(&self) -> FeedStep {
        if let Some(what) = self.passing_on.values().next() {
            return FeedStep::PassOn(what.clone());
        }
        let changes = |upto| FeedStep::Changes { after: self.produced, upto };
        match &self.heartbeat {
            Some(beat) if self.produced < beat.prev => changes(beat.prev),
            Some(beat) if self.produced == beat.prev => FeedStep::Heartbeat(beat.clone()),
            // A heartbeat that later changes have overtaken would contradict them.
            _ if self.produced < self.synced => changes(self.synced),
            _ => FeedStep::Idle,
        }
    }

    /// All changes of the outbox up to here have been produced.
    pub fn produced(&mut self, upto: Hlc) {
        self.produced = self.produced.max(upto);
    }

    /// The changes of a region that is gone have been produced up to and with `after`.
    pub fn passed_on(&mut self, what: &PassOn) {
        let Some(known) = self.passing_on.get_mut(&what.region) else { return };
        known.after = what.after;
        if known.after >= known.upto {
            self.passing_on.remove(&what.region);
        }
    }

    /// The heartbeat has been produced.
    pub fn beat(&mut self, hlc: Hlc) {
        if self.heartbeat.as_ref().is_some_and(|beat| beat.hlc <= hlc) {
            self.heartbeat = None;
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

    fn beat(at: u64, prev: u64) -> Heartbeat {
        Heartbeat {
            region: "a".parse().unwrap(),
            hlc: hlc(at),
            prev: hlc(prev),
            watermarks: VersionVector::new(),
            taken: VersionVector::new(),
        }
    }

    #[test]
    fn a_heartbeat_stands_behind_its_changes_and_before_later_ones() {
        let mut feed = Feed::starting_after(hlc(2), hlc(4));
        assert_eq!(feed.next(), FeedStep::Changes { after: hlc(2), upto: hlc(4) });
        feed.produced(hlc(4));
        assert_eq!(feed.next(), FeedStep::Idle);
        feed.synced(Some(hlc(6)), Some(beat(7, 6)));
        feed.synced(Some(hlc(9)), None);
        assert_eq!(feed.next(), FeedStep::Changes { after: hlc(4), upto: hlc(6) });
        feed.produced(hlc(6));
        assert_eq!(feed.next(), FeedStep::Heartbeat(beat(7, 6)));
        feed.beat(hlc(7));
        assert_eq!(feed.next(), FeedStep::Changes { after: hlc(6), upto: hlc(9) });
        feed.produced(hlc(9));
        assert_eq!(feed.next(), FeedStep::Idle);
    }

    #[test]
    fn what_some_region_lacks_is_produced_again_in_order() {
        let mut feed = Feed::starting_after(hlc(9), hlc(9));
        feed.synced(None, Some(beat(10, 9)));
        feed.resend_after(hlc(5));
        assert_eq!(feed.next(), FeedStep::Changes { after: hlc(5), upto: hlc(9) });
        feed.produced(hlc(9));
        assert_eq!(feed.next(), FeedStep::Heartbeat(beat(10, 9)));
    }

    #[test]
    fn what_a_gone_region_left_is_passed_on_piece_by_piece() {
        let mut feed = Feed::starting_after(hlc(9), hlc(9));
        let region: RegionId = "gone".parse().unwrap();
        let what = |after| PassOn { region: region.clone(), after: hlc(after), upto: hlc(8) };
        feed.pass_on(what(4));
        feed.pass_on(what(2));
        assert_eq!(feed.next(), FeedStep::PassOn(what(2)));
        feed.passed_on(&what(6));
        assert_eq!(feed.next(), FeedStep::PassOn(what(6)));
        feed.passed_on(&what(8));
        assert_eq!(feed.next(), FeedStep::Idle);
    }

    #[test]
    fn an_overtaken_heartbeat_is_not_produced() {
        let mut feed = Feed::starting_after(hlc(0), hlc(0));
        feed.synced(Some(hlc(3)), None);
        feed.produced(hlc(3));
        feed.synced(Some(hlc(5)), Some(beat(2, 1)));
        assert_eq!(feed.next(), FeedStep::Changes { after: hlc(3), upto: hlc(5) });
    }
}
