//! What regions have seen of a version: counts that only grow, and that can be added up.

/// Shares of the limit on fuel are counted in steps of 5 %: the n-th bucket holds calls that took
/// more than n - 1 of these steps and up to n.
pub const FUEL_BUCKETS: usize = 20;

/// Latencies are counted in powers of two: the n-th bucket holds calls that took less than 2^n
/// microseconds, and at least half of that; the last one, from 4 s on, all others.
pub const LATENCY_BUCKETS: usize = 24;

/// The kinds of faults, as they stand in a report.
pub const FAULT_KINDS: [&str; 7] = [
    "trap",
    "out-of-fuel",
    "depth-limit",
    "memory-limit",
    "invalid-output",
    "output-too-large",
    "error",
];

/// What became of a version's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CallCounters {
    /// Conflicts that it was called for, those that ended in a fault included.
    pub conflicts: u64,
    /// Faults of the function, by kind, in the order of [`FAULT_KINDS`].
    pub faults: [u64; FAULT_KINDS.len()],
    /// How much of the limit on fuel a conflict took.
    pub fuel: [u64; FUEL_BUCKETS],
    /// How long a conflict took.
    pub latency: [u64; LATENCY_BUCKETS],
}

/// What a region has seen of a rollout's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RolloutCounters {
    /// Conflicts that it resolved.
    pub live: CallCounters,
    /// Conflicts that it ran for beside the active version.
    pub shadow: CallCounters,
    /// In how many of the shadowed ones the outcome differs from the active version's.
    pub different: u64,
    /// Conflicts that it could not be run for, as there was no room.
    pub dropped: u64,
}

impl CallCounters {
    /// Counts a conflict, with the word of the fault that it ended in. `fuel_ppm` is the share of the limit that it took, in parts
    /// per million.
    pub fn count(&mut self, fault: Option<&str>, fuel_ppm: u32, latency_us: u64) {
        self.conflicts = self.conflicts.saturating_add(1);
        if let Some(fault) = fault {
            let kind = FAULT_KINDS.iter().position(|kind| *kind == fault);
            bump(&mut self.faults, kind.unwrap_or(FAULT_KINDS.len() - 1));
        }
        let step = 1_000_000 / FUEL_BUCKETS as u32;
        bump(&mut self.fuel, fuel_ppm.saturating_sub(1) as usize / step as usize);
        bump(&mut self.latency, (u64::BITS - latency_us.leading_zeros()) as usize);
    }

    /// All faults.
    pub fn faulted(&self) -> u64 {
        self.faults.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// What 99 % of the calls keep to, as a share of the limit on fuel, in parts per million: the
    /// upper end of its bucket.
    pub fn fuel_p99_ppm(&self) -> u32 {
        let step = 1_000_000 / FUEL_BUCKETS as u32;
        p99(&self.fuel).map_or(0, |bucket| (bucket as u32 + 1) * step)
    }

    /// What 99 % of the calls keep to, in microseconds: the upper end of its bucket.
    pub fn latency_p99_us(&self) -> u64 {
        p99(&self.latency).map_or(0, |bucket| 1 << bucket)
    }

    fn add(&mut self, other: &Self) {
        self.conflicts = self.conflicts.saturating_add(other.conflicts);
        add_all(&mut self.faults, &other.faults);
        add_all(&mut self.fuel, &other.fuel);
        add_all(&mut self.latency, &other.latency);
    }
}

impl RolloutCounters {
    /// Adds another region's, or what has come since.
    pub fn add(&mut self, other: &Self) {
        self.live.add(&other.live);
        self.shadow.add(&other.shadow);
        self.different = self.different.saturating_add(other.different);
        self.dropped = self.dropped.saturating_add(other.dropped);
    }
}

fn bump(counts: &mut [u64], at: usize) {
    let at = at.min(counts.len() - 1);
    counts[at] = counts[at].saturating_add(1);
}

fn add_all(counts: &mut [u64], others: &[u64]) {
    for (count, other) in counts.iter_mut().zip(others) {
        *count = count.saturating_add(*other);
    }
}

/// The bucket with which 99 of 100 are reached; none if nothing was counted.
fn p99(counts: &[u64]) -> Option<usize> {
    let total = counts.iter().fold(0u128, |sum, n| sum + u128::from(*n));
    let mut sum = 0u128;
    let reached = |n: &u64| {
        sum += u128::from(*n);
        sum * 100 >= total * 99
    };
    if total == 0 { None } else { counts.iter().position(reached) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GuestFault;

    #[test]
    fn calls_are_counted_where_they_belong() {
        let mut calls = CallCounters::default();
        for _ in 0..99 {
            calls.count(None, 40_000, 900);
        }
        assert_eq!((calls.fuel_p99_ppm(), calls.latency_p99_us()), (50_000, 1024));
        calls.count(Some("out-of-fuel"), 1_000_000, u64::MAX);
        assert_eq!((calls.fuel_p99_ppm(), calls.latency_p99_us()), (50_000, 1024));
        calls.count(Some("error"), 1_000_000, 0);
        assert_eq!((calls.fuel_p99_ppm(), calls.conflicts, calls.faulted()), (1_000_000, 101, 2));
        assert_eq!((calls.faults[1], calls.faults[6]), (1, 1));
        assert_eq!((calls.latency[0], calls.latency[LATENCY_BUCKETS - 1]), (1, 1));
    }

    #[test]
    fn a_share_at_the_end_of_a_bucket_belongs_to_it() {
        let bucket = |ppm| {
            let mut calls = CallCounters::default();
            calls.count(None, ppm, 1);
            calls.fuel_p99_ppm()
        };
        let found = [0, 1, 50_000, 50_001, 1_000_000, u32::MAX].map(bucket);
        assert_eq!(found, [50_000, 50_000, 50_000, 100_000, 1_000_000, 1_000_000]);
    }

    #[test]
    fn sums_stop_at_the_end_of_numbers() {
        let mut all = RolloutCounters { different: u64::MAX, ..Default::default() };
        all.add(&all.clone());
        assert_eq!(all.different, u64::MAX);
        assert_eq!(CallCounters::default().fuel_p99_ppm(), 0);
    }

    #[test]
    fn every_fault_has_its_place() {
        for fault in [
            GuestFault::Trap(String::new()),
            GuestFault::OutOfFuel { limit: 1 },
            GuestFault::DepthLimit,
            GuestFault::MemoryLimit { limit_bytes: 1 },
            GuestFault::InvalidOutput(String::new()),
            GuestFault::OutputTooLarge { bytes: 2, limit_bytes: 1 },
            GuestFault::Error(String::new()),
        ] {
            assert!(FAULT_KINDS.contains(&fault.code()));
        }
    }
}
