//! A map whose keys come and go, of states that merge.

use serde::{Deserialize, Serialize};

use super::dots::{self, Dots, Valued};
use super::sorted::Sorted;
use super::{Error, GCounter, Merge};

/// A map from texts to states: `{"entries":{"k":{"eu":{"n":2,"value":...}}},"seen":{"eu":2}}`.
///
/// A removal takes away what it has seen, so a key that was removed in one region and written in
/// another at the same time stays, with what was written there. Values of one key that were written at
/// the same time are merged when they are read; at most one a replica is kept.
///
/// ```
/// use syncline_sdk::crdt::{GSet, Merge, OrMap};
///
/// let tags = |text| serde_json::from_str::<GSet<String>>(text);
/// let mut map = OrMap::new();
/// map.put("eu", "fig", tags(r#"["ripe"]"#)?)?;
/// let mut other = map.clone();
/// map.put("eu", "fig", tags(r#"["big","ripe"]"#)?)?;
/// other.put("us", "fig", tags(r#"["ripe","sweet"]"#)?)?;
/// map.merge(other)?;
/// assert_eq!(map.get("fig")?, Some(tags(r#"["big","ripe","sweet"]"#)?));
/// map.remove("fig");
/// assert_eq!(serde_json::to_string(&map)?, r#"{"entries":{},"seen":{"eu":2,"us":1}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form<V>", bound(deserialize = "V: Merge + Deserialize<'de>"))]
pub struct OrMap<V> {
    entries: Sorted<String, Dots<Valued<V>>>,
    seen: GCounter,
}

impl<V> Default for OrMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> OrMap<V> {
    /// An empty map that has seen nothing.
    pub const fn new() -> Self {
        Self { entries: Sorted::new(), seen: GCounter::new() }
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }

    /// Writes a key's value in the name of `replica`, in the place of what was there. To change a
    /// value, get it, change it and put it.
    ///
    /// # Errors
    /// A number above 2^64-1; one replica too many.
    pub fn put(&mut self, replica: &str, key: &str, value: V) -> Result<(), Error> {
        let dots = dots::written(&mut self.seen, replica, |n| Valued { n, value })?;
        self.entries.insert(key.to_owned(), dots);
        Ok(())
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        self.entries.remove(key).is_some()
    }
}

impl<V: Merge + Clone> OrMap<V> {
    /// A key's value: what the replicas wrote there at the same time, merged.
    ///
    /// # Errors
    /// Where the merged value would pass a limit.
    pub fn get(&self, key: &str) -> Result<Option<V>, Error> {
        let mut merged = None;
        for (_, dot) in self.entries.get(key).into_iter().flat_map(Sorted::iter) {
            merged.merge(Some(dot.value.clone()))?;
        }
        Ok(merged)
    }
}

impl<V: Merge> Merge for OrMap<V> {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        let mine = std::mem::take(&mut self.entries);
        self.entries = dots::merged_by_key(mine, &self.seen, other.entries, &other.seen)?;
        self.seen.merge(other.seen)
    }
}

/// The map as it is written, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the state of an OrMap")]
struct Form<V> {
    entries: Sorted<String, Dots<Valued<V>>>,
    seen: GCounter,
}

impl<V: Merge> TryFrom<Form<V>> for OrMap<V> {
    type Error = String;

    fn try_from(Form { entries, seen }: Form<V>) -> Result<Self, String> {
        for (key, dots) in entries.iter() {
            if dots.is_empty() {
                return Err(format!("entry {key} has no values"));
            }
            dots::check(dots, &seen).map_err(|error| format!("entry {key}: {error}"))?;
        }
        Ok(Self { entries, seen })
    }
}
