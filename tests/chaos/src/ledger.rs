//! What clients were told, held against what the regions have.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use syncline_harness::Region;

/// Rows that are written once each. They need no merge function.
pub(crate) const NOTES: &str = "notes";
/// Rows that everybody writes, by the merge function `cart`.
pub(crate) const CARTS: &str = "carts";

/// So many failures are shown.
const SHOWN: usize = 10;

/// Something that a client wrote, and nobody else: a note, or an item in a cart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Written {
    Note { pk: String },
    Item { cart: String, item: String },
}

/// The clients' own record of what they did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) acknowledged: BTreeSet<Written>,
    /// It is not known whether these were written.
    pub(crate) unclear: BTreeSet<Written>,
    /// Writes that a region refused.
    pub(crate) refused: usize,
}

impl Ledger {
    pub(crate) fn merge(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.unclear.extend(other.unclear);
        self.refused += other.refused;
    }

    /// Checks that a region has all that was acknowledged, and nothing that nobody wrote.
    pub(crate) fn check(&self, region: &Region) -> Result<()> {
        let held = held(region)?;
        let missing: Vec<&Written> = self.acknowledged.difference(&held).collect();
        ensure!(
            missing.is_empty(),
            "{} lacks {} of {} acknowledged writes: {:?}",
            region.name,
            missing.len(),
            self.acknowledged.len(),
            &missing[..missing.len().min(SHOWN)]
        );
        let known = |written: &&Written| {
            self.acknowledged.contains(*written) || self.unclear.contains(*written)
        };
        let made_up: Vec<&Written> = held.iter().filter(|written| !known(written)).collect();
        ensure!(
            made_up.is_empty(),
            "{} holds {} things that nobody wrote: {:?}",
            region.name,
            made_up.len(),
            &made_up[..made_up.len().min(SHOWN)]
        );
        Ok(())
    }
}

fn held(region: &Region) -> Result<BTreeSet<Written>> {
    let mut held = BTreeSet::new();
    for (pk, image) in region.rows(NOTES)? {
        ensure!(image["note"] == pk.as_str(), "{}: note {pk} is {image}", region.name);
        held.insert(Written::Note { pk });
    }
    for (cart, image) in region.rows(CARTS)? {
        for (item, quantity) in items(&image).with_context(|| format!("cart {cart}: {image}"))? {
            ensure!(quantity == 1, "{}: {cart} holds {quantity} of {item}", region.name);
            held.insert(Written::Item { cart: cart.clone(), item });
        }
    }
    Ok(held)
}

/// The items of a cart, with their quantities.
pub(crate) fn items(image: &Value) -> Result<BTreeMap<String, u64>> {
    let items = image["items"].as_array().context("a cart has items")?;
    let item = |item: &Value| {
        let id = item["id"].as_str().context("an item has an id")?;
        Ok((id.to_owned(), item["qty"].as_u64().context("an item has a quantity")?))
    };
    items.iter().map(item).collect()
}
