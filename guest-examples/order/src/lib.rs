//! An order that two regions changed at once:
//! `{"items":[{"id":"fig","price_cents":150,"qty":2},...],"status":"pending","total_cents":300,...}`.
//!
//! The status only goes forward, quantities go three-way, and the total is made anew. The README has
//! the rules.

mod item;
mod status;

use serde::{Deserialize, Serialize};
use syncline_sdk::three_way::{self, Records};
use syncline_sdk::{Conflict, Json, MergeError, merge_function, present};

pub use item::Item;
pub use status::Status;

/// What the function knows of an order. The SDK keeps the order's other fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order<'a> {
    /// What was ordered.
    #[serde(borrow, default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Records<Item<'a>>>,
    /// How far it is.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What the items cost; any value where it was read, since it is never looked into.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub total_cents: Option<Json>,
}

/// Merges two orders by the rules of the README.
///
/// # Errors
/// A quantity or a total that passes 2^63-1.
#[merge_function]
pub fn merge<'a>(c: Conflict<Order<'a>>) -> Result<Option<Order<'a>>, MergeError> {
    let merged = match (c.older.image, c.newer.image) {
        (Some(older), Some(newer)) => merge_orders(c.ancestor, older, newer)?,
        // One side deleted the order, or both did.
        (older, newer) => match older.or(newer) {
            Some(living) if c.ancestor.is_none_or(|before| living.status > before.status) => living,
            _ => return Ok(None),
        },
    };
    with_total(merged).map(Some)
}

fn merge_orders<'a>(
    ancestor: Option<Order<'a>>,
    older: Order<'a>,
    newer: Order<'a>,
) -> Result<Order<'a>, MergeError> {
    let (items, total) = ancestor.map_or((None, None), |order| (order.items, order.total_cents));
    let listed = older.items.is_some() || newer.items.is_some();
    let items = three_way::list_by_key(
        &items.unwrap_or_default(),
        older.items.unwrap_or_default(),
        newer.items.unwrap_or_default(),
        item::merge,
    )?;
    Ok(Order {
        items: listed.then_some(items),
        status: older.status.max(newer.status),
        total_cents: three_way::value(&total, older.total_cents, newer.total_cents),
    })
}

/// The order with the total of its items, where it lists any.
fn with_total(order: Order<'_>) -> Result<Order<'_>, MergeError> {
    let Some(items) = &order.items else { return Ok(order) };
    let mut costs = items.iter().map(Item::cost);
    let total = costs.try_fold(0, |sum: u64, cost| sum.checked_add(cost?));
    let total = total
        .filter(|total| *total <= Item::MAX)
        .ok_or_else(|| MergeError::new("total_cents is above 2^63-1"))?;
    let total = Json::new(&total).map_err(|error| MergeError::new(error.to_string()))?;
    Ok(Order { total_cents: Some(total), ..order })
}
