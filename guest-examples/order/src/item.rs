//! An item of an order: `{"id":"fig","price_cents":150,"qty":2,...}`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use syncline_sdk::three_way::{self, Record};
use syncline_sdk::{MergeError, Object};

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// What the item is told apart by.
    pub id: String,
    /// The price of one, in cents; at most [`Item::MAX`].
    pub price_cents: u64,
    /// How many; at most [`Item::MAX`].
    pub qty: u64,
    /// The fields that this function doesn't know.
    pub rest: Object<'a>,
}

impl Item<'_> {
    /// The largest number in an order, 2^63-1.
    pub const MAX: u64 = i64::MAX.cast_unsigned();

    /// `None` where it passes 64 bits.
    pub(crate) fn cost(&self) -> Option<u64> {
        self.price_cents.checked_mul(self.qty)
    }
}

impl Record for Item<'_> {
    const KEY: &'static str = "id";

    fn key(&self) -> &str {
        &self.id
    }
}

/// `None`: the item is removed.
pub(crate) fn merge<'a>(
    ancestor: Option<&Item<'a>>,
    older: Option<Item<'a>>,
    newer: Option<Item<'a>>,
) -> Result<Option<Item<'a>>, MergeError> {
    let before = ancestor.map_or(0, |item| item.qty);
    let item = match (older, newer) {
        (Some(o), Some(n)) => match ancestor {
            Some(a) => Item {
                // Each quantity read from an image is below 2^63, so the sum of two is exact.
                qty: o.qty.saturating_add(n.qty).saturating_sub(before),
                price_cents: three_way::value(&a.price_cents, o.price_cents, n.price_cents),
                rest: Object::three_way(&a.rest, &o.rest, &n.rest),
                id: n.id,
            },
            None => Item {
                qty: o.qty.max(n.qty),
                rest: Object::three_way(&Object::new(), &o.rest, &n.rest),
                ..n
            },
        },
        (kept, other) => {
            let Some(item) = kept.or(other) else { return Ok(None) };
            let qty = item.qty.saturating_sub(before);
            if ancestor.is_some() && qty == 0 {
                return Ok(None);
            }
            Item { qty, ..item }
        }
    };
    if item.qty > Item::MAX {
        return Err(MergeError::new(format!("item {}: qty is above 2^63-1", item.id)));
    }
    Ok(Some(item))
}

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let no_id = || D::Error::custom("id is not a text");
        let mut rest = Object::borrowed(deserializer).map_err(|_| no_id())?;
        let id = rest.remove("id").and_then(|id| serde_json::from_str(id.get()).ok());
        let id = id.ok_or_else(no_id)?;
        let mut number = |name: &str| {
            let number = rest.remove(name).and_then(|number| number.get().parse::<i64>().ok());
            number.and_then(|number| u64::try_from(number).ok()).ok_or_else(|| {
                D::Error::custom(format_args!("{name} is not an integer from 0 to 2^63-1"))
            })
        };
        Ok(Item { id, price_cents: number("price_cents")?, qty: number("qty")?, rest })
    }
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = self.rest.clone();
        let mut set = || {
            object.set("id", &self.id)?;
            object.set("price_cents", &self.price_cents)?;
            object.set("qty", &self.qty)
        };
        set().map_err(ser::Error::custom)?;
        object.serialize(serializer)
    }
}
