//! A recorded conflict once more, by a function that may be another.

use super::{Ancestor, ConflictOutcome, ConflictRecord};
use crate::{HostFault, MergeFunctions, MergeInput, MergeSide, Stamp};

/// What came of a recorded conflict that was replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// How it would have ended.
    Outcome(ConflictOutcome),
    /// An ancestor is needed that was not recorded.
    AncestorUnknown,
    /// Its images are not kept any more.
    NoImages,
}

impl ConflictRecord {
    /// Folds the recorded heads by `stamp`, as a row that has them would: pairwise, oldest
    /// first, each with its recorded ancestor; one guest fault, and the outcome is the newest head.
    ///
    /// Ancestors that were folded themselves stay as they were recorded, so of conflicts that build
    /// on each other each is judged by itself. `needs_ancestor` is what the function's manifest
    /// says.
    ///
    /// # Errors
    ///
    /// The host's: they say nothing about the function.
    pub fn replay(
        &self,
        stamp: Stamp,
        needs_ancestor: bool,
        functions: &dyn MergeFunctions,
    ) -> Result<Replayed, HostFault> {
        if !self.has_images {
            return Ok(Replayed::NoImages);
        }
        let version = match stamp {
            Stamp::Function(version) => version,
            Stamp::Lww => {
                let newest = self.sides.last().and_then(|side| side.image.clone());
                return Ok(Replayed::Outcome(ConflictOutcome::Merged(newest)));
            }
        };
        let Some((oldest, newer)) = self.sides.split_first() else {
            return Ok(Replayed::Outcome(ConflictOutcome::Merged(None)));
        };
        let mut image = oldest.image.clone();
        let mut before = oldest;
        for side in newer {
            if needs_ancestor && side.ancestor == Ancestor::Unknown {
                return Ok(Replayed::AncestorUnknown);
            }
            let input = MergeInput {
                row: &self.row,
                ancestor: side.ancestor.image(),
                older: MergeSide::of_older(&before.change, before.operation, image.as_ref()),
                newer: MergeSide::of(&side.change, side.operation, side.image.as_ref()),
            };
            match functions.merge(&version, &input)? {
                Ok(merged) => image = merged,
                Err(fault) => return Ok(Replayed::Outcome(ConflictOutcome::of_fault(&fault))),
            }
            before = side;
        }
        Ok(Replayed::Outcome(ConflictOutcome::Merged(image)))
    }

    /// True if an outcome leaves the row as the recorded one did. Why a function did not answer is
    /// no difference where the row is the same.
    pub fn leaves_the_same(&self, outcome: &ConflictOutcome) -> bool {
        self.result_of(outcome) == self.result()
    }
}
