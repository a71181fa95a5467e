//! A version of the cart whose authors have lowered its limit on fuel by the carts that they thought of:
//! for a large one it does not suffice.

use carts::Cart;
use syncline_sdk::{Conflict, MergeError, merge_function};

/// Keeps the products of both carts, each with the larger quantity.
///
/// # Errors
/// None.
#[merge_function]
pub fn merge(c: Conflict<Cart>) -> Result<Option<Cart>, MergeError> {
    let [older, newer] = [c.older.image, c.newer.image].map(Option::unwrap_or_default);
    Ok(Some(older.larger_of_each(newer)))
}
