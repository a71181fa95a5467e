//! Sets.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, Serializer};

use super::dots::{self, Dots};
use super::sorted::Sorted;
use super::{Error, GCounter, Merge};

/// A set that only grows: a list, `["a","b"]`. Two states merge to the union.
///
/// ```
/// use syncline_sdk::crdt::{GSet, Merge};
///
/// let mut set: GSet<String> = serde_json::from_str(r#"["pear","fig"]"#)?;
/// set.merge(serde_json::from_str(r#"["fig","kiwi"]"#)?)?;
/// assert_eq!(serde_json::to_string(&set)?, r#"["fig","kiwi","pear"]"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GSet<T: Ord>(BTreeSet<T>);

impl<T: Ord> Default for GSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Ord> GSet<T> {
    /// An empty set.
    pub const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// The elements, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// Whether `element` is in the set.
    pub fn contains(&self, element: &T) -> bool {
        self.0.contains(element)
    }

    /// Adds an element.
    pub fn insert(&mut self, element: T) {
        self.0.insert(element);
    }
}

impl<T: Ord> Merge for GSet<T> {
    fn merge(&mut self, mut other: Self) -> Result<(), Error> {
        self.0.append(&mut other.0);
        Ok(())
    }
}

/// A set whose elements come and go: `{"elements":[{"dots":{"eu":2},"value":"a"}],"seen":{"eu":2}}`.
///
/// A removal takes away what it has seen. An element that was removed in one region and added again
/// in another at the same time stays.
///
/// ```
/// use syncline_sdk::crdt::{Merge, OrSet};
///
/// let mut set = OrSet::new();
/// set.insert("eu", "fig")?;
/// set.insert("eu", "kiwi")?;
/// let mut other = set.clone();
/// set.remove(&"fig");
/// set.remove(&"kiwi");
/// other.insert("us", "fig")?;
/// set.merge(other)?;
/// assert_eq!(set.iter().collect::<Vec<_>>(), [&"fig"]);
/// assert_eq!(
///     serde_json::to_string(&set)?,
///     r#"{"elements":[{"dots":{"us":1},"value":"fig"}],"seen":{"eu":2,"us":1}}"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "Form<T>",
    bound(serialize = "T: Ord + Serialize", deserialize = "T: Ord + Deserialize<'de>")
)]
pub struct OrSet<T: Ord> {
    #[serde(serialize_with = "elements")]
    elements: Sorted<T, Dots<u64>>,
    seen: GCounter,
}

impl<T: Ord> Default for OrSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Ord> OrSet<T> {
    /// An empty set that has seen nothing.
    pub const fn new() -> Self {
        Self { elements: Sorted::new(), seen: GCounter::new() }
    }

    /// The elements, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.elements.iter().map(|(element, _)| element)
    }

    /// Whether `element` is in the set.
    pub fn contains(&self, element: &T) -> bool {
        self.elements.get(element).is_some()
    }

    /// Adds an element in the name of `replica`; also one that is there, so that it outlives a removal
    /// elsewhere.
    ///
    /// # Errors
    /// A number above 2^64-1; one replica too many.
    pub fn insert(&mut self, replica: &str, element: T) -> Result<(), Error> {
        let dots = dots::written(&mut self.seen, replica, |number| number)?;
        self.elements.insert(element, dots);
        Ok(())
    }

    /// Removes an element; whether it was there.
    pub fn remove(&mut self, element: &T) -> bool {
        self.elements.remove(element).is_some()
    }
}

impl<T: Ord> Merge for OrSet<T> {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        let mine = std::mem::take(&mut self.elements);
        self.elements = dots::merged_by_key(mine, &self.seen, other.elements, &other.seen)?;
        self.seen.merge(other.seen)
    }
}

/// The set as it is written, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the state of an OrSet")]
struct Form<T> {
    elements: Vec<Element<T, Dots<u64>>>,
    seen: GCounter,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an element of an OrSet")]
struct Element<T, D> {
    dots: D,
    value: T,
}

impl<T: Ord> TryFrom<Form<T>> for OrSet<T> {
    type Error = String;

    fn try_from(form: Form<T>) -> Result<Self, String> {
        let mut elements = Sorted::new();
        for (at, Element { dots, value }) in form.elements.into_iter().enumerate() {
            if dots.is_empty() {
                return Err(format!("elements[{at}] has no dots"));
            }
            dots::check(&dots, &form.seen).map_err(|error| format!("elements[{at}]: {error}"))?;
            if elements.insert(value, dots).is_some() {
                return Err(format!("elements[{at}]: its value appears twice"));
            }
        }
        Ok(Self { elements, seen: form.seen })
    }
}

/// Writes `[{"dots":...,"value":...},...]`.
fn elements<T: Serialize, S: Serializer>(
    elements: &Sorted<T, Dots<u64>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(elements.iter().map(|(value, dots)| Element { dots, value }))
}
