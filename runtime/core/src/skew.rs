//! Whether a region's wall clock may be believed, by what its peers' clocks say.
//!
//! A clock that is far ahead would win every conflict, and would drag along the clocks of all who
//! hear it. So its region takes no local writes, and goes by its peers' time in what else it says,
//! until the clock is right again. What it hears of others is never refused for its clock.

use std::collections::BTreeMap;

use crate::planted::{self, Bug};
use crate::{Heartbeat, RegionId};

/// In so many different seconds a peer is to be heard before its time is taken to the millisecond:
/// one record alone may have been on its way for long.
const SETTLED_SECONDS: u8 = 5;

/// How far a peer's time may lie behind before that. No clock that is wrong by a time zone gets by.
const UNSETTLED_MS: i64 = 60_000;

/// Compares a region's wall clock with what it hears of its peers.
///
/// Of each peer it keeps the furthest that it was ahead of this region's steady clock, which neither
/// jumps nor goes back: a heartbeat that was on its way for long says too little, and never too much.
/// So a link that is cut, and a backlog that is read after it, change nothing.
///
/// A peer's time is its HLC, or its wall clock where it says that it does not believe that: it may
/// be right all the same, and if all only followed each other no clock would count ever again.
///
/// What the caller owes: what it shows was read in the peer's own log, at the moment that it says.
#[derive(Clone, Debug, Default)]
pub struct ClockCheck {
    /// How far ahead the wall clock may be; none: it is always believed.
    bound_ms: Option<u64>,
    peers: BTreeMap<RegionId, Peer>,
}

#[derive(Clone, Debug)]
struct Peer {
    /// By how much it was ahead of the steady clock, at most, since it believes its wall clock, or
    /// does not.
    ahead_ms: i64,
    believes: bool,
    /// Its link was read to its end since the start: only then what it says is about now.
    caught_up: bool,
    /// In so many seconds it was heard since then, up to [`SETTLED_SECONDS`].
    seconds: u8,
    /// The last of them.
    second: Option<u64>,
}

/// What a wall clock is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockVerdict {
    /// It may be believed, or there is nobody to compare it with.
    Fine,
    /// It is too far ahead.
    Ahead {
        /// By how many milliseconds.
        by_ms: u64,
        /// What to go by instead: the peers' time, in milliseconds since 1970.
        reference_ms: u64,
    },
}

impl ClockCheck {
    /// A wall clock may be so far ahead of the peers; with none it is always believed.
    pub fn new(bound_ms: Option<u64>) -> Self {
        Self { bound_ms, peers: BTreeMap::new() }
    }

    /// A heartbeat of a peer was read when the steady clock showed this.
    pub fn hear(&mut self, beat: &Heartbeat, steady_ms: u64) {
        let says_ms = signed(beat.hlc.millis()).saturating_add(signed(beat.clock_ahead_ms));
        let (ahead_ms, believes) =
            (says_ms.saturating_sub(signed(steady_ms)), beat.clock_ahead_ms == 0);
        let new = Peer { ahead_ms, believes, caught_up: false, seconds: 0, second: None };
        let peer = self.peers.entry(beat.region.clone()).or_insert_with(|| new.clone());
        if peer.believes != believes {
            *peer = Peer { caught_up: peer.caught_up, ..new };
        }
        if ahead_ms > peer.ahead_ms || planted::is(Bug::LastClockCounts) {
            peer.ahead_ms = ahead_ms;
        }
        let second = Some(steady_ms / 1000);
        if peer.caught_up && peer.second != second {
            peer.second = second;
            peer.seconds = peer.seconds.saturating_add(1).min(SETTLED_SECONDS);
        }
    }

    /// What was last heard of the peer was put into its log since the start.
    pub fn caught_up(&mut self, peer: &RegionId) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.caught_up = true;
        }
    }

    /// The region is no peer any more.
    pub fn forget(&mut self, peer: &RegionId) {
        self.peers.remove(peer);
    }

    /// The peers' time, in milliseconds since 1970: the median of what they last said, carried forward.
    /// None: no link was read to its end yet.
    pub fn reference_ms(&self, steady_ms: u64) -> Option<u64> {
        let ahead_ms = self.median(|peer| peer.ahead_ms)?;
        Some(unsigned(ahead_ms.saturating_add(signed(steady_ms))))
    }

    /// Whether the wall clock may be believed.
    pub fn judge(&self, wall_ms: u64, steady_ms: u64) -> ClockVerdict {
        let (Some(bound), Some(reference_ms)) = (self.bound_ms, self.reference_ms(steady_ms))
        else {
            return ClockVerdict::Fine;
        };
        let at_most = |peer: &Peer| match peer.seconds < SETTLED_SECONDS {
            true => peer.ahead_ms.saturating_add(UNSETTLED_MS),
            false => peer.ahead_ms,
        };
        let ahead_ms = signed(wall_ms).saturating_sub(signed(steady_ms));
        let at_most = self.median(at_most).unwrap_or(i64::MAX).saturating_add(signed(bound));
        if ahead_ms <= at_most {
            return ClockVerdict::Fine;
        }
        ClockVerdict::Ahead { by_ms: wall_ms.saturating_sub(reference_ms), reference_ms }
    }

    /// Over the peers that count. Of an even number the later of the two in the middle: where there
    /// is a doubt, a region goes on.
    fn median(&self, of: impl Fn(&Peer) -> i64) -> Option<i64> {
        let counts = |peer: &&Peer| peer.caught_up || planted::is(Bug::BacklogIsNow);
        let mut all: Vec<i64> = self.peers.values().filter(counts).map(of).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Evidence, Hlc, VersionVector};
    use proptest::prelude::*;

    const BOUND_MS: u64 = 500;
    const YEAR_MS: u64 = 365 * 24 * 3_600_000;
    /// The true time when the steady clock shows nothing.
    const EPOCH_MS: u64 = 1_767_225_600_000;

    fn region(number: usize) -> RegionId {
        format!("r{number}").parse().unwrap()
    }

    fn beat(region: RegionId, hlc: Hlc, clock_ahead_ms: u64) -> Heartbeat {
        let (watermarks, taken) = (VersionVector::new(), VersionVector::new());
        let evidence = Evidence::default();
        let prev = Hlc::ZERO;
        Heartbeat { region, hlc, prev, watermarks, taken, evidence, clock_ahead_ms }
    }

    /// A heartbeat of a region that says what time it is.
    fn says(region: RegionId, ms: u64) -> Heartbeat {
        beat(region, Hlc::new(ms, 0).unwrap(), 0)
    }

    fn check() -> ClockCheck {
        ClockCheck::new(Some(BOUND_MS))
    }

    /// Hears a peer whose clock is right once a second, without delay, until it counts in full.
    fn settle(check: &mut ClockCheck, peer: &RegionId) {
        for second in 0..=u64::from(SETTLED_SECONDS) {
            check.hear(&says(peer.clone(), EPOCH_MS + second * 1000), second * 1000);
            check.caught_up(peer);
        }
    }

    fn is_fine(check: &ClockCheck, wall_ms: u64, steady_ms: u64) -> bool {
        check.judge(wall_ms, steady_ms) == ClockVerdict::Fine
    }

    #[test]
    fn the_bound_is_exact_once_a_peer_is_settled() {
        let mut check = check();
        settle(&mut check, &region(1));
        let now = EPOCH_MS + 60_000;
        assert_eq!(check.reference_ms(60_000), Some(now));
        assert!(is_fine(&check, now + BOUND_MS, 60_000));
        let ahead = ClockVerdict::Ahead { by_ms: BOUND_MS + 1, reference_ms: now };
        assert_eq!(check.judge(now + BOUND_MS + 1, 60_000), ahead);
        assert!(is_fine(&check, now - YEAR_MS, 60_000), "who is behind wins nothing");
    }

    #[test]
    fn nobody_to_compare_with_and_no_bound_believe_every_clock() {
        let mut backlog = check();
        backlog.hear(&says(region(1), EPOCH_MS - YEAR_MS), 10);
        assert_eq!(backlog.reference_ms(10), None);
        assert!(is_fine(&backlog, EPOCH_MS, 10) && is_fine(&check(), EPOCH_MS, 10));
        let mut unbound = ClockCheck::new(None);
        settle(&mut unbound, &region(1));
        assert!(is_fine(&unbound, EPOCH_MS + YEAR_MS, 5_000));
        assert_eq!(unbound.reference_ms(5_000), Some(EPOCH_MS + 5_000));
    }

    #[test]
    fn one_late_record_is_no_measure() {
        let mut check = check();
        let late_ms = 10_000;
        check.hear(&says(region(1), EPOCH_MS), late_ms);
        check.caught_up(&region(1));
        assert!(is_fine(&check, EPOCH_MS + late_ms, late_ms));
        assert!(!is_fine(&check, EPOCH_MS + 3_600_000, late_ms), "an hour is no delay");
    }

    #[test]
    fn the_later_half_decides_and_who_is_gone_has_no_voice() {
        let mut check = check();
        for (number, wall) in [EPOCH_MS, EPOCH_MS + YEAR_MS].into_iter().enumerate() {
            check.hear(&says(region(number), wall), 0);
            check.caught_up(&region(number));
        }
        assert!(is_fine(&check, EPOCH_MS + YEAR_MS, 0));
        check.forget(&region(1));
        assert!(!is_fine(&check, EPOCH_MS + YEAR_MS, 0));
    }

    /// What a region that is ahead says comes back to it from its peers, and must not be taken for
    /// their time.
    #[test]
    fn a_region_that_is_ahead_does_not_drag_its_peers_along() {
        let (peer, its_clock) = (region(1), Clock::starting_after(Hlc::ZERO));
        let (mut check, clock) = (check(), Clock::starting_after(Hlc::ZERO));
        for tenth in 0..36_000 {
            let (steady, now) = (tenth * 100, EPOCH_MS + tenth * 100);
            check.hear(&beat(peer.clone(), its_clock.tick(now).unwrap(), 0), steady);
            check.caught_up(&peer);
            let ClockVerdict::Ahead { reference_ms, .. } = check.judge(now + YEAR_MS, steady)
            else {
                panic!("the clock is believed after {steady} ms");
            };
            its_clock.observe(clock.tick(reference_ms).unwrap());
        }
        let an_hour_later = EPOCH_MS + 3_600_000;
        assert!(its_clock.last().millis() < an_hour_later + 10, "{}", its_clock.last());
    }

    /// Two machines slept, or their clocks were set at once: neither is the other's measure by what it
    /// was before.
    #[test]
    fn clocks_that_were_set_together_believe_each_other_again() {
        let regions = [region(0), region(1)];
        let mut checks = [check(), check()];
        settle(&mut checks[0], &regions[1]);
        settle(&mut checks[1], &regions[0]);
        let (wall, steady) = (EPOCH_MS + 3_600_000, 6_000);
        let mut beats = Vec::new();
        for (region, check) in regions.iter().zip(&checks) {
            let ClockVerdict::Ahead { by_ms, reference_ms } = check.judge(wall, steady) else {
                panic!("an hour is too much at first");
            };
            beats.push(beat(region.clone(), Hlc::new(reference_ms, 0).unwrap(), by_ms));
        }
        checks[0].hear(&beats[1], steady);
        checks[1].hear(&beats[0], steady);
        assert!(checks.iter().all(|check| is_fine(check, wall, steady)));
        // What one of them said while it did not believe itself is no measure once it does.
        checks[0].hear(&says(regions[1].clone(), EPOCH_MS + steady), steady);
        assert_eq!(checks[0].reference_ms(steady), Some(EPOCH_MS + steady));
    }

    proptest! {
        #[test]
        fn a_clock_within_the_bound_is_never_refused_whatever_the_delays(
            // For each peer: how late each second's record is, and which of the first comes at once.
            peers in prop::collection::vec(
                (prop::collection::vec(0..50_000u64, 5..40), any::<prop::sample::Index>()), 1..6),
            off_ms in 0..=BOUND_MS,
            cut_ms in 0..YEAR_MS,
        ) {
            let mut check = check();
            let mut heard: Vec<(u64, usize, u64)> = Vec::new();
            for (number, (delays, prompt)) in peers.iter().enumerate() {
                let prompt = prompt.index(usize::from(SETTLED_SECONDS - 1));
                for (second, delay) in delays.iter().enumerate() {
                    let delay = if second == prompt { 0 } else { *delay };
                    let said = second as u64 * 1000;
                    heard.push((said + delay, number, said));
                }
            }
            heard.sort_unstable();
            let mut last = 0;
            for (steady, number, said) in heard {
                check.hear(&says(region(number), EPOCH_MS + said), steady);
                check.caught_up(&region(number));
                last = steady;
                prop_assert!(is_fine(&check, EPOCH_MS + steady + off_ms, steady));
            }
            // All links are cut for long, and then what was said meanwhile is read at once.
            let healed = last + cut_ms;
            prop_assert!(is_fine(&check, EPOCH_MS + healed + off_ms, healed));
            for number in 0..peers.len() {
                for said in (last..=healed).step_by(1 + cut_ms as usize / 50) {
                    check.hear(&says(region(number), EPOCH_MS + said), healed);
                    prop_assert!(is_fine(&check, EPOCH_MS + healed + off_ms, healed));
                }
            }
        }

        #[test]
        fn a_clock_that_is_a_year_ahead_is_refused_once_most_peers_were_heard(
            count in 1..9usize,
            delays in prop::collection::vec(0..60_000u64, 9),
            wrong in prop::collection::vec(-1_000_000_000i64..2_000_000_000_000, 4),
            steady in 60_000..YEAR_MS,
        ) {
            let mut check = check();
            // Most are right, and the others say what they like.
            let right = count / 2 + 1;
            for (number, delay) in delays.iter().take(count).enumerate() {
                let now = EPOCH_MS + steady - delay;
                let said = if number < right {
                    now
                } else {
                    now.saturating_add_signed(wrong[number - right])
                };
                check.hear(&says(region(number), said), steady);
                check.caught_up(&region(number));
            }
            let now = EPOCH_MS + steady;
            match check.judge(now + YEAR_MS, steady) {
                ClockVerdict::Fine => prop_assert!(false, "a year ahead, and believed"),
                ClockVerdict::Ahead { reference_ms, .. } => {
                    prop_assert!((now - 60_000..=now).contains(&reference_ms));
                }
            }
        }
    }
}
