//! The node: one value that says whose store this is. It is compared at every start, since none of
//! it can change under a store that exists.

use serde::{Deserialize, Serialize};
use syncline_core::{PartitionCount, RegionId};

use super::codec::{self, decode};
use super::dto::region_of;
use super::key::{Family, Key};
use crate::{Batch, Store, StoreError};

const VERSION: u8 = 1;

/// The format of the whole store that this software writes.
pub const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct NodeV1<'a> {
    format: u32,
    #[serde(borrow)]
    region: &'a str,
    partitions: u32,
}

/// Whose store this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The format of the whole store; [`FORMAT`] for a new one.
    pub format: u32,
    /// The region, with its incarnation.
    pub region: RegionId,
    /// Into how many partitions rows are spread.
    pub partitions: PartitionCount,
}

/// Writes whose store this is.
pub fn put(batch: &mut Batch, facts: &NodeFacts) {
    let form = NodeV1 {
        format: facts.format,
        region: facts.region.as_str(),
        partitions: facts.partitions.get(),
    };
    codec::put(batch, &Key::of(Family::Node).done(), VERSION, &form);
}

/// Reads whose store this is; none of a new one.
pub fn get(store: &(impl Store + ?Sized)) -> Result<Option<NodeFacts>, StoreError> {
    let key = Key::of(Family::Node).done();
    store.get(&key)?.map(|value| decode_facts(&key, &value)).transpose()
}

fn decode_facts(key: &[u8], value: &[u8]) -> Result<NodeFacts, StoreError> {
    decode(key, VERSION, value, |form: NodeV1<'_>| {
        let partitions = PartitionCount::new(form.partitions).map_err(|error| error.to_string())?;
        Ok(NodeFacts { format: form.format, region: region_of(form.region)?, partitions })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back(region in arbitrary::region(), format: u32, partitions in 1..=1024u32) {
            let partitions = PartitionCount::new(partitions).unwrap();
            let facts = NodeFacts { format, region, partitions };
            let store = MemoryStore::new();
            prop_assert_eq!(get(&store).unwrap(), None);
            let mut batch = Batch::new();
            put(&mut batch, &facts);
            store.commit(batch).unwrap();
            prop_assert_eq!(get(&store).unwrap(), Some(facts));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_facts(b"k", &[&[VERSION], &value[..]].concat());
        }
    }

    #[test]
    fn the_form_stays() {
        let partitions = PartitionCount::new(8).unwrap();
        let region = "us-east-1#2".parse().unwrap();
        let mut batch = Batch::new();
        put(&mut batch, &NodeFacts { format: FORMAT, region, partitions });
        golden::check("node", &batch);
    }
}
