//! The same conflict, the same outcome.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;
use syncline_harness::Region;

/// Checks that no conflict of a table has two outcomes anywhere: the same heads, the same function,
/// the same result to the byte. Gives how many conflicts were met in more than one region.
///
/// # Errors
/// A conflict has two outcomes.
pub fn one_outcome_each(regions: &[Region], table: &str) -> Result<usize> {
    let mut met_by: BTreeMap<String, Vec<&Region>> = BTreeMap::new();
    for region in regions {
        for conflict in region.conflicts(&format!("table={table}"))? {
            let id = conflict["conflict_id"].as_str().unwrap_or_default().to_owned();
            met_by.entry(id).or_default().push(region);
        }
    }
    met_by.retain(|_, regions| regions.len() > 1);
    for (id, regions) in &met_by {
        let mut first: Option<Value> = None;
        for region in regions {
            let mut conflict = region.conflict(id)?;
            ensure!(conflict["outcome"] != "waiting", "{id} still waits in {}", region.name);
            // When a region met it is its own matter.
            conflict["resolved_at"] = Value::Null;
            let first = first.get_or_insert_with(|| conflict.clone());
            ensure!(*first == conflict, "{id} has two outcomes: {first} and {conflict}");
        }
    }
    Ok(met_by.len())
}
