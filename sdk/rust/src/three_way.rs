//! Three-way merges of the parts of a row: what each side changed since the common ancestor.
//!
//! | part | how |
//! |---|---|
//! | one value | [`value`]: what one side alone changed is that side's, else the newer side's |
//! | an integer that is counted up and down | [`counter`]: older + newer - ancestor |
//! | a set | [`set`]: what either side added, without what either side removed |
//! | a list of records with a key | [`list_by_key`]: record by record |
//! | an object, field by field | [`Object::three_way`] |
//! | an object, also inside nested objects | [`object`] |
//!
//! Where one side changed nothing, all of them give back the other side. They are not associative in
//! all cases, and a counter is not idempotent, on purpose: two sides that both added 1 have added 2.
//! Regions converge all the same, as Syncline gives each merge the true common ancestor and the same
//! order everywhere. A function that does without the ancestor takes the types of
//! [`crdt`](crate::crdt).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use crate::object::{Field, Object};
pub use crate::records::{Record, Records, list_by_key};

/// The older side's value where the newer side did not change it, else the newer side's.
///
/// For whatever can be compared; an `Option` for what may be absent.
///
/// ```
/// use syncline_sdk::three_way;
///
/// assert_eq!(three_way::value(&"draft", "final", "draft"), "final");
/// assert_eq!(three_way::value(&"draft", "final", "sent"), "sent");
/// assert_eq!(three_way::value(&Some(1.5), None, Some(1.5)), None);
/// ```
pub fn value<T: PartialEq>(ancestor: &T, older: T, newer: T) -> T {
    if newer == *ancestor { older } else { newer }
}

/// `older + newer - ancestor`: what each side added or took counts once.
///
/// The range of `N` holds for the answer only, not on the way to it.
///
/// # Errors
/// Where the answer is no `N`.
///
/// ```
/// use syncline_sdk::three_way;
///
/// assert_eq!(three_way::counter(5_i64, 7, 4), Ok(6));
/// assert_eq!(three_way::counter(u64::MAX, u64::MAX, u64::MAX), Ok(u64::MAX));
/// let error = three_way::counter(5_u64, 2, 1).unwrap_err();
/// assert_eq!(error.to_string(), "is below 0");
/// ```
pub fn counter<N: Integer>(ancestor: N, older: N, newer: N) -> Result<N, OutOfRange> {
    // Below 2^66 in size, whatever the three are.
    let sum = older.into() + newer.into() - ancestor.into();
    N::try_from(sum).map_err(|_| OutOfRange(if sum < 0 { N::BELOW } else { N::ABOVE }))
}

/// An integer of 64 bits: `i64` or `u64`.
pub trait Integer: Copy + Into<i128> + TryFrom<i128> + sealed::Borders {}

impl Integer for i64 {}
impl Integer for u64 {}

mod sealed {
    pub trait Borders {
        const BELOW: &str;
        const ABOVE: &str;
    }

    impl Borders for i64 {
        const BELOW: &str = "is below -2^63";
        const ABOVE: &str = "is above 2^63-1";
    }

    impl Borders for u64 {
        const BELOW: &str = "is below 0";
        const ABOVE: &str = "is above 2^64-1";
    }
}

/// A sum that its type can't hold. Its text goes on from the name of what was summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange(&'static str);

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for OutOfRange {}

/// What either side added, and of what was there before what neither side removed.
///
/// A row's list that stands for a set can be read as a `BTreeSet` of texts, of integers or of
/// [`Json`](crate::Json): it comes out sorted, each element once.
///
/// ```
/// use std::collections::BTreeSet;
/// use syncline_sdk::three_way;
///
/// let merged = three_way::set(
///     &BTreeSet::from(["blue", "green"]),
///     BTreeSet::from(["blue", "green", "red"]),
///     BTreeSet::from(["green", "white"]),
/// );
/// assert_eq!(merged, BTreeSet::from(["green", "red", "white"]));
/// ```
pub fn set<T: Ord>(
    ancestor: &BTreeSet<T>,
    mut older: BTreeSet<T>,
    mut newer: BTreeSet<T>,
) -> BTreeSet<T> {
    older.retain(|element| newer.contains(element) || !ancestor.contains(element));
    newer.retain(|element| older.contains(element) || !ancestor.contains(element));
    older.append(&mut newer);
    older
}

/// Merges field by field, and a nested object that both sides changed field by field again, down to
/// `levels` below the first. What lies deeper, lists and all else, is one value.
///
/// Each level of nesting costs another pass over what both sides changed, hence the limit.
///
/// ```
/// use syncline_sdk::{Fields, three_way};
///
/// let fields = |text| serde_json::from_str::<Fields>(text);
/// let ancestor = fields(r#"{"home":{"city":"Rome","zip":"1"}}"#)?;
/// let older = fields(r#"{"home":{"city":"Oslo","zip":"1"}}"#)?;
/// let newer = fields(r#"{"home":{"city":"Rome","zip":"2"}}"#)?;
/// let merged = three_way::object(&ancestor, &older, &newer, 1);
/// assert_eq!(merged.get("home"), Some(r#"{"city":"Oslo","zip":"2"}"#));
/// let merged = three_way::object(&ancestor, &older, &newer, 0);
/// assert_eq!(merged.get("home"), Some(r#"{"city":"Rome","zip":"2"}"#));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn object<'a>(
    ancestor: &Object<'a>,
    older: &Object<'a>,
    newer: &Object<'a>,
    levels: usize,
) -> Object<'a> {
    Object::merge_fields(ancestor, older, newer, |before, left, right| {
        let deep = || {
            let (levels, left, right) = (levels.checked_sub(1)?, left?, right?);
            if [left, right].iter().any(|side| before.is_some_and(|a| a.1.get() == side.1.get())) {
                return None;
            }
            let (older, newer) = (nested(left)?, nested(right)?);
            let before = before.and_then(nested).unwrap_or_default();
            let merged = object(&before, &older, &newer, levels);
            let value = serde_json::value::to_raw_value(&merged).ok()?;
            Some((left.0.clone(), Cow::Owned(value)))
        };
        deep().or_else(|| Object::choose(before, left, right))
    })
}

/// A field's value as an object, if it is one.
fn nested<'f>((_, value): &'f Field<'_>) -> Option<Object<'f>> {
    let text = value.get();
    let mut input = serde_json::Deserializer::from_str(text);
    text.starts_with('{').then(|| Object::borrowed(&mut input).ok()).flatten()
}
