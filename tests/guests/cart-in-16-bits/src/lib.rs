//! A version of the cart with a mistake that no test of its author shows: it takes quantities for
//! numbers of 16 bits, and nobody has ever put more than 65,535 pieces of a product into a cart.

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
    qty: u16,
}

/// What each side added or took counts once, as long as it is not much.
///
/// # Errors
/// A quantity over 65,535.
#[merge_function]
pub fn merge(c: Conflict<Cart>) -> Result<Option<Cart>, MergeError> {
    let (met, both) = (c.ancestor.is_some(), c.older.image.is_some() && c.newer.image.is_some());
    let [before, older, newer] = [c.ancestor, c.older.image, c.newer.image].map(quantities);
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for (cart, sign) in [(older, 1), (newer, 1), (before, -1)] {
        for (id, qty) in cart {
            *sums.entry(id).or_default() += sign * i64::from(qty);
        }
    }
    sums.retain(|_, qty| *qty > 0);
    if sums.is_empty() && met && !both {
        return Ok(None);
    }
    let item = |(id, qty): (String, i64)| {
        let qty =
            u16::try_from(qty).map_err(|_| MergeError::new(format!("{qty} {id}: too many")))?;
        Ok(Item { id, qty })
    };
    Ok(Some(Cart { items: sums.into_iter().map(item).collect::<Result<_, MergeError>>()? }))
}

fn quantities(cart: Option<Cart>) -> BTreeMap<String, u16> {
    cart.unwrap_or_default().items.into_iter().map(|item| (item.id, item.qty)).collect()
}
