//! The same conflict, the same outcome.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::region::Region;

/// Of so many conflicts the results are compared to the byte; of the others what decided, and how.
const COMPARED_MAX: usize = 200;

/// Checks that no conflict of a table has two outcomes anywhere: the same heads, the same function,
/// the same result. Gives how many conflicts were met in more than one region.
///
/// # Errors
/// A conflict has two outcomes.
pub fn one_outcome_each(regions: &[Region], table: &str) -> Result<usize> {
    let mut met: BTreeMap<String, Vec<(&Region, Value)>> = BTreeMap::new();
    for region in regions {
        for conflict in region.conflicts(&format!("table={table}"))? {
            let id = conflict["conflict_id"].as_str().unwrap_or_default().to_owned();
            met.entry(id).or_default().push((region, conflict));
        }
    }
    met.retain(|_, by| by.len() > 1);
    for (id, by) in &met {
        the_same(id, by.iter().cloned())?;
    }
    for (id, by) in met.iter().take(COMPARED_MAX) {
        let whole = by.iter().map(|(region, _)| Ok((*region, region.conflict(id)?)));
        the_same(id, whole.collect::<Result<Vec<_>>>()?.into_iter())?;
    }
    Ok(met.len())
}

fn the_same<'a>(id: &str, met: impl Iterator<Item = (&'a Region, Value)>) -> Result<()> {
    let mut first: Option<Value> = None;
    for (region, mut conflict) in met {
        ensure!(conflict["outcome"] != "waiting", "{id} still waits in {}", region.name);
        // When a region met it is its own matter.
        conflict["resolved_at"] = Value::Null;
        let first = first.get_or_insert_with(|| conflict.clone());
        ensure!(*first == conflict, "{id} has two outcomes: {first} and {conflict}");
    }
    Ok(())
}
