//! In which order a partition's records go to the bus.

use crate::{Heartbeat, Hlc};

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
}

impl Feed {
    /// At the start: everything that is not confirmed by every region goes first.
    pub fn starting_after(confirmed: Hlc, last_change: Hlc) -> Self {
        Self { produced: confirmed.min(last_change), synced: last_change, heartbeat: None }
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

    /// What to produce next.
    pub fn next(&self) -> FeedStep {
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
    fn an_overtaken_heartbeat_is_not_produced() {
        let mut feed = Feed::starting_after(hlc(0), hlc(0));
        feed.synced(Some(hlc(3)), None);
        feed.produced(hlc(3));
        feed.synced(Some(hlc(5)), Some(beat(2, 1)));
        assert_eq!(feed.next(), FeedStep::Changes { after: hlc(3), upto: hlc(5) });
    }
}
