//! In which order a partition's records go to the bus.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::planted::{self, Bug};
use crate::{Heartbeat, Hlc, PassOn, RegionId};

/// After so many records of others a region says its last heartbeat once more: what it finds at the
/// end of its own log when it starts must tell how far it was, and it looks 2,048 records back.
const SAID_AGAIN_AFTER: usize = 1024;

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
    /// Changes that someone lacks of another region, as they were received.
    PassOn(PassOn),
    /// Changes of another region that were not passed on yet, as they were received.
    Forward(PassOn),
    /// A heartbeat of another region, as it was received.
    ForwardHeartbeat(ForwardedBeat),
}

/// A heartbeat of another region that is to be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedBeat {
    /// Whose.
    pub region: RegionId,
    /// Its HLC.
    pub hlc: Hlc,
    /// The change that stands before it.
    pub prev: Hlc,
    /// The record as it came. What stands there is opaque here: the bus knows its form.
    pub record: Arc<[u8]>,
}

/// What was taken of another region, and is to be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The region.
    pub region: RegionId,
    /// Its last change that was taken; zero if none was.
    pub upto: Hlc,
    /// Its last heartbeat that was heard since.
    pub heartbeat: Option<ForwardedBeat>,
}

/// How far another region's records have been passed on.
#[derive(Clone, Debug, Default)]
struct Forwarding {
    produced: Hlc,
    upto: Hlc,
    heartbeat: Option<ForwardedBeat>,
}

/// Feeds one partition of this region's log, changes and heartbeats in one order. It keeps no
/// records but other regions' last heartbeats, only how far it is: changes are read from the outbox,
/// and of heartbeats only the last matters, as each says all that the one before said.
///
/// Where this region passes on what it hears, its own records and those of each other region take
/// turns. As a change is passed on by its place in its region's chain, once, whatever comes back
/// through others, nothing goes in circles.
///
/// The caller produces what [`Feed::next`] says, and reports it; what could not be produced is said
/// again.
#[derive(Clone, Debug)]
pub struct Feed {
    produced: Hlc,
    synced: Hlc,
    heartbeat: Option<Heartbeat>,
    /// For each region what someone still lacks of it.
    passing_on: BTreeMap<RegionId, PassOn>,
    /// How far each region's records are that are passed on to all.
    forwarding: BTreeMap<RegionId, Forwarding>,
    /// Whose turn it was last; none: this region's own.
    last: Option<RegionId>,
    /// This region's last heartbeat that was produced.
    said: Option<Heartbeat>,
    /// Records of others since this region's last one.
    of_others: usize,
}

impl Feed {
    /// At the start: everything that is not confirmed by every region goes first.
    pub fn starting_after(confirmed: Hlc, last_change: Hlc) -> Self {
        Self {
            produced: confirmed.min(last_change),
            synced: last_change,
            heartbeat: None,
            passing_on: BTreeMap::new(),
            forwarding: BTreeMap::new(),
            last: None,
            said: None,
            of_others: 0,
        }
    }

    /// A commit is synced: its last change, if it had any, and its heartbeat may be produced.
    pub fn synced(&mut self, last_change: Option<Hlc>, heartbeat: Option<Heartbeat>) {
        self.synced = self.synced.max(last_change.unwrap_or_default());
        let Some(mut heartbeat) = heartbeat else { return };
        // Of what it says all but the outcomes is said by the next one anew.
        if let Some(unsaid) = self.heartbeat.take()
            && !planted::is(Bug::UnsaidForgotten)
        {
            heartbeat.evidence.add_unsaid(unsaid.evidence);
        }
        self.heartbeat = Some(heartbeat);
    }

    /// Some region has not taken what came after this.
    pub fn resend_after(&mut self, hlc: Hlc) {
        self.produced = self.produced.min(hlc);
    }

    /// Someone lacks changes of another region.
    pub fn pass_on(&mut self, what: PassOn) {
        let known = self.passing_on.entry(what.region.clone()).or_insert_with(|| what.clone());
        known.after = known.after.min(what.after);
        known.upto = known.upto.max(what.upto);
    }

    /// A commit has taken records of another region, which all who read this one's log are to get.
    /// This needs no sync: they were durable where they come from before they got here.
    pub fn forward(&mut self, what: Forward) {
        let known = self.forwarding.entry(what.region).or_default();
        known.upto = known.upto.max(what.upto);
        if what.heartbeat.is_some() {
            known.heartbeat = what.heartbeat;
        }
    }

    /// What to produce next.
    pub fn next(&self) -> FeedStep {
        if let Some(beat) = self.said.as_ref().filter(|_| self.of_others >= SAID_AGAIN_AFTER) {
            return FeedStep::Heartbeat(beat.clone());
        }
        if let Some(what) = self.passing_on.values().next() {
            return FeedStep::PassOn(what.clone());
        }
        // In turn, behind whose turn it was last: this region's own, then the others by name.
        let last = self.last.as_ref();
        let behind = last.map_or(Bound::Unbounded, Bound::Excluded);
        let upto = last.map_or(Bound::Unbounded, Bound::Included);
        let others = |from, upto| self.to_forward(from, upto);
        let step = others(behind, Bound::Unbounded).or_else(|| self.own());
        step.or_else(|| others(Bound::Unbounded, upto)).unwrap_or(FeedStep::Idle)
    }

    fn own(&self) -> Option<FeedStep> {
        let changes = |upto| Some(FeedStep::Changes { after: self.produced, upto });
        match &self.heartbeat {
            Some(beat) if self.produced < beat.prev => changes(beat.prev),
            Some(beat) if self.produced == beat.prev => Some(FeedStep::Heartbeat(beat.clone())),
            // A heartbeat that later changes have overtaken would contradict them.
            _ if self.produced < self.synced => changes(self.synced),
            _ => None,
        }
    }

    /// What is to be passed on of the first region that has anything.
    fn to_forward(&self, from: Bound<&RegionId>, upto: Bound<&RegionId>) -> Option<FeedStep> {
        let mut others = self.forwarding.range::<RegionId, _>((from, upto));
        others.find_map(|(region, forwarding)| forwarding.next(region))
    }

    /// Changes of the outbox above this have not been produced, or are to be once more.
    pub fn left_above(&self) -> Hlc {
        self.produced
    }

    /// All changes of the outbox up to here have been produced.
    pub fn produced(&mut self, upto: Hlc) {
        self.produced = self.produced.max(upto);
        self.own_was_last();
    }

    /// What someone lacks of another region has been produced up to and with `after`, in so many
    /// records.
    pub fn passed_on(&mut self, what: &PassOn, records: usize) {
        self.of_others += records;
        let Some(known) = self.passing_on.get_mut(&what.region) else { return };
        known.after = what.after;
        if known.after >= known.upto {
            self.passing_on.remove(&what.region);
        }
    }

    /// The changes of another region have been produced up to here, in so many records.
    pub fn forwarded(&mut self, region: &RegionId, upto: Hlc, records: usize) {
        self.of_others += records;
        let Some(known) = self.forwarding.get_mut(region) else { return };
        known.produced = known.produced.max(upto);
        self.last = Some(region.clone());
    }

    /// The heartbeat of another region has been produced.
    pub fn forwarded_beat(&mut self, region: &RegionId, hlc: Hlc) {
        self.of_others += 1;
        let Some(known) = self.forwarding.get_mut(region) else { return };
        if known.heartbeat.as_ref().is_some_and(|beat| beat.hlc <= hlc) {
            known.heartbeat = None;
        }
        self.last = Some(region.clone());
    }

    /// The heartbeat has been produced.
    pub fn beat(&mut self, hlc: Hlc) {
        if self.heartbeat.as_ref().is_some_and(|beat| beat.hlc <= hlc) {
            self.said = self.heartbeat.take();
        }
        self.own_was_last();
    }

    fn own_was_last(&mut self) {
        self.last = None;
        self.of_others = 0;
    }
}

impl Forwarding {
    fn next(&self, region: &RegionId) -> Option<FeedStep> {
        let (after, region) = (self.produced, region.clone());
        let changes = |upto| Some(FeedStep::Forward(PassOn { region, after, upto }));
        let overtakes = planted::is(Bug::ForwardHeartbeatsFirst);
        match &self.heartbeat {
            // One over a gap follows what there is, and says what its region has taken.
            Some(beat) if after < beat.prev.min(self.upto) && !overtakes => {
                changes(beat.prev.min(self.upto))
            }
            Some(beat) if after <= beat.prev => Some(FeedStep::ForwardHeartbeat(beat.clone())),
            _ if after < self.upto => changes(self.upto),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, VersionVector};

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
            evidence: Evidence::default(),
            wall_ms: 0,
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
        feed.passed_on(&what(6), 4);
        assert_eq!(feed.next(), FeedStep::PassOn(what(6)));
        feed.passed_on(&what(8), 2);
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

    fn forward(upto: u64, heartbeat: Option<(u64, u64)>) -> Forward {
        let region: RegionId = "far".parse().unwrap();
        let beat = |(at, prev)| ForwardedBeat {
            region: region.clone(),
            hlc: hlc(at),
            prev: hlc(prev),
            record: [].into(),
        };
        Forward { upto: hlc(upto), heartbeat: heartbeat.map(beat), region: region.clone() }
    }

    /// Produces what is due, one step after the other.
    fn produced(feed: &mut Feed) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let said = match feed.next() {
                FeedStep::Idle => return all,
                FeedStep::Changes { upto, .. } => {
                    feed.produced(upto);
                    format!("own to {}", upto.bits())
                }
                FeedStep::Heartbeat(beat) => {
                    feed.beat(beat.hlc);
                    format!("own beat {}", beat.hlc.bits())
                }
                FeedStep::PassOn(what) => {
                    feed.passed_on(&PassOn { after: what.upto, ..what.clone() }, 1);
                    format!("again {} to {}", what.after.bits(), what.upto.bits())
                }
                FeedStep::Forward(what) => {
                    feed.forwarded(&what.region, what.upto, 1);
                    format!("{} {} to {}", what.region, what.after.bits(), what.upto.bits())
                }
                FeedStep::ForwardHeartbeat(beat) => {
                    feed.forwarded_beat(&beat.region, beat.hlc);
                    format!("{} beat {}", beat.region, beat.hlc.bits())
                }
            };
            all.push(said);
        }
    }

    #[test]
    fn a_heartbeat_of_another_region_stands_where_it_stood() {
        let mut feed = Feed::starting_after(hlc(0), hlc(0));
        feed.forward(forward(5, Some((6, 5))));
        feed.forward(forward(9, None));
        assert_eq!(produced(&mut feed), ["far 0 to 5", "far beat 6", "far 5 to 9"]);
        // One over a gap, and one that later changes have overtaken.
        feed.forward(forward(9, Some((20, 15))));
        assert_eq!(produced(&mut feed), ["far beat 20"]);
        feed.forward(forward(15, Some((14, 8))));
        assert_eq!(produced(&mut feed), ["far 9 to 15"]);
    }

    #[test]
    fn what_is_known_is_passed_on_once_and_again_if_someone_lacks_it() {
        let mut feed = Feed::starting_after(hlc(0), hlc(0));
        feed.forward(forward(5, None));
        feed.forward(forward(5, None));
        assert_eq!(produced(&mut feed), ["far 0 to 5"]);
        let region = "far".parse().unwrap();
        feed.pass_on(PassOn { region, after: hlc(2), upto: hlc(5) });
        assert_eq!(produced(&mut feed), ["again 2 to 5"]);
    }

    #[test]
    fn the_end_of_a_log_tells_of_its_own_region_however_much_it_passes_on() {
        let mut feed = Feed::starting_after(hlc(0), hlc(0));
        feed.synced(Some(hlc(3)), Some(beat(4, 3)));
        assert_eq!(produced(&mut feed), ["own to 3", "own beat 4"]);
        feed.forward(forward(10, None));
        assert_eq!(produced(&mut feed), ["far 0 to 10"]);
        feed.forwarded(&"far".parse().unwrap(), hlc(10), SAID_AGAIN_AFTER - 1);
        feed.forward(forward(20, None));
        assert_eq!(produced(&mut feed), ["own beat 4", "far 10 to 20"]);
        feed.forward(forward(30, None));
        assert_eq!(produced(&mut feed), ["far 20 to 30"]);
    }

    #[test]
    fn own_and_others_take_turns() {
        let mut feed = Feed::starting_after(hlc(0), hlc(0));
        feed.forward(forward(5, None));
        feed.forward(Forward { region: "b".parse().unwrap(), ..forward(7, None) });
        feed.synced(Some(hlc(3)), Some(beat(4, 3)));
        let expected = ["b 0 to 7", "far 0 to 5", "own to 3", "own beat 4"];
        assert_eq!(produced(&mut feed), expected);
        feed.synced(Some(hlc(6)), None);
        feed.forward(forward(8, None));
        assert_eq!(produced(&mut feed), ["far 5 to 8", "own to 6"]);
    }
}
