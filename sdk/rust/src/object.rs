//! A JSON object whose values stay exactly as they were written.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// A field's decoded name, and its value as JSON text.
pub(crate) type Field<'a> = (Cow<'a, str>, Cow<'a, RawValue>);

/// An [`Object`] that owns what it holds.
pub type Fields = Object<'static>;

/// A JSON object whose values are kept as text, so that a value nobody looks into comes out byte
/// for byte as it went in: 64-bit integers, `1.50` and `1e400` too.
///
/// The fields are sorted by the bytes of their name, which is the order of a canonical image. Use it
/// for the part of a row that a function doesn't know, or as a whole row (`Conflict<Fields>`) where
/// the function names no field in its types.
///
/// `Deserialize` copies the values; [`Object::borrowed`] doesn't.
///
/// ```
/// use syncline_sdk::Fields;
///
/// let fields: Fields = serde_json::from_str(r#"{"price":1.50,"id":18446744073709551615}"#)?;
/// assert_eq!(fields.get("price"), Some("1.50"));
/// assert_eq!(serde_json::to_string(&fields)?, r#"{"id":18446744073709551615,"price":1.50}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    fields: Vec<Field<'a>>,
}

impl<'a> Object<'a> {
    /// An object without fields.
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The JSON text of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.position(name).ok()?;
        self.fields.get(at).map(|(_, value)| value.get())
    }

    /// The fields, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Sets a field to what `value` serializes to.
    ///
    /// # Errors
    /// If `value` has no JSON form: a map whose keys aren't text, or a `Serialize` that fails.
    pub fn set<V>(&mut self, name: impl Into<Cow<'a, str>>, value: &V) -> serde_json::Result<()>
    where
        V: Serialize + ?Sized,
    {
        let (name, value) = (name.into(), serde_json::value::to_raw_value(value)?);
        match self.position(&name) {
            Ok(at) => self.fields[at].1 = Cow::Owned(value),
            Err(at) => self.fields.insert(at, (name, Cow::Owned(value))),
        }
        Ok(())
    }

    /// Takes a field out, as its JSON text.
    pub fn remove(&mut self, name: &str) -> Option<Cow<'a, RawValue>> {
        let at = self.position(name).ok()?;
        Some(self.fields.remove(at).1)
    }

    /// Merges field by field: what one side alone changed is taken from that side, what both changed
    /// from the newer one. Adding and removing are changes.
    ///
    /// Two values are equal if their text is, which for canonical images means that `1.5` and `1.50`
    /// differ. Nothing is looked into: two sides that changed different parts of one nested object
    /// have both changed that field.
    ///
    /// ```
    /// use syncline_sdk::Fields;
    ///
    /// let fields = |text| serde_json::from_str::<Fields>(text);
    /// let ancestor = fields(r#"{"a":1,"b":1,"gone":1}"#)?;
    /// let older = fields(r#"{"a":2,"b":2,"gone":1}"#)?;
    /// let newer = fields(r#"{"a":1,"b":3,"new":1}"#)?;
    /// let merged = Fields::three_way(&ancestor, &older, &newer);
    /// assert_eq!(serde_json::to_string(&merged)?, r#"{"a":2,"b":3,"new":1}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn three_way(ancestor: &Self, older: &Self, newer: &Self) -> Self {
        Self::merge_fields(ancestor, older, newer, Self::choose)
    }

    /// Asks `choose` for each field that a side has, with the field in the ancestor, the older and
    /// the newer side.
    pub(crate) fn merge_fields(
        ancestor: &Self,
        older: &Self,
        newer: &Self,
        choose: impl Fn(Option<&Field<'a>>, Option<&Field<'a>>, Option<&Field<'a>>) -> Option<Field<'a>>,
    ) -> Self {
        if older == newer {
            return newer.clone();
        }
        let mut fields = Vec::with_capacity(older.len().max(newer.len()));
        let (mut a, mut o, mut n) = (&ancestor.fields[..], &older.fields[..], &newer.fields[..]);
        // The field is at the head of a list that has it, as all three are sorted.
        while let Some(name) = lowest(o, n) {
            let (before, left, right) =
                (take(&mut a, name), take(&mut o, name), take(&mut n, name));
            fields.extend(choose(before, left, right));
        }
        Self { fields }
    }

    /// The older side's field where the newer side did not change it, else the newer side's.
    pub(crate) fn choose(
        before: Option<&Field<'a>>,
        left: Option<&Field<'a>>,
        right: Option<&Field<'a>>,
    ) -> Option<Field<'a>> {
        let kept = if text(before) == text(right) { left } else { right };
        kept.cloned()
    }

    /// Reads an object without copying its values, for
    /// `#[serde(borrow, deserialize_with = "Object::borrowed")]`.
    ///
    /// # Errors
    /// Where the input is no object, or can't be borrowed from (a reader, or serde's own buffers).
    pub fn borrowed<'de: 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = deserializer.deserialize_map(Collect(PhantomData::<&'de RawValue>))?;
        Self::from_fields(fields.into_iter().map(|(name, value)| (name.0, Cow::Borrowed(value))))
    }

    /// Sorts what is not sorted already and refuses a name that stands twice.
    pub(crate) fn from_fields<E: serde::de::Error>(
        fields: impl Iterator<Item = Field<'a>>,
    ) -> Result<Self, E> {
        let fields = sort_by_name(fields.collect(), |(name, _)| name);
        if let Some(name) = repeated(&fields, |(name, _)| name) {
            return Err(E::custom(format_args!("field `{name}` appears twice")));
        }
        Ok(Self { fields })
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.fields.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}

/// The first name of two sorted lists.
fn lowest<'f>(left: &'f [Field<'_>], right: &'f [Field<'_>]) -> Option<&'f str> {
    match (left.first(), right.first()) {
        (Some((l, _)), Some((r, _))) => Some(l.min(r)),
        (field, other) => field.or(other).map(|(name, _)| &**name),
    }
}

/// Moves past everything up to `name` in a sorted list; the field itself, if the list has it.
fn take<'f, 'a>(fields: &mut &'f [Field<'a>], name: &str) -> Option<&'f Field<'a>> {
    while let Some((field, rest)) = fields.split_first() {
        let order = (*field.0).cmp(name);
        if order == Ordering::Greater {
            break;
        }
        *fields = rest;
        if order == Ordering::Equal {
            return Some(field);
        }
    }
    None
}

fn text<'f>(field: Option<&'f Field<'_>>) -> Option<&'f str> {
    field.map(|(_, value)| value.get())
}

/// Sorts the fields; of two with one name the later stays.
impl<'a> FromIterator<(Cow<'a, str>, Cow<'a, RawValue>)> for Object<'a> {
    fn from_iter<I: IntoIterator<Item = Field<'a>>>(fields: I) -> Self {
        let mut fields = sort_by_name(fields.into_iter().collect(), |(name, _)| name);
        if repeated(&fields, |(name, _)| name).is_some() {
            fields.reverse();
            fields.dedup_by(|(a, _), (b, _)| a == b);
            fields.reverse();
        }
        Self { fields }
    }
}

/// Sorts by the bytes of a name, stably. Cheap where it is sorted already, as in a canonical image.
pub(crate) fn sort_by_name<T>(fields: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    if fields.is_sorted_by(|a, b| name(a) <= name(b)) {
        return fields;
    }
    let order = order(&fields.iter().map(name).collect::<Vec<_>>());
    let mut fields: Vec<_> = fields.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| fields[at].take()).collect()
}

/// Apart from the generic code, and by a heap: the library's sorts are some 20 KB of code for each
/// type of element, in a component that will hardly ever sort.
pub(crate) fn order(names: &[&str]) -> Vec<usize> {
    let places: Vec<_> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    BinaryHeap::from(places).into_sorted_vec().into_iter().map(|(_, at)| at).collect()
}

/// The first name that stands twice in a sorted list.
pub(crate) fn repeated<T>(fields: &[T], name: impl Fn(&T) -> &str) -> Option<&str> {
    let mut pairs = fields.iter().zip(fields.iter().skip(1));
    pairs.find(|(a, b)| name(a) == name(b)).map(|(field, _)| name(field))
}

impl PartialEq for Object<'_> {
    fn eq(&self, other: &Self) -> bool {
        let same = |((a, x), (b, y)): (&Field<'_>, &Field<'_>)| a == b && x.get() == y.get();
        self.len() == other.len() && self.fields.iter().zip(&other.fields).all(same)
    }
}

impl Eq for Object<'_> {}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Object<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = deserializer.deserialize_map(Collect(PhantomData::<Box<RawValue>>))?;
        let owned = |(name, value): (Name<'de>, _)| (name.0.into_owned().into(), Cow::Owned(value));
        Self::from_fields(fields.into_iter().map(owned))
    }
}

/// Collects an object's fields in the order in which they stand.
struct Collect<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Collect<V> {
    type Value = Vec<(Name<'de>, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}

/// A field's name: borrowed unless it holds an escape, or the input can't be borrowed from.
pub(crate) struct Name<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
