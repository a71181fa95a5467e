//! A shopping cart that two regions changed at once: `{"items":[{"id":"fig","qty":2},...],...}`.
//!
//! - A product's quantity is older + newer - ancestor, never below 0: what each side added or took
//!   counts once.
//! - A product that one side removed is what the other side added to it, or stays removed if that is
//!   nothing.
//! - A side that deleted the row removed every product. The row stays deleted unless a product is
//!   left; without an ancestor the two sides never met, and the living one stays.
//! - Every other field, of the cart and of a product, goes three-way: the newer side's where both
//!   changed it.
//!
//! `items` is absent only if it is absent on both sides. Products are written sorted by id.

mod item;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use syncline_sdk::{Conflict, MergeError, Object, merge_function};

pub use item::Item;

/// What the function knows of a cart. The SDK keeps the cart's other fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart<'a> {
    /// The products, sorted by id, each id once.
    #[serde(borrow, default, deserialize_with = "item::list")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item<'a>>>,
}

/// Merges two carts by the rules at the head of this crate.
///
/// # Errors
/// A quantity that passes 2^63-1.
#[merge_function]
pub fn merge<'a>(c: Conflict<Cart<'a>>) -> Result<Option<Cart<'a>>, MergeError> {
    let (older, newer) = match (c.older.image, c.newer.image) {
        (None, None) => return Ok(None),
        sides => sides,
    };
    let one_deleted = older.is_none() || newer.is_none();
    let met = c.ancestor.is_some();
    let list = |cart: Option<Cart<'a>>| cart.and_then(|cart| cart.items);
    let (ancestor, older, newer) = (list(c.ancestor), list(older), list(newer));
    let listed = older.is_some() || newer.is_some();

    let items = merge_items(
        &ancestor.unwrap_or_default(),
        older.unwrap_or_default(),
        newer.unwrap_or_default(),
    )?;
    if one_deleted && met && items.is_empty() {
        return Ok(None);
    }
    Ok(Some(Cart { items: listed.then_some(items) }))
}

/// Walks the three lists side by side, as all are sorted by id.
fn merge_items<'a>(
    ancestor: &[Item<'a>],
    older: Vec<Item<'a>>,
    newer: Vec<Item<'a>>,
) -> Result<Vec<Item<'a>>, MergeError> {
    let mut merged = Vec::with_capacity(older.len().max(newer.len()));
    let mut ancestor = ancestor.iter().peekable();
    let (mut older, mut newer) = (older.into_iter().peekable(), newer.into_iter().peekable());
    loop {
        let order = match (older.peek(), newer.peek()) {
            (None, None) => return Ok(merged),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(o), Some(n)) => o.id.cmp(&n.id),
        };
        let o = older.next_if(|_| order != Ordering::Greater);
        let n = newer.next_if(|_| order != Ordering::Less);
        let Some(id) = o.as_ref().or(n.as_ref()).map(|item| &item.id) else { return Ok(merged) };
        while ancestor.next_if(|a| a.id < *id).is_some() {}
        let a = ancestor.next_if(|a| a.id == *id);
        merged.extend(merge_item(a, o, n)?);
    }
}

/// `None`: the product is removed.
fn merge_item<'a>(
    ancestor: Option<&Item<'a>>,
    older: Option<Item<'a>>,
    newer: Option<Item<'a>>,
) -> Result<Option<Item<'a>>, MergeError> {
    let before = ancestor.map_or(0, |item| item.qty);
    let item = match (older, newer) {
        (Some(o), Some(n)) => {
            let unknown = Object::new();
            let rest = ancestor.map_or(&unknown, |item| &item.rest);
            let rest = Object::three_way(rest, &o.rest, &n.rest);
            // Each quantity read from an image is below 2^63, so the sum of two is exact.
            Item { qty: o.qty.saturating_add(n.qty).saturating_sub(before), id: n.id, rest }
        }
        (kept, other) => {
            let Some(mut item) = kept.or(other) else { return Ok(None) };
            item.qty = item.qty.saturating_sub(before);
            if ancestor.is_some() && item.qty == 0 {
                return Ok(None);
            }
            item
        }
    };
    if item.qty > Item::QTY_MAX {
        return Err(MergeError::new(format!("product {}: qty is above 2^63-1", item.id)));
    }
    Ok(Some(item))
}
