//! What control records say of who is counted, read and checked.
//!
//! An acceptance is the largest record that there is, since it has an entry for each region in each
//! partition. Of 64 regions in 1,024 row partitions and the control partition, each entry with two
//! HLCs, a fenced one takes 3 MiB. A counted one names the regions in each row partition; with as
//! many of both it keeps to the limit of a payload where a region's name has 38 bytes or fewer. A
//! reader refuses what is over that limit before it looks at it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use syncline_core::{
    Cut, Hlc, MembershipAnswer, MembershipChange, MembershipId, MembershipRecord, REGIONS_MAX,
    RegionId,
};

use super::entries::{AtMost, Entries, Tags, Text};
use super::fields::{self, Reason};

/// As the core's limit, but applied while reading.
const ROW_PARTITIONS_MAX: usize = 1024;

/// The row partitions and the control partition.
const PARTITIONS_MAX: usize = ROW_PARTITIONS_MAX + 1;

#[derive(Deserialize)]
struct ProposeJson<'a> {
    #[serde(borrow)]
    previous: &'a RawValue,
    #[serde(borrow)]
    change: &'a RawValue,
}

#[derive(Deserialize)]
struct ChangeJson<'a> {
    #[serde(borrow)]
    join: Option<Text<'a>>,
    evict: Option<Tags>,
}

pub(super) fn propose(json: &str) -> Result<MembershipRecord, Reason> {
    let json: ProposeJson<'_> = fields::object(json)?;
    let previous = fields::record_id_or_null("previous", json.previous)?.map(MembershipId);
    let change: ChangeJson<'_> = fields::object(json.change.get())?;
    let change = match (change.join, change.evict) {
        (Some(region), None) => MembershipChange::Join {
            region: region.0.parse().map_err(|error| format!("join: {error}"))?,
        },
        (None, Some(gone)) => MembershipChange::Evict { gone: gone.0.into_iter().collect() },
        _ => return Err("change: it is neither a join alone nor an evict alone".to_owned()),
    };
    Ok(MembershipRecord::Propose { previous, change })
}

#[derive(Deserialize)]
struct AcceptJson<'a> {
    #[serde(borrow)]
    membership: &'a RawValue,
    #[serde(borrow)]
    answer: &'a RawValue,
}

#[derive(Deserialize)]
struct AnswerJson {
    counted: Option<AtMost<Entries, ROW_PARTITIONS_MAX>>,
    fenced: Option<Fenced>,
}

pub(super) fn accept(json: &str) -> Result<MembershipRecord, Reason> {
    let json: AcceptJson<'_> = fields::object(json)?;
    let answer: AnswerJson = fields::object(json.answer.get())?;
    let answer = match (answer.counted, answer.fenced) {
        (Some(AtMost(stable)), None) => MembershipAnswer::Counted {
            stable: stable.into_iter().map(|entries| entries.0).collect(),
        },
        (None, Some(Fenced(last))) => MembershipAnswer::Fenced { last },
        _ => return Err("answer: it is neither counted alone nor fenced alone".to_owned()),
    };
    Ok(MembershipRecord::Accept { change: id("membership", json.membership)?, answer })
}

#[derive(Deserialize)]
struct RefuseJson<'a> {
    #[serde(borrow)]
    membership: &'a RawValue,
    #[serde(borrow)]
    bound_to: &'a RawValue,
}

pub(super) fn refuse(json: &str) -> Result<MembershipRecord, Reason> {
    let json: RefuseJson<'_> = fields::object(json)?;
    Ok(MembershipRecord::Refuse {
        change: id("membership", json.membership)?,
        bound_to: id("bound_to", json.bound_to)?,
    })
}

#[derive(Deserialize)]
struct DoneJson<'a> {
    #[serde(borrow)]
    membership: &'a RawValue,
}

pub(super) fn done(json: &str) -> Result<MembershipRecord, Reason> {
    let json: DoneJson<'_> = fields::object(json)?;
    Ok(MembershipRecord::Done { change: id("membership", json.membership)? })
}

fn id(what: &str, json: &RawValue) -> Result<MembershipId, Reason> {
    fields::record_id(what, json.get()).map(MembershipId)
}

/// `[taken, heartbeat]`. Zeros are written, since a partition's place in its list is its number.
struct CutPair(Cut);

impl<'de> Deserialize<'de> for CutPair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (taken, heartbeat) = <(Text<'_>, Text<'_>)>::deserialize(deserializer)?;
        let hlc = |text: Cow<'_, str>| text.parse::<Hlc>().map_err(Error::custom);
        Ok(Self(Cut { taken: hlc(taken.0)?, heartbeat: hlc(heartbeat.0)? }))
    }
}

/// Region text -> cuts by partition.
struct Fenced(BTreeMap<RegionId, Vec<Cut>>);

impl<'de> Deserialize<'de> for Fenced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lists;
        impl<'de> Visitor<'de> for Lists {
            type Value = BTreeMap<RegionId, Vec<Cut>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of regions and lists of HLCs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut last = BTreeMap::new();
                while let Some(region) = map.next_key::<Text<'_>>()? {
                    let region: RegionId = region.0.parse().map_err(Error::custom)?;
                    if last.len() == REGIONS_MAX {
                        let reason = format!("more than {REGIONS_MAX} regions, which is the limit");
                        return Err(Error::custom(reason));
                    }
                    if last.contains_key(&region) {
                        return Err(Error::custom(format!("{region} stands twice in one answer")));
                    }
                    let AtMost(cuts) = map.next_value::<AtMost<CutPair, PARTITIONS_MAX>>()?;
                    last.insert(region, cuts.into_iter().map(|cut| cut.0).collect());
                }
                Ok(last)
            }
        }
        deserializer.deserialize_map(Lists).map(Self)
    }
}
