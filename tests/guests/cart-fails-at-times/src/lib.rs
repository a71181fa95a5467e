//! A version of the cart that gives up on about one conflict of twenty.

use carts::Cart;
use syncline_sdk::{Conflict, MergeError, merge_function};

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
    Ok(Some(older.larger_of_each(newer)))
}
