//! Reads an image as `T` and, in the same pass, keeps the fields that `T` doesn't name.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor,
};

use crate::object::Name;

/// serde_json asks for its own types (`RawValue`) as newtypes whose name begins so.
pub(crate) const SERDE_JSON_MAGIC: &str = "$serde_json::";

/// A deserializer that hands a struct only the fields that it names, and puts the others into
/// `unknown`.
///
/// A struct's `Deserialize` says itself which names it takes, renamed ones and aliases included:
/// they are the argument `fields` of `deserialize_struct`. Whatever asks for something else (a map, a
/// type with `#[serde(flatten)]`, an enum) is given everything and leaves nothing unknown.
pub(crate) struct Split<'u, D, U> {
    pub(crate) inner: D,
    pub(crate) unknown: &'u mut Vec<U>,
}

macro_rules! everything {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $type,)*
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.inner.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de, D, N> Deserializer<'de> for Split<'_, D, (Name<'de>, N)>
where
    D: Deserializer<'de>,
    N: Deserialize<'de>,
{
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let Self { inner, unknown } = self;
        inner.deserialize_map(Known { visitor, fields, unknown })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        // An image is an object, so it is never `null`.
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if name.starts_with(SERDE_JSON_MAGIC) {
            return self.inner.deserialize_newtype_struct(name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    everything! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32()
        deserialize_i64() deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32()
        deserialize_u64() deserialize_u128() deserialize_f32() deserialize_f64() deserialize_char()
        deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_unit() deserialize_unit_struct(name: &'static str) deserialize_seq()
        deserialize_tuple(len: usize) deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map() deserialize_identifier() deserialize_ignored_any()
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// A struct's visitor, told of the fields that the struct names.
struct Known<'u, V, U> {
    visitor: V,
    fields: &'static [&'static str],
    unknown: &'u mut Vec<U>,
}

impl<'de, V, N> Visitor<'de> for Known<'_, V, (Name<'de>, N)>
where
    V: Visitor<'de>,
    N: Deserialize<'de>,
{
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Self { visitor, fields, unknown } = self;
        visitor.visit_map(KnownFields { map, fields, unknown, field: "" })
    }
}

struct KnownFields<'u, A, U> {
    map: A,
    fields: &'static [&'static str],
    unknown: &'u mut Vec<U>,
    /// The field whose value comes next.
    field: &'static str,
}

impl<'de, A, N> MapAccess<'de> for KnownFields<'_, A, (Name<'de>, N)>
where
    A: MapAccess<'de>,
    N: Deserialize<'de>,
{
    type Error = A::Error;

    fn next_key_seed<K>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error>
    where
        K: DeserializeSeed<'de>,
    {
        while let Some(name) = self.map.next_key::<Name<'de>>()? {
            if let Some(field) = self.fields.iter().find(|field| **field == name.0) {
                self.field = field;
                return seed.deserialize((*field).into_deserializer()).map(Some);
            }
            self.unknown.push((name, self.map.next_value()?));
        }
        Ok(None)
    }

    fn next_value_seed<S>(&mut self, seed: S) -> Result<S::Value, Self::Error>
    where
        S: DeserializeSeed<'de>,
    {
        self.map.next_value_seed(seed).map_err(|error| in_field(self.field, &error))
    }
}

/// Says which field an error is about, unless its text begins with the field's name already. A text
/// that goes on from the name is joined to it: `[2]: ...` and `is not ...`.
#[cold]
#[inline(never)]
fn in_field<E: Error>(field: &str, error: &E) -> E {
    let text = error.to_string();
    match text.strip_prefix(field) {
        Some(rest) if !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
            E::custom(text)
        }
        _ => {
            let joint = match text.as_bytes() {
                [b'[', ..] => "",
                [b'i', b's', b' ', ..] => " ",
                _ => ": ",
            };
            E::custom(format_args!("{field}{joint}{text}"))
        }
    }
}

/// Reads a field that may be absent but not `null`, for
/// `#[serde(default, deserialize_with = "syncline_sdk::present")]` on an `Option`.
///
/// By itself serde reads a `null` as `None`, and a function that doesn't write a `None` loses the
/// field.
///
/// # Errors
/// Those of `T`.
///
/// ```
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Row {
///     #[serde(default, deserialize_with = "syncline_sdk::present")]
///     n: Option<u64>,
/// }
///
/// assert_eq!(serde_json::from_str::<Row>("{}")?.n, None);
/// assert_eq!(serde_json::from_str::<Row>(r#"{"n":1}"#)?.n, Some(1));
/// assert!(serde_json::from_str::<Row>(r#"{"n":null}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// The text of an error, without the place in the image: the image is not at hand for who reads it.
#[cold]
#[inline(never)]
pub(crate) fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).map_or_else(|| text.clone(), str::to_owned)
}
