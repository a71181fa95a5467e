//! What a node has of its region, where the region has several: one value, compared at every start.
//! Beside it stands what the lead last told it, as it came.

use serde::{Deserialize, Serialize};

use super::codec::{self, decode};
use super::key::{Family, Key};
use crate::{Batch, Store, StoreError};

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct ShareV1<'a> {
    node: &'a str,
    place: u32,
    partitions: Vec<u32>,
}

/// What a node has of its region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeShare {
    /// The node's name.
    pub node: String,
    /// The remainder of its HLCs.
    pub place: u32,
    /// Its partitions, in order.
    pub partitions: Vec<u32>,
}

/// Writes what the node of this store has of its region.
pub fn put(batch: &mut Batch, share: &NodeShare) {
    let NodeShare { node, place, partitions } = share;
    let form = ShareV1 { node, place: *place, partitions: partitions.clone() };
    codec::put(batch, &Key::of(Family::NodeShare).done(), VERSION, &form);
}

/// Reads what the node of this store has of its region; none where it has all of it.
pub fn get(store: &(impl Store + ?Sized)) -> Result<Option<NodeShare>, StoreError> {
    let key = Key::of(Family::NodeShare).done();
    store.get(&key)?.map(|value| decode_share(&key, &value)).transpose()
}

fn decode_share(key: &[u8], value: &[u8]) -> Result<NodeShare, StoreError> {
    decode(key, VERSION, value, |form: ShareV1<'_>| {
        let ShareV1 { node, place, partitions } = form;
        Ok(NodeShare { node: node.to_owned(), place, partitions })
    })
}

/// Keeps what the lead has told, in a form that is the caller's.
pub fn put_directives(batch: &mut Batch, told: &str) {
    codec::put(batch, &Key::of(Family::NodeDirectives).done(), VERSION, &told);
}

/// What the lead told last; none where it never did.
pub fn directives(store: &(impl Store + ?Sized)) -> Result<Option<String>, StoreError> {
    let key = Key::of(Family::NodeDirectives).done();
    let Some(value) = store.get(&key)? else { return Ok(None) };
    decode(&key, VERSION, &value, |told: &str| Ok(told.to_owned())).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::golden;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back(
            node in "[a-z]{1,8}",
            place: u32,
            partitions in prop::collection::vec(any::<u32>(), 0..20),
            told in ".{0,100}",
        ) {
            let share = NodeShare { node, place, partitions };
            let store = MemoryStore::new();
            prop_assert_eq!(get(&store).unwrap(), None);
            prop_assert_eq!(directives(&store).unwrap(), None);
            let mut batch = Batch::new();
            put(&mut batch, &share);
            put_directives(&mut batch, &told);
            store.commit(batch).unwrap();
            prop_assert_eq!(get(&store).unwrap(), Some(share));
            prop_assert_eq!(directives(&store).unwrap(), Some(told));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_share(b"k", &[&[VERSION], &value[..]].concat());
        }
    }

    #[test]
    fn the_form_stays() {
        let mut batch = Batch::new();
        put(&mut batch, &NodeShare { node: "b".into(), place: 1, partitions: vec![4, 5, 300] });
        put_directives(&mut batch, "{}");
        golden::check("share", &batch);
    }
}
