//! A nested struct that keeps the fields it doesn't name.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::decode::Split;
use crate::encode;
use crate::object::{Fields, Name, Object};

/// A value and the fields of its JSON object that `T` doesn't name, each exactly as written.
///
/// The top level of an image keeps its unknown fields by itself (see [`Row`](crate::Row)); this does
/// it for what is nested, where the function has to say which objects belong together. It is what
/// `#[serde(flatten)] rest: Map<..>` is elsewhere, without flatten's loss of numbers' text.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use syncline_sdk::{Conflict, MergeError, Open, merge_function};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Address { street: String }
/// #[derive(Serialize, Deserialize)]
/// struct User { address: Open<Address> }
///
/// #[merge_function]
/// fn merge(c: Conflict<User>) -> Result<Option<User>, MergeError> {
///     let (Some(older), Some(newer)) = (c.older.image, c.newer.image) else { return Ok(None) };
///     let ancestor = c.ancestor.map(|user| user.address);
///     let address = newer.address.value.clone();
///     let address = Open::three_way(address, ancestor.as_ref(), &older.address, &newer.address);
///     Ok(Some(User { address }))
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open<T> {
    /// The part that `T` knows.
    pub value: T,
    /// The fields that it doesn't.
    pub rest: Fields,
}

impl<T> Open<T> {
    /// `value` with the unknown fields of three objects merged by [`Fields::three_way`].
    #[must_use]
    pub fn three_way(value: T, ancestor: Option<&Self>, older: &Self, newer: &Self) -> Self {
        let empty = Fields::new();
        let before = ancestor.map_or(&empty, |open| &open.rest);
        Self { value, rest: Fields::three_way(before, &older.rest, &newer.rest) }
    }
}

impl<T> From<T> for Open<T> {
    fn from(value: T) -> Self {
        Self { value, rest: Fields::new() }
    }
}

impl<T> Deref for Open<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Open<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Open<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut unknown: Vec<(Name<'de>, Box<RawValue>)> = Vec::new();
        let value = T::deserialize(Split { inner: deserializer, unknown: &mut unknown })?;
        let owned = |(name, value): (Name<'de>, _)| (name.0.into_owned().into(), Cow::Owned(value));
        Ok(Self { value, rest: Fields::from_fields(unknown.into_iter().map(owned))? })
    }
}

impl<T: Serialize> Serialize for Open<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object = encode::object(&self.value, &self.rest, 0).map_err(S::Error::custom)?;
        // As a map, not as one raw value: a row's top level may be an `Open` too.
        let mut input = serde_json::Deserializer::from_slice(&object);
        Object::borrowed(&mut input).map_err(S::Error::custom)?.serialize(serializer)
    }
}
