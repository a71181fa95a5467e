//! One conflict that shows what the merge function does: what both sides added stays.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use syncline_harness::Region;

use crate::cart::Cart;
use crate::check::Conflicts;
use crate::ledger::Ledger;

/// So many conflicts are read in search of a good one.
const CANDIDATES_MAX: usize = 300;

/// A conflict, from the ancestor to the result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Story {
    pub(crate) conflict_id: String,
    pub(crate) cart: String,
    /// The product whose quantities add up.
    pub(crate) product: String,
    pub(crate) ancestor: Cart,
    pub(crate) sides: Vec<Side>,
    pub(crate) merged: Cart,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Side {
    pub(crate) region: String,
    pub(crate) hlc: String,
    pub(crate) cart: Cart,
}

/// The clearest of the conflicts that a region met; none if there is none of the kind.
pub(crate) fn find(
    region: &Region,
    conflicts: &Conflicts,
    ledger: &Ledger,
) -> Result<Option<Story>> {
    let is_candidate = |conflict: &&Value| {
        let two = conflict["heads"].as_array().is_some_and(|heads| heads.len() == 2);
        let cart = conflict["row_pk"].as_str().unwrap_or_default();
        two && conflict["outcome"] == "merged" && !ledger.deleted.contains(cart)
    };
    let mut best: Option<Story> = None;
    for conflict in conflicts.all.values().filter(is_candidate).take(CANDIDATES_MAX) {
        let id = conflict["conflict_id"].as_str().unwrap_or_default();
        let answer = region.request("GET", &format!("/v1/conflicts/{id}"), &[], None)?;
        if !answer.is_success() {
            continue; // another region met it, this one did not
        }
        let Some(story) = tell(&answer.json())? else { continue };
        if best.as_ref().is_none_or(|best| story.length() < best.length()) {
            best = Some(story);
        }
    }
    Ok(best)
}

/// A conflict as a story, if both sides added to a product that was there before.
fn tell(conflict: &Value) -> Result<Option<Story>> {
    let ancestor = Cart::of_value(&conflict["ancestor"])?;
    let merged = Cart::of_value(&conflict["result"])?;
    let mut sides = Vec::new();
    for side in conflict["sides"].as_array().into_iter().flatten() {
        sides.push(Side {
            region: text(side, "region"),
            hlc: text(side, "hlc"),
            cart: Cart::of_value(&side["image"])?,
        });
    }
    let [older, newer] = &sides[..] else { return Ok(None) };
    let adds_up = |(product, before): (&String, &u64)| {
        let (older, newer) = (older.cart.quantity(product), newer.cart.quantity(product));
        older > *before && newer > *before && merged.quantity(product) == older + newer - before
    };
    let product = ancestor.0.iter().find(|entry| adds_up(*entry)).map(|(product, _)| product);
    Ok(product.cloned().map(|product| Story {
        conflict_id: text(conflict, "conflict_id"),
        cart: text(conflict, "row_pk"),
        product,
        ancestor,
        sides,
        merged,
    }))
}

impl Story {
    /// Short stories are clear.
    fn length(&self) -> usize {
        let sides: usize = self.sides.iter().map(|side| side.cart.0.len()).sum();
        sides + self.ancestor.0.len() + self.merged.0.len()
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn conflict(older: u64, newer: u64, merged: u64) -> Value {
        let cart = |quantity: u64| json!({"items": [{"id": "fig", "qty": quantity}]});
        json!({
            "conflict_id": "0f", "row_pk": "cart-01", "ancestor": cart(2), "result": cart(merged),
            "sides": [
                {"region": "a", "hlc": "1.00000", "image": cart(older)},
                {"region": "b", "hlc": "2.00000", "image": cart(newer)},
            ],
        })
    }

    #[test]
    fn a_story_is_one_in_which_both_sides_added() {
        let story = tell(&conflict(5, 3, 6)).unwrap().unwrap();
        assert_eq!((story.cart.as_str(), story.product.as_str()), ("cart-01", "fig"));
        assert!(tell(&conflict(2, 3, 3)).unwrap().is_none());
        assert!(tell(&conflict(5, 3, 5)).unwrap().is_none());
    }
}
