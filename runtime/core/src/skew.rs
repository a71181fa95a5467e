//! Whether a region's wall clock may be believed, by what its peers' clocks say.
//!
//! A clock that is far ahead would win every conflict, and would drag along the clocks of all who
//! hear it. So its region takes no local writes, and goes by its peers' time in what else it says,
//! until the clock is right again. What it hears of others is never refused for its clock.

use std::collections::BTreeMap;

use crate::planted::{self, Bug};
use crate::{Heartbeat, Hlc, RegionId};

/// A peer's time is taken to be so much less in each second in which nothing shows that it is not: more
/// than any clock drifts from another.
const DRIFT_MS: i64 = 1;

/// What is later than that shows nothing: a link that lags for an hour must not have this region's clock
/// look as if it were ahead.
const LATE_MS: i64 = 2_000;

/// A wall clock that shows so much less than before was set back. A clock that was set back by less
/// than [`LATE_MS`] is followed as one that drifts.
const SET_BACK_MS: i64 = 1_000;

/// While what is kept of a peer rises by more than this, its log is being caught up with.
const RISE_MS: i64 = 50;

/// What is heard first may have come so late though nothing stood before it: until now its topic was
/// made, for one.
const FIRST_LATE_MS: i64 = 5_000;

/// It has to stand for so long, by the steady clock, to be exact.
const SETTLES_AFTER_MS: u64 = 3_000;

/// Compares a region's wall clock with what it hears of its peers'.
///
/// Of each peer it keeps the furthest that its wall clock was ahead of this region's steady clock, which
/// neither jumps nor goes back: a heartbeat that was on its way for long says too little, and never too
/// much. So a link that is cut, and a backlog that is read after it, change nothing.
///
/// It is the peers' wall clocks that are compared, and not their HLCs: those follow the furthest that
/// was ever heard, so a clock that is ahead would meet its own time in them and be believed.
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
    /// By how much its wall clock is ahead of the steady clock.
    ahead_ms: i64,
    /// The last heartbeat that was heard, and what it said.
    last: Hlc,
    wall_ms: i64,
    /// When that was, by the steady clock.
    last_ms: u64,
    /// When it was first heard, by the steady clock.
    first_ms: u64,
    /// Its link was read to where it ended at the start. Before that nothing it says is about now.
    caught_up: bool,
    /// What was read then had been on its way for so long at most: `ahead_ms` may be too little by
    /// that, until it is settled.
    slack_ms: i64,
    /// What `ahead_ms` was when it last rose by much, and when that was.
    risen: (i64, u64),
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
        match self.peers.get_mut(&beat.region) {
            Some(peer) => peer.hear(beat, steady_ms),
            None => drop(self.peers.insert(beat.region.clone(), Peer::new(beat, steady_ms))),
        }
    }

    /// What was last heard of the peer was put into its log since the start.
    pub fn caught_up(&mut self, peer: &RegionId) {
        if let Some(peer) = self.peers.get_mut(peer).filter(|peer| !peer.caught_up) {
            peer.caught_up = true;
            let caught_up_in = signed(peer.last_ms.saturating_sub(peer.first_ms));
            peer.slack_ms = caught_up_in.max(FIRST_LATE_MS);
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
        let (Some(bound_ms), Some(reference_ms)) = (self.bound_ms, self.reference_ms(steady_ms))
        else {
            return ClockVerdict::Fine;
        };
        let at_most = self.median(|peer| peer.ahead_ms.saturating_add(peer.slack_ms));
        let at_most = at_most.map_or(i64::MAX, |ms| ms.saturating_add(signed(bound_ms)));
        if signed(wall_ms).saturating_sub(signed(steady_ms)) <= at_most {
            return ClockVerdict::Fine;
        }
        ClockVerdict::Ahead { by_ms: wall_ms.saturating_sub(reference_ms), reference_ms }
    }

    /// Over the peers that count. Of an even number the later of the two in the middle: where there
    /// is a doubt, a region goes on.
    fn median(&self, of: impl Fn(&Peer) -> i64) -> Option<i64> {
        let counts = |peer: &&Peer| peer.caught_up || planted::is(Bug::BacklogIsNow);
        let counted = self.peers.values().filter(counts);
        let mut all: Vec<i64> = counted.map(of).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }
}

impl Peer {
    fn new(beat: &Heartbeat, steady_ms: u64) -> Self {
        let wall_ms = signed(beat.wall_ms);
        let ahead_ms = wall_ms.saturating_sub(signed(steady_ms));
        Self {
            ahead_ms,
            last: beat.hlc,
            wall_ms,
            last_ms: steady_ms,
            first_ms: steady_ms,
            caught_up: false,
            slack_ms: 0,
            risen: (ahead_ms, steady_ms),
        }
    }

    fn hear(&mut self, beat: &Heartbeat, steady_ms: u64) {
        // It was heard before, or comes from a partition that is read later.
        if beat.hlc <= self.last {
            return;
        }
        let wall_ms = signed(beat.wall_ms);
        let says_ms = wall_ms.saturating_sub(signed(steady_ms));
        let late_ms = self.ahead_ms.saturating_sub(says_ms);
        let was_set_back = self.wall_ms.saturating_sub(wall_ms) > SET_BACK_MS;
        if late_ms <= 0 || was_set_back || planted::is(Bug::LastClockCounts) {
            self.ahead_ms = says_ms;
        } else if late_ms <= LATE_MS && self.last_ms / 1000 != steady_ms / 1000 {
            self.ahead_ms -= late_ms.min(DRIFT_MS);
        }
        if self.ahead_ms.saturating_sub(self.risen.0) > RISE_MS || was_set_back {
            self.risen = (self.ahead_ms, steady_ms);
        } else if steady_ms.saturating_sub(self.risen.1) >= SETTLES_AFTER_MS {
            self.slack_ms = 0;
        }
        (self.last, self.wall_ms, self.last_ms) = (beat.hlc, wall_ms, steady_ms);
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
    use crate::{Clock, Evidence, VersionVector};
    use proptest::prelude::*;

    const BOUND_MS: u64 = 500;
    const HOUR_MS: u64 = 3_600_000;
    const YEAR_MS: u64 = 365 * 24 * HOUR_MS;
    /// The true time when the steady clock shows nothing.
    const EPOCH_MS: u64 = 1_767_225_600_000;

    fn region(number: usize) -> RegionId {
        format!("r{number}").parse().unwrap()
    }

    fn beat(region: RegionId, hlc: Hlc, wall_ms: u64) -> Heartbeat {
        let (watermarks, taken) = (VersionVector::new(), VersionVector::new());
        let evidence = Evidence::default();
        let prev = Hlc::ZERO;
        Heartbeat { region, hlc, prev, watermarks, taken, evidence, wall_ms }
    }

    /// A heartbeat of a region whose clock shows this, and whose HLC is no later.
    fn says(region: RegionId, ms: u64) -> Heartbeat {
        beat(region, Hlc::new(ms, 0).unwrap(), ms)
    }

    fn check() -> ClockCheck {
        ClockCheck::new(Some(BOUND_MS))
    }

    fn hear(check: &mut ClockCheck, beat: &Heartbeat, steady_ms: u64) {
        check.hear(beat, steady_ms);
        check.caught_up(&beat.region);
    }

    fn is_fine(check: &ClockCheck, wall_ms: u64, steady_ms: u64) -> bool {
        check.judge(wall_ms, steady_ms) == ClockVerdict::Fine
    }

    /// Hears a peer whose clock is right, once a second and without delay, until that is exact.
    fn settle(check: &mut ClockCheck, peer: &RegionId) {
        for steady_ms in (0..=SETTLES_AFTER_MS).step_by(1000) {
            hear(check, &says(peer.clone(), EPOCH_MS + steady_ms), steady_ms);
        }
    }

    #[test]
    fn the_bound_is_exact_after_some_seconds() {
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
        hear(&mut unbound, &says(region(1), EPOCH_MS), 0);
        assert!(is_fine(&unbound, EPOCH_MS + YEAR_MS, 5_000));
        assert_eq!(unbound.reference_ms(5_000), Some(EPOCH_MS + 5_000));
    }

    #[test]
    fn the_first_record_may_be_late_and_so_may_later_ones() {
        let mut check = check();
        hear(&mut check, &says(region(1), EPOCH_MS), 4_000);
        assert!(is_fine(&check, EPOCH_MS + 4_000, 4_000));
        assert!(!is_fine(&check, EPOCH_MS + 30_000, 4_000), "that is no delay");
        hear(&mut check, &says(region(1), EPOCH_MS + 4_000), 4_010);
        for second in 5..8 {
            hear(&mut check, &says(region(1), EPOCH_MS + second * 1000), second * 1000 + 10);
        }
        assert!(!is_fine(&check, EPOCH_MS + 7_000 + BOUND_MS + 1, 7_010), "it is settled");
        assert!(is_fine(&check, EPOCH_MS + 7_010, 7_010));
        hear(&mut check, &says(region(1), EPOCH_MS + 2000), 50_000);
        assert!(is_fine(&check, EPOCH_MS + 50_000, 50_000));
    }

    /// A region that starts with an hour of others' changes to read, its clock right.
    #[test]
    fn a_backlog_is_no_reason_to_doubt_a_clock_however_long_it_takes() {
        let mut check = check();
        let (started, peer) = (HOUR_MS, region(1));
        // Ten times as fast as it was made; what was made meanwhile after it.
        let mut said = 0;
        for tenth in 1..5_000 {
            let now = started + tenth * 100;
            while said + 1000 <= (tenth * 1000).min(now) {
                said += 1000;
                check.hear(&says(peer.clone(), EPOCH_MS + said), now);
                if said > started {
                    check.caught_up(&peer);
                }
            }
            assert!(is_fine(&check, EPOCH_MS + now, now), "after {tenth} tenths");
        }
        let now = started + 500_000;
        assert!(!is_fine(&check, EPOCH_MS + now + BOUND_MS + 1, now), "it is settled");
    }

    #[test]
    fn a_link_that_lags_for_long_is_no_reason_to_doubt_a_clock() {
        let mut check = check();
        hear(&mut check, &says(region(1), EPOCH_MS), 0);
        for second in 1..7_200 {
            let (said, now) = (EPOCH_MS + second * 1000, second * 1000 + 5_000);
            hear(&mut check, &says(region(1), said), now);
            assert!(is_fine(&check, EPOCH_MS + now, now), "after {second} seconds");
        }
    }

    #[test]
    fn the_later_half_decides_and_who_is_gone_has_no_voice() {
        let mut check = check();
        for (number, wall) in [EPOCH_MS, EPOCH_MS + YEAR_MS].into_iter().enumerate() {
            hear(&mut check, &says(region(number), wall), 0);
        }
        assert!(is_fine(&check, EPOCH_MS + YEAR_MS, 0));
        check.forget(&region(1));
        assert!(!is_fine(&check, EPOCH_MS + YEAR_MS, 0));
    }

    /// What a region that is ahead says comes back to it in its peers' HLCs, and must not be taken for
    /// their time, however little it is.
    #[test]
    fn a_region_that_is_ahead_does_not_believe_itself_by_its_echo() {
        for ahead_ms in [BOUND_MS + 1, 30_000, YEAR_MS] {
            let (peer, its_clock) = (region(1), Clock::starting_after(Hlc::ZERO));
            let (mut check, clock) = (check(), Clock::starting_after(Hlc::ZERO));
            // Before it has heard anybody it goes by its own clock, and is heard.
            its_clock.observe(clock.tick(EPOCH_MS + ahead_ms).unwrap());
            for tenth in 0..36_000 {
                let (steady, now) = (tenth * 100, EPOCH_MS + tenth * 100);
                hear(&mut check, &beat(peer.clone(), its_clock.tick(now).unwrap(), now), steady);
                let goes_by = match check.judge(now + ahead_ms, steady) {
                    ClockVerdict::Ahead { reference_ms, .. } => reference_ms,
                    ClockVerdict::Fine if steady <= SETTLES_AFTER_MS => now + ahead_ms,
                    ClockVerdict::Fine => panic!("{ahead_ms} ms are believed after {steady} ms"),
                };
                its_clock.observe(clock.tick(goes_by).unwrap());
            }
            let furthest = EPOCH_MS + ahead_ms.max(HOUR_MS);
            assert!(its_clock.last().millis() < furthest + 10, "{}", its_clock.last());
        }
    }

    /// Two machines slept, or their clocks were set at once: neither is the other's measure by what it
    /// was before.
    #[test]
    fn clocks_that_were_set_together_believe_each_other_again() {
        let regions = [region(0), region(1)];
        let mut checks = [check(), check()];
        hear(&mut checks[0], &says(regions[1].clone(), EPOCH_MS), 0);
        hear(&mut checks[1], &says(regions[0].clone(), EPOCH_MS), 0);
        let (wall, steady) = (EPOCH_MS + HOUR_MS, 6_000);
        let mut beats = Vec::new();
        for (region, check) in regions.iter().zip(&checks) {
            let ClockVerdict::Ahead { reference_ms, .. } = check.judge(wall, steady) else {
                panic!("an hour is too much at first");
            };
            beats.push(beat(region.clone(), Hlc::new(reference_ms, 0).unwrap(), wall));
        }
        hear(&mut checks[0], &beats[1], steady);
        hear(&mut checks[1], &beats[0], steady);
        assert!(checks.iter().all(|check| is_fine(check, wall, steady)));
    }

    #[test]
    fn a_clock_that_was_set_back_is_no_measure_by_what_it_was() {
        let mut check = check();
        hear(&mut check, &says(region(1), EPOCH_MS + HOUR_MS), 0);
        // Its HLC does not go back.
        let dragged = Hlc::new(EPOCH_MS + HOUR_MS, 1).unwrap();
        hear(&mut check, &beat(region(1), dragged, EPOCH_MS + 1000), 1000);
        assert_eq!(check.reference_ms(1000), Some(EPOCH_MS + 1000));
        // What was heard before, from another partition or once more, says nothing new.
        hear(&mut check, &says(region(1), EPOCH_MS + HOUR_MS), 1000);
        assert_eq!(check.reference_ms(1000), Some(EPOCH_MS + 1000));
    }

    /// Nobody sets a clock that goes too fast by 200 parts in a million, so the steady one does too.
    #[test]
    fn a_clock_that_drifts_is_noticed() {
        let mut check = check();
        let drifted = |second: u64| second * 1000 + second / 5;
        for second in 0..=3000 {
            hear(&mut check, &says(region(1), EPOCH_MS + second * 1000), drifted(second));
            // It is 500 ms ahead after 2,500 seconds.
            let is_fine = is_fine(&check, EPOCH_MS + drifted(second), drifted(second));
            assert_eq!(is_fine, second < 2505, "after {second} seconds");
        }
    }

    proptest! {
        #[test]
        fn a_clock_that_is_right_is_believed_from_the_first_prompt_record_on_whatever_the_delays(
            // For each peer: how late each second's record is, and which one comes at once.
            peers in prop::collection::vec(
                (prop::collection::vec(0..50_000u64, 5..40), any::<prop::sample::Index>()), 1..6),
            // What is taken off in so many seconds is less than the rest.
            off_ms in 0..=BOUND_MS - 100,
            cut_ms in 0..YEAR_MS,
        ) {
            let mut check = check();
            let mut heard: Vec<(u64, usize, u64)> = Vec::new();
            let mut all_were_prompt = 0;
            for (number, (delays, prompt)) in peers.iter().enumerate() {
                let prompt = prompt.index(delays.len());
                all_were_prompt = all_were_prompt.max(prompt as u64 * 1000);
                for (second, delay) in delays.iter().enumerate() {
                    let delay = if second == prompt { 0 } else { *delay };
                    let said = second as u64 * 1000;
                    heard.push((said + delay, number, said));
                }
            }
            heard.sort_unstable();
            let mut last = all_were_prompt;
            for (steady, number, said) in heard {
                hear(&mut check, &says(region(number), EPOCH_MS + said), steady);
                if steady > all_were_prompt {
                    prop_assert!(is_fine(&check, EPOCH_MS + steady + off_ms, steady));
                }
                last = last.max(steady);
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
        fn a_clock_that_is_ahead_is_refused_once_most_peers_were_heard(
            count in 1..9usize,
            delays in prop::collection::vec(0..60_000u64, 9),
            wrong in prop::collection::vec(-1_000_000_000i64..2_000_000_000_000, 4),
            steady in 60_000..YEAR_MS,
            ahead_ms in BOUND_MS + 1..YEAR_MS,
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
                hear(&mut check, &says(region(number), said), steady);
            }
            let now = EPOCH_MS + steady;
            match check.judge(now + ahead_ms, steady) {
                ClockVerdict::Fine => prop_assert!(false, "{ahead_ms} ms ahead, and believed"),
                ClockVerdict::Ahead { reference_ms, .. } => {
                    prop_assert!((now - 60_000..=now).contains(&reference_ms));
                }
            }
        }
    }
}
