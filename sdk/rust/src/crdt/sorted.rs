//! A map as a sorted list: states are read, walked once and written, and a tree costs several times
//! the fuel for that.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Error;

/// Entries sorted by key, each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sorted<K, V>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Sorted<K, V> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl<K: Ord, V> Sorted<K, V> {
    /// The only entry of a map.
    pub(super) fn one(key: K, value: V) -> Self {
        Self(vec![(key, value)])
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.position(key).ok().map(|at| &self.0[at].1)
    }

    /// Sets an entry; the value that was there.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.position(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.position(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Walks two maps side by side and keeps what `join` answers for each key.
    pub(super) fn joined(
        self,
        other: Self,
        mut join: impl FnMut(&K, Option<V>, Option<V>) -> Result<Option<V>, Error>,
    ) -> Result<Self, Error> {
        let mut both = Vec::with_capacity(self.len().max(other.len()));
        let (mut mine, mut theirs) =
            (self.0.into_iter().peekable(), other.0.into_iter().peekable());
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (Some((my, _)), Some((their, _))) => my.cmp(their),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let my = mine.next_if(|_| order != Ordering::Greater);
            let their = theirs.next_if(|_| order != Ordering::Less);
            let (key, my, their) = match (my, their) {
                (Some((key, my)), their) => (key, Some(my), their.map(|(_, their)| their)),
                (None, Some((key, their))) => (key, None, Some(their)),
                (None, None) => return Ok(Self(both)),
            };
            if let Some(value) = join(&key, my, their)? {
                both.push((key, value));
            }
        }
    }

    fn position<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        // What is read is sorted mostly, so that the place is the end.
        match self.0.last() {
            Some((last, _)) if last.borrow() >= key => {
                self.0.binary_search_by(|(other, _)| other.borrow().cmp(key))
            }
            _ => Err(self.0.len()),
        }
    }
}

impl<K: Serialize, V: Serialize> Serialize for Sorted<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Sorted<String, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
    type Value = Sorted<String, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Sorted::new();
        while let Some((key, value)) = map.next_entry::<String, V>()? {
            let at = entries.position(key.as_str());
            match at {
                Ok(_) => return Err(A::Error::custom(format_args!("`{key}` appears twice"))),
                Err(at) => entries.0.insert(at, (key, value)),
            }
        }
        Ok(entries)
    }
}
