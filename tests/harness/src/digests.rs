//! Whether regions hold the same.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Deserialize;

/// What a region holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Digests {
    /// The region.
    pub region: String,
    /// For each region, by partition, the HLC of its last change that was taken here.
    pub applied: BTreeMap<String, Vec<String>>,
    /// Changes that are here but cannot be applied yet.
    pub waiting: u64,
    /// The tables.
    pub tables: BTreeMap<String, TableDigest>,
}

/// What a region holds of a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TableDigest {
    /// How many rows there are.
    pub rows: u64,
    /// A sum over the rows; equal where the rows are.
    pub digest: String,
}

impl Digests {
    /// Checks that all regions have applied the same changes, so that their digests can be compared.
    ///
    /// # Errors
    /// One has not applied what another has.
    pub fn comparable(all: &[Self]) -> Result<()> {
        for pair in all.windows(2) {
            let [a, b] = pair else { continue };
            ensure!(
                a.applied == b.applied,
                "{} and {} have not applied the same: {:?} and {:?}",
                a.region,
                b.region,
                a.applied,
                b.applied
            );
        }
        for one in all {
            ensure!(one.waiting == 0, "{}: {} changes wait", one.region, one.waiting);
        }
        Ok(())
    }

    /// Checks that all regions hold the same bytes.
    ///
    /// # Errors
    /// Two differ; the message says in what.
    pub fn equal(all: &[Self]) -> Result<()> {
        Self::comparable(all)?;
        for pair in all.windows(2) {
            let [a, b] = pair else { continue };
            ensure!(
                a.tables == b.tables,
                "{} and {} applied the same changes and differ: {:?} and {:?}",
                a.region,
                b.region,
                a.tables,
                b.tables
            );
        }
        Ok(())
    }
}
