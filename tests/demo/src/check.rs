//! The regions' rows and conflict logs against what the clients were told.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;
use syncline_harness::Region;

use crate::cart::Cart;
use crate::ledger::Ledger;
use crate::scenario::TABLE;

/// More failures than this are only counted: one lost write may be seen in many places.
const FAILURES_SHOWN: usize = 20;

/// What was checked of the additions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Checked {
    /// Carts of which at least one product was checked.
    pub(crate) carts: usize,
    /// Products in carts whose quantity must be the sum of what was added.
    pub(crate) products: usize,
    /// The sum of what was added to them.
    pub(crate) quantity: u64,
    /// Products that somebody took out, in carts that nobody deleted; not checked.
    pub(crate) taken_out: usize,
    /// Carts that somebody deleted; not checked.
    pub(crate) deleted_carts: usize,
    /// Products with an addition of unclear outcome; not checked.
    pub(crate) unclear: usize,
}

pub(crate) struct Additions {
    pub(crate) summary: Checked,
    pub(crate) failures: Vec<String>,
}

/// Checks in each region that no addition was lost, and that none was made up.
pub(crate) fn additions(regions: &[Region], ledger: &Ledger) -> Result<Additions> {
    let mut failures = Vec::new();
    for region in regions {
        let mut carts = BTreeMap::new();
        for (row_pk, image) in region.rows(TABLE)? {
            let cart = Cart::of_value(&image).with_context(|| format!("{row_pk} is {image}"))?;
            carts.insert(row_pk, cart);
        }
        failures.extend(differences(&region.name, &carts, ledger));
    }
    let places: Vec<_> =
        ledger.added.iter().filter(|(place, _)| ledger.is_checked(place)).collect();
    let of_checked_carts: BTreeSet<&String> = places.iter().map(|((cart, _), _)| cart).collect();
    let taken_out = ledger.removed.iter().filter(|(cart, _)| !ledger.deleted.contains(cart));
    let summary = Checked {
        carts: of_checked_carts.len(),
        products: places.len(),
        quantity: places.iter().map(|(_, quantity)| **quantity).sum(),
        taken_out: taken_out.count(),
        deleted_carts: ledger.deleted.len(),
        unclear: ledger.unclear.len(),
    };
    Ok(Additions { summary, failures: shortened(failures) })
}

fn differences(region: &str, carts: &BTreeMap<String, Cart>, ledger: &Ledger) -> Vec<String> {
    let mut differences = Vec::new();
    let held = carts
        .iter()
        .flat_map(|(cart, held)| held.0.keys().map(move |product| (cart.clone(), product.clone())));
    let places: BTreeSet<_> = held.chain(ledger.added.keys().cloned()).collect();
    for place in places.iter().filter(|place| ledger.is_checked(place)) {
        let (cart, product) = place;
        let added = ledger.added.get(place).copied().unwrap_or_default();
        let held = carts.get(cart).map_or(0, |cart| cart.quantity(product));
        if added != held {
            differences
                .push(format!("{region}: {cart} holds {held} {product}, and {added} were added"));
        }
    }
    differences
}

fn shortened(mut failures: Vec<String>) -> Vec<String> {
    let more = failures.len().saturating_sub(FAILURES_SHOWN);
    failures.truncate(FAILURES_SHOWN);
    if more > 0 {
        failures.push(format!("and {more} more"));
    }
    failures
}

/// What the regions' conflict logs come to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ConflictsSummary {
    /// Conflicts with different ids.
    pub(crate) distinct: usize,
    /// Those that more than one region met, all with the same outcome.
    pub(crate) met_in_several_regions: usize,
    /// By outcome.
    pub(crate) by_outcome: BTreeMap<String, usize>,
    /// By what resolved them.
    pub(crate) by_strategy: BTreeMap<String, usize>,
    /// How many each region met.
    pub(crate) by_region: BTreeMap<String, usize>,
    /// The most changes that met in one conflict.
    pub(crate) heads_max: usize,
}

pub(crate) struct Conflicts {
    /// Each conflict once, in the order of ids.
    pub(crate) all: BTreeMap<String, Value>,
    pub(crate) summary: ConflictsSummary,
    pub(crate) failures: Vec<String>,
}

/// Reads all conflict logs, and checks that the same conflict has the same outcome everywhere.
pub(crate) fn conflicts(regions: &[Region]) -> Result<Conflicts> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    let mut several = BTreeSet::new();
    let mut summary = ConflictsSummary::default();
    let mut failures = Vec::new();
    for region in regions {
        let met = region.conflicts(&format!("table={TABLE}"))?;
        summary.by_region.insert(region.name.clone(), met.len());
        for conflict in met {
            let id = text(&conflict, "conflict_id");
            let Some(known) = all.get(&id) else {
                all.insert(id, conflict);
                continue;
            };
            for what in ["outcome", "merge_function", "winner_event_id", "heads"] {
                if known[what] != conflict[what] {
                    failures.push(format!(
                        "conflict {id} has two outcomes: {what} is {} and, in {}, {}",
                        known[what], region.name, conflict[what]
                    ));
                }
            }
            several.insert(id);
        }
    }
    for conflict in all.values() {
        *summary.by_outcome.entry(text(conflict, "outcome")).or_default() += 1;
        *summary.by_strategy.entry(text(conflict, "resolution_strategy")).or_default() += 1;
        let heads = conflict["heads"].as_array().map_or(0, Vec::len);
        summary.heads_max = summary.heads_max.max(heads);
    }
    summary.distinct = all.len();
    summary.met_in_several_regions = several.len();
    if all.is_empty() {
        failures.push("no conflict was met, so nothing was shown".to_owned());
    }
    for wrong in ["fallback", "waiting"] {
        let count = summary.by_outcome.get(wrong).copied().unwrap_or_default();
        if count > 0 {
            failures.push(format!("{count} conflicts ended as {wrong}, not merged"));
        }
    }
    Ok(Conflicts { all, summary, failures: shortened(failures) })
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.added.insert(("a".into(), "fig".into()), 5);
        ledger
    }

    fn carts(quantity: u64) -> BTreeMap<String, Cart> {
        [("a".to_owned(), Cart([("fig".to_owned(), quantity)].into()))].into()
    }

    #[test]
    fn an_addition_that_is_lost_counted_twice_or_made_up_is_found() {
        assert!(differences("r", &carts(5), &ledger()).is_empty());
        for wrong in [4, 6] {
            assert_eq!(differences("r", &carts(wrong), &ledger()).len(), 1);
        }
        let lost = differences("r", &BTreeMap::new(), &ledger());
        assert_eq!(lost, ["r: a holds 0 fig, and 5 were added"]);
        assert_eq!(differences("r", &carts(5), &Ledger::default()).len(), 1);
    }

    #[test]
    fn what_somebody_took_from_is_not_held_against_the_regions() {
        let mut ledger = ledger();
        ledger.removed.insert(("a".into(), "fig".into()));
        assert!(differences("r", &carts(1), &ledger).is_empty());
    }

    #[test]
    fn many_failures_are_counted() {
        let shown = shortened((0..25).map(|n| n.to_string()).collect());
        assert_eq!((shown.len(), shown[20].as_str()), (21, "and 5 more"));
    }
}
