//! Digests: (partition, table) -> the digest of the table's rows in the partition.

use serde::{Deserialize, Serialize};
use syncline_core::{TableDigest, TableName};

use super::codec::{self, decode};
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct DigestV1 {
    rows: u64,
    sum: [u64; 4],
}

/// Writes a digest. That of no rows is none: a table whose rows are all gone is like one that never
/// had any.
pub fn put(batch: &mut Batch, partition: u32, table: &TableName, digest: &TableDigest) {
    let key = Key::of(Family::Digest).u32(partition).text(table.as_str()).done();
    if *digest == TableDigest::default() {
        batch.delete(key);
    } else {
        codec::put(batch, &key, VERSION, &DigestV1 { rows: digest.rows, sum: digest.sum });
    }
}

/// All digests of a partition, by table.
pub fn of_partition(
    store: &(impl Store + ?Sized),
    partition: u32,
) -> Result<Vec<(TableName, TableDigest)>, StoreError> {
    let pairs = store.scan(&Scan::prefix(&Key::of(Family::Digest).u32(partition).done()))?;
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut reader = KeyReader::new(key);
        reader.u32()?;
        let table = reader.table()?;
        reader.end()?;
        let make = |form: DigestV1| Ok(TableDigest { rows: form.rows, sum: form.sum });
        Ok((table, decode(key, VERSION, value, make)?))
    };
    pairs.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::golden;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back(rows in 1..=u64::MAX, sum in any::<[u64; 4]>()) {
            let store = MemoryStore::new();
            let digest = TableDigest { rows, sum };
            let mut batch = Batch::new();
            for (partition, table) in [(1, "b"), (1, "a"), (2, "a")] {
                put(&mut batch, partition, &table.parse().unwrap(), &digest);
            }
            store.commit(batch).unwrap();
            let tables = ["a", "b"].map(|table| (table.parse().unwrap(), digest));
            prop_assert_eq!(of_partition(&store, 1).unwrap(), tables);
            let mut batch = Batch::new();
            put(&mut batch, 2, &"a".parse().unwrap(), &TableDigest::default());
            store.commit(batch).unwrap();
            prop_assert!(of_partition(&store, 2).unwrap().is_empty());
        }
    }

    #[test]
    fn the_form_stays() {
        let mut batch = Batch::new();
        let digest = TableDigest { rows: 300, sum: [1, 2, u64::MAX, 4] };
        put(&mut batch, 5, &golden::row("x").table, &digest);
        golden::check("digest", &batch);
    }
}
