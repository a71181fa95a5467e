//! Components: (version, part) -> the parts that have arrived of one that is not complete; (version)
//! -> the facts of one that is, and its bytes in parts; (version) -> the facts of one that was, and
//! whose bytes are dropped.

use serde::{Deserialize, Serialize};
use syncline_core::{CHUNK_BYTES_MAX, COMPONENT_BYTES_MAX, ComponentChunk, FunctionVersion};

use super::codec::{self, decode};
use super::dto::Bytes;
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct ChunkV1<'a> {
    count: u32,
    #[serde(borrow)]
    bytes: Bytes<'a>,
}

#[derive(Serialize, Deserialize)]
struct FactsV1<'a> {
    bytes: u64,
    name: &'a str,
    uploaded_by: &'a str,
    uploaded_at_ms: u64,
}

/// What is known of a component besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentFacts {
    /// Its size.
    pub bytes: u64,
    /// What it is called by whoever uploaded it.
    pub name: String,
    /// Who uploaded it, as far as this region knows.
    pub uploaded_by: String,
    /// When it was uploaded here, or arrived: milliseconds since 1970.
    pub uploaded_at_ms: u64,
}

/// Keeps a part that has arrived.
pub fn put_chunk(batch: &mut Batch, chunk: &ComponentChunk) {
    let key = Key::of(Family::Chunk).fixed(&chunk.version.0).u32(chunk.index).done();
    let form = ChunkV1 { count: chunk.count, bytes: Bytes(&chunk.bytes) };
    codec::put(batch, &key, VERSION, &form);
}

/// Which parts of components have arrived.
pub fn chunks(store: &(impl Store + ?Sized)) -> Result<Vec<(FunctionVersion, u32)>, StoreError> {
    let keys = store.keys(&Scan::prefix(&Key::of(Family::Chunk).done()))?;
    keys.iter().map(|key| part_of(key)).collect()
}

/// Puts the parts together that have arrived of a component; none while one is missing. The bytes
/// are still to be checked against the version.
pub fn assemble(
    store: &(impl Store + ?Sized),
    version: &FunctionVersion,
) -> Result<Option<Vec<u8>>, StoreError> {
    let pairs = store.scan(&Scan::prefix(&Key::of(Family::Chunk).fixed(&version.0).done()))?;
    let mut whole = Vec::new();
    for (index, (key, value)) in (0u32..).zip(&pairs) {
        let (_, found) = part_of(key)?;
        let take = |form: ChunkV1<'_>| {
            whole.extend_from_slice(form.bytes.0);
            Ok(form.count)
        };
        let count = decode(key, VERSION, value, take)?;
        if found != index || whole.len() > COMPONENT_BYTES_MAX {
            return Ok(None);
        }
        if index + 1 == count {
            return Ok(Some(whole));
        }
    }
    Ok(None)
}

/// Keeps a component that is complete and verified, and drops the parts in which it has arrived.
pub fn put_whole(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    version: &FunctionVersion,
    component: &[u8],
    facts: &ComponentFacts,
) -> Result<(), StoreError> {
    for (index, part) in (0u32..).zip(component.chunks(CHUNK_BYTES_MAX)) {
        let key = Key::of(Family::ComponentPart).fixed(&version.0).u32(index).done();
        codec::put(batch, &key, VERSION, &Bytes(part));
    }
    let form = FactsV1 {
        bytes: facts.bytes,
        name: &facts.name,
        uploaded_by: &facts.uploaded_by,
        uploaded_at_ms: facts.uploaded_at_ms,
    };
    codec::put(batch, &facts_key(version), VERSION, &form);
    batch.delete(dropped_key(version));
    delete_chunks(batch, store, version)
}

/// Drops the bytes of a component, and all parts of it. Of one that was complete the facts stay.
pub fn drop_whole(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    version: &FunctionVersion,
) -> Result<(), StoreError> {
    let prefix = Key::of(Family::ComponentPart).fixed(&version.0).done();
    store.keys(&Scan::prefix(&prefix))?.into_iter().for_each(|key| batch.delete(key));
    let key = facts_key(version);
    if let Some(facts) = store.get(&key)? {
        batch.put(dropped_key(version), facts);
        batch.delete(key);
    }
    delete_chunks(batch, store, version)
}

/// The facts of all components that are dropped, by version.
pub fn dropped(
    store: &(impl Store + ?Sized),
) -> Result<Vec<(FunctionVersion, ComponentFacts)>, StoreError> {
    facts_of(store, Family::DroppedComponent)
}

/// Drops the parts in which a component has arrived.
pub fn delete_chunks(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    version: &FunctionVersion,
) -> Result<(), StoreError> {
    let prefix = Key::of(Family::Chunk).fixed(&version.0).done();
    store.keys(&Scan::prefix(&prefix))?.into_iter().for_each(|key| batch.delete(key));
    Ok(())
}

/// The facts of a complete component.
pub fn facts(
    store: &(impl Store + ?Sized),
    version: &FunctionVersion,
) -> Result<Option<ComponentFacts>, StoreError> {
    let key = facts_key(version);
    store.get(&key)?.map(|value| decode_facts(&key, &value)).transpose()
}

/// All complete components, by version.
pub fn all(
    store: &(impl Store + ?Sized),
) -> Result<Vec<(FunctionVersion, ComponentFacts)>, StoreError> {
    facts_of(store, Family::ComponentFacts)
}

fn facts_of(
    store: &(impl Store + ?Sized),
    family: Family,
) -> Result<Vec<(FunctionVersion, ComponentFacts)>, StoreError> {
    let pairs = store.scan(&Scan::prefix(&Key::of(family).done()))?;
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut reader = KeyReader::new(key);
        let version = reader.version()?;
        reader.end()?;
        Ok((version, decode_facts(key, value)?))
    };
    pairs.iter().map(read).collect()
}

/// The bytes of a complete component.
pub fn bytes(
    store: &(impl Store + ?Sized),
    version: &FunctionVersion,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(facts) = facts(store, version)? else { return Ok(None) };
    let prefix = Key::of(Family::ComponentPart).fixed(&version.0).done();
    let mut whole = Vec::new();
    for (key, value) in store.scan(&Scan::prefix(&prefix))? {
        decode(&key, VERSION, &value, |Bytes(part)| {
            whole.extend_from_slice(part);
            Ok(())
        })?;
    }
    if whole.len() as u64 != facts.bytes {
        let place = format!("component {version}");
        return Err(StoreError::corrupt(place, "a part of it is missing"));
    }
    Ok(Some(whole))
}

fn facts_key(version: &FunctionVersion) -> Vec<u8> {
    Key::of(Family::ComponentFacts).fixed(&version.0).done()
}

fn dropped_key(version: &FunctionVersion) -> Vec<u8> {
    Key::of(Family::DroppedComponent).fixed(&version.0).done()
}

fn part_of(key: &[u8]) -> Result<(FunctionVersion, u32), StoreError> {
    let mut reader = KeyReader::new(key);
    let part = (reader.version()?, reader.u32()?);
    reader.end()?;
    Ok(part)
}

fn decode_facts(key: &[u8], value: &[u8]) -> Result<ComponentFacts, StoreError> {
    decode(key, VERSION, value, |form: FactsV1<'_>| {
        Ok(ComponentFacts {
            bytes: form.bytes,
            name: form.name.to_owned(),
            uploaded_by: form.uploaded_by.to_owned(),
            uploaded_at_ms: form.uploaded_at_ms,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::golden;
    use proptest::prelude::*;

    fn given_facts(component: &[u8]) -> ComponentFacts {
        ComponentFacts {
            bytes: component.len() as u64,
            name: "cart.wasm".to_owned(),
            uploaded_by: "team-carts".to_owned(),
            uploaded_at_ms: 1_795_203_212_955,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn reads_back(len in prop_oneof![1..100usize, 1..3 * CHUNK_BYTES_MAX]) {
            let component: Vec<u8> = (0..len).map(|i| (i % 249) as u8).collect();
            let version = FunctionVersion::of(&component);
            let store = MemoryStore::new();
            let chunked = ComponentChunk::split(&component);
            for (n, chunk) in chunked.iter().enumerate().rev() {
                prop_assert_eq!(assemble(&store, &version).unwrap(), None);
                prop_assert_eq!(chunks(&store).unwrap().len(), chunked.len() - n - 1);
                let mut batch = Batch::new();
                put_chunk(&mut batch, chunk);
                store.commit(batch).unwrap();
            }
            prop_assert_eq!(assemble(&store, &version).unwrap(), Some(component.clone()));
            prop_assert_eq!(bytes(&store, &version).unwrap(), None);
            let mut batch = Batch::new();
            put_whole(&mut batch, &store, &version, &component, &given_facts(&component)).unwrap();
            store.commit(batch).unwrap();
            prop_assert!(chunks(&store).unwrap().is_empty());
            prop_assert_eq!(all(&store).unwrap(), vec![(version, given_facts(&component))]);
            prop_assert_eq!(bytes(&store, &version).unwrap(), Some(component.clone()));
            let mut batch = Batch::new();
            drop_whole(&mut batch, &store, &version).unwrap();
            store.commit(batch).unwrap();
            prop_assert!(all(&store).unwrap().is_empty());
            prop_assert_eq!(bytes(&store, &version).unwrap(), None);
            prop_assert_eq!(dropped(&store).unwrap(), vec![(version, given_facts(&component))]);
            let mut batch = Batch::new();
            put_whole(&mut batch, &store, &version, &component, &given_facts(&component)).unwrap();
            store.commit(batch).unwrap();
            prop_assert!(dropped(&store).unwrap().is_empty());
            prop_assert_eq!(bytes(&store, &version).unwrap(), Some(component));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let value = [&[VERSION], &value[..]].concat();
            let _ = decode_facts(b"k", &value);
            let _ = decode(b"k", VERSION, &value, |form: ChunkV1<'_>| Ok(form.count));
            let _ = part_of(&value);
        }
    }

    #[test]
    fn the_form_stays() {
        let store = MemoryStore::new();
        let version = FunctionVersion([7; 32]);
        let mut batch = Batch::new();
        put_whole(&mut batch, &store, &version, b"\0asm", &given_facts(b"\0asm")).unwrap();
        let bytes = b"\0as".as_slice().into();
        put_chunk(&mut batch, &ComponentChunk { version, index: 0, count: 2, bytes });
        golden::check("component", &batch);
    }
}
