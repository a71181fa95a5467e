//! Hybrid logical clocks: 48 bits of milliseconds since 1970, 16 bits of counter, in one `u64`.
//!
//! After Kulkarni et al., "Logical Physical Clocks" (2014): the physical part stays close to the
//! wall clock, the counter orders what happens within a millisecond or while the wall stands still.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// A moment as one region's clock told it. Unique within the region; [`crate::ChangeId`] is unique
/// everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(u64);

/// Why a text or a number is no HLC.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidHlc {
    /// Not `"<milliseconds>.<counter, 5 digits>"`.
    #[error("an HLC is \"<milliseconds>.<counter, 5 digits>\", not {0:?}")]
    Syntax(String),
    /// Beyond [`Hlc::MAX`]. One such record could end all writes, so it is malformed everywhere.
    #[error("HLC {0} ms is beyond the year 2200")]
    BeyondBound(u64),
}

impl Hlc {
    /// Before the first: what `prev` says where there is none.
    pub const ZERO: Hlc = Hlc(0);
    /// The last valid HLC: the end of the year 2199 (UTC), with every counter.
    pub const MAX: Hlc = Hlc((7_258_118_400_000 - 1) << 16 | 0xffff);

    /// From milliseconds since 1970 and a counter.
    pub fn new(millis: u64, counter: u16) -> Result<Self, InvalidHlc> {
        if millis > Self::MAX.millis() {
            return Err(InvalidHlc::BeyondBound(millis));
        }
        Ok(Self(millis << 16 | u64::from(counter)))
    }

    /// From the 64 bits that stand inside records and in the WIT.
    pub fn from_bits(bits: u64) -> Result<Self, InvalidHlc> {
        if bits > Self::MAX.0 { Err(InvalidHlc::BeyondBound(bits >> 16)) } else { Ok(Self(bits)) }
    }

    /// The 64 bits: milliseconds << 16 | counter.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// Orders what happened within one millisecond.
    pub const fn counter(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// The HLC just before this one; [`Hlc::ZERO`] has none and answers itself.
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// True before the first.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Hlc {
    /// 13 digits of milliseconds and 5 of counter: in the order of its characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0.00000");
        }
        write!(f, "{:013}.{:05}", self.millis(), self.counter())
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Hlc {
    type Err = InvalidHlc;

    fn from_str(text: &str) -> Result<Self, InvalidHlc> {
        let syntax = || InvalidHlc::Syntax(text.chars().take(64).collect());
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let (millis, counter) = text.split_once('.').ok_or_else(syntax)?;
        if !digits(millis) || millis.len() > 15 || !digits(counter) || counter.len() != 5 {
            return Err(syntax());
        }
        let millis = millis.parse().map_err(|_| syntax())?;
        let counter = counter.parse().map_err(|_| syntax())?;
        Self::new(millis, counter)
    }
}

/// The one clock of a node. It never goes back, also not over restarts, as it is started above
/// every HLC on disk, and runs ahead of every HLC received.
///
/// Where a region has several nodes, each draws only HLCs of its own place: those of which the
/// remainder by [`NODES_MAX`] is that. A change is known by its region and its HLC, so no two nodes
/// of a region may ever draw the same.
#[derive(Debug)]
pub struct Clock {
    /// The highest HLC drawn or observed.
    last: AtomicU64,
    /// From one HLC of this clock to the next.
    stride: u64,
    /// Their remainder by the stride.
    place: u64,
}

/// So many nodes a region may have: 4,096 HLCs of each millisecond are left for each of them.
pub const NODES_MAX: usize = 16;

/// The clock has reached [`Hlc::MAX`]; no more local writes can be stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the clock has reached the year 2200")]
pub struct ClockExhausted;

impl Clock {
    /// Starts above `last`, the highest HLC on disk.
    pub fn starting_after(last: Hlc) -> Self {
        Self { last: AtomicU64::new(last.bits()), stride: 1, place: 0 }
    }

    /// The same, of a node that shares its region with others, each with a place of its own below
    /// [`NODES_MAX`]; what is beyond that counts from 0 again.
    #[must_use]
    pub fn at_place(self, place: usize) -> Self {
        let stride = NODES_MAX as u64;
        Self { stride, place: place as u64 % stride, ..self }
    }

    /// A new HLC, above every earlier one and every one observed. `wall_ms` is the wall clock; where
    /// it stands still or goes back, the counter counts on.
    pub fn tick(&self, wall_ms: u64) -> Result<Hlc, ClockExhausted> {
        let wall = wall_ms.min(Hlc::MAX.millis()) << 16;
        let next = |last: u64| {
            let least = wall.max(last + 1);
            let ahead = (self.stride + self.place - least % self.stride) % self.stride;
            Some(least + ahead).filter(|next| *next <= Hlc::MAX.0)
        };
        match self.last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) {
            // The same as was stored.
            Ok(last) => next(last).map(Hlc).ok_or(ClockExhausted),
            Err(_) => Err(ClockExhausted),
        }
    }

    /// Moves the clock past an HLC that was received.
    pub fn observe(&self, seen: Hlc) {
        self.last.fetch_max(seen.bits(), Ordering::SeqCst);
    }

    /// The highest HLC drawn or observed.
    pub fn last(&self) -> Hlc {
        Hlc(self.last.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_as_the_contract_says() {
        let hlc = Hlc::new(1_795_203_212_955, 3).unwrap();
        assert_eq!(hlc.to_string(), "1795203212955.00003");
        assert_eq!("1795203212955.00003".parse(), Ok(hlc));
        assert_eq!(Hlc::ZERO.to_string(), "0.00000");
        assert_eq!("0.00000".parse(), Ok(Hlc::ZERO));
        for bad in
            ["", "1", "1.3", "1.000003", "-1.00000", "1.0000x", "+1.00000", "1.99999", " 1.00000"]
        {
            assert!(bad.parse::<Hlc>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_year_2200_is_malformed() {
        assert!(Hlc::new(7_258_118_399_999, u16::MAX).is_ok());
        assert!(matches!(Hlc::new(7_258_118_400_000, 0), Err(InvalidHlc::BeyondBound(_))));
        assert!(Hlc::from_bits(u64::MAX).is_err());
        assert!("7258118400000.00000".parse::<Hlc>().is_err());
    }

    #[test]
    fn an_exhausted_clock_says_so_and_stays() {
        let clock = Clock::starting_after(Hlc::MAX.before());
        assert_eq!(clock.tick(0), Ok(Hlc::MAX));
        assert_eq!(clock.tick(u64::MAX), Err(ClockExhausted));
        assert_eq!(clock.last(), Hlc::MAX);
    }

    #[test]
    fn a_full_counter_moves_into_the_next_millisecond() {
        let clock = Clock::starting_after(Hlc::new(5, u16::MAX).unwrap());
        assert_eq!(clock.tick(5), Hlc::new(6, 0).map_err(|_| ClockExhausted));
    }

    #[test]
    fn a_place_has_its_share_of_each_millisecond() {
        let clock = Clock::starting_after(Hlc::ZERO).at_place(NODES_MAX - 1);
        let drawn: Vec<Hlc> = (0..4097).map(|_| clock.tick(7).unwrap()).collect();
        assert_eq!(drawn[0], Hlc::new(7, 15).unwrap());
        assert_eq!(drawn[4095], Hlc::new(7, u16::MAX).unwrap());
        assert_eq!(drawn[4096], Hlc::new(8, 15).unwrap());
        let end = Clock::starting_after(Hlc::MAX.before()).at_place(3);
        assert_eq!(end.tick(0), Err(ClockExhausted));
    }

    proptest! {
        #[test]
        fn no_two_places_draw_the_same(
            start in 0..1u64 << 40,
            draws in prop::collection::vec((0..NODES_MAX, 0..1u64 << 24, any::<bool>()), 1..200),
        ) {
            let clock = |place| Clock::starting_after(Hlc(start)).at_place(place);
            let clocks: Vec<Clock> = (0..NODES_MAX).map(clock).collect();
            let mut drawn = std::collections::BTreeSet::new();
            for (place, wall, hears) in draws {
                let before = clocks[place].last();
                let hlc = clocks[place].tick(wall).unwrap();
                prop_assert!(hlc > before && hlc.millis() >= wall);
                prop_assert!(drawn.insert(hlc), "{} was drawn twice", hlc);
                if hears {
                    clocks.iter().for_each(|clock| clock.observe(hlc));
                }
            }
        }

        #[test]
        fn text_round_trips_and_keeps_the_order(a in 0..=Hlc::MAX.0, b in 0..=Hlc::MAX.0) {
            let (a, b) = (Hlc(a), Hlc(b));
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            let modern = Hlc(1_000_000_000_000 << 16);
            if a >= modern && b >= modern {
                prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
            }
        }

        #[test]
        fn the_clock_only_grows(start in 0..1u64 << 40, walls in prop::collection::vec(0..1u64 << 40, 1..50)) {
            let clock = Clock::starting_after(Hlc(start));
            let mut last = Hlc(start);
            for wall in walls {
                let hlc = clock.tick(wall).unwrap();
                prop_assert!(hlc > last && hlc.millis() >= wall);
                last = hlc;
            }
        }
    }
}
