//! Divergences: (partition, id) -> what two regions hold differently, until they agree again or
//! somebody has seen to it. Beside it stands which conflicts they are about: those are pinned in
//! the conflict log.

use serde::{Deserialize, Serialize};
use syncline_core::{
    ConflictId, Diverged, DivergedSide, Divergence, DivergenceId, DivergenceWrite, RowKey,
    ShortDigest,
};

use super::codec::{self, decode};
use super::dto::{ChangeIdV1, Made, StampV1, region_of};
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct DivergenceV1<'a> {
    #[serde(borrow)]
    what: DivergedV1<'a>,
    #[serde(borrow)]
    here: SideV1<'a>,
    #[serde(borrow)]
    there: SideV1<'a>,
    found_at_ms: u64,
}

#[derive(Serialize, Deserialize)]
enum DivergedV1<'a> {
    Outcome {
        conflict: [u8; 16],
        #[serde(borrow)]
        row: (&'a str, &'a str),
    },
    State {
        #[serde(borrow)]
        tables: Vec<&'a str>,
    },
    Before {
        #[serde(borrow)]
        row: (&'a str, &'a str),
        #[serde(borrow)]
        change: ChangeIdV1<'a>,
    },
}

#[derive(Serialize, Deserialize)]
struct SideV1<'a> {
    #[serde(borrow)]
    region: &'a str,
    digest: [u8; 16],
    stamp: Option<StampV1>,
    /// Empty: not known.
    engine: &'a str,
}

fn key(partition: u32, id: &DivergenceId) -> Vec<u8> {
    Key::of(Family::Divergence).u32(partition).fixed(&id.0).done()
}

fn row_form(row: &RowKey) -> (&str, &str) {
    (row.table.as_str(), row.pk.as_str())
}

fn row_of((table, pk): (&str, &str)) -> Made<RowKey> {
    let table = table.parse().map_err(|error: syncline_core::InvalidId| error.to_string())?;
    let pk = pk.parse().map_err(|error: syncline_core::InvalidId| error.to_string())?;
    Ok(RowKey { table, pk })
}

fn side_form(side: &DivergedSide) -> SideV1<'_> {
    SideV1 {
        region: side.region.as_str(),
        digest: side.digest.0,
        stamp: side.stamp.map(StampV1::of),
        engine: side.engine.as_ref().map_or("", |engine| engine.as_str()),
    }
}

fn side_of(form: SideV1<'_>) -> Made<DivergedSide> {
    let engine = (!form.engine.is_empty()).then(|| form.engine.parse()).transpose();
    Ok(DivergedSide {
        region: region_of(form.region)?,
        digest: ShortDigest(form.digest),
        stamp: form.stamp.map(StampV1::make),
        engine: engine.map_err(|error: syncline_core::InvalidEngine| error.to_string())?,
    })
}

fn form_of(divergence: &Divergence) -> DivergenceV1<'_> {
    let what = match &divergence.what {
        Diverged::Outcome { conflict, row } => {
            DivergedV1::Outcome { conflict: conflict.0, row: row_form(row) }
        }
        Diverged::State { tables } => {
            DivergedV1::State { tables: tables.iter().map(|table| table.as_str()).collect() }
        }
        Diverged::Before { row, change } => {
            DivergedV1::Before { row: row_form(row), change: ChangeIdV1::of(change) }
        }
    };
    DivergenceV1 {
        what,
        here: side_form(&divergence.here),
        there: side_form(&divergence.there),
        found_at_ms: divergence.found_at_ms,
    }
}

fn divergence_of(partition: u32, form: DivergenceV1<'_>) -> Made<Divergence> {
    let what = match form.what {
        DivergedV1::Outcome { conflict, row } => {
            Diverged::Outcome { conflict: ConflictId(conflict), row: row_of(row)? }
        }
        DivergedV1::State { tables } => {
            let table =
                |name: &str| name.parse().map_err(|e: syncline_core::InvalidId| e.to_string());
            Diverged::State { tables: tables.into_iter().map(table).collect::<Made<_>>()? }
        }
        DivergedV1::Before { row, change } => {
            Diverged::Before { row: row_of(row)?, change: change.make()? }
        }
    };
    let (here, there) = (side_of(form.here)?, side_of(form.there)?);
    Ok(Divergence { partition, what, here, there, found_at_ms: form.found_at_ms })
}

/// Keeps what was found, with the conflict that it is about, and drops what is over.
pub fn write(batch: &mut Batch, writes: &[DivergenceWrite]) {
    for write in writes {
        match write {
            DivergenceWrite::Found(divergence) => {
                let id = divergence.id();
                let key = key(divergence.partition, &id);
                codec::put(batch, &key, VERSION, &form_of(divergence));
                if let Some(conflict) = divergence.conflict() {
                    codec::put(batch, &pin_key(&conflict, &id), VERSION, &());
                }
            }
            DivergenceWrite::Over(divergence) => {
                let id = divergence.id();
                batch.delete(key(divergence.partition, &id));
                if let Some(conflict) = divergence.conflict() {
                    batch.delete(pin_key(&conflict, &id));
                }
            }
        }
    }
}

/// All of a partition.
pub fn of_partition(
    store: &(impl Store + ?Sized),
    partition: u32,
) -> Result<Vec<Divergence>, StoreError> {
    let all = Key::of(Family::Divergence).u32(partition).done();
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut reader = KeyReader::new(key);
        let partition = reader.u32()?;
        let _: [u8; 16] = reader.fixed()?;
        reader.end()?;
        decode(key, VERSION, value, |form| divergence_of(partition, form))
    };
    store.scan(&Scan::prefix(&all))?.iter().map(read).collect()
}

/// The keys that pin a conflict in the conflict log begin so.
pub(crate) fn pins(conflict: &ConflictId) -> Vec<u8> {
    Key::of(Family::ConflictPinned).fixed(&conflict.0).done()
}

fn pin_key(conflict: &ConflictId, id: &DivergenceId) -> Vec<u8> {
    Key::of(Family::ConflictPinned).fixed(&conflict.0).fixed(&id.0).done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;

    fn any_divergence() -> impl Strategy<Value = Divergence> {
        let digest = || any::<[u8; 16]>().prop_map(ShortDigest);
        let side = || {
            let engine = proptest::option::of("[ -~]{1,20}");
            let parts = (arbitrary::region(), digest(), engine);
            (parts, proptest::option::of(arbitrary::stamp())).prop_map(
                |((region, digest, engine), stamp)| DivergedSide {
                    region,
                    digest,
                    stamp,
                    engine: engine.map(|engine| engine.parse().unwrap()),
                },
            )
        };
        let conflict = any::<[u8; 16]>().prop_map(ConflictId);
        let what = prop_oneof![
            (conflict, arbitrary::row())
                .prop_map(|(conflict, row)| Diverged::Outcome { conflict, row }),
            prop::collection::vec(arbitrary::row().prop_map(|row| row.table), 0..4)
                .prop_map(|tables| Diverged::State { tables }),
            (arbitrary::row(), arbitrary::change_id())
                .prop_map(|(row, change)| Diverged::Before { row, change }),
        ];
        (what, side(), side(), any::<u64>()).prop_map(|(what, here, there, found_at_ms)| {
            Divergence { partition: 3, what, here, there, found_at_ms }
        })
    }

    proptest! {
        #[test]
        fn reads_back_until_it_is_over(divergence in any_divergence()) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            write(&mut batch, &[DivergenceWrite::Found(divergence.clone())]);
            store.commit(batch).unwrap();
            prop_assert_eq!(of_partition(&store, 3).unwrap(), [divergence.clone()]);
            prop_assert_eq!(of_partition(&store, 2).unwrap(), []);
            let mut batch = Batch::new();
            write(&mut batch, &[DivergenceWrite::Over(divergence)]);
            store.commit(batch).unwrap();
            prop_assert!(store.keys(&Scan::prefix(&[])).unwrap().is_empty());
        }
    }

    #[test]
    fn the_form_stays() {
        let side = |region: &str, byte| DivergedSide {
            region: region.parse().unwrap(),
            digest: ShortDigest([byte; 16]),
            stamp: Some(syncline_core::Stamp::Lww),
            engine: (byte == 1).then(|| "wasmtime 48.0.8, x86_64-linux".parse().unwrap()),
        };
        let row = golden::row("c-1");
        let what = [
            Diverged::Outcome { conflict: ConflictId([9; 16]), row: row.clone() },
            Diverged::State { tables: vec![row.table.clone()] },
            Diverged::Before { row, change: golden::id(7, "b") },
        ];
        let mut batch = Batch::new();
        for what in what {
            let (here, there) = (side("a", 1), side("b", 2));
            let divergence = Divergence { partition: 5, what, here, there, found_at_ms: 300 };
            write(&mut batch, &[DivergenceWrite::Found(divergence)]);
        }
        golden::check("divergence", &batch);
    }
}
