//! Quarantine: (source, partition, position) -> a record that could not be read, as it came.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use syncline_core::{CONTROL_PARTITION, RegionId};

use super::codec::{self, decode};
use super::dto::Bytes;
use super::key::{Family, Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 2;
/// It does not say whether the record was whole.
const VERSION_WITHOUT_WHOLE: u8 = 1;

/// So many records are kept of one source and partition; the oldest go first. A source that sends
/// nothing but garbage must not fill the disk.
pub const QUARANTINED_MAX: usize = 1_000;
/// So many bytes are kept of one record.
pub const RAW_BYTES_MAX: usize = 64 << 10;
/// A page looks at so many records at most.
const PAGE_KEYS_MAX: usize = 10_000;
/// A page reads about so many bytes at most.
const PAGE_BYTES_MAX: usize = 8 << 20;

#[derive(Serialize, Deserialize)]
struct QuarantinedV1<'a> {
    reason: &'a str,
    at_ms: u64,
    raw_bytes: u64,
    #[serde(borrow)]
    raw: Bytes<'a>,
}

#[derive(Serialize, Deserialize)]
struct QuarantinedV2<'a> {
    #[serde(borrow)]
    record: QuarantinedV1<'a>,
    whole: bool,
}

/// Where a record stands: no two that are kept have the same place. As text, fit for a URL:
/// `<region>.<incarnation>.<partition, or control>.<position>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuarantineId {
    /// In whose log.
    pub source: RegionId,
    /// In which partition; [`CONTROL_PARTITION`] for the control topic.
    pub partition: u32,
    /// Where in it.
    pub position: u64,
}

/// A record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it stands.
    pub id: QuarantineId,
    /// What is wrong with it.
    pub reason: String,
    /// When it was read: milliseconds since 1970.
    pub at_ms: u64,
    /// How large it is.
    pub raw_bytes: u64,
    /// Its bytes, the first [`RAW_BYTES_MAX`] of them.
    pub raw: Vec<u8>,
    /// The log gave it as the record that was put in, and only what it says is not understood. Of a
    /// damaged one it is not known what it was.
    pub whole: bool,
}

/// How many records are kept of one source and partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineCount {
    /// The source.
    pub source: RegionId,
    /// The partition.
    pub partition: u32,
    /// How many.
    pub kept: usize,
    /// When the one that stands first was read: milliseconds since 1970.
    pub since_ms: u64,
}

/// Which records to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Only of this region's log.
    pub source: Option<RegionId>,
    /// Only of this partition.
    pub partition: Option<u32>,
}

/// Some of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantinePage {
    /// By source, partition and position.
    pub records: Vec<Quarantined>,
    /// To go on after, if there may be more. A page can be short, even empty, and yet have more.
    pub next: Option<QuarantineId>,
}

/// A text that is no place of a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is written as REGION.INCARNATION.PARTITION.POSITION, as the list shows it")]
pub struct InvalidQuarantineId;

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, partition, position } = self;
        write!(f, "{}.{}.", source.name(), source.incarnation())?;
        match *partition {
            CONTROL_PARTITION => f.write_str("control")?,
            partition => write!(f, "{partition}")?,
        }
        write!(f, ".{position}")
    }
}

impl FromStr for QuarantineId {
    type Err = InvalidQuarantineId;

    fn from_str(text: &str) -> Result<Self, InvalidQuarantineId> {
        let parts: Vec<&str> = text.split('.').collect();
        let [name, incarnation, partition, position] = parts[..] else {
            return Err(InvalidQuarantineId);
        };
        let source = match incarnation {
            "1" => name.to_owned(),
            incarnation => format!("{name}#{incarnation}"),
        };
        let id = Self {
            source: source.parse().map_err(|_| InvalidQuarantineId)?,
            partition: match partition {
                "control" => CONTROL_PARTITION,
                number => number.parse().map_err(|_| InvalidQuarantineId)?,
            },
            position: position.parse().map_err(|_| InvalidQuarantineId)?,
        };
        // One way to write it: `007` is not what was given out.
        if id.to_string() == text { Ok(id) } else { Err(InvalidQuarantineId) }
    }
}

impl QuarantineId {
    fn key(&self) -> Vec<u8> {
        prefix_of(&self.source, self.partition).u64(self.position).done()
    }
}

impl Quarantined {
    /// True if not all of it is kept.
    pub fn is_truncated(&self) -> bool {
        self.raw_bytes > self.raw.len() as u64
    }
}

fn prefix_of(source: &RegionId, partition: u32) -> Key {
    Key::of(Family::Quarantine).text(source.as_str()).u32(partition)
}

/// Keeps records, and drops the oldest of the same source and partition beyond the limit.
pub fn add(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    records: &[Quarantined],
) -> Result<(), StoreError> {
    let mut logs: BTreeMap<(&RegionId, u32), Vec<&Quarantined>> = BTreeMap::new();
    for record in records {
        logs.entry((&record.id.source, record.id.partition)).or_default().push(record);
    }
    for ((source, partition), new) in logs {
        let new = &new[new.len().saturating_sub(QUARANTINED_MAX)..];
        let keys: BTreeSet<Vec<u8>> = new.iter().map(|record| record.id.key()).collect();
        let kept = store.keys(&Scan::prefix(&prefix_of(source, partition).done()))?;
        let kept: Vec<Vec<u8>> = kept.into_iter().filter(|key| !keys.contains(key)).collect();
        let excess = (kept.len() + keys.len()).saturating_sub(QUARANTINED_MAX);
        kept.into_iter().take(excess).for_each(|key| batch.delete(key));
        new.iter().for_each(|record| put(batch, record));
    }
    Ok(())
}

/// Writes a record in its place, whatever stands there.
pub fn put(batch: &mut Batch, record: &Quarantined) {
    let raw = &record.raw[..record.raw.len().min(RAW_BYTES_MAX)];
    let form = QuarantinedV1 {
        reason: &record.reason,
        at_ms: record.at_ms,
        raw_bytes: record.raw_bytes,
        raw: Bytes(raw),
    };
    let form = QuarantinedV2 { record: form, whole: record.whole };
    codec::put(batch, &record.id.key(), VERSION, &form);
}

/// Drops what is kept of a record.
pub fn delete(batch: &mut Batch, id: &QuarantineId) {
    batch.delete(id.key());
}

/// One record.
pub fn get(
    store: &(impl Store + ?Sized),
    id: &QuarantineId,
) -> Result<Option<Quarantined>, StoreError> {
    let key = id.key();
    store.get(&key)?.map(|value| decode_record(&key, &value)).transpose()
}

/// Up to `limit` records that the filter lets through, above `after`.
pub fn page(
    store: &(impl Store + ?Sized),
    filter: &QuarantineFilter,
    after: Option<&QuarantineId>,
    limit: usize,
) -> Result<QuarantinePage, StoreError> {
    let prefix = match (&filter.source, filter.partition) {
        (Some(source), Some(partition)) => prefix_of(source, partition),
        (Some(source), None) => Key::of(Family::Quarantine).text(source.as_str()),
        (None, _) => Key::of(Family::Quarantine),
    };
    let mut scan = Scan::prefix(&prefix.done()).limit(PAGE_KEYS_MAX);
    if let Some(after) = after {
        scan = scan.after(&after.key());
    }
    let keys = store.keys(&scan)?;
    let mut page = QuarantinePage::default();
    let (mut bytes, mut looked_at) = (0, 0);
    for key in &keys {
        if page.records.len() >= limit || bytes >= PAGE_BYTES_MAX {
            break;
        }
        looked_at += 1;
        let id = id_of(key)?;
        let wanted = filter.partition.is_none_or(|partition| partition == id.partition);
        // What is dropped meanwhile is not there any more.
        if let Some(value) = if wanted { store.get(key)? } else { None } {
            bytes += value.len();
            page.records.push(decode_record(key, &value)?);
        }
        page.next = Some(id);
    }
    if looked_at == keys.len() && keys.len() < PAGE_KEYS_MAX {
        page.next = None;
    }
    Ok(page)
}

/// How many records are kept, by source and partition.
pub fn counts(store: &(impl Store + ?Sized)) -> Result<Vec<QuarantineCount>, StoreError> {
    let mut counts: Vec<QuarantineCount> = Vec::new();
    for key in store.keys(&Scan::prefix(&Key::of(Family::Quarantine).done()))? {
        let QuarantineId { source, partition, .. } = id_of(&key)?;
        match counts.last_mut() {
            Some(last) if last.source == source && last.partition == partition => last.kept += 1,
            _ => {
                let first =
                    store.get(&key)?.map(|value| decode_record(&key, &value)).transpose()?;
                let since_ms = first.map_or(0, |first| first.at_ms);
                counts.push(QuarantineCount { source, partition, kept: 1, since_ms });
            }
        }
    }
    Ok(counts)
}

fn id_of(key: &[u8]) -> Result<QuarantineId, StoreError> {
    let mut reader = KeyReader::new(key);
    let (source, partition, position) = (reader.region()?, reader.u32()?, reader.u64()?);
    reader.end()?;
    Ok(QuarantineId { source, partition, position })
}

fn decode_record(key: &[u8], value: &[u8]) -> Result<Quarantined, StoreError> {
    let id = id_of(key)?;
    let made = |form: QuarantinedV1<'_>, whole| Quarantined {
        id,
        reason: form.reason.to_owned(),
        at_ms: form.at_ms,
        raw_bytes: form.raw_bytes,
        raw: form.raw.0.to_vec(),
        whole,
    };
    if value.first() == Some(&VERSION_WITHOUT_WHOLE) {
        // Not to be taken for what was put into the log where that is not known.
        return decode(key, VERSION_WITHOUT_WHOLE, value, |form| Ok(made(form, false)));
    }
    decode(key, VERSION, value, |QuarantinedV2 { record, whole }| Ok(made(record, whole)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::kv::{arbitrary, golden};
    use proptest::prelude::*;

    fn id(source: &str, partition: u32, position: u64) -> QuarantineId {
        QuarantineId { source: source.parse().unwrap(), partition, position }
    }

    fn record(position: u64) -> Quarantined {
        Quarantined {
            id: id("eu-west-1#2", 5, position),
            reason: "not JSON".to_owned(),
            at_ms: 1_795_203_212_955,
            raw_bytes: 4,
            raw: b"oops".to_vec(),
            whole: true,
        }
    }

    fn add_to(store: &MemoryStore, records: &[Quarantined]) {
        let mut batch = Batch::new();
        add(&mut batch, store, records).unwrap();
        store.commit(batch).unwrap();
    }

    fn all(store: &MemoryStore) -> Vec<Quarantined> {
        page(store, &QuarantineFilter::default(), None, usize::MAX).unwrap().records
    }

    proptest! {
        #[test]
        fn reads_back(source in arbitrary::region(), at: (u32, u64, u64), reason in ".{0,20}", raw: Vec<u8>, whole: bool) {
            let (partition, position, at_ms) = at;
            let raw_bytes = raw.len() as u64;
            let id = QuarantineId { source, partition, position };
            let given = Quarantined { id: id.clone(), reason, at_ms, raw_bytes, raw, whole };
            let store = MemoryStore::new();
            add_to(&store, std::slice::from_ref(&given));
            prop_assert_eq!(get(&store, &id).unwrap(), Some(given.clone()));
            prop_assert_eq!(all(&store), vec![given]);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let key = id("a", 0, 0).key();
            for version in [VERSION, VERSION_WITHOUT_WHOLE] {
                let _ = decode_record(&key, &[&[version], &value[..]].concat()).is_ok();
            }
        }

        #[test]
        fn any_text_is_an_id_or_refused(text in "[a-c#.0-9ontrl]{0,12}") {
            if let Ok(id) = text.parse::<QuarantineId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn an_id_is_fit_for_a_url() {
        for (id, text) in [
            (id("eu-west-1", 5, 4096), "eu-west-1.1.5.4096"),
            (id("eu_1#12", CONTROL_PARTITION, 0), "eu_1.12.control.0"),
        ] {
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
        for bad in ["", "a", "a.1.2", "a.1.2.3.4", "a.0.2.3", "a.01.2.3", "a.1.2.03", "a.1.x.3"] {
            assert_eq!(bad.parse::<QuarantineId>(), Err(InvalidQuarantineId), "{bad}");
        }
        // One way to name the control partition.
        assert!(format!("a.1.{CONTROL_PARTITION}.3").parse::<QuarantineId>().is_err());
    }

    #[test]
    fn a_source_of_garbage_does_not_fill_the_disk() {
        let store = MemoryStore::new();
        let large = Quarantined { raw: vec![1; RAW_BYTES_MAX + 9], raw_bytes: 65_545, ..record(0) };
        add_to(&store, &[large]);
        let cut = get(&store, &record(0).id).unwrap().unwrap();
        assert!(cut.raw.len() == RAW_BYTES_MAX && cut.is_truncated());
        add_to(&store, &[Quarantined { id: id("eu-west-1#2", 6, 0), ..record(0) }]);
        for start in (1..=QUARANTINED_MAX as u64 + 20).step_by(60) {
            let flood: Vec<Quarantined> = (start..start + 60).map(record).collect();
            add_to(&store, &flood);
        }
        let kept: usize = counts(&store).unwrap().iter().map(|count| count.kept).sum();
        assert_eq!(kept, QUARANTINED_MAX + 1);
        assert_eq!(all(&store)[0].id.position, 21);
        // What is read again in its place drives out nothing.
        add_to(&store, &[record(500)]);
        assert_eq!(all(&store)[0].id.position, 21);
        // A log that was made again begins at zero: what is new stays.
        add_to(&store, &(0..5).map(record).collect::<Vec<_>>());
        assert_eq!((all(&store)[0].id.position, all(&store)[5].id.position), (0, 26));
        add_to(&store, &(0..3_000).map(record).collect::<Vec<_>>());
        assert_eq!(all(&store)[0].id.position, 2_000);
    }

    #[test]
    fn pages_follow_each_other_and_the_filter() {
        let store = MemoryStore::new();
        let places = [("a", 0), ("a", 1), ("b", 0), ("b", CONTROL_PARTITION)];
        let at = |(source, partition): (&str, u32), position| Quarantined {
            id: id(source, partition, position),
            at_ms: 100 + position,
            ..record(0)
        };
        for place in places {
            add_to(&store, &[at(place, 3), at(place, 7)]);
        }
        let ids = |source: Option<&str>, partition, limit| {
            let source = source.map(|source| source.parse().unwrap());
            let filter = QuarantineFilter { source, partition };
            let (mut ids, mut after) = (Vec::new(), None);
            loop {
                let page = page(&store, &filter, after.as_ref(), limit).unwrap();
                assert!(page.records.len() <= limit);
                ids.extend(page.records.iter().map(|record| record.id.to_string()));
                match page.next {
                    Some(next) => after = Some(next),
                    None => return ids,
                }
            }
        };
        for limit in [1, 2, 3, 100] {
            assert_eq!(ids(None, None, limit).len(), 8);
            assert_eq!(ids(Some("b"), None, limit).len(), 4);
            let first = ["a.1.0.3", "a.1.0.7", "b.1.0.3", "b.1.0.7"];
            assert_eq!(ids(None, Some(0), limit), first);
            let control = ["b.1.control.3", "b.1.control.7"];
            assert_eq!(ids(Some("b"), Some(CONTROL_PARTITION), limit), control);
            assert_eq!(ids(Some("c"), None, limit).len(), 0);
        }
        let mut batch = Batch::new();
        delete(&mut batch, &id("a", 0, 3));
        store.commit(batch).unwrap();
        let counted: Vec<(u32, usize, u64)> = counts(&store)
            .unwrap()
            .iter()
            .map(|count| (count.partition, count.kept, count.since_ms))
            .collect();
        assert_eq!(counted, [(0, 1, 107), (1, 2, 103), (0, 2, 103), (CONTROL_PARTITION, 2, 103)]);
    }

    #[test]
    fn what_was_kept_before_is_read_but_not_taken_for_whole() {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        let value = hex::decode("01086e6f74204a534f4e9bcdccd39f3404046f6f7073").unwrap();
        batch.put(record(9).id.key(), value);
        store.commit(batch).unwrap();
        assert_eq!(all(&store), vec![Quarantined { whole: false, ..record(9) }]);
    }

    #[test]
    fn the_form_stays() {
        let mut batch = Batch::new();
        add(&mut batch, &MemoryStore::new(), &[record(4096)]).unwrap();
        golden::check("quarantine", &batch);
    }
}
