//! A product in a cart, read and written by hand: its errors name the place in the list.

use std::borrow::Cow;
use std::collections::BinaryHeap;
use std::fmt;
use std::mem;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use syncline_sdk::Object;

/// A product: `{"id":"fig","qty":2,...}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item<'a> {
    /// The product's id.
    pub id: Cow<'a, str>,
    /// How many; at most [`Item::QTY_MAX`].
    pub qty: u64,
    /// The fields that this function doesn't know.
    pub rest: Object<'a>,
}

impl Item<'_> {
    /// The largest quantity, 2^63-1.
    pub const QTY_MAX: u64 = i64::MAX.cast_unsigned();
}

impl Serialize for Item<'_> {
    /// Writes the fields sorted by name, so that the answer is canonical already.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.rest.len() + 2))?;
        let mut rest = self.rest.iter().peekable();
        while let Some((name, value)) = rest.next_if(|(name, _)| *name < "id") {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("id", &self.id)?;
        while let Some((name, value)) = rest.next_if(|(name, _)| *name < "qty") {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("qty", &self.qty)?;
        for (name, value) in rest {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Reads `items`: a list of products in any order, each id once. Absent is not the same as empty.
pub(crate) fn list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Item<'de>>>, D::Error> {
    let mut is_list = false;
    match deserializer.deserialize_seq(ListVisitor { is_list: &mut is_list }) {
        Ok(items) => Ok(Some(items)),
        Err(error) if is_list => Err(error),
        Err(_) => Err(D::Error::custom("items is not a list")),
    }
}

struct ListVisitor<'f> {
    /// Set as soon as there is a list, to tell its own errors from its absence.
    is_list: &'f mut bool,
}

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = Vec<Item<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of products")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        *self.is_list = true;
        let mut items: Vec<Item<'de>> = Vec::with_capacity(list.size_hint().unwrap_or_default());
        loop {
            match list.next_element() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return sorted(items),
                Err(error) => {
                    // A repeated id further up is the first thing wrong with the list.
                    let at = items.len();
                    sorted::<A::Error>(items)?;
                    return Err(A::Error::custom(format_args!("items[{at}]: {error}")));
                }
            }
        }
    }
}

/// Sorts products by id; an id that comes twice is an error at its second place in the list.
fn sorted<E: Error>(mut items: Vec<Item<'_>>) -> Result<Vec<Item<'_>>, E> {
    if items.is_sorted_by(|a, b| a.id < b.id) {
        return Ok(items);
    }
    // By a heap, as the library's sorts are some 20 KB of code each.
    let ids: Vec<_> = items.iter().enumerate().map(|(at, item)| (&*item.id, at)).collect();
    let sorted = BinaryHeap::from(ids).into_sorted_vec();
    let repeated = sorted.windows(2).filter(|two| two[0].0 == two[1].0);
    if let Some(at) = repeated.map(|two| two[1].1).min() {
        return Err(E::custom(format_args!("items[{at}]: id appears twice")));
    }
    let places: Vec<usize> = sorted.into_iter().map(|(_, at)| at).collect();
    Ok(places.into_iter().map(|at| mem::take(&mut items[at])).collect())
}

/// A text that is borrowed from the image unless it holds an escape.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut is_object = false;
        match deserializer.deserialize_map(ItemVisitor { is_object: &mut is_object }) {
            Err(_) if !is_object => Err(D::Error::custom("id is not a text")),
            result => result,
        }
    }
}

struct ItemVisitor<'f> {
    is_object: &'f mut bool,
}

impl<'de> Visitor<'de> for ItemVisitor<'_> {
    type Value = Item<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a product")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        *self.is_object = true;
        let (mut id, mut qty, mut rest) = (None, None, Vec::new());
        while let Some(Text(name)) = fields.next_key()? {
            match &*name {
                "id" => {
                    let text = fields.next_value::<Text<'de>>();
                    id = Some(text.map_err(|_| A::Error::custom("id is not a text"))?.0);
                }
                "qty" => qty = Some(fields.next_value::<&RawValue>()?),
                _ => rest.push((name, Cow::Borrowed(fields.next_value::<&RawValue>()?))),
            }
        }
        let id = id.ok_or_else(|| A::Error::custom("id is not a text"))?;
        let qty = qty
            .and_then(quantity)
            .ok_or_else(|| A::Error::custom("qty is not an integer from 0 to 2^63-1"))?;
        Ok(Item { id, qty, rest: rest.into_iter().collect() })
    }
}

/// Takes an integer as it is written: a number such as `1.0` or `1E2` is none.
fn quantity(number: &RawValue) -> Option<u64> {
    number.get().parse::<i64>().ok().and_then(|qty| u64::try_from(qty).ok())
}
