//! From the bytes of a conflict through a merge function to the bytes of its answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::conflict::{Conflict, MergeError, Side};
use crate::decode::{self, Split};
use crate::encode;
use crate::object::{Name, Object};

/// What a merge function may see a row as: any type with `Deserialize` and `Serialize` whose JSON
/// form is an object, or [`Raw`].
///
/// # Fields that the type doesn't name
/// A row may have fields that the function was written without, and they survive the merge, or an
/// old function would delete a newer application's data. A struct names the fields that its
/// `Deserialize` takes (renamed ones under the new name, aliases too, `#[serde(skip)]` ones not) and
/// those that its `Serialize` writes. Each other field of the image's top level is merged by itself:
///
/// - What one side alone changed is taken from that side; what both changed from the newer side.
///   Adding and removing are changes. Without an ancestor every field counts as added.
/// - Where one side deleted the row and the function answers with a row, the other side's fields are
///   kept: the deletion said nothing about single fields, and the function has overruled it. Where
///   both sides deleted the row there are none.
/// - A field that the type names is the function's alone. An `Option` with `skip_serializing_if` that
///   the function has cleared stays away, and so does a field that is only read
///   (`#[serde(skip_serializing)]`).
/// - `#[serde(deny_unknown_fields)]` has no effect on the top level.
///
/// Values that no type looks into keep their text: numbers come out as they went in.
///
/// A map, an enum and a struct with `#[serde(flatten)]` take every field, so nothing is unknown and
/// what they don't write is gone. Inside `flatten`, and in enums that are untagged or internally
/// tagged, serde keeps numbers as 64-bit integers or floats: `1.50` becomes `1.5`, and `RawValue`
/// fails. [`Open`](crate::Open) and [`Object`] do the same work without that loss.
///
/// Only the top level is kept like this. A nested struct that wants to keep what it doesn't name is
/// wrapped into [`Open`](crate::Open).
#[diagnostic::on_unimplemented(
    message = "a merge function can't see a row as `{Self}`",
    label = "needs `serde::Deserialize` and `serde::Serialize`, or to be `syncline_sdk::Raw`"
)]
pub trait Row<'a>: Sized + sealed::Sealed<'a> {}

/// The trait's working part, out of reach so that it can change.
pub(crate) mod sealed {
    use crate::conflict::MergeError;

    pub trait Sealed<'a>: Sized {
        /// The fields of an image that the type doesn't name.
        type Unknown;

        fn decode(image: &'a [u8]) -> Result<(Self, Self::Unknown), MergeError>;

        fn encode(self, sides: Sides<Self::Unknown>) -> Result<Vec<u8>, MergeError>;
    }

    /// What was kept of the three images, each `None` where there was no row.
    pub struct Sides<U> {
        pub ancestor: Option<U>,
        pub older: Option<U>,
        pub newer: Option<U>,
        /// The largest image, in bytes: about the size of the answer.
        pub size_hint: usize,
    }
}

impl<'a, T> Row<'a> for T where T: Deserialize<'a> + Serialize {}

impl<'a, T> sealed::Sealed<'a> for T
where
    T: Deserialize<'a> + Serialize,
{
    type Unknown = Object<'a>;

    fn decode(image: &'a [u8]) -> Result<(Self, Object<'a>), MergeError> {
        let text = object_text(image)?;
        let mut unknown = Vec::new();
        let mut input = serde_json::Deserializer::from_str(text);
        let row = T::deserialize(Split { inner: &mut input, unknown: &mut unknown })
            .and_then(|row| input.end().map(|()| row))
            .and_then(|row| Ok((row, collect(unknown)?)));
        row.map_err(|error| MergeError::new(decode::describe(&error)))
    }

    fn encode(self, sides: sealed::Sides<Object<'a>>) -> Result<Vec<u8>, MergeError> {
        let unknown = match (sides.older, sides.newer) {
            (Some(older), Some(newer)) => {
                Object::three_way(&sides.ancestor.unwrap_or_default(), &older, &newer)
            }
            (kept, other) => kept.or(other).unwrap_or_default(),
        };
        encode::object(&self, &unknown, sides.size_hint)
            .map_err(|error| MergeError::new(decode::describe(&error)))
    }
}

fn collect<'a>(
    unknown: Vec<(Name<'a>, &'a serde_json::value::RawValue)>,
) -> serde_json::Result<Object<'a>> {
    Object::from_fields(unknown.into_iter().map(|(name, value)| (name.0, Cow::Borrowed(value))))
}

/// Refuses early what a struct would otherwise read as a list of its fields.
fn object_text(image: &[u8]) -> Result<&str, MergeError> {
    match str::from_utf8(image) {
        Ok(text) if text.trim_ascii_start().starts_with('{') => Ok(text),
        Ok(_) => Err("not a JSON object".into()),
        Err(_) => Err("not UTF-8".into()),
    }
}

/// A row as the bytes of its image, for a function that looks at no field, or in its own way.
///
/// The answer is checked by the host as any other: it has to be a JSON object.
///
/// ```
/// use syncline_sdk::{Conflict, MergeError, Raw, merge_function};
///
/// #[merge_function]
/// fn newer_unless_deleted(c: Conflict<Raw<'_>>) -> Result<Option<Raw<'_>>, MergeError> {
///     Ok(c.newer.image.or(c.older.image))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw<'a>(Cow<'a, [u8]>);

impl<'a> Raw<'a> {
    /// The image.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> From<&'a [u8]> for Raw<'a> {
    fn from(image: &'a [u8]) -> Self {
        Self(Cow::Borrowed(image))
    }
}

impl From<Vec<u8>> for Raw<'_> {
    fn from(image: Vec<u8>) -> Self {
        Self(Cow::Owned(image))
    }
}

impl<'a> Row<'a> for Raw<'a> {}

impl<'a> sealed::Sealed<'a> for Raw<'a> {
    type Unknown = ();

    fn decode(image: &'a [u8]) -> Result<(Self, ()), MergeError> {
        Ok((image.into(), ()))
    }

    fn encode(self, _: sealed::Sides<()>) -> Result<Vec<u8>, MergeError> {
        Ok(self.0.into_owned())
    }
}

/// Runs a merge function over images as bytes: exactly what the component does, natively.
///
/// Decodes the images, calls the function, keeps the fields that `T` doesn't name (see [`Row`]) and
/// encodes the answer. For tests of a function against golden cases, and for benchmarks.
///
/// # Errors
/// The function's own; an image that `T` can't be read from, with the side named (`older: ...`); an
/// answer that is no JSON object.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use syncline_sdk::{Conflict, MergeError, Operation, Side, resolve};
///
/// #[derive(Serialize, Deserialize)]
/// struct Counter { n: u64 }
///
/// fn highest(c: Conflict<Counter>) -> Result<Option<Counter>, MergeError> {
///     Ok([c.older.image, c.newer.image].into_iter().flatten().max_by_key(|counter| counter.n))
/// }
///
/// let side = |region: &str, image: &'static str| Side {
///     region: region.into(),
///     hlc: 1 << 16,
///     operation: Operation::Update,
///     image: Some(image.as_bytes()),
/// };
/// let conflict = Conflict {
///     table: "counters".into(),
///     row_pk: "c-1".into(),
///     ancestor: Some(&br#"{"n":1,"unit":"km"}"#[..]),
///     older: side("eu-west-1", r#"{"n":7,"unit":"km"}"#),
///     newer: side("us-east-1", r#"{"n":4,"unit":"mi"}"#),
/// };
/// assert_eq!(resolve(highest, conflict)?.as_deref(), Some(&br#"{"n":7,"unit":"mi"}"#[..]));
/// # Ok::<(), MergeError>(())
/// ```
pub fn resolve<'a, T, F>(
    function: F,
    conflict: Conflict<&'a [u8]>,
) -> Result<Option<Vec<u8>>, MergeError>
where
    T: Row<'a>,
    F: FnOnce(Conflict<T>) -> Result<Option<T>, MergeError>,
{
    let Conflict { table, row_pk, ancestor, older, newer } = conflict;
    let images = [ancestor, older.image, newer.image];
    let size_hint = images.iter().flatten().map(|image| image.len()).max().unwrap_or_default();
    let (ancestor, unknown_ancestor) = decode("ancestor", ancestor)?;
    let (older_image, unknown_older) = decode("older", older.image)?;
    let (newer_image, unknown_newer) = decode("newer", newer.image)?;
    let answer = function(Conflict {
        table,
        row_pk,
        ancestor,
        older: older.with(older_image),
        newer: newer.with(newer_image),
    })?;
    let Some(row) = answer else { return Ok(None) };
    row.encode(sealed::Sides {
        ancestor: unknown_ancestor,
        older: unknown_older,
        newer: unknown_newer,
        size_hint,
    })
    .map(Some)
}

/// An image read as `T`, and the fields that `T` doesn't name.
type Decoded<'a, T> = (Option<T>, Option<<T as sealed::Sealed<'a>>::Unknown>);

fn decode<'a, T: Row<'a>>(
    side: &str,
    image: Option<&'a [u8]>,
) -> Result<Decoded<'a, T>, MergeError> {
    match image.map(T::decode) {
        None => Ok((None, None)),
        Some(Ok((row, unknown))) => Ok((Some(row), Some(unknown))),
        Some(Err(error)) => Err(MergeError::new(format!("{side}: {error}"))),
    }
}

impl<T> Side<T> {
    /// The same side with another image.
    fn with<U>(self, image: Option<U>) -> Side<U> {
        Side { region: self.region, hlc: self.hlc, operation: self.operation, image }
    }
}
