//! A list of records that are told apart by a key.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::object::order;

/// An element of [`Records`].
pub trait Record {
    /// The name of the field that holds the key, for error texts.
    const KEY: &'static str;

    /// What the record is told apart by.
    fn key(&self) -> &str;
}

/// A list of records, each key once, sorted by the bytes of the keys.
///
/// It is read from a JSON list in any order. An error says the place in the list, as in
/// `items[2]: id appears twice` for the field `items`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use syncline_sdk::three_way::{Record, Records};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Line { id: String, qty: u64 }
/// impl Record for Line {
///     const KEY: &'static str = "id";
///     fn key(&self) -> &str { &self.id }
/// }
///
/// let lines: Records<Line> = serde_json::from_str(r#"[{"id":"b","qty":1},{"id":"a","qty":2}]"#)?;
/// assert_eq!(serde_json::to_string(&lines)?, r#"[{"id":"a","qty":2},{"id":"b","qty":1}]"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<T>(Vec<T>);

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Records<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> IntoIterator for Records<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Merges two lists record by record; `merge` is given a record as the ancestor, the older and the
/// newer side have it, of which one side at least does, and answers with `None` to remove it.
///
/// A record that both sides removed is gone without a question. The key of an answer has to be the
/// one that was asked for.
///
/// # Errors
/// The first of `merge`, in the order of the keys.
///
/// ```
/// use syncline_sdk::{MergeError, three_way};
/// # use serde::{Deserialize, Serialize};
/// # use syncline_sdk::three_way::{Record, Records};
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Line { id: String, qty: u64 }
/// # impl Record for Line {
/// #     const KEY: &'static str = "id";
/// #     fn key(&self) -> &str { &self.id }
/// # }
/// # let lines = |text| serde_json::from_str::<Records<Line>>(text);
///
/// let ancestor = lines(r#"[{"id":"a","qty":1},{"id":"b","qty":1}]"#)?;
/// let older = lines(r#"[{"id":"a","qty":3},{"id":"b","qty":1}]"#)?;
/// let newer = lines(r#"[{"id":"a","qty":2},{"id":"c","qty":9}]"#)?;
/// let merged = three_way::list_by_key(&ancestor, older, newer, |before, older, newer| {
///     let (Some(o), Some(n)) = (&older, &newer) else {
///         // Added by one side, or removed by one: only what is new stays.
///         return Ok(older.or(newer).filter(|_| before.is_none()));
///     };
///     let qty = three_way::counter(before.map_or(0, |line| line.qty), o.qty, n.qty);
///     let qty = qty.map_err(|error| MergeError::new(format!("line {}: qty {error}", o.id)))?;
///     Ok::<_, MergeError>(Some(Line { id: n.id.clone(), qty }))
/// })?;
/// assert_eq!(serde_json::to_string(&merged)?, r#"[{"id":"a","qty":4},{"id":"c","qty":9}]"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn list_by_key<T: Record, E>(
    ancestor: &Records<T>,
    older: Records<T>,
    newer: Records<T>,
    mut merge: impl FnMut(Option<&T>, Option<T>, Option<T>) -> Result<Option<T>, E>,
) -> Result<Records<T>, E> {
    let mut merged = Vec::with_capacity(older.len().max(newer.len()));
    let mut ancestor = ancestor.iter().peekable();
    let (mut older, mut newer) = (older.into_iter().peekable(), newer.into_iter().peekable());
    loop {
        let side = match (older.peek(), newer.peek()) {
            (Some(o), Some(n)) => o.key().cmp(n.key()),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let o = older.next_if(|_| side != Ordering::Greater);
        let n = newer.next_if(|_| side != Ordering::Less);
        let Some(record) = o.as_ref().or(n.as_ref()) else { return Ok(Records(merged)) };
        while ancestor.next_if(|a| a.key() < record.key()).is_some() {}
        let a = ancestor.next_if(|a| a.key() == record.key());
        merged.extend(merge(a, o, n)?);
    }
}

impl<T: Serialize> Serialize for Records<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Record + Deserialize<'de>> Deserialize<'de> for Records<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut is_list = false;
        match deserializer.deserialize_seq(List { is_list: &mut is_list, record: PhantomData }) {
            Err(_) if !is_list => Err(D::Error::custom("is not a list")),
            result => result.map(Self),
        }
    }
}

struct List<'f, T> {
    /// Set as soon as there is a list, to tell its own errors from its absence.
    is_list: &'f mut bool,
    record: PhantomData<T>,
}

impl<'de, T: Record + Deserialize<'de>> Visitor<'de> for List<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        *self.is_list = true;
        let mut records = Vec::with_capacity(list.size_hint().unwrap_or_default());
        loop {
            match list.next_element() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => return sorted(records),
                Err(error) => {
                    // A repeated key further up is the first thing wrong with the list.
                    let at = records.len();
                    sorted::<T, A::Error>(records)?;
                    return Err(A::Error::custom(format_args!("[{at}]: {error}")));
                }
            }
        }
    }
}

/// Sorts by key; a key that comes twice is an error at its second place in the list.
fn sorted<T: Record, E: Error>(records: Vec<T>) -> Result<Vec<T>, E> {
    if records.is_sorted_by(|a, b| a.key() < b.key()) {
        return Ok(records);
    }
    let order = order(&records.iter().map(T::key).collect::<Vec<_>>());
    let pairs = order.iter().zip(order.iter().skip(1));
    let repeated = pairs.filter(|(a, b)| records[**a].key() == records[**b].key());
    if let Some(at) = repeated.map(|(_, at)| at).min() {
        return Err(E::custom(format_args!("[{at}]: {} appears twice", T::KEY)));
    }
    let mut records: Vec<_> = records.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| records[at].take()).collect())
}
