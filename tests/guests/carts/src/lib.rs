//! What the versions of the cart share that only differ in how they fail.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What such a function knows of a cart.
#[derive(Default, Serialize, Deserialize)]
pub struct Cart {
    /// The products.
    #[serde(default)]
    pub items: Vec<Item>,
}

/// A product in a cart.
#[derive(Serialize, Deserialize)]
pub struct Item {
    /// Which product.
    pub id: String,
    /// How many pieces.
    pub qty: u64,
}

impl Cart {
    /// The products of both carts, each with its larger quantity.
    pub fn larger_of_each(self, other: Self) -> Self {
        let mut larger: BTreeMap<String, u64> = BTreeMap::new();
        for item in self.items.into_iter().chain(other.items) {
            let qty = larger.entry(item.id).or_default();
            *qty = item.qty.max(*qty);
        }
        Self { items: larger.into_iter().map(|(id, qty)| Item { id, qty }).collect() }
    }
}
