//! Replicated data types that merge without an ancestor.
//!
//! Each type is a state that a row carries in a field. Two states [`Merge`] into one that holds what
//! either of them has seen: in any order, in any grouping, and any number of times. A function made
//! of nothing else obeys all three laws, needs no ancestor (`needs_ancestor = false`: it is given none),
//! and gives the same row if states also travel by other ways than Syncline.
//!
//! # Or plain three-way?
//! Syncline knows the true common ancestor of two sides, so [`three_way`](crate::three_way) does the
//! same on plain values: a counter is one number, a set a plain list, and a client writes what it
//! wants to see. That is the better choice for most tables. Take these types where clients work offline
//! and merge by themselves, or where the laws are wanted.
//! The price: the state says who did what, so it grows by a number for each replica, and clients have
//! to keep the rules below.
//!
//! # What a client does
//! Rows are written through HTTP, so whoever writes keeps the state in order. A *replica* is one
//! writer, and its name stands in the state: the region that the client talks to. Within a region
//! writes with `If-Match` come one after the other, so that name is safe for all clients that use it:
//! read the row, change the state as the type says, `PUT` it with the `ETag` that was read, and start
//! again after a 412. A `PUT` without `If-Match` may take back what another client of the region did.
//! Never lower a number, and never take a replica's name out.
//!
//! A row that was deleted and written anew starts anew; the state before is merged into it if another
//! region changed the old row at the same time.
//!
//! | type | state in the row | a client |
//! |---|---|---|
//! | [`GCounter`] | `{"eu":3,"us":5}` | adds to its replica's number |
//! | [`PnCounter`] | `{"added":{"eu":3},"taken":{"us":1}}` | adds to its number in `added` or in `taken` |
//! | [`LwwRegister`] | `{"at":1795203212955,"by":"eu","value":7}` | replaces all three; `at` is above the one that it read |
//! | [`MvRegister`] | `{"seen":{"eu":2},"values":{"eu":{"n":2,"value":7}}}` | takes the next number of `seen`, and puts its value in the place of all |
//! | [`GSet`] | `["a","b"]` | adds an element |
//! | [`OrSet`] | `{"elements":[{"dots":{"eu":2},"value":"a"}],"seen":{"eu":2}}` | adds: takes the next number of `seen` as the element's only dot; removes: takes the element out and leaves `seen` |
//! | [`OrMap`] | `{"entries":{"k":{"eu":{"n":2,"value":7}}},"seen":{"eu":2}}` | as in a set, with a value that is merged |
//! | `BTreeMap<String, V>` | `{"k":7}` | changes a value, adds a key, never removes one |
//!
//! The next number of `seen` is the replica's number there plus 1, which is written back to `seen`.
//! One write may use it for several elements. Lists and objects come in any order and go out sorted, so
//! equal states have equal bytes. Numbers are JSON integers from 0 to 2^64-1, never floats; a client in
//! JavaScript keeps them below 2^53.
//!
//! # Limits
//! A state names at most [`REPLICAS_MAX`] replicas; what would pass it is an [`Error`], also in a merge
//! (and then a fallback, as after each error of a function). There are no tombstones: what was removed
//! costs nothing but the numbers in `seen`. Elements, keys and values are limited by the row's size.
//!
//! A state that contradicts itself, such as one with a dot that `seen` doesn't cover, is not read.

mod counter;
mod dots;
mod map;
mod register;
mod set;
mod sorted;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use crate::conflict::{Conflict, MergeError};
use crate::object::Object;
use crate::open::Open;

pub use counter::{GCounter, PnCounter};
pub use map::OrMap;
pub use register::{LwwRegister, MvRegister};
pub use set::{GSet, OrSet};

/// The replicas that one state may name: the regions that a table has (64), four times over.
pub const REPLICAS_MAX: usize = 256;

/// A state that can take in another one of its kind.
///
/// Where it gives no error, `merge` is commutative, associative and idempotent: a join of a
/// semilattice. Types of your own are merged part by part:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use syncline_sdk::crdt::{self, GSet, LwwRegister, Merge};
/// use syncline_sdk::{Conflict, MergeError, Open, merge_function};
///
/// #[derive(Serialize, Deserialize)]
/// struct Article { tags: GSet<String>, title: LwwRegister<String> }
///
/// impl Merge for Article {
///     fn merge(&mut self, other: Self) -> Result<(), crdt::Error> {
///         self.tags.merge(other.tags)?;
///         self.title.merge(other.title)
///     }
/// }
///
/// #[merge_function]
/// fn merge(c: Conflict<Open<Article>>) -> Result<Option<Open<Article>>, MergeError> {
///     crdt::join(c)
/// }
/// ```
pub trait Merge: Sized {
    /// Takes in what `other` has seen.
    ///
    /// # Errors
    /// Where the merged state would pass a limit. What `self` is then is not said.
    fn merge(&mut self, other: Self) -> Result<(), Error>;
}

/// A whole merge function: the two sides' rows merged, whichever is the newer. A side that deleted the
/// row has no say, so the row stays deleted only if both did.
///
/// With `Conflict<Open<T>>` the fields that `T` doesn't name are merged as [`Open`] says, by a rule
/// that obeys the laws as well. With `Conflict<T>` the newer side's would win.
///
/// # Errors
/// Where the merged row would pass a limit.
pub fn join<T: Merge>(conflict: Conflict<T>) -> Result<Option<T>, MergeError> {
    let mut row = conflict.older.image;
    row.merge(conflict.newer.image)?;
    Ok(row)
}

/// Why a state can't be what it should become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It would name more than [`REPLICAS_MAX`] replicas.
    TooManyReplicas,
    /// A replica's number would be above 2^64-1.
    NumberTooLarge,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyReplicas => write!(f, "more than {REPLICAS_MAX} replicas in one state"),
            Self::NumberTooLarge => f.write_str("a replica's number is above 2^64-1"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for MergeError {
    fn from(error: Error) -> Self {
        Self::new(error.to_string())
    }
}

/// `None` has seen nothing.
impl<T: Merge> Merge for Option<T> {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        match (self, other) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine @ None, theirs) => {
                *mine = theirs;
                Ok(())
            }
            (Some(_), None) => Ok(()),
        }
    }
}

/// Key by key; no key ever goes. [`OrMap`] is the map whose keys can be removed.
impl<K: Ord, V: Merge> Merge for BTreeMap<K, V> {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        for (key, theirs) in other {
            match self.entry(key) {
                Entry::Occupied(mut mine) => mine.get_mut().merge(theirs)?,
                Entry::Vacant(place) => {
                    place.insert(theirs);
                }
            }
        }
        Ok(())
    }
}

/// Field by field; where both have a field, the one with the larger text stays (by its bytes, which
/// means nothing but obeys the laws).
impl Merge for Object<'_> {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        *self = Self::merge_fields(&Self::new(), self, &other, |_, mine, theirs| {
            match (mine, theirs) {
                (Some(m), Some(t)) if m.1.get() >= t.1.get() => mine.cloned(),
                (_, theirs) => theirs.or(mine).cloned(),
            }
        });
        Ok(())
    }
}

/// The known part as `T` says, the fields that `T` doesn't name as those of an [`Object`].
impl<T: Merge> Merge for Open<T> {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        self.value.merge(other.value)?;
        self.rest.merge(other.rest)
    }
}
