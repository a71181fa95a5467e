//! Regions that should hold the same and do not.
//!
//! Each region says in its heartbeats how the conflicts ended that it met, and what its rows come
//! to where nothing waits. Whoever hears that compares it with what it has itself: one conflict has
//! one outcome, and the same changes come to the same rows, whoever applies them. Anything else is
//! a [`Divergence`]: an engine, a machine or a disk is broken, or this software is.

mod compare;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

pub(crate) use compare::Comparing;

use crate::id::InvalidId;
use crate::{
    ChangeId, ConflictId, ConflictRecord, Image, Malformed, RegionId, RowKey, Stamp, TableDigest,
    TableName,
};

/// So many outcomes stand in one heartbeat: a busy partition tells a part of what it resolves, and
/// a heartbeat stays below 40 KB.
pub const OUTCOMES_MAX: usize = 256;

/// Of so many tables a heartbeat has a digest each; with more it has the one of all.
pub const STATE_TABLES_MAX: usize = 32;

/// So many divergences are kept in a partition: the first of them are what people need to see.
pub const DIVERGENCES_MAX: usize = 256;

/// The longest name of an engine, in bytes: its release, and what it runs on.
const ENGINE_BYTES_MAX: usize = 64;

/// What runs the merge functions of a region: the engine's release, and the architecture. Up to 64
/// printable ASCII characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineName(Arc<str>);

/// A text names no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an engine's name is 1 to {ENGINE_BYTES_MAX} printable ASCII characters")]
pub struct InvalidEngine;

impl EngineName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EngineName {
    type Err = InvalidEngine;

    fn from_str(text: &str) -> Result<Self, InvalidEngine> {
        let fits = (1..=ENGINE_BYTES_MAX).contains(&text.len());
        let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if fits && plain { Ok(Self(text.into())) } else { Err(InvalidEngine) }
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A digest of half a SHA-256: of what a conflict left, or of rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortDigest(pub [u8; 16]);

impl ShortDigest {
    /// Of a row, or of none.
    pub fn of_image(image: Option<&Image>) -> Self {
        let mut hash = Sha256::new();
        hash.update([u8::from(image.is_some())]);
        hash.update(image.map_or(&[][..], Image::as_bytes));
        Self(half(hash))
    }

    /// The lower half of a table's sum, which adds up as the whole does.
    pub fn of_rows(digest: &TableDigest) -> Self {
        let [a, b, ..] = digest.sum.map(u64::to_le_bytes);
        Self(std::array::from_fn(|i| if i < 8 { a[i] } else { b[i - 8] }))
    }
}

impl fmt::Display for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ShortDigest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        sixteen(text).map(Self)
    }
}

fn half(hash: Sha256) -> [u8; 16] {
    let bytes: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|i| bytes[i])
}

fn sixteen(text: &str) -> Result<[u8; 16], InvalidId> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| InvalidId::Digest(text.chars().take(80).collect()))?;
    Ok(bytes)
}

/// How a conflict ended in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What resolved it.
    pub stamp: Stamp,
    /// The row that it left.
    pub result: ShortDigest,
}

impl Outcome {
    /// None while the conflict waits, and once its images are not kept any more.
    pub fn of(record: &ConflictRecord) -> Option<Self> {
        let is_known = record.outcome.is_resolved() && record.has_images;
        let result = is_known.then(|| record.result())?;
        Some(Self { stamp: record.stamp, result: ShortDigest::of_image(result) })
    }
}

/// What the rows of a partition come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDigest {
    /// Of all tables.
    pub all: ShortDigest,
    /// Of each table that has rows, unless there are too many.
    pub tables: BTreeMap<TableName, ShortDigest>,
}

impl StateDigest {
    /// Of a partition's tables.
    pub(crate) fn of(tables: &BTreeMap<TableName, TableDigest>) -> Self {
        let mut all = TableDigest::default();
        tables.values().for_each(|digest| all.merge(digest));
        let named = tables.iter().filter(|_| tables.len() <= STATE_TABLES_MAX);
        let named = named.map(|(table, digest)| (table.clone(), ShortDigest::of_rows(digest)));
        Self { all: ShortDigest::of_rows(&all), tables: named.collect() }
    }

    /// The tables that differ, as far as both say.
    fn differing(&self, other: &Self) -> Vec<TableName> {
        if self.tables.is_empty() || other.tables.is_empty() {
            return self.tables.keys().chain(other.tables.keys()).cloned().collect();
        }
        let names = self.tables.keys().chain(other.tables.keys());
        let mut names: Vec<_> =
            names.filter(|table| self.tables.get(*table) != other.tables.get(*table)).collect();
        names.sort();
        names.dedup();
        names.into_iter().cloned().collect()
    }
}

/// What a heartbeat says for others to compare.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Evidence {
    /// What runs the region's merge functions.
    pub engine: Option<EngineName>,
    /// How conflicts ended that the region met since the heartbeat before.
    pub outcomes: BTreeMap<ConflictId, Outcome>,
    /// What the rows come to with exactly the changes that the heartbeat says are taken; none while
    /// some of them wait.
    pub state: Option<StateDigest>,
}

impl Evidence {
    /// Takes over what an earlier heartbeat said that was never produced.
    pub(crate) fn add_unsaid(&mut self, earlier: Self) {
        for (conflict, outcome) in earlier.outcomes {
            if self.outcomes.len() >= OUTCOMES_MAX {
                return;
            }
            self.outcomes.entry(conflict).or_insert(outcome);
        }
    }

    pub(crate) fn check(&self) -> Result<(), Malformed> {
        let tables = self.state.as_ref().map_or(0, |state| state.tables.len());
        if self.outcomes.len() > OUTCOMES_MAX {
            Err(Malformed::Evidence { what: "outcomes", max: OUTCOMES_MAX })
        } else if tables > STATE_TABLES_MAX {
            Err(Malformed::Evidence { what: "tables", max: STATE_TABLES_MAX })
        } else {
            Ok(())
        }
    }
}

/// A divergence's identity: the same however often it is found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DivergenceId(pub [u8; 16]);

impl fmt::Display for DivergenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DivergenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for DivergenceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        sixteen(text).map(Self)
    }
}

/// What two regions hold differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diverged {
    /// A conflict ended otherwise.
    Outcome {
        /// The conflict.
        conflict: ConflictId,
        /// Its row.
        row: RowKey,
    },
    /// The same changes, none of them waiting, come to other rows.
    State {
        /// The tables that differ; none where there are too many to say.
        tables: Vec<TableName>,
    },
    /// The author of a change held the same changes of the row, but another image.
    Before {
        /// The row.
        row: RowKey,
        /// The change.
        change: ChangeId,
    },
}

/// What one of the two regions has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DivergedSide {
    /// The region.
    pub region: RegionId,
    /// A digest of what it has.
    pub digest: ShortDigest,
    /// Of an outcome, what resolved the conflict.
    pub stamp: Option<Stamp>,
    /// What runs its merge functions, if it was heard to say so.
    pub engine: Option<EngineName>,
}

/// Two regions hold what cannot be both right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The partition.
    pub partition: u32,
    /// What they hold differently.
    pub what: Diverged,
    /// This region.
    pub here: DivergedSide,
    /// The other.
    pub there: DivergedSide,
    /// When it was found, in milliseconds since 1970 by this region's wall clock.
    pub found_at_ms: u64,
}

impl Divergence {
    /// The same for the same conflict, state or change and the same other region.
    pub fn id(&self) -> DivergenceId {
        let of = match &self.what {
            Diverged::Outcome { conflict, .. } => Known::Outcome(*conflict),
            Diverged::State { .. } => Known::State,
            Diverged::Before { row, change } => Known::Before(row, change),
        };
        of.id(self.partition, &self.there.region)
    }

    /// The conflict that it is about, if it is about one.
    pub fn conflict(&self) -> Option<ConflictId> {
        match &self.what {
            Diverged::Outcome { conflict, .. } => Some(*conflict),
            Diverged::State { .. } | Diverged::Before { .. } => None,
        }
    }

    /// The tables that it is about, as far as that is known.
    pub fn tables(&self) -> &[TableName] {
        match &self.what {
            Diverged::Outcome { row, .. } | Diverged::Before { row, .. } => {
                std::slice::from_ref(&row.table)
            }
            Diverged::State { tables } => tables,
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (here, there) = (&self.here, &self.there);
        match &self.what {
            Diverged::Outcome { conflict, row } => {
                write!(f, "conflict {conflict} of {row} ended otherwise: {here}, {there}")
            }
            Diverged::State { tables } => {
                let tables: Vec<_> = tables.iter().map(TableName::as_str).collect();
                let tables = if tables.is_empty() { "unknown".into() } else { tables.join(", ") };
                let partition = self.partition;
                write!(
                    f,
                    "the same changes of partition {partition} come to other rows (tables: "
                )?;
                write!(f, "{tables}): {here}, {there}")
            }
            Diverged::Before { row, change } => {
                write!(f, "change {change} of {row} was made to another row: {here}, {there}")
            }
        }
    }
}

impl fmt::Display for DivergedSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {}", self.region, self.digest)?;
        if let Some(stamp) = &self.stamp {
            write!(f, " by {stamp}")?;
        }
        match &self.engine {
            Some(engine) => write!(f, " on {engine}"),
            None => f.write_str(" on an engine that it did not name"),
        }
    }
}

/// What identifies a divergence beside the partition and the other region.
enum Known<'a> {
    Outcome(ConflictId),
    State,
    Before(&'a RowKey, &'a ChangeId),
}

impl Known<'_> {
    fn id(&self, partition: u32, with: &RegionId) -> DivergenceId {
        let mut hash = Sha256::new();
        let mut add = |text: &[u8]| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        add(with.as_str().as_bytes());
        add(&partition.to_be_bytes());
        match self {
            Self::Outcome(conflict) => add(&conflict.0),
            Self::State => add(b"state"),
            Self::Before(row, change) => {
                add(row.table.as_str().as_bytes());
                add(row.pk.as_str().as_bytes());
                add(&change.hlc.bits().to_be_bytes());
            }
        }
        DivergenceId(half(hash))
    }
}

/// A change of the divergences that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DivergenceWrite {
    /// It was found.
    Found(Divergence),
    /// It is no more: the regions agree again, or somebody has seen to it.
    Over(Divergence),
}
