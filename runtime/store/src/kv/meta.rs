//! Partitions: (partition) -> what is kept of it besides rows; the control partition too.

use serde::{Deserialize, Serialize};
use syncline_core::{Cut, Link, LinkCounters, LinkState, OwnCounters, PartitionMeta};

use super::codec::{self, decode};
use super::dto::{Made, VectorV1, hlc_of, region_of};
use super::key::{Family, Key};
use super::outbox;
use crate::{Batch, Store, StoreError};

const VERSION: u8 = 2;
/// Without the counts of the region's own changes.
const VERSION_WITHOUT_COUNTS: u8 = 1;

#[derive(Serialize, Deserialize)]
struct MetaV2<'a> {
    #[serde(borrow)]
    rest: MetaV1<'a>,
    produced: u64,
    confirmed_count: u64,
}

#[derive(Serialize, Deserialize)]
struct MetaV1<'a> {
    own_change: u64,
    own_heartbeat: u64,
    confirmed: u64,
    #[serde(borrow)]
    watermarks: VectorV1<'a>,
    stable: VectorV1<'a>,
    links: Vec<LinkV1<'a>>,
    positions: Vec<(&'a str, u64)>,
}

#[derive(Serialize, Deserialize)]
struct LinkV1<'a> {
    region: &'a str,
    taken: u64,
    heartbeat: u64,
    consumed: u64,
    applied: u64,
    duplicate: u64,
    gap: u64,
    quarantined: u64,
    dropped: u64,
    heartbeats: u64,
    state: LinkStateV1,
}

/// Postcard writes a variant by its place: a new one comes last, and none is ever taken out.
#[derive(Serialize, Deserialize)]
enum LinkStateV1 {
    Live,
    Fenced,
    Cut { taken: u64, heartbeat: u64 },
    Gone { taken: u64, heartbeat: u64 },
}

fn key(partition: u32) -> Vec<u8> {
    Key::of(Family::Meta).u32(partition).done()
}

/// Writes a partition's meta data.
pub fn put(batch: &mut Batch, partition: u32, meta: &PartitionMeta) {
    let rest = MetaV1 {
        own_change: meta.own_change.bits(),
        own_heartbeat: meta.own_heartbeat.bits(),
        confirmed: meta.confirmed.bits(),
        watermarks: VectorV1::of(&meta.watermarks),
        stable: VectorV1::of(&meta.stable),
        links: meta.links.iter().map(|(region, link)| link_form(region.as_str(), link)).collect(),
        positions: meta.positions.iter().map(|(region, at)| (region.as_str(), *at)).collect(),
    };
    let OwnCounters { produced, confirmed: confirmed_count } = meta.own;
    codec::put(batch, &key(partition), VERSION, &MetaV2 { rest, produced, confirmed_count });
}

/// Reads a partition's meta data; none of a partition that was never committed.
pub fn get(
    store: &(impl Store + ?Sized),
    partition: u32,
) -> Result<Option<PartitionMeta>, StoreError> {
    let key = key(partition);
    let Some(value) = store.get(&key)? else { return Ok(None) };
    let mut meta = decode_meta(&key, &value)?;
    if value.first() == Some(&VERSION_WITHOUT_COUNTS) {
        // What was confirmed before is not known any more: counting begins with what is left.
        meta.own.produced = outbox::hlcs(store, partition)?.len() as u64;
    }
    Ok(Some(meta))
}

fn decode_meta(key: &[u8], value: &[u8]) -> Result<PartitionMeta, StoreError> {
    if value.first() == Some(&VERSION_WITHOUT_COUNTS) {
        let make = |form| meta_of(form, OwnCounters::default());
        return decode(key, VERSION_WITHOUT_COUNTS, value, make);
    }
    decode(key, VERSION, value, |MetaV2 { rest, produced, confirmed_count }: MetaV2<'_>| {
        meta_of(rest, OwnCounters { produced, confirmed: confirmed_count })
    })
}

fn meta_of(form: MetaV1<'_>, own: OwnCounters) -> Made<PartitionMeta> {
    let position = |(region, at)| Ok((region_of(region)?, at));
    let link = |form: LinkV1<'_>| Ok((region_of(form.region)?, link_of(&form)?));
    Ok(PartitionMeta {
        own_change: hlc_of(form.own_change)?,
        own_heartbeat: hlc_of(form.own_heartbeat)?,
        confirmed: hlc_of(form.confirmed)?,
        own,
        watermarks: form.watermarks.make()?,
        stable: form.stable.make()?,
        links: form.links.into_iter().map(link).collect::<Made<_>>()?,
        positions: form.positions.into_iter().map(position).collect::<Made<_>>()?,
    })
}

fn link_form<'a>(region: &'a str, link: &Link) -> LinkV1<'a> {
    let Link { taken, heartbeat, counters, state } = link;
    LinkV1 {
        region,
        taken: taken.bits(),
        heartbeat: heartbeat.bits(),
        consumed: counters.consumed,
        applied: counters.applied,
        duplicate: counters.duplicate,
        gap: counters.gap,
        quarantined: counters.quarantined,
        dropped: counters.dropped,
        heartbeats: counters.heartbeats,
        state: state_form(*state),
    }
}

fn state_form(state: LinkState) -> LinkStateV1 {
    let parts = |cut: Cut| (cut.taken.bits(), cut.heartbeat.bits());
    match state {
        LinkState::Live => LinkStateV1::Live,
        LinkState::Fenced => LinkStateV1::Fenced,
        LinkState::Cut(cut) => {
            let (taken, heartbeat) = parts(cut);
            LinkStateV1::Cut { taken, heartbeat }
        }
        LinkState::Gone(cut) => {
            let (taken, heartbeat) = parts(cut);
            LinkStateV1::Gone { taken, heartbeat }
        }
    }
}

fn state_of(form: &LinkStateV1) -> Made<LinkState> {
    let cut = |taken, heartbeat| {
        Ok::<_, String>(Cut { taken: hlc_of(taken)?, heartbeat: hlc_of(heartbeat)? })
    };
    Ok(match *form {
        LinkStateV1::Live => LinkState::Live,
        LinkStateV1::Fenced => LinkState::Fenced,
        LinkStateV1::Cut { taken, heartbeat } => LinkState::Cut(cut(taken, heartbeat)?),
        LinkStateV1::Gone { taken, heartbeat } => LinkState::Gone(cut(taken, heartbeat)?),
    })
}

fn link_of(form: &LinkV1<'_>) -> Made<Link> {
    Ok(Link {
        taken: hlc_of(form.taken)?,
        heartbeat: hlc_of(form.heartbeat)?,
        counters: LinkCounters {
            consumed: form.consumed,
            applied: form.applied,
            duplicate: form.duplicate,
            gap: form.gap,
            quarantined: form.quarantined,
            dropped: form.dropped,
            heartbeats: form.heartbeats,
        },
        state: state_of(&form.state)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;
    use syncline_core::CONTROL_PARTITION;

    proptest! {
        #[test]
        fn reads_back(meta in arbitrary::meta()) {
            let store = MemoryStore::new();
            let mut batch = Batch::new();
            put(&mut batch, CONTROL_PARTITION, &meta);
            store.commit(batch).unwrap();
            prop_assert_eq!(get(&store, CONTROL_PARTITION).unwrap(), Some(meta));
            prop_assert_eq!(get(&store, 0).unwrap(), None);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_meta(b"k", &[&[VERSION], &value[..]].concat());
        }
    }

    /// As it was before the region's own changes were counted.
    const META_V1: &str = "01646e5a0201610101620201016101040162ac02b60215060504030201000163ac02b60\
        215060504030201010164ac02b6021506050403020102ac02b6020165ac02b6021506050403020103ac02b60201\
        01628020";

    #[test]
    fn what_was_written_before_changes_were_counted_is_read() {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        batch.put(key(5), hex::decode(META_V1).unwrap());
        let hlcs = [95, 100].map(|bits| golden::id(bits, "a").hlc);
        hlcs.into_iter().for_each(|hlc| outbox::put(&mut batch, 5, hlc, b"record"));
        store.commit(batch).unwrap();
        let own = OwnCounters { produced: 2, confirmed: 0 };
        assert_eq!(get(&store, 5).unwrap(), Some(PartitionMeta { own, ..golden::meta() }));
    }

    #[test]
    fn the_form_stays() {
        let mut batch = Batch::new();
        put(&mut batch, 5, &golden::meta());
        golden::check("meta", &batch);
    }
}
