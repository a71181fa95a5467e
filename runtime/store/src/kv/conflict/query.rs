//! Reading the conflict log, newest first, over all partitions.

use std::fmt;
use std::str::FromStr;

use syncline_core::{
    ConflictId, ConflictOutcome, ConflictRecord, InvalidId, PartitionCount, RowPk, Stamp, TableName,
};

use super::{decode_place, decode_record, log_key, parse_log_key, place_key};
use crate::merged::Merged;
use crate::{Scan, Store, StoreError};

/// One call looks at so many notes at most.
const READ_MAX: usize = 5_000;
/// And gives no more once the conflicts take so many bytes: a few of the largest rows.
const BYTES_MAX: usize = 8 << 20;

/// How a conflict is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The newest head wins.
    Lww,
    /// By a merge function.
    MergeFunction,
}

/// How a conflict ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With the fold's answer.
    Merged,
    /// With the newest head, as the function did not answer.
    Fallback,
    /// It waits.
    Waiting,
}

/// Which conflicts to list; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictFilter {
    /// Of this table.
    pub table: Option<TableName>,
    /// Of rows with this key.
    pub row_pk: Option<RowPk>,
    /// Resolved at this time or later: milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Resolved before this time.
    pub to_ms: Option<u64>,
    /// Resolved in this way.
    pub strategy: Option<Strategy>,
    /// Ended like this.
    pub outcome: Option<Outcome>,
}

impl ConflictFilter {
    fn holds(&self, record: &ConflictRecord) -> bool {
        let strategy = match record.stamp {
            Stamp::Lww => Strategy::Lww,
            Stamp::Function(_) => Strategy::MergeFunction,
        };
        let outcome = match record.outcome {
            ConflictOutcome::Merged(_) => Outcome::Merged,
            ConflictOutcome::Fallback { .. } => Outcome::Fallback,
            ConflictOutcome::Waiting { .. } => Outcome::Waiting,
        };
        self.table.as_ref().is_none_or(|table| *table == record.row.table)
            && self.row_pk.as_ref().is_none_or(|pk| *pk == record.row.pk)
            && self.strategy.is_none_or(|wanted| wanted == strategy)
            && self.outcome.is_none_or(|wanted| wanted == outcome)
    }
}

/// A place in the log, as text `<milliseconds>.<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConflictCursor {
    at_ms: u64,
    id: ConflictId,
}

impl fmt::Display for ConflictCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at_ms, self.id)
    }
}

impl FromStr for ConflictCursor {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::Conflict(text.chars().take(80).collect());
        let (at_ms, id) = text.split_once('.').ok_or_else(invalid)?;
        Ok(Self { at_ms: at_ms.parse().map_err(|_| invalid())?, id: id.parse()? })
    }
}

/// Some conflicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictPage {
    /// Newest first.
    pub conflicts: Vec<ConflictRecord>,
    /// To go on after, if there may be more. A page can be short, even empty, and yet have more.
    pub next: Option<ConflictCursor>,
}

/// One conflict.
pub fn get(
    store: &(impl Store + ?Sized),
    id: &ConflictId,
) -> Result<Option<ConflictRecord>, StoreError> {
    let key = place_key(id);
    let Some(value) = store.get(&key)? else { return Ok(None) };
    let place = decode_place(&key, &value)?;
    let key = log_key(place.partition, place.at_ms, id);
    // The log may have been trimmed between the two reads.
    store.get(&key)?.map(|value| decode_record(&key, &value)).transpose()
}

/// Up to `limit` conflicts that pass the filter, newest first, after a cursor.
pub fn query(
    store: &(impl Store + ?Sized),
    partitions: PartitionCount,
    filter: &ConflictFilter,
    after: Option<&ConflictCursor>,
    limit: usize,
) -> Result<ConflictPage, StoreError> {
    let lowest = ConflictId([0; 16]);
    let scans = (0..partitions.get()).map(|partition| {
        let from = log_key(partition, filter.from_ms.unwrap_or(0), &lowest);
        let end = match filter.to_ms {
            Some(to_ms) => log_key(partition, to_ms, &lowest),
            None => crate::prefix_end(&log_key(partition, u64::MAX, &ConflictId([0xff; 16]))),
        };
        let cursor = after.map(|cursor| log_key(partition, cursor.at_ms, &cursor.id));
        Scan::range(from, cursor.map_or(end.clone(), |cursor| cursor.min(end)))
    });
    let mut merged = Merged::new(store, scans, true);
    let mut page = ConflictPage::default();
    let mut bytes = 0;
    for read in 1.. {
        let Some((key, value)) = merged.next()? else {
            page.next = None;
            return Ok(page);
        };
        let (_, at_ms, id) = parse_log_key(&key)?;
        let record = decode_record(&key, &value)?;
        page.next = Some(ConflictCursor { at_ms, id });
        if filter.holds(&record) {
            page.conflicts.push(record);
            bytes += value.len();
        }
        if page.conflicts.len() >= limit || bytes >= BYTES_MAX || read == READ_MAX {
            break;
        }
    }
    Ok(page)
}
