//! Rollout records: (HLC, region) -> what a region said of a rollout.

use serde::{Deserialize, Serialize};
use syncline_core::{ChangeId, FunctionVersion, RolloutId, RolloutRecord, TableName};

use super::codec::{self, decode};
use super::dto::{ChangeIdV1, Made};
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct RolloutV1<'a> {
    /// 1 create, 2 ready, 3 active.
    kind: u8,
    #[serde(borrow)]
    create: Option<CreateV1<'a>>,
    /// Of which rollout; of a creation, which came before.
    rollout: Option<ChangeIdV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct CreateV1<'a> {
    table: &'a str,
    version: [u8; 32],
}

/// Keeps a record.
pub fn put(batch: &mut Batch, id: &ChangeId, record: &RolloutRecord) {
    let key = Key::of(Family::Rollout).hlc(id.hlc).text(id.region.as_str()).done();
    codec::put(batch, &key, VERSION, &form_of(record));
}

/// All records, in the order of (HLC, region).
pub fn all(store: &(impl Store + ?Sized)) -> Result<Vec<(ChangeId, RolloutRecord)>, StoreError> {
    let pairs = store.scan(&Scan::prefix(&Key::of(Family::Rollout).done()))?;
    pairs.iter().map(|(key, value)| decode_record(key, value)).collect()
}

fn form_of(record: &RolloutRecord) -> RolloutV1<'_> {
    match record {
        RolloutRecord::Create { table, version, previous } => RolloutV1 {
            kind: 1,
            create: Some(CreateV1 { table: table.as_str(), version: version.0 }),
            rollout: previous.as_ref().map(id_form),
        },
        RolloutRecord::Ready { rollout } => {
            RolloutV1 { kind: 2, create: None, rollout: Some(id_form(rollout)) }
        }
        RolloutRecord::Active { rollout } => {
            RolloutV1 { kind: 3, create: None, rollout: Some(id_form(rollout)) }
        }
    }
}

fn id_form(RolloutId(id): &RolloutId) -> ChangeIdV1<'_> {
    ChangeIdV1::of(id)
}

fn decode_record(key: &[u8], value: &[u8]) -> Result<(ChangeId, RolloutRecord), StoreError> {
    let mut reader = KeyReader::new(key);
    let id = reader.change()?;
    reader.end()?;
    Ok((id, decode(key, VERSION, value, make)?))
}

fn make(form: RolloutV1<'_>) -> Made<RolloutRecord> {
    let rollout = form.rollout.map(|id| id.make().map(RolloutId)).transpose()?;
    match (form.kind, form.create, rollout) {
        (1, Some(create), previous) => Ok(RolloutRecord::Create {
            table: create.table.parse::<TableName>().map_err(|error| error.to_string())?,
            version: FunctionVersion(create.version),
            previous,
        }),
        (2, None, Some(rollout)) => Ok(RolloutRecord::Ready { rollout }),
        (3, None, Some(rollout)) => Ok(RolloutRecord::Active { rollout }),
        (kind, ..) => Err(format!("rollout record {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = RolloutRecord> {
        let id = || arbitrary::change_id().prop_map(RolloutId);
        prop_oneof![
            (arbitrary::row(), arbitrary::version(), prop::option::of(id())).prop_map(
                |(row, version, previous)| RolloutRecord::Create {
                    table: row.table,
                    version,
                    previous
                }
            ),
            id().prop_map(|rollout| RolloutRecord::Ready { rollout }),
            id().prop_map(|rollout| RolloutRecord::Active { rollout }),
        ]
    }

    proptest! {
        #[test]
        fn reads_back(records in prop::collection::btree_map(arbitrary::change_id(), record(), 0..6)) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            records.iter().for_each(|(id, record)| put(&mut batch, id, record));
            store.commit(batch).unwrap();
            prop_assert_eq!(all(&store).unwrap(), records.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let key = Key::of(Family::Rollout).u64(1).text("a").done();
            let _ = decode_record(&key, &[&[VERSION], &value[..]].concat());
        }
    }

    #[test]
    fn the_form_stays() {
        let rollout = RolloutId(golden::id(300 << 16, "eu-west-1"));
        let create = |previous| RolloutRecord::Create {
            table: "carts".parse().unwrap(),
            version: FunctionVersion([7; 32]),
            previous,
        };
        let mut batch = Batch::new();
        put(&mut batch, &golden::id(1 << 16, "a"), &create(None));
        put(&mut batch, &golden::id(2 << 16, "a"), &create(Some(rollout.clone())));
        put(
            &mut batch,
            &golden::id(3 << 16, "a"),
            &RolloutRecord::Ready { rollout: rollout.clone() },
        );
        put(&mut batch, &golden::id(4 << 16, "a"), &RolloutRecord::Active { rollout });
        golden::check("rollout", &batch);
    }
}
