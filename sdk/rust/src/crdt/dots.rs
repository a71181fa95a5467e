//! What registers, sets and maps have in common: things that a replica wrote under a number.
//!
//! A *dot* is a replica's name and a number that it has used once. A state holds some dots, and in
//! `seen` the highest number of each replica that it knows of. A dot that a state doesn't hold but has
//! seen was removed or replaced there; one that it has not seen is news. So for each dot a state is at
//! one of three steps, not seen, held, removed, and a merge takes the higher step: this is the
//! optimised OR-Set of Bieniusa et al., "An optimized conflict-free replicated set" (2012), which needs
//! no tombstones.

use serde::{Deserialize, Serialize};

use super::sorted::Sorted;
use super::{Error, GCounter, Merge};

/// The dots of one thing, by replica. A replica's newest dot is the only one that it can hold: it had
/// seen the one before.
pub(super) type Dots<D> = Sorted<String, D>;

/// What stands under a replica's name.
pub(super) trait Dot: Sized {
    /// The replica's number.
    fn number(&self) -> u64;

    /// Takes in what another state holds under the same dot.
    fn merge_same(&mut self, other: Self) -> Result<(), Error>;
}

/// A dot that carries nothing.
impl Dot for u64 {
    fn number(&self) -> u64 {
        *self
    }

    fn merge_same(&mut self, _: Self) -> Result<(), Error> {
        Ok(())
    }
}

/// A dot with a value: `{"n":3,"value":...}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a number and a value")]
pub(super) struct Valued<V> {
    pub(super) n: u64,
    pub(super) value: V,
}

impl<V: Merge> Dot for Valued<V> {
    fn number(&self) -> u64 {
        self.n
    }

    fn merge_same(&mut self, other: Self) -> Result<(), Error> {
        self.value.merge(other.value)
    }
}

/// The dots that two states hold of one thing, as they are after the merge of both.
pub(super) fn merged<D: Dot>(
    mine: Dots<D>,
    my_seen: &GCounter,
    theirs: Dots<D>,
    their_seen: &GCounter,
) -> Result<Dots<D>, Error> {
    mine.joined(theirs, |replica, my, their| match (my, their) {
        (Some(mut my), Some(their)) if my.number() == their.number() => {
            my.merge_same(their)?;
            Ok(Some(my))
        }
        // Of two numbers the lower is one that the other state has seen and no longer holds.
        (my, their) => {
            let my = my.filter(|my| my.number() > their_seen.get(replica));
            Ok(my.or_else(|| their.filter(|their| their.number() > my_seen.get(replica))))
        }
    })
}

/// The same for many things by their keys. One that is left without dots is gone.
pub(super) fn merged_by_key<K: Ord, D: Dot>(
    mine: Sorted<K, Dots<D>>,
    my_seen: &GCounter,
    theirs: Sorted<K, Dots<D>>,
    their_seen: &GCounter,
) -> Result<Sorted<K, Dots<D>>, Error> {
    mine.joined(theirs, |_, mine, theirs| {
        let (mine, theirs) = (mine.unwrap_or_default(), theirs.unwrap_or_default());
        let dots = merged(mine, my_seen, theirs, their_seen)?;
        Ok((!dots.is_empty()).then_some(dots))
    })
}

/// The one dot that a write in the name of `replica` leaves, with the next number of `seen`.
pub(super) fn written<D>(
    seen: &mut GCounter,
    replica: &str,
    dot: impl FnOnce(u64) -> D,
) -> Result<Dots<D>, Error> {
    let number = seen.add(replica, 1)?;
    Ok(Dots::one(replica.to_owned(), dot(number)))
}

/// Refuses dots that no write can have left.
pub(super) fn check<D: Dot>(dots: &Dots<D>, seen: &GCounter) -> Result<(), String> {
    for (replica, dot) in dots.iter() {
        let number = dot.number();
        if number == 0 {
            return Err(format!("the number 0 of {replica} is none: they begin at 1"));
        }
        if number > seen.get(replica) {
            return Err(format!("the number {number} of {replica} is not covered by seen"));
        }
    }
    Ok(())
}
