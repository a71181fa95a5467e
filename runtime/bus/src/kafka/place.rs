//! Positions: an offset, and whose offset it is.

/// So many bits of a position are the offset: at 100,000 records a second a partition lasts 89
/// years. The others are the mark.
const OFFSET_BITS: u32 = 48;

/// What tells a topic from another that had its name before: 16 bits of its id, never 0. A cluster
/// that is too old to give its topics ids has marks of 0, which are equal to every other.
///
/// Two ids in 65,536 have the same mark; then a topic that was made again goes unnoticed where the
/// offset exists in it, and what it lacks shows as a gap in the chain, as all that is lost does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark(u16);

impl Mark {
    /// Of a topic's id, whose halves these are.
    pub(super) fn of(high: u64, low: u64) -> Self {
        if (high, low) == (0, 0) {
            return Self(0);
        }
        let halves = high ^ low.rotate_left(8);
        let quarters = (halves >> 32) ^ halves;
        let mark = ((quarters >> 16) ^ quarters) as u16;
        Self(mark.max(1))
    }

    /// Both are known, and are not the same.
    pub(super) fn contradicts(self, other: Self) -> bool {
        self != other && self.0 != 0 && other.0 != 0
    }
}

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) mark: Mark,
    pub(super) offset: u64,
}

impl Place {
    /// As the bus's callers keep it. The first place of every topic is 0: who has read nothing of a
    /// topic may read any from its start.
    pub(super) fn position(self) -> u64 {
        match self.offset & OFFSETS {
            0 => 0,
            offset => u64::from(self.mark.0) << OFFSET_BITS | offset,
        }
    }

    pub(super) fn of(position: u64) -> Self {
        Self { mark: Mark((position >> OFFSET_BITS) as u16), offset: position & OFFSETS }
    }
}

const OFFSETS: u64 = (1 << OFFSET_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_round_trip(high: u64, low: u64, offset in 1..=OFFSETS) {
            let place = Place { mark: Mark::of(high, low), offset };
            prop_assert_eq!(Place::of(place.position()), place);
            let next = Place { offset: (offset + 1).min(OFFSETS), ..place };
            prop_assert!(next.position() >= place.position());
        }
    }

    #[test]
    fn the_start_has_no_mark() {
        let mark = Mark::of(7, 9);
        assert_eq!(Place { mark, offset: 0 }.position(), 0);
        assert!(!Place::of(0).mark.contradicts(mark));
    }

    #[test]
    fn only_known_marks_contradict() {
        let (a, b) = (Mark::of(0x1234_5678_9abc_4def, 1), Mark::of(0x1234_5678_9abc_4def, 2));
        assert!(a.contradicts(b) && b.contradicts(a) && !a.contradicts(a));
        assert!(!a.contradicts(Mark::of(0, 0)) && !Mark::of(0, 0).contradicts(a));
    }
}
