//! Membership records: (HLC, region) -> what a region said of who is counted. And the founders: one
//! value, the regions that there were at the start, on which the first of those records stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use syncline_core::{
    ChangeId, Cut, MembershipAnswer, MembershipChange, MembershipId, MembershipRecord, RegionId,
};

use super::codec::{self, decode};
use super::dto::{ChangeIdV1, Made, VectorV1, hlc_of, region_of};
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

/// Of this enum and those below, postcard writes a variant by its place: a new one comes last, and
/// none is ever taken out.
#[derive(Serialize, Deserialize)]
enum MembershipV1<'a> {
    Propose {
        #[serde(borrow)]
        previous: Option<ChangeIdV1<'a>>,
        change: ChangeV1<'a>,
    },
    Accept {
        change: ChangeIdV1<'a>,
        answer: AnswerV1<'a>,
    },
    Refuse {
        change: ChangeIdV1<'a>,
        bound_to: ChangeIdV1<'a>,
    },
    Done {
        change: ChangeIdV1<'a>,
    },
}

#[derive(Serialize, Deserialize)]
enum ChangeV1<'a> {
    Join(&'a str),
    #[serde(borrow)]
    Evict(Vec<&'a str>),
}

#[derive(Serialize, Deserialize)]
enum AnswerV1<'a> {
    /// By row partition.
    #[serde(borrow)]
    Counted(Vec<VectorV1<'a>>),
    /// For each region (taken, heartbeat) by partition.
    Fenced(Vec<(&'a str, Vec<(u64, u64)>)>),
}

#[derive(Serialize, Deserialize)]
struct FoundersV1<'a>(#[serde(borrow)] Vec<&'a str>);

/// Keeps a record.
pub fn put(batch: &mut Batch, id: &ChangeId, record: &MembershipRecord) {
    let key = Key::of(Family::Membership).hlc(id.hlc).text(id.region.as_str()).done();
    codec::put(batch, &key, VERSION, &form_of(record));
}

/// All records, in the order of (HLC, region).
pub fn all(store: &(impl Store + ?Sized)) -> Result<Vec<(ChangeId, MembershipRecord)>, StoreError> {
    let pairs = store.scan(&Scan::prefix(&Key::of(Family::Membership).done()))?;
    pairs.iter().map(|(key, value)| decode_record(key, value)).collect()
}

/// Keeps the regions that there were at the start.
pub fn put_founders(batch: &mut Batch, founders: &[RegionId]) {
    let form = FoundersV1(founders.iter().map(RegionId::as_str).collect());
    codec::put(batch, &Key::of(Family::Founders).done(), VERSION, &form);
}

/// The regions that there were at the start, in the order in which they were put; none of a store
/// that was never committed to.
pub fn founders(store: &(impl Store + ?Sized)) -> Result<Vec<RegionId>, StoreError> {
    let key = Key::of(Family::Founders).done();
    store.get(&key)?.map_or(Ok(Vec::new()), |value| decode_founders(&key, &value))
}

fn form_of(record: &MembershipRecord) -> MembershipV1<'_> {
    match record {
        MembershipRecord::Propose { previous, change } => MembershipV1::Propose {
            previous: previous.as_ref().map(id_form),
            change: change_form(change),
        },
        MembershipRecord::Accept { change, answer } => {
            MembershipV1::Accept { change: id_form(change), answer: answer_form(answer) }
        }
        MembershipRecord::Refuse { change, bound_to } => {
            MembershipV1::Refuse { change: id_form(change), bound_to: id_form(bound_to) }
        }
        MembershipRecord::Done { change } => MembershipV1::Done { change: id_form(change) },
    }
}

fn id_form(MembershipId(id): &MembershipId) -> ChangeIdV1<'_> {
    ChangeIdV1::of(id)
}

fn change_form(change: &MembershipChange) -> ChangeV1<'_> {
    match change {
        MembershipChange::Join { region } => ChangeV1::Join(region.as_str()),
        MembershipChange::Evict { gone } => {
            ChangeV1::Evict(gone.iter().map(RegionId::as_str).collect())
        }
    }
}

fn answer_form(answer: &MembershipAnswer) -> AnswerV1<'_> {
    match answer {
        MembershipAnswer::Counted { stable } => {
            AnswerV1::Counted(stable.iter().map(VectorV1::of).collect())
        }
        MembershipAnswer::Fenced { last } => {
            let pairs = |cuts: &[Cut]| {
                cuts.iter().map(|cut| (cut.taken.bits(), cut.heartbeat.bits())).collect()
            };
            let last = last.iter();
            AnswerV1::Fenced(last.map(|(region, cuts)| (region.as_str(), pairs(cuts))).collect())
        }
    }
}

fn decode_record(key: &[u8], value: &[u8]) -> Result<(ChangeId, MembershipRecord), StoreError> {
    let mut reader = KeyReader::new(key);
    let id = reader.change()?;
    reader.end()?;
    Ok((id, decode(key, VERSION, value, make)?))
}

fn decode_founders(key: &[u8], value: &[u8]) -> Result<Vec<RegionId>, StoreError> {
    decode(key, VERSION, value, |FoundersV1(regions)| regions.into_iter().map(region_of).collect())
}

fn make(form: MembershipV1<'_>) -> Made<MembershipRecord> {
    Ok(match form {
        MembershipV1::Propose { previous, change } => MembershipRecord::Propose {
            previous: previous.map(make_id).transpose()?,
            change: make_change(change)?,
        },
        MembershipV1::Accept { change, answer } => {
            MembershipRecord::Accept { change: make_id(change)?, answer: make_answer(answer)? }
        }
        MembershipV1::Refuse { change, bound_to } => {
            MembershipRecord::Refuse { change: make_id(change)?, bound_to: make_id(bound_to)? }
        }
        MembershipV1::Done { change } => MembershipRecord::Done { change: make_id(change)? },
    })
}

fn make_id(form: ChangeIdV1<'_>) -> Made<MembershipId> {
    form.make().map(MembershipId)
}

fn make_change(form: ChangeV1<'_>) -> Made<MembershipChange> {
    Ok(match form {
        ChangeV1::Join(region) => MembershipChange::Join { region: region_of(region)? },
        ChangeV1::Evict(gone) => {
            MembershipChange::Evict { gone: gone.into_iter().map(region_of).collect::<Made<_>>()? }
        }
    })
}

fn make_answer(form: AnswerV1<'_>) -> Made<MembershipAnswer> {
    let cut = |(taken, heartbeat)| Ok(Cut { taken: hlc_of(taken)?, heartbeat: hlc_of(heartbeat)? });
    let cuts = |(region, cuts): (&str, Vec<(u64, u64)>)| {
        let cuts = cuts.into_iter().map(cut).collect::<Made<Vec<_>>>()?;
        Ok((region_of(region)?, cuts))
    };
    Ok(match form {
        AnswerV1::Counted(stable) => MembershipAnswer::Counted {
            stable: stable.into_iter().map(VectorV1::make).collect::<Made<_>>()?,
        },
        AnswerV1::Fenced(last) => MembershipAnswer::Fenced {
            last: last.into_iter().map(cuts).collect::<Made<BTreeMap<_, _>>>()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;
    use syncline_core::{Hlc, VersionVector};

    fn answer() -> impl Strategy<Value = MembershipAnswer> {
        let cuts = || prop::collection::vec(arbitrary::cut(), 0..4);
        prop_oneof![
            prop::collection::vec(arbitrary::vector(), 0..4)
                .prop_map(|stable| MembershipAnswer::Counted { stable }),
            prop::collection::btree_map(arbitrary::region(), cuts(), 0..4)
                .prop_map(|last| MembershipAnswer::Fenced { last }),
        ]
    }

    fn record() -> impl Strategy<Value = MembershipRecord> {
        let id = || arbitrary::change_id().prop_map(MembershipId);
        let change = prop_oneof![
            arbitrary::region().prop_map(|region| MembershipChange::Join { region }),
            prop::collection::btree_set(arbitrary::region(), 0..4)
                .prop_map(|gone| MembershipChange::Evict { gone }),
        ];
        prop_oneof![
            (prop::option::of(id()), change)
                .prop_map(|(previous, change)| MembershipRecord::Propose { previous, change }),
            (id(), answer())
                .prop_map(|(change, answer)| MembershipRecord::Accept { change, answer }),
            (id(), id())
                .prop_map(|(change, bound_to)| MembershipRecord::Refuse { change, bound_to }),
            id().prop_map(|change| MembershipRecord::Done { change }),
        ]
    }

    proptest! {
        #[test]
        fn reads_back(
            records in prop::collection::btree_map(arbitrary::change_id(), record(), 0..6),
            regions in prop::collection::vec(arbitrary::region(), 1..5),
        ) {
            let store = MemoryStore::new();
            prop_assert_eq!(founders(&store).unwrap(), vec![]);
            let mut batch = Batch::new();
            records.iter().for_each(|(id, record)| put(&mut batch, id, record));
            put_founders(&mut batch, &regions);
            store.commit(batch).unwrap();
            prop_assert_eq!(all(&store).unwrap(), records.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(founders(&store).unwrap(), regions);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let key = Key::of(Family::Membership).u64(1).text("a").done();
            let value = [&[VERSION], &value[..]].concat();
            let _ = decode_record(&key, &value);
            let _ = decode_founders(b"k", &value);
        }

        #[test]
        fn no_mutation_of_a_record_makes_it_panic(
            record in record(),
            at: prop::sample::Index,
            byte: u8,
        ) {
            let key = Key::of(Family::Membership).u64(1).text("a").done();
            let mut value = codec::encode(VERSION, &form_of(&record));
            let at = at.index(value.len());
            value[at] = byte;
            let _ = decode_record(&key, &value);
        }
    }

    #[test]
    fn the_form_stays() {
        let change = || MembershipId(golden::id(300 << 16, "eu-west-1"));
        let region = |name: &str| name.parse::<RegionId>().unwrap();
        let hlc = |bits| Hlc::from_bits(bits).unwrap();
        let vector = VersionVector::from_iter([(region("a"), hlc(1)), (region("b#2"), hlc(200))]);
        let cuts = vec![Cut { taken: hlc(1), heartbeat: hlc(2 << 16) }, Cut::default()];
        let join = MembershipChange::Join { region: region("us-east-1#2") };
        let gone = [region("a"), region("eu-west-1#2")].into();
        let counted = MembershipAnswer::Counted { stable: vec![vector, VersionVector::new()] };
        let last = [(region("a"), cuts), (region("b#2"), Vec::new())].into();
        let records = [
            MembershipRecord::Propose { previous: None, change: join },
            MembershipRecord::Propose {
                previous: Some(change()),
                change: MembershipChange::Evict { gone },
            },
            MembershipRecord::Accept { change: change(), answer: counted },
            MembershipRecord::Accept {
                change: change(),
                answer: MembershipAnswer::Fenced { last },
            },
            MembershipRecord::Refuse {
                change: change(),
                bound_to: MembershipId(golden::id(200 << 16, "a")),
            },
            MembershipRecord::Done { change: change() },
        ];
        let mut batch = Batch::new();
        for (n, record) in (1..).zip(&records) {
            put(&mut batch, &golden::id(n << 16, "a"), record);
        }
        put_founders(&mut batch, &[region("us-east-1"), region("eu-west-1#2")]);
        golden::check("membership", &batch);
    }
}
