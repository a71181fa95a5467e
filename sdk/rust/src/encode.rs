//! Writes a row as a JSON object with sorted keys, and the fields that its type doesn't name.

use std::borrow::Cow;
use std::ops::Range;

use serde::ser::{
    Error as _, Impossible, Serialize, SerializeMap, SerializeStruct, SerializeStructVariant,
    SerializeTupleVariant, Serializer,
};
use serde_json::{Error, Result};

use crate::decode::SERDE_JSON_MAGIC;
use crate::object::{Object, repeated, sort_by_name};

/// The text of `row` with those fields of `unknown` that `row` doesn't write itself.
///
/// Only the top level is sorted here; what lies deeper comes in the order in which `T` writes it,
/// and the host puts it into canonical form.
pub(crate) fn object<T>(row: &T, unknown: &Object<'_>, size_hint: usize) -> Result<Vec<u8>>
where
    T: Serialize + ?Sized,
{
    let mut pieces = Pieces { text: Vec::with_capacity(size_hint), fields: Vec::new() };
    row.serialize(ObjectWriter(&mut pieces))?;
    pieces.finish(unknown)
}

/// A field as it stands in the text, `"name":value`.
struct Piece {
    name: Cow<'static, str>,
    span: Range<usize>,
}

/// `{"name":value,"name":value`: the fields in the order in which the row's type writes them.
struct Pieces {
    text: Vec<u8>,
    fields: Vec<Piece>,
}

impl Pieces {
    /// Adds a field whose value `write` appends.
    fn add(
        &mut self,
        name: Cow<'static, str>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        self.text.push(if self.fields.is_empty() { b'{' } else { b',' });
        let start = self.text.len();
        serde_json::to_writer(&mut self.text, &name)?;
        self.text.push(b':');
        write(&mut self.text)?;
        self.fields.push(Piece { name, span: start..self.text.len() });
        Ok(())
    }

    fn add_value<T>(&mut self, name: Cow<'static, str>, value: &T) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        self.add(name, |text| serde_json::to_writer(text, value))
    }

    fn finish(mut self, unknown: &Object<'_>) -> Result<Vec<u8>> {
        let sorted = self.fields.is_sorted_by(|a, b| a.name < b.name);
        if sorted && unknown.is_empty() && !self.fields.is_empty() {
            self.text.push(b'}');
            return Ok(self.text);
        }
        self.fields = sort_by_name(self.fields, |piece| &piece.name);
        if let Some(name) = repeated(&self.fields, |piece| &piece.name) {
            return Err(Error::custom(format_args!("field `{name}` is written twice")));
        }
        self.interleave(unknown)
    }

    fn interleave(&self, unknown: &Object<'_>) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.text.len() + 64 * unknown.len() + 2);
        let mut fields = self.fields.iter().peekable();
        for (name, value) in unknown.iter() {
            while let Some(piece) = fields.next_if(|piece| *piece.name < *name) {
                separate(&mut out);
                out.extend_from_slice(&self.text[piece.span.clone()]);
            }
            if fields.peek().is_some_and(|piece| piece.name == name) {
                continue;
            }
            separate(&mut out);
            serde_json::to_writer(&mut out, name)?;
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        for piece in fields {
            separate(&mut out);
            out.extend_from_slice(&self.text[piece.span.clone()]);
        }
        if out.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(out)
    }
}

fn separate(out: &mut Vec<u8>) {
    out.push(if out.is_empty() { b'{' } else { b',' });
}

fn no_object() -> Error {
    Error::custom("the merged row is not a JSON object")
}

/// Takes the top level of a row apart into [`Pieces`]; refuses whatever is no object.
struct ObjectWriter<'p>(&'p mut Pieces);

macro_rules! refuse {
    ($($method:ident($($type:ty),*) -> $result:ty;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$result> {
            Err(no_object())
        }
    )*};
}

impl<'p> Serializer for ObjectWriter<'p> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = VariantWriter<'p>;
    type SerializeMap = MapWriter<'p>;
    type SerializeStruct = MapWriter<'p>;
    type SerializeStructVariant = VariantWriter<'p>;

    refuse! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_i128(i128) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_u128(u128) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T>(self, _: &'static str, value: &T) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        self.0.add_value(variant.into(), value)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<MapWriter<'p>> {
        self.0.fields.reserve(len.unwrap_or_default());
        Ok(MapWriter { pieces: self.0, name: None })
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<MapWriter<'p>> {
        if name.starts_with(SERDE_JSON_MAGIC) {
            return Err(Error::custom("a row that stays as it is has the type `Raw`"));
        }
        self.serialize_map(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<VariantWriter<'p>> {
        Ok(VariantWriter::new(self.0, variant, *b"[]"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<VariantWriter<'p>> {
        Ok(VariantWriter::new(self.0, variant, *b"{}"))
    }
}

struct MapWriter<'p> {
    pieces: &'p mut Pieces,
    /// The name whose value comes next.
    name: Option<String>,
}

impl SerializeStruct for MapWriter<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T>(&mut self, name: &'static str, value: &T) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        self.pieces.add_value(name.into(), value)
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

impl SerializeMap for MapWriter<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        // serde_json knows which keys have a text (numbers do); its answer is that text in quotes.
        let mut quoted = Vec::new();
        let mut map = serde_json::Serializer::new(&mut quoted);
        let mut entries = map.serialize_map(Some(1))?;
        SerializeMap::serialize_key(&mut entries, key)?;
        self.name = Some(serde_json::from_slice(quoted.get(1..).unwrap_or_default())?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let name = self.name.take().ok_or_else(|| Error::custom("a value without a name"))?;
        self.pieces.add_value(name.into(), value)
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

/// An enum's variant with several values: an object with one field, `{"Variant":[...]}`.
struct VariantWriter<'p> {
    pieces: &'p mut Pieces,
    variant: &'static str,
    brackets: [u8; 2],
    inner: Vec<u8>,
}

impl<'p> VariantWriter<'p> {
    fn new(pieces: &'p mut Pieces, variant: &'static str, brackets: [u8; 2]) -> Self {
        Self { pieces, variant, brackets, inner: vec![brackets[0]] }
    }

    fn separate(&mut self) {
        if self.inner.len() > 1 {
            self.inner.push(b',');
        }
    }

    fn finish(mut self) -> Result<()> {
        self.inner.push(self.brackets[1]);
        let Self { pieces, variant, inner, .. } = self;
        pieces.add(variant.into(), |text| {
            text.extend_from_slice(&inner);
            Ok(())
        })
    }
}

impl SerializeTupleVariant for VariantWriter<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.separate();
        serde_json::to_writer(&mut self.inner, value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl SerializeStructVariant for VariantWriter<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T>(&mut self, name: &'static str, value: &T) -> Result<()>
    where
        T: Serialize + ?Sized,
    {
        self.separate();
        serde_json::to_writer(&mut self.inner, name)?;
        self.inner.push(b':');
        serde_json::to_writer(&mut self.inner, value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}
