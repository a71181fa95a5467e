//! What a region notes of each conflict it met.

mod replay;

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

pub use replay::Replayed;

use crate::id::InvalidId;
use crate::{ChangeId, GuestFault, Image, Operation, RowKey, Stamp};

/// A conflict's id: a hash of its table, its key and the (region, HLC) of its heads in order, so the
/// same conflict has the same id in every region. Never of contexts, which a region that has
/// dropped history holds in other terms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictId(pub [u8; 16]);

impl ConflictId {
    /// Of the conflict between `heads`, in the order of heads.
    pub fn of(row: &RowKey, heads: &[ChangeId]) -> Self {
        let mut hash = Sha256::new();
        add(&mut hash, row.table.as_str());
        add(&mut hash, row.pk.as_str());
        add_heads(&mut hash, heads);
        Self(first_half(hash))
    }
}

/// A tag of a row's heads: equal in every region that holds the same changes of the row.
pub(crate) fn heads_tag(heads: &[ChangeId]) -> [u8; 16] {
    let mut hash = Sha256::new();
    add_heads(&mut hash, heads);
    first_half(hash)
}

fn add_heads(hash: &mut Sha256, heads: &[ChangeId]) {
    for head in heads {
        add(hash, head.region.as_str());
        hash.update(head.hlc.bits().to_be_bytes());
    }
}

fn add(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

fn first_half(hash: Sha256) -> [u8; 16] {
    let bytes: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|i| bytes[i])
}

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ConflictId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| InvalidId::Conflict(text.chars().take(80).collect()))?;
        Ok(Self(bytes))
    }
}

/// One head of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictSide {
    /// The head.
    pub change: ChangeId,
    /// What it did.
    pub operation: Operation,
    /// The row as it left it.
    pub image: Option<Image>,
    /// The common ancestor that this head was merged with, or would have been.
    pub ancestor: Ancestor,
}

/// The row with the changes that both a head and the older ones have seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ancestor {
    /// Nobody looked it up: it is the oldest head's, or no function was asked and it was not at
    /// hand.
    Unknown,
    /// This, or none where there was no row.
    Known(Option<Image>),
}

impl Ancestor {
    /// The row, if it is known and there was one.
    pub fn image(&self) -> Option<&Image> {
        match self {
            Self::Unknown => None,
            Self::Known(image) => image.as_ref(),
        }
    }
}

/// How a conflict ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConflictOutcome {
    /// The fold's answer.
    Merged(Option<Image>),
    /// The function did not answer, and would not anywhere: the row is its newest head.
    Fallback {
        /// The fault's stable word.
        code: String,
        /// What happened, for people.
        text: String,
    },
    /// The function could not be asked here yet; the newest changes of the row wait.
    Waiting {
        /// Why.
        reason: String,
    },
}

/// A conflict that this region met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictRecord {
    /// The same in every region.
    pub id: ConflictId,
    /// The row.
    pub row: RowKey,
    /// The heads, oldest first; at least two.
    pub sides: Vec<ConflictSide>,
    /// The stamp of the newest head, by which the conflict is resolved.
    pub stamp: Stamp,
    /// How it ended.
    pub outcome: ConflictOutcome,
    /// Milliseconds since 1970 by this region's wall clock.
    pub resolved_at_ms: u64,
    /// False once the images of its sides, of ancestors and of the result are kept no more: what is
    /// left says who met, and how it ended.
    pub has_images: bool,
}

impl ConflictOutcome {
    /// True if it is how the conflict ended, and not that it waits.
    pub fn is_resolved(&self) -> bool {
        !matches!(self, Self::Waiting { .. })
    }

    pub(crate) fn of_fault(fault: &GuestFault) -> Self {
        Self::Fallback { code: fault.code().into(), text: fault.to_string() }
    }
}

impl ConflictRecord {
    /// Keeps no images any more.
    pub fn drop_images(&mut self) {
        self.has_images = false;
        for side in &mut self.sides {
            (side.image, side.ancestor) = (None, Ancestor::Unknown);
        }
        if let ConflictOutcome::Merged(image) = &mut self.outcome {
            *image = None;
        }
    }

    /// The row that the conflict left; none also while it waits.
    pub fn result(&self) -> Option<&Image> {
        self.result_of(&self.outcome)
    }

    /// The row that the conflict would have left with this outcome.
    pub fn result_of<'a>(&'a self, outcome: &'a ConflictOutcome) -> Option<&'a Image> {
        match outcome {
            ConflictOutcome::Merged(image) => image.as_ref(),
            ConflictOutcome::Fallback { .. } => self.sides.last().and_then(|s| s.image.as_ref()),
            ConflictOutcome::Waiting { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hlc;

    fn id(region: &str, hlc: u64) -> ChangeId {
        ChangeId { hlc: Hlc::from_bits(hlc).unwrap(), region: region.parse().unwrap() }
    }

    #[test]
    fn an_id_depends_on_the_row_and_the_heads_alone() {
        let row = |table: &str, pk: &str| RowKey {
            table: table.parse().unwrap(),
            pk: pk.parse().unwrap(),
        };
        let heads = [id("a", 1), id("b", 2)];
        let conflict = ConflictId::of(&row("t", "k"), &heads);
        assert_eq!(conflict, ConflictId::of(&row("t", "k"), &heads));
        assert_eq!(conflict.to_string().parse(), Ok(conflict));
        assert_ne!(conflict, ConflictId::of(&row("tk", "k"), &heads));
        assert_ne!(conflict, ConflictId::of(&row("t", "k"), &[id("a", 1), id("b", 3)]));
        assert_ne!(conflict, ConflictId::of(&row("t", "k"), &[id("a", 1), id("c", 2)]));
        assert!("xyz".parse::<ConflictId>().is_err());
    }
}
