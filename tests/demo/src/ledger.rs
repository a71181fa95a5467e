//! The clients' own record of what they did.

use std::collections::{BTreeMap, BTreeSet};

/// A product in a cart.
pub(crate) type Place = (String, String);

/// What was acknowledged to clients, and what was left unclear.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// The sum of the additions, by cart and product. Only what was acknowledged.
    pub(crate) added: BTreeMap<Place, u64>,
    /// Products that somebody took out of a cart, perhaps.
    pub(crate) removed: BTreeSet<Place>,
    /// Carts that somebody deleted, perhaps.
    pub(crate) deleted: BTreeSet<String>,
    /// Products of which an addition had an unclear outcome: no answer came, or one that leaves open
    /// what happened. Their quantity can't be checked.
    pub(crate) unclear: BTreeSet<Place>,
    /// How often each came to pass.
    pub(crate) counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Counts {
    /// Acknowledged additions.
    pub(crate) additions: usize,
    /// Acknowledged removals of a product.
    pub(crate) removals: usize,
    /// Acknowledged deletions of a cart.
    pub(crate) deletions: usize,
    /// Writes that met a newer cart, and were made again upon it.
    pub(crate) retries: usize,
    /// Writes that a region asked to make later.
    pub(crate) put_off: usize,
    /// Writes with an unclear outcome.
    pub(crate) unclear: usize,
}

impl Counts {
    /// Acknowledged writes.
    pub(crate) fn writes(&self) -> usize {
        self.additions + self.removals + self.deletions
    }
}

impl Ledger {
    /// Adds another client's record.
    pub(crate) fn merge(&mut self, other: Self) {
        for (place, quantity) in other.added {
            *self.added.entry(place).or_default() += quantity;
        }
        self.removed.extend(other.removed);
        self.deleted.extend(other.deleted);
        self.unclear.extend(other.unclear);
        let Counts { additions, removals, deletions, retries, put_off, unclear } = other.counts;
        self.counts.additions += additions;
        self.counts.removals += removals;
        self.counts.deletions += deletions;
        self.counts.retries += retries;
        self.counts.put_off += put_off;
        self.counts.unclear += unclear;
    }

    /// True if nobody can have taken from the product's quantity, and all additions are known.
    pub(crate) fn is_checked(&self, place: &Place) -> bool {
        !self.deleted.contains(&place.0)
            && !self.removed.contains(place)
            && !self.unclear.contains(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(cart: &str, product: &str) -> Place {
        (cart.to_owned(), product.to_owned())
    }

    #[test]
    fn records_of_several_clients_add_up() {
        let mut one = Ledger::default();
        one.added.insert(place("a", "fig"), 2);
        one.counts.additions = 1;
        let mut two = one.clone();
        two.removed.insert(place("a", "kiwi"));
        two.counts.removals = 1;
        one.merge(two);
        assert_eq!(one.added[&place("a", "fig")], 4);
        assert_eq!((one.counts.additions, one.counts.writes()), (2, 3));
    }

    #[test]
    fn what_was_taken_from_or_is_unclear_is_not_checked() {
        let mut ledger = Ledger::default();
        ledger.deleted.insert("a".into());
        ledger.removed.insert(place("b", "fig"));
        ledger.unclear.insert(place("c", "fig"));
        for (cart, product, checked) in
            [("a", "x", false), ("b", "fig", false), ("b", "x", true), ("c", "fig", false)]
        {
            assert_eq!(ledger.is_checked(&place(cart, product)), checked, "{cart}/{product}");
        }
    }
}
