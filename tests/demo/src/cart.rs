//! A cart, as the clients of the shop see it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Products and their quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Cart(pub(crate) BTreeMap<String, u64>);

/// A cart as it stands in its row.
#[derive(Serialize, Deserialize)]
struct Image {
    items: Vec<Item>,
}

#[derive(Serialize, Deserialize)]
struct Item {
    id: String,
    qty: u64,
}

impl Cart {
    /// Reads a row.
    pub(crate) fn read(image: &[u8]) -> Result<Self> {
        let image: Image = serde_json::from_slice(image).context("read a cart")?;
        Ok(Self::of(image))
    }

    /// Reads a row that stands in another document; an absent row is an empty cart.
    pub(crate) fn of_value(image: &Value) -> Result<Self> {
        if image.is_null() {
            return Ok(Self::default());
        }
        Ok(Self::of(serde_json::from_value(image.clone()).context("read a cart")?))
    }

    fn of(image: Image) -> Self {
        Self(image.items.into_iter().map(|item| (item.id, item.qty)).collect())
    }

    /// The row's image.
    pub(crate) fn image(&self) -> String {
        let item = |(id, qty): (&String, &u64)| Item { id: id.clone(), qty: *qty };
        let image = Image { items: self.0.iter().map(item).collect() };
        // Texts and numbers only; they can always be written as JSON.
        serde_json::to_string(&image).unwrap_or_default()
    }

    /// How many of a product.
    pub(crate) fn quantity(&self, product: &str) -> u64 {
        self.0.get(product).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Cart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(nothing)");
        }
        let items: Vec<String> = self.0.iter().map(|(id, qty)| format!("{id} {qty}")).collect();
        f.write_str(&items.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cart_reads_back_what_it_writes() {
        let cart = Cart([("fig".to_owned(), 2), ("kiwi".to_owned(), 1)].into());
        assert_eq!(Cart::read(cart.image().as_bytes()).unwrap(), cart);
        assert_eq!(cart.to_string(), "fig 2, kiwi 1");
        assert_eq!(Cart::of_value(&Value::Null).unwrap(), Cart::default());
        assert!(Cart::read(b"{}").is_err());
    }
}
