//! Quarantine: (source, partition, position) -> a record that could not be read, as it came.

use serde::{Deserialize, Serialize};
use syncline_core::RegionId;

use super::codec::{self, decode};
use super::dto::Bytes;
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

/// So many records are kept of one source and partition; the oldest go first. A source that sends
/// nothing but garbage must not fill the disk.
pub const QUARANTINED_MAX: usize = 1_000;
/// So many bytes are kept of one record.
pub const RAW_BYTES_MAX: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
struct QuarantinedV1<'a> {
    reason: &'a str,
    at_ms: u64,
    raw_bytes: u64,
    #[serde(borrow)]
    raw: Bytes<'a>,
}

/// A record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Whose log it stands in.
    pub source: RegionId,
    /// In which partition; [`syncline_core::CONTROL_PARTITION`] for the control topic.
    pub partition: u32,
    /// Where in it.
    pub position: u64,
    /// What is wrong with it.
    pub reason: String,
    /// When it was read: milliseconds since 1970.
    pub at_ms: u64,
    /// How large it is.
    pub raw_bytes: u64,
    /// Its bytes, the first [`RAW_BYTES_MAX`] of them.
    pub raw: Vec<u8>,
}

/// Keeps a record, and drops the oldest of the same source and partition beyond the limit.
pub fn add(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    record: &Quarantined,
) -> Result<(), StoreError> {
    let prefix = || Key::of(Family::Quarantine).text(record.source.as_str()).u32(record.partition);
    let kept = store.keys(&Scan::prefix(&prefix().done()))?;
    let excess = (kept.len() + 1).saturating_sub(QUARANTINED_MAX);
    kept.into_iter().take(excess).for_each(|key| batch.delete(key));

    let raw = &record.raw[..record.raw.len().min(RAW_BYTES_MAX)];
    let form = QuarantinedV1 {
        reason: &record.reason,
        at_ms: record.at_ms,
        raw_bytes: record.raw_bytes,
        raw: Bytes(raw),
    };
    let key = prefix().u64(record.position).done();
    codec::put(batch, &key, VERSION, &form);
    Ok(())
}

/// Up to `limit` records, by source, partition and position.
pub fn list(store: &(impl Store + ?Sized), limit: usize) -> Result<Vec<Quarantined>, StoreError> {
    let pairs = store.scan(&Scan::prefix(&Key::of(Family::Quarantine).done()).limit(limit))?;
    pairs.iter().map(|(key, value)| decode_record(key, value)).collect()
}

/// How many records are kept.
pub fn count(store: &(impl Store + ?Sized)) -> Result<usize, StoreError> {
    Ok(store.keys(&Scan::prefix(&Key::of(Family::Quarantine).done()))?.len())
}

fn decode_record(key: &[u8], value: &[u8]) -> Result<Quarantined, StoreError> {
    let mut reader = KeyReader::new(key);
    let (source, partition, position) = (reader.region()?, reader.u32()?, reader.u64()?);
    reader.end()?;
    decode(key, VERSION, value, |form: QuarantinedV1<'_>| {
        Ok(Quarantined {
            source,
            partition,
            position,
            reason: form.reason.to_owned(),
            at_ms: form.at_ms,
            raw_bytes: form.raw_bytes,
            raw: form.raw.0.to_vec(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;

    fn record(position: u64) -> Quarantined {
        Quarantined {
            source: "eu-west-1#2".parse().unwrap(),
            partition: 5,
            position,
            reason: "not JSON".to_owned(),
            at_ms: 1_795_203_212_955,
            raw_bytes: 4,
            raw: b"oops".to_vec(),
        }
    }

    fn add_to(store: &MemoryStore, record: &Quarantined) {
        let mut batch = Batch::new();
        add(&mut batch, store, record).unwrap();
        store.commit(batch).unwrap();
    }

    proptest! {
        #[test]
        fn reads_back(source in arbitrary::region(), at: (u32, u64, u64), reason in ".{0,20}", raw: Vec<u8>) {
            let (partition, position, at_ms) = at;
            let raw_bytes = raw.len() as u64;
            let given = Quarantined { source, partition, position, reason, at_ms, raw_bytes, raw };
            let store = MemoryStore::new();
            add_to(&store, &given);
            prop_assert_eq!(list(&store, 9).unwrap(), vec![given]);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let key = Key::of(Family::Quarantine).text("a").u32(0).u64(0).done();
            let _ = decode_record(&key, &[&[VERSION], &value[..]].concat());
        }
    }

    #[test]
    fn a_source_of_garbage_does_not_fill_the_disk() {
        let store = MemoryStore::new();
        let large = Quarantined { raw: vec![1; RAW_BYTES_MAX + 9], ..record(0) };
        add_to(&store, &large);
        assert_eq!(list(&store, 1).unwrap()[0].raw.len(), RAW_BYTES_MAX);
        add_to(&store, &Quarantined { partition: 6, ..record(0) });
        for position in 1..=QUARANTINED_MAX as u64 + 20 {
            add_to(&store, &record(position));
        }
        assert_eq!(count(&store).unwrap(), QUARANTINED_MAX + 1);
        assert_eq!(list(&store, 1).unwrap()[0].position, 21);
    }

    #[test]
    fn the_form_stays() {
        let mut batch = Batch::new();
        add(&mut batch, &MemoryStore::new(), &record(4096)).unwrap();
        golden::check("quarantine", &batch);
    }
}
