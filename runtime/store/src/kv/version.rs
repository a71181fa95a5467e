//! Records of versions: (HLC, region) -> what a region said of a version, apart from its rollouts.

use serde::{Deserialize, Serialize};
use syncline_core::{ChangeId, FunctionVersion, RolloutText, VersionRecord};

use super::codec::{self, decode};
use super::dto::{ChangeIdV1, Made};
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

/// Postcard writes a variant by its place: a new one comes last, and none is ever taken out.
#[derive(Serialize, Deserialize)]
enum VersionV1<'a> {
    Retire([u8; 32], &'a str, &'a str),
    Reinstate([u8; 32], &'a str, &'a str),
    Delete([u8; 32], &'a str, &'a str),
    Upload([u8; 32], &'a str),
    Released([u8; 32], #[serde(borrow)] ChangeIdV1<'a>),
}

/// Keeps a record.
pub fn put(batch: &mut Batch, id: &ChangeId, record: &VersionRecord) {
    let key = Key::of(Family::VersionRecord).hlc(id.hlc).text(id.region.as_str()).done();
    codec::put(batch, &key, VERSION, &form_of(record));
}

/// All records, in the order of (HLC, region).
pub fn all(store: &(impl Store + ?Sized)) -> Result<Vec<(ChangeId, VersionRecord)>, StoreError> {
    let pairs = store.scan(&Scan::prefix(&Key::of(Family::VersionRecord).done()))?;
    pairs.iter().map(|(key, value)| decode_record(key, value)).collect()
}

fn form_of(record: &VersionRecord) -> VersionV1<'_> {
    match record {
        VersionRecord::Retire { version, actor, why } => {
            VersionV1::Retire(version.0, actor.as_str(), why.as_str())
        }
        VersionRecord::Reinstate { version, actor, why } => {
            VersionV1::Reinstate(version.0, actor.as_str(), why.as_str())
        }
        VersionRecord::Delete { version, actor, why } => {
            VersionV1::Delete(version.0, actor.as_str(), why.as_str())
        }
        VersionRecord::Upload { version, actor } => VersionV1::Upload(version.0, actor.as_str()),
        VersionRecord::Released { version, deletion } => {
            VersionV1::Released(version.0, ChangeIdV1::of(deletion))
        }
    }
}

fn decode_record(key: &[u8], value: &[u8]) -> Result<(ChangeId, VersionRecord), StoreError> {
    let mut reader = KeyReader::new(key);
    let id = reader.change()?;
    reader.end()?;
    Ok((id, decode(key, VERSION, value, make)?))
}

fn make(form: VersionV1<'_>) -> Made<VersionRecord> {
    let version = FunctionVersion;
    Ok(match form {
        VersionV1::Retire(of, actor, why) => {
            VersionRecord::Retire { version: version(of), actor: text(actor)?, why: text(why)? }
        }
        VersionV1::Reinstate(of, actor, why) => {
            VersionRecord::Reinstate { version: version(of), actor: text(actor)?, why: text(why)? }
        }
        VersionV1::Delete(of, actor, why) => {
            VersionRecord::Delete { version: version(of), actor: text(actor)?, why: text(why)? }
        }
        VersionV1::Upload(of, actor) => {
            VersionRecord::Upload { version: version(of), actor: text(actor)? }
        }
        VersionV1::Released(of, deletion) => {
            VersionRecord::Released { version: version(of), deletion: deletion.make()? }
        }
    })
}

fn text(text: &str) -> Made<RolloutText> {
    text.parse().map_err(|error: syncline_core::InvalidText| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = VersionRecord> {
        let text = || "[ -~é日]{0,9}".prop_map(|text: String| RolloutText::cut(&text));
        let asked = (arbitrary::version(), text(), text());
        (0..5u8, asked, arbitrary::change_id()).prop_map(|(n, (version, actor, why), deletion)| {
            match n {
                0 => VersionRecord::Retire { version, actor, why },
                1 => VersionRecord::Reinstate { version, actor, why },
                2 => VersionRecord::Delete { version, actor, why },
                3 => VersionRecord::Upload { version, actor },
                _ => VersionRecord::Released { version, deletion },
            }
        })
    }

    proptest! {
        #[test]
        fn reads_back(
            records in prop::collection::btree_map(arbitrary::change_id(), record(), 0..6),
        ) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            records.iter().for_each(|(id, record)| put(&mut batch, id, record));
            store.commit(batch).unwrap();
            prop_assert_eq!(all(&store).unwrap(), records.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..90)) {
            let key = Key::of(Family::VersionRecord).u64(1).text("a").done();
            let value = [&[VERSION], &value[..]].concat();
            let _ = decode_record(&key, &value);
            let _ = decode_record(&value, &value);
        }
    }

    #[test]
    fn the_form_stays() {
        let version = FunctionVersion([7; 32]);
        let (actor, why) = (RolloutText::cut("ann"), RolloutText::cut("it loses prices"));
        let mut batch = Batch::new();
        let records = [
            VersionRecord::Retire { version, actor: actor.clone(), why: why.clone() },
            VersionRecord::Reinstate { version, actor: actor.clone(), why: why.clone() },
            VersionRecord::Delete { version, actor: actor.clone(), why },
            VersionRecord::Upload { version, actor },
            VersionRecord::Released { version, deletion: golden::id(102 << 16, "eu-west-1") },
        ];
        for (n, record) in (100..).zip(&records) {
            put(&mut batch, &golden::id(n << 16, "eu-west-1"), record);
        }
        golden::check("version", &batch);
    }
}
