//! The cart's second version: it also writes how many pieces there are in all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use syncline_sdk::{Conflict, MergeError, merge_function};

/// What the function knows of a cart.
#[derive(Default, Serialize, Deserialize)]
pub struct Cart {
    #[serde(default)]
    items: Vec<Item>,
    #[serde(default)]
    total: u64,
}

#[derive(Serialize, Deserialize)]
struct Item {
    id: String,
    qty: u64,
}

/// What each side added or took counts once.
///
/// # Errors
/// None.
#[merge_function]
pub fn merge(c: Conflict<Cart>) -> Result<Option<Cart>, MergeError> {
    let (met, both) = (c.ancestor.is_some(), c.older.image.is_some() && c.newer.image.is_some());
    let [before, older, newer] = [c.ancestor, c.older.image, c.newer.image].map(quantities);
    let mut merged = older;
    for (id, qty) in newer {
        let sum = merged.entry(id).or_default();
        *sum = sum.saturating_add(qty);
    }
    for (id, qty) in before {
        let sum = merged.entry(id).or_default();
        *sum = sum.saturating_sub(qty);
    }
    merged.retain(|_, qty| *qty > 0);
    if merged.is_empty() && met && !both {
        return Ok(None);
    }
    let total = merged.values().fold(0, |sum: u64, qty| sum.saturating_add(*qty));
    let items = merged.into_iter().map(|(id, qty)| Item { id, qty }).collect();
    Ok(Some(Cart { items, total }))
}

fn quantities(cart: Option<Cart>) -> BTreeMap<String, u64> {
    cart.unwrap_or_default().items.into_iter().map(|item| (item.id, item.qty)).collect()
}
