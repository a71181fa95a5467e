//! The chain: what of another region's records is taken, and what of one's own is confirmed.
//!
//! Every record names the HLC of its region's previous change in the partition. So a receiver sees
//! at once whether it has missed one, however it was lost.

use std::collections::{BTreeMap, VecDeque};

use crate::{Heartbeat, Hlc, RegionId, VersionVector};

/// After how many heartbeats of a peer, without progress in what it has taken, it is fed again.
const STANDSTILL_HEARTBEATS: u8 = 3;

/// Each time that feeding a peer again has not helped, twice as many heartbeats are waited for, up to
/// so many: a peer that takes nothing for long must not be sent everything every few seconds.
const STANDSTILL_HEARTBEATS_MAX: u8 = 48;

/// After how many heartbeats of its own a region takes a peer for silent, if it heard nothing.
const SILENT_HEARTBEATS: u8 = 3;

/// What became of the records that were read of one region's partition. Each change that was
/// consumed is counted in exactly one of the others, or waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the words of FAULTS I4")]
pub struct LinkCounters {
    pub consumed: u64,
    pub applied: u64,
    pub duplicate: u64,
    pub gap: u64,
    pub quarantined: u64,
    pub dropped: u64,
    /// Apart from the changes.
    pub heartbeats: u64,
}

/// What a region knows of another region's chain in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Link {
    /// The last change taken: applied, or waiting on disk.
    pub taken: Hlc,
    /// The last heartbeat taken.
    pub heartbeat: Hlc,
    /// What became of what was read.
    pub counters: LinkCounters,
}

/// Whether a change is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeVerdict {
    /// It is the next of its chain.
    Taken,
    /// It was taken before.
    Duplicate,
    /// One before it is missing. It moves nothing, and will be sent again.
    Gap,
    /// The region contradicts what it said before: two writers, or an old disk. The link stops.
    Fork,
}

/// Whether a heartbeat is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatVerdict {
    /// It moves watermarks.
    Taken,
    /// A later one, or a later change, was taken before.
    Old,
    /// A change before it is missing: of what it says only what others have taken counts.
    Gap,
    /// As [`ChangeVerdict::Fork`].
    Fork,
}

impl Link {
    /// Up to where the region's changes are all taken.
    pub fn reached(&self) -> Hlc {
        self.taken.max(self.heartbeat)
    }

    /// Judges a change by its place in the chain.
    pub fn judge_change(&self, hlc: Hlc, prev: Hlc) -> ChangeVerdict {
        if hlc <= self.taken {
            ChangeVerdict::Duplicate
        } else if prev > self.taken {
            ChangeVerdict::Gap
        } else if prev < self.taken || hlc <= self.heartbeat {
            ChangeVerdict::Fork
        } else {
            ChangeVerdict::Taken
        }
    }

    /// Judges a heartbeat by its place in the chain.
    pub fn judge_heartbeat(&self, hlc: Hlc, prev: Hlc) -> HeartbeatVerdict {
        if prev > self.taken {
            HeartbeatVerdict::Gap
        } else if hlc <= self.reached() {
            HeartbeatVerdict::Old
        } else if prev < self.taken {
            HeartbeatVerdict::Fork
        } else {
            HeartbeatVerdict::Taken
        }
    }
}

/// What the last heartbeats of a peer said. Not kept on disk: it is heard again within a second.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) watermarks: VersionVector,
    pub(crate) taken: VersionVector,
    /// Heartbeats since `taken` of this region's own changes last moved.
    standing: u8,
    /// After how many it is fed again.
    patience: u8,
    /// Heartbeats of this region since the peer was last heard.
    silent: u8,
    /// Older heartbeats of the peer do not count as standing still: they were made while the peer
    /// could not be heard, or before it was fed again, and say nothing about now.
    counts_after: Hlc,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            watermarks: VersionVector::new(),
            taken: VersionVector::new(),
            standing: 0,
            patience: STANDSTILL_HEARTBEATS,
            silent: 0,
            counts_after: Hlc::ZERO,
        }
    }
}

/// The chains of one partition, as one region sees them: the others', which it reads, and its own.
#[derive(Clone, Debug)]
pub(crate) struct Chains {
    me: RegionId,
    pub(crate) links: BTreeMap<RegionId, Link>,
    pub(crate) heard: BTreeMap<RegionId, Heard>,
    /// This region's last change in the partition.
    pub(crate) own_change: Hlc,
    /// This region's last heartbeat in the partition.
    pub(crate) own_heartbeat: Hlc,
    /// Every region has taken this region's changes up to here; later ones are in the outbox.
    pub(crate) confirmed: Hlc,
    outstanding: VecDeque<Hlc>,
}

impl Chains {
    /// `regions` are all, this one included; `outstanding` is what the outbox holds, in order.
    pub(crate) fn new(me: RegionId, regions: &[RegionId], outstanding: Vec<Hlc>) -> Self {
        let peers = || regions.iter().filter(|region| **region != me).cloned();
        Self {
            links: peers().map(|region| (region, Link::default())).collect(),
            heard: peers().map(|region| (region, Heard::default())).collect(),
            me,
            own_change: Hlc::ZERO,
            own_heartbeat: Hlc::ZERO,
            confirmed: Hlc::ZERO,
            outstanding: outstanding.into(),
        }
    }

    pub(crate) fn me(&self) -> &RegionId {
        &self.me
    }

    /// Adds a change of this region to its chain; answers the change before it.
    pub(crate) fn append(&mut self, hlc: Hlc) -> Hlc {
        let prev = std::mem::replace(&mut self.own_change, hlc);
        self.outstanding.push_back(hlc);
        prev
    }

    /// Changes of this region that some region has not confirmed.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The regions that have not taken the oldest outstanding change.
    pub(crate) fn behind(&self) -> Vec<RegionId> {
        let Some(oldest) = self.outstanding.front() else { return Vec::new() };
        let behind = self.heard.iter().filter(|(_, heard)| heard.taken.get(&self.me) < *oldest);
        behind.map(|(region, _)| region.clone()).collect()
    }

    /// Reads what a heartbeat says of others. Answers the verdict, and from where on this region's
    /// changes are to be sent again.
    pub(crate) fn hear(&mut self, beat: &Heartbeat) -> (HeartbeatVerdict, Option<Hlc>) {
        let Some(link) = self.links.get_mut(&beat.region) else {
            return (HeartbeatVerdict::Old, None);
        };
        link.counters.heartbeats += 1;
        let verdict = link.judge_heartbeat(beat.hlc, beat.prev);
        let Some(heard) = self.heard.get_mut(&beat.region) else { return (verdict, None) };
        match verdict {
            HeartbeatVerdict::Old | HeartbeatVerdict::Fork => return (verdict, None),
            HeartbeatVerdict::Gap => {}
            HeartbeatVerdict::Taken => {
                link.heartbeat = beat.hlc;
                heard.watermarks.join(&beat.watermarks);
            }
        }
        heard.silent = 0;
        let before = heard.taken.get(&self.me);
        heard.taken.join(&beat.taken);
        let taken = heard.taken.get(&self.me);
        let behind = self.outstanding.back().is_some_and(|last| *last > taken);
        if !behind || taken != before {
            heard.standing = 0;
            heard.patience = STANDSTILL_HEARTBEATS;
        } else if beat.hlc > heard.counts_after {
            heard.standing += 1;
        }
        if heard.standing < heard.patience {
            return (verdict, None);
        }
        heard.standing = 0;
        heard.patience = (heard.patience * 2).min(STANDSTILL_HEARTBEATS_MAX);
        heard.counts_after = self.own_heartbeat;
        (verdict, Some(taken))
    }

    /// Makes a heartbeat of this region.
    pub(crate) fn beat(&mut self, hlc: Hlc, watermarks: VersionVector) -> Heartbeat {
        self.own_heartbeat = hlc;
        for heard in self.heard.values_mut() {
            heard.silent = heard.silent.saturating_add(1);
            if heard.silent >= SILENT_HEARTBEATS {
                heard.counts_after = hlc;
            }
        }
        let (region, prev, taken) = (self.me.clone(), self.own_change, self.taken());
        Heartbeat { region, hlc, prev, watermarks, taken }
    }

    /// Forgets the outstanding changes that every region has taken. Answers up to where, if that
    /// moved.
    pub(crate) fn confirm(&mut self) -> Option<Hlc> {
        let taken = self.heard.values().map(|heard| heard.taken.get(&self.me)).min();
        // A region alone has nobody to wait for.
        let taken = taken.unwrap_or(self.own_change).min(self.own_change);
        if taken <= self.confirmed {
            return None;
        }
        self.confirmed = taken;
        while self.outstanding.front().is_some_and(|hlc| *hlc <= taken) {
            self.outstanding.pop_front();
        }
        Some(taken)
    }

    /// For each region the last change taken of it; of this one, the last made.
    pub(crate) fn taken(&self) -> VersionVector {
        let mut taken: VersionVector =
            self.links.iter().map(|(region, link)| (region.clone(), link.taken)).collect();
        taken.raise(&self.me, self.own_change);
        taken
    }

    /// The highest HLC of any region in this partition, for the clock to start above.
    pub(crate) fn highest(&self) -> Hlc {
        let links = self.links.values().map(Link::reached);
        links.chain([self.own_change, self.own_heartbeat]).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    #[test]
    fn a_change_is_judged_by_its_place() {
        let link = Link { taken: hlc(10), heartbeat: hlc(15), ..Link::default() };
        for (at, prev, verdict) in [
            (20, 10, ChangeVerdict::Taken),
            (10, 5, ChangeVerdict::Duplicate),
            (7, 3, ChangeVerdict::Duplicate),
            (25, 20, ChangeVerdict::Gap),
            (14, 12, ChangeVerdict::Gap),
            (20, 9, ChangeVerdict::Fork),
            (15, 10, ChangeVerdict::Fork),
            (12, 10, ChangeVerdict::Fork),
        ] {
            assert_eq!(link.judge_change(hlc(at), hlc(prev)), verdict, "{at} after {prev}");
        }
    }

    #[test]
    fn a_heartbeat_is_judged_by_its_place() {
        let link = Link { taken: hlc(10), heartbeat: hlc(15), ..Link::default() };
        for (at, prev, verdict) in [
            (20, 10, HeartbeatVerdict::Taken),
            (15, 10, HeartbeatVerdict::Old),
            (9, 5, HeartbeatVerdict::Old),
            (30, 20, HeartbeatVerdict::Gap),
            (20, 5, HeartbeatVerdict::Fork),
        ] {
            assert_eq!(link.judge_heartbeat(hlc(at), hlc(prev)), verdict, "{at} after {prev}");
        }
    }

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    fn beat(at: u64, prev: u64, taken: u64) -> Heartbeat {
        let mut of_others = VersionVector::new();
        of_others.set(&region("a"), hlc(taken));
        Heartbeat {
            region: region("b"),
            hlc: hlc(at),
            prev: hlc(prev),
            watermarks: VersionVector::new(),
            taken: of_others,
        }
    }

    #[test]
    fn heartbeats_from_a_time_of_silence_count_for_nothing() {
        let mut chains = Chains::new(region("a"), &[region("a"), region("b")], Vec::new());
        chains.append(hlc(1));
        for at in [100, 200, 300] {
            chains.beat(hlc(at), VersionVector::new());
        }
        // The link heals; what the peer said in the meantime is read.
        assert!((250..=300).all(|at| chains.hear(&beat(at, 0, 0)).1.is_none()));
        let mut resent = |from: u64, upto: u64| -> Vec<u64> {
            (from..=upto).filter(|at| chains.hear(&beat(*at, 0, 0)).1.is_some()).collect()
        };
        // With more and more patience, as it does not help.
        let often = [303, 309, 321, 345, 393, 441, 489];
        assert_eq!(resent(301, 500), often);
    }

    #[test]
    fn what_stands_still_for_three_heartbeats_is_sent_again() {
        let mut chains = Chains::new(region("a"), &[region("a"), region("b")], Vec::new());
        assert_eq!((chains.append(hlc(1)), chains.append(hlc(2))), (hlc(0), hlc(1)));
        let mut at = 10;
        let mut hear = |chains: &mut Chains, prev, taken| {
            at += 1;
            chains.hear(&beat(at, prev, taken)).1
        };
        // The first heartbeat moves `taken` from unknown; the next three stand still.
        assert_eq!(hear(&mut chains, 0, 1), None);
        assert_eq!(chains.confirm(), Some(hlc(1)));
        assert_eq!((hear(&mut chains, 0, 1), hear(&mut chains, 0, 1)), (None, None));
        assert_eq!(hear(&mut chains, 0, 1), Some(hlc(1)));
        // What a heartbeat says over a gap counts for this.
        for _ in 0..5 {
            assert_eq!(hear(&mut chains, 5, 1), None);
        }
        assert_eq!(hear(&mut chains, 5, 1), Some(hlc(1)));
        assert_eq!((chains.behind(), chains.outstanding()), (vec![region("b")], 1));
        assert_eq!(hear(&mut chains, 5, 2), None);
        assert_eq!((chains.confirm(), chains.outstanding()), (Some(hlc(2)), 0));
        for _ in 0..9 {
            assert_eq!(hear(&mut chains, 0, 2), None);
        }
    }
}
