//! This region's own changes in a partition: how many there were, and which of them some region has
//! not confirmed.

use std::collections::VecDeque;

use crate::{Hlc, RegionId};

/// What became of a region's own changes in a partition. Each that was ever made is confirmed by
/// every region, or outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OwnCounters {
    /// Put into the outbox.
    pub produced: u64,
    /// Taken by every region, and gone from the outbox.
    pub confirmed: u64,
}

/// A region that has not confirmed changes of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The region.
    pub region: RegionId,
    /// The first change that it lacks: it has been behind since then.
    pub since: Hlc,
}

/// The changes in the outbox.
#[derive(Clone, Debug)]
pub(crate) struct Outstanding {
    hlcs: VecDeque<Hlc>,
    counters: OwnCounters,
}

impl Outstanding {
    /// As they were committed, in order.
    pub(crate) fn restore(hlcs: Vec<Hlc>, counters: OwnCounters) -> Self {
        Self { hlcs: hlcs.into(), counters }
    }

    pub(crate) fn push(&mut self, hlc: Hlc) {
        self.hlcs.push_back(hlc);
        self.counters.produced += 1;
    }

    /// Every region has taken those up to here.
    pub(crate) fn confirm(&mut self, upto: Hlc) {
        while self.hlcs.front().is_some_and(|hlc| *hlc <= upto) {
            self.hlcs.pop_front();
            self.counters.confirmed += 1;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hlcs.len()
    }

    pub(crate) fn last(&self) -> Option<Hlc> {
        self.hlcs.back().copied()
    }

    /// The first that someone lacks who has all up to `taken`.
    pub(crate) fn first_above(&self, taken: Hlc) -> Option<Hlc> {
        let at = self.hlcs.partition_point(|hlc| *hlc <= taken);
        self.hlcs.get(at).copied()
    }

    pub(crate) fn counters(&self) -> OwnCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    #[test]
    fn what_was_produced_is_confirmed_or_outstanding() {
        let mut own = Outstanding::restore(Vec::new(), OwnCounters::default());
        let check = |own: &Outstanding, produced, confirmed| {
            assert_eq!(own.counters(), OwnCounters { produced, confirmed });
            assert_eq!(produced, confirmed + own.len() as u64);
        };
        check(&own, 0, 0);
        (1..=5).for_each(|n| own.push(hlc(n * 10)));
        check(&own, 5, 0);
        own.confirm(hlc(29));
        check(&own, 5, 2);
        own.confirm(hlc(29));
        check(&own, 5, 2);
        let mut again = Outstanding::restore(vec![hlc(30), hlc(40), hlc(50)], own.counters());
        again.push(hlc(60));
        again.confirm(hlc(60));
        check(&again, 6, 6);
    }

    #[test]
    fn who_lacks_something_lacks_it_since_the_first_change_beyond() {
        let own = Outstanding::restore(vec![hlc(10), hlc(20)], OwnCounters::default());
        let first = [0, 9, 10, 15, 20].map(|taken| own.first_above(hlc(taken)));
        assert_eq!(first, [Some(hlc(10)), Some(hlc(10)), Some(hlc(20)), Some(hlc(20)), None]);
        assert_eq!(own.last(), Some(hlc(20)));
    }
}
