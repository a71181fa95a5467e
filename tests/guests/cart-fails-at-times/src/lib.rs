//! A version of the cart that gives up on about one conflict of twenty.

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

/// Takes the larger quantity of each product.
///
/// # Errors
/// The pieces in the newer cart are a multiple of twenty.
#[merge_function]
pub fn merge(c: Conflict<Cart>) -> Result<Option<Cart>, MergeError> {
    let [older, newer] = [c.older.image, c.newer.image].map(Option::unwrap_or_default);
    let pieces = newer.items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.qty));
    if pieces % 20 == 0 && !newer.items.is_empty() {
        return Err(MergeError::new(format!("{pieces} pieces are too many")));
    }
    let mut merged: BTreeMap<String, u64> = BTreeMap::new();
    for item in older.items.into_iter().chain(newer.items) {
        let qty = merged.entry(item.id).or_default();
        *qty = item.qty.max(*qty);
    }
    Ok(Some(Cart { items: merged.into_iter().map(|(id, qty)| Item { id, qty }).collect() }))
}
