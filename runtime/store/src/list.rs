//! A table's rows, over all partitions, in the order of their keys.

use syncline_core::{PartitionCount, RowKey, RowPk, RowState, TableName};

use crate::kv::row;
use crate::merged::Merged;
use crate::{Scan, Store, StoreError};

/// One call looks at so many rows at most, those that are deleted but not forgotten included.
const ROWS_READ_MAX: usize = 10_000;
/// One call answers with about so many bytes of images at most.
const BYTES_MAX: usize = 8 << 20;

/// Some rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowsPage {
    /// Rows that are there, by key.
    pub rows: Vec<(RowPk, RowState)>,
    /// To go on after, if there may be more. A page can be short, even empty, and yet have more.
    pub next: Option<RowPk>,
}

/// Reads up to `limit` rows of a table, in the order of their keys: those whose key begins with
/// `pk_prefix`, above `after`. Deleted rows are left out.
pub fn rows_of_table(
    store: &(impl Store + ?Sized),
    partitions: PartitionCount,
    table: &TableName,
    pk_prefix: &str,
    after: Option<&RowPk>,
    limit: usize,
) -> Result<RowsPage, StoreError> {
    let after = after.map(|pk| RowKey { table: table.clone(), pk: pk.clone() });
    let scans = (0..partitions.get()).map(|partition| {
        let scan = Scan::prefix(&row::prefix(partition, table, pk_prefix));
        match &after {
            Some(after) => scan.after(&row::key(partition, after)),
            None => scan,
        }
    });
    let mut merged = Merged::new(store, scans, false);
    let mut page = RowsPage::default();
    let mut bytes = 0;
    for read in 1.. {
        let Some((key, value)) = merged.next()? else {
            page.next = None;
            break;
        };
        let pk = row::pk_of(&key)?;
        let state = row::decode_state(&key, &value)?;
        page.next = Some(pk.clone());
        if let Some(image) = &state.image {
            bytes += image.as_bytes().len();
            page.rows.push((pk, state));
        }
        if page.rows.len() >= limit || bytes >= BYTES_MAX || read == ROWS_READ_MAX {
            break;
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::golden;
    use crate::{Batch, MemoryStore};
    use syncline_core::partition_of;

    fn filled(count: usize) -> (MemoryStore, PartitionCount) {
        let store = MemoryStore::new();
        let partitions = PartitionCount::new(8).unwrap();
        let mut batch = Batch::new();
        for n in 0..count {
            let key = golden::row(&format!("k-{n:04}"));
            let mut state = golden::row_state();
            if n % 3 == 1 {
                state.image = None;
            }
            row::put(&mut batch, partition_of(&key, partitions), &key, &state);
        }
        for (table, pk) in [("cart", "k-0001x"), ("carts2", "k-0001x")] {
            let key = RowKey { table: table.parse().unwrap(), pk: pk.parse().unwrap() };
            row::put(&mut batch, partition_of(&key, partitions), &key, &golden::row_state());
        }
        store.commit(batch).unwrap();
        (store, partitions)
    }

    fn listed(count: usize, prefix: &str, limit: usize) -> Vec<String> {
        let (store, partitions) = filled(count);
        let table = golden::row("x").table;
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = rows_of_table(&store, partitions, &table, prefix, after.as_ref(), limit);
            let page = page.unwrap();
            assert!(page.rows.len() <= limit);
            assert!(page.next.is_none() || page.rows.len() == limit, "there is no more");
            found.extend(page.rows.iter().map(|(pk, _)| pk.to_string()));
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn all_rows_that_are_there_are_listed_in_order_whatever_the_page() {
        let expected: Vec<String> =
            (0..1000).filter(|n| n % 3 != 1).map(|n| format!("k-{n:04}")).collect();
        for limit in [1, 7, 100, 5000] {
            assert_eq!(listed(1000, "", limit), expected, "pages of {limit}");
        }
        assert_eq!(listed(1000, "k-012", 4), expected[80..87]);
        assert!(listed(1000, "z", 4).is_empty() && listed(0, "", 4).is_empty());
    }
}
