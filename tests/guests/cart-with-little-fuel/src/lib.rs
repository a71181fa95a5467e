//! A version of the cart whose authors have lowered its limit on fuel by the carts that they thought of:
//! for a large one it does not suffice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use syncline_sdk::{Conflict, MergeError, merge_function};

/// What the function knows of a cart.
#[derive(Default, Serialize, Deserialize)]
pub struct Cart {
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Serialize, Deserialize)]
struct Item {
    id: String,
    qty: u64,
}

/// Keeps the products of both carts, each with the larger quantity.
///
/// # Errors
/// None.
#[merge_function]
pub fn merge(c: Conflict<Cart>) -> Result<Option<Cart>, MergeError> {
    let [older, newer] = [c.older.image, c.newer.image].map(Option::unwrap_or_default);
    let mut merged: BTreeMap<String, u64> = BTreeMap::new();
    for item in older.items.into_iter().chain(newer.items) {
        let qty = merged.entry(item.id).or_default();
        *qty = item.qty.max(*qty);
    }
    Ok(Some(Cart { items: merged.into_iter().map(|(id, qty)| Item { id, qty }).collect() }))
}
