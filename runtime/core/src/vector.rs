//! Version vectors: what has been seen, region by region.

use std::fmt;

use crate::{ChangeId, Hlc, RegionId};

/// For each region an HLC. It stands for all changes of that region up to that HLC. A region that
/// is not named stands at [`Hlc::ZERO`]; no entry is ever kept for that, so equal vectors are equal
/// values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VersionVector(Vec<(RegionId, Hlc)>); // sorted by region

impl VersionVector {
    /// Nothing seen.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Up to where this region is seen.
    pub fn get(&self, region: &RegionId) -> Hlc {
        self.find(region).map_or(Hlc::ZERO, |i| self.0[i].1)
    }

    /// Sets the region's entry, also to less than it was.
    pub fn set(&mut self, region: &RegionId, hlc: Hlc) {
        match self.find(region) {
            Ok(i) if hlc.is_zero() => drop(self.0.remove(i)),
            Ok(i) => self.0[i].1 = hlc,
            Err(_) if hlc.is_zero() => {}
            Err(i) => self.0.insert(i, (region.clone(), hlc)),
        }
    }

    /// Raises the region's entry to `hlc` if it is lower.
    pub fn raise(&mut self, region: &RegionId, hlc: Hlc) {
        if hlc > self.get(region) {
            self.set(region, hlc);
        }
    }

    /// True if this has seen all that `other` has.
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(region, hlc)| self.get(region) >= hlc)
    }

    /// True if this has seen the change.
    pub fn has(&self, change: &ChangeId) -> bool {
        self.get(&change.region) >= change.hlc
    }

    /// The first entry of `other` that this has not seen.
    pub fn first_missing<'a>(&self, other: &'a Self) -> Option<(&'a RegionId, Hlc)> {
        other.iter().find(|(region, hlc)| self.get(region) < *hlc)
    }

    /// Becomes the least vector that covers both.
    pub fn join(&mut self, other: &Self) {
        for (region, hlc) in other.iter() {
            self.raise(region, hlc);
        }
    }

    /// The greatest vector that both cover.
    pub fn meet(&self, other: &Self) -> Self {
        let least = self.0.iter().filter_map(|(region, hlc)| {
            let least = other.get(region).min(*hlc);
            (!least.is_zero()).then(|| (region.clone(), least))
        });
        Self(least.collect())
    }

    /// The entries, by region.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&RegionId, Hlc)> {
        self.0.iter().map(|(region, hlc)| (region, *hlc))
    }

    /// True if nothing is seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many regions have an entry.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, region: &RegionId) -> Result<usize, usize> {
        self.0.binary_search_by(|(r, _)| r.cmp(region))
    }
}

impl FromIterator<(RegionId, Hlc)> for VersionVector {
    /// Of two entries for one region the higher counts.
    fn from_iter<I: IntoIterator<Item = (RegionId, Hlc)>>(entries: I) -> Self {
        let mut vector = Self::new();
        for (region, hlc) in entries {
            vector.raise(&region, hlc);
        }
        vector
    }
}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector() -> impl Strategy<Value = VersionVector> {
        prop::collection::vec((0..4usize, 0..6u64), 0..6).prop_map(|entries| {
            let names = ["a", "b", "c", "d"];
            let entry =
                |(r, h): (usize, u64)| (names[r].parse().unwrap(), Hlc::from_bits(h).unwrap());
            entries.into_iter().map(entry).collect()
        })
    }

    fn joined(a: &VersionVector, b: &VersionVector) -> VersionVector {
        let mut j = a.clone();
        j.join(b);
        j
    }

    proptest! {
        #[test]
        fn a_lattice(a in vector(), b in vector(), c in vector()) {
            prop_assert_eq!(joined(&a, &b), joined(&b, &a));
            prop_assert_eq!(joined(&a, &joined(&b, &c)), joined(&joined(&a, &b), &c));
            prop_assert_eq!(joined(&a, &a), a.clone());
            prop_assert_eq!(a.meet(&b), b.meet(&a));
            prop_assert_eq!(a.meet(&b.meet(&c)), a.meet(&b).meet(&c));
            prop_assert_eq!(a.meet(&joined(&a, &b)), a.clone());
            prop_assert_eq!(joined(&a, &a.meet(&b)), a.clone());
            prop_assert!(joined(&a, &b).covers(&a) && a.covers(&a.meet(&b)));
            prop_assert_eq!(a.covers(&b), joined(&a, &b) == a);
            prop_assert_eq!(a.covers(&b), a.first_missing(&b).is_none());
        }

        #[test]
        fn zero_is_no_entry(a in vector(), r in 0..4usize) {
            let region: RegionId = ["a", "b", "c", "d"][r].parse().unwrap();
            let mut b = a.clone();
            b.set(&region, Hlc::ZERO);
            prop_assert!(b.get(&region).is_zero());
            prop_assert!(b.iter().all(|(_, hlc)| !hlc.is_zero()));
            prop_assert!(a.covers(&b));
        }
    }
}
