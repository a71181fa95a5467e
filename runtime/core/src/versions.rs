//! Versions that are not to be rolled out any more, or not to be kept.
//!
//! Folded from control records in (HLC, region) order, as rollouts are, and so the same in every
//! region. A rollout that is created behind the record that retires or deletes its version is
//! aborted by that, whoever knew of what.
//!
//! **Deletion.** To delete is a wish that stands until every region has carried it out:
//!
//! 1. `Delete` says so. No rollout that is created behind it goes on.
//! 2. Each region says `Released` once it knows all that was said before (so that it will never
//!    stamp the version again), stamps no table with it, and each of its changes that it did stamp
//!    with it is applied in every region: [`crate::ControlPartition::due_versions`].
//! 3. When all counted regions have, nothing with the stamp is under way any more. A region drops
//!    the component when no history and nothing that waits in its own store has the stamp either:
//!    [`crate::ControlPartition::droppable`].
//! 4. `Upload`, said before the component is sent again, ends the deletion, and what was retired.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::planted::{self, Bug};
use crate::{ChangeId, FunctionVersion, ROLLOUT_HISTORY_MAX, RegionId, RolloutText, VersionUse};

/// What a region says of a version, apart from its rollouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionRecord {
    /// No new rollout is to bring it.
    Retire {
        /// The version.
        version: FunctionVersion,
        /// Who asked for it.
        actor: RolloutText,
        /// Why.
        why: RolloutText,
    },
    /// It is retired no longer.
    Reinstate {
        /// The version.
        version: FunctionVersion,
        /// Who asked for it.
        actor: RolloutText,
        /// Why.
        why: RolloutText,
    },
    /// It is not to be kept.
    Delete {
        /// The version.
        version: FunctionVersion,
        /// Who asked for it.
        actor: RolloutText,
        /// Why.
        why: RolloutText,
    },
    /// It is uploaded again. Its component follows.
    Upload {
        /// The version.
        version: FunctionVersion,
        /// Who asked for it.
        actor: RolloutText,
    },
    /// The region stamps nothing with it, now and later, and all that it did stamp with it is
    /// applied everywhere.
    Released {
        /// The version.
        version: FunctionVersion,
        /// The deletion that this answers.
        deletion: ChangeId,
    },
}

/// Why no rollout brings a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// It is retired.
    Retired,
    /// It is deleted, or will be.
    Deleted,
}

/// What happened to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the API")]
pub enum VersionEvent {
    Retired,
    Reinstated,
    Deleted,
    Uploaded,
}

/// A line of a version's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionHistory {
    /// The record: when, and in which region.
    pub id: ChangeId,
    /// Who; may be empty.
    pub actor: RolloutText,
    /// What.
    pub what: VersionEvent,
    /// Why; may be empty.
    pub why: RolloutText,
}

/// A version, as its records have it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VersionView {
    /// No new rollout is to bring it, since this record.
    pub retired: Option<ChangeId>,
    /// It is not to be kept, since this record.
    pub deletion: Option<ChangeId>,
    /// The regions that have released it since then.
    pub released: BTreeSet<RegionId>,
    /// What happened to it, oldest first; the last lines.
    pub history: Vec<VersionHistory>,
}

/// What can be asked for a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionAsk {
    /// That no new rollout brings it.
    Retire,
    /// The contrary.
    Reinstate,
    /// That it is not kept.
    Delete,
}

/// Why it is not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VersionRefused {
    /// A table has it, or is about to get it.
    #[error("the version is in use")]
    InUse {
        /// Where.
        uses: Vec<VersionUse>,
    },
    /// Only an upload brings it back.
    #[error("the version is deleted; to have it again, upload it")]
    Deleted,
}

/// All that was said of versions.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    records: BTreeMap<FunctionVersion, BTreeMap<ChangeId, VersionRecord>>,
    views: BTreeMap<FunctionVersion, VersionView>,
}

impl Barred {
    /// As a reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retired => "the version was retired before",
            Self::Deleted => "the version was deleted before",
        }
    }
}

impl VersionEvent {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::Reinstated => "reinstated",
            Self::Deleted => "deleted",
            Self::Uploaded => "uploaded",
        }
    }
}

impl VersionRecord {
    /// The version that it is about.
    pub fn version(&self) -> FunctionVersion {
        match self {
            Self::Retire { version, .. }
            | Self::Reinstate { version, .. }
            | Self::Delete { version, .. }
            | Self::Upload { version, .. }
            | Self::Released { version, .. } => *version,
        }
    }
}

impl VersionView {
    fn barred(&self) -> Option<Barred> {
        match (&self.deletion, &self.retired) {
            (Some(_), _) => Some(Barred::Deleted),
            (None, Some(_)) => Some(Barred::Retired),
            (None, None) => None,
        }
    }

    fn take(&mut self, id: &ChangeId, record: &VersionRecord) {
        let none = RolloutText::default();
        let (actor, what, why) = match record {
            VersionRecord::Retire { actor, why, .. } => {
                self.retired.get_or_insert_with(|| id.clone());
                (actor, VersionEvent::Retired, why)
            }
            VersionRecord::Reinstate { actor, why, .. } => {
                self.retired = None;
                (actor, VersionEvent::Reinstated, why)
            }
            VersionRecord::Delete { actor, why, .. } => {
                // Of two that were made apart the first is what the regions release.
                if self.deletion.is_none() {
                    self.deletion = Some(id.clone());
                    self.released.clear();
                }
                (actor, VersionEvent::Deleted, why)
            }
            VersionRecord::Upload { actor, .. } => {
                (self.retired, self.deletion) = (None, None);
                (actor, VersionEvent::Uploaded, &none)
            }
            VersionRecord::Released { deletion, .. } => {
                if self.deletion.as_ref() == Some(deletion) {
                    self.released.insert(id.region.clone());
                }
                return;
            }
        };
        let (id, actor, why) = (id.clone(), actor.clone(), why.clone());
        self.history.push(VersionHistory { id, actor, what, why });
        if self.history.len() > ROLLOUT_HISTORY_MAX {
            self.history.remove(0);
        }
    }
}

impl Versions {
    /// Takes in a record, of any region, in any order.
    pub(crate) fn insert(&mut self, id: ChangeId, record: VersionRecord) {
        let version = record.version();
        let records = self.records.entry(version).or_default();
        records.insert(id, record);
        let mut view = VersionView::default();
        for (id, record) in &*records {
            view.take(id, record);
        }
        self.views.insert(version, view);
    }

    /// What is known of a version; none where nothing was said of it.
    pub fn get(&self, version: &FunctionVersion) -> Option<&VersionView> {
        self.views.get(version)
    }

    /// All of which something was said.
    pub fn iter(&self) -> impl Iterator<Item = (&FunctionVersion, &VersionView)> {
        self.views.iter()
    }

    /// Why no rollout brings the version, as of now.
    pub fn barred(&self, version: &FunctionVersion) -> Option<Barred> {
        self.get(version).and_then(VersionView::barred)
    }

    /// Why a rollout that is created with this record goes on nowhere.
    pub(crate) fn barred_at(&self, version: &FunctionVersion, at: &ChangeId) -> Option<Barred> {
        if planted::is(Bug::BarredGoesOn) {
            return None;
        }
        let mut view = VersionView::default();
        for (id, record) in self.records.get(version)?.range(..at) {
            view.take(id, record);
        }
        view.barred()
    }

    /// The versions that are to be deleted, each since which record.
    pub(crate) fn deletions(&self) -> impl Iterator<Item = (&FunctionVersion, &ChangeId)> {
        self.iter().filter_map(|(version, view)| Some((version, view.deletion.as_ref()?)))
    }

    /// The record that does what is asked; none if it is so already. `uses` are what
    /// [`crate::Rollouts::uses`] finds.
    pub fn ask(
        &self,
        version: FunctionVersion,
        ask: VersionAsk,
        uses: Vec<VersionUse>,
        (actor, why): (RolloutText, RolloutText),
    ) -> Result<Option<VersionRecord>, VersionRefused> {
        let holds =
            |used: &VersionUse| matches!(used, VersionUse::Open(_) | VersionUse::InForce(_));
        let in_use = || match uses.iter().any(holds) {
            true => Err(VersionRefused::InUse { uses: uses.clone() }),
            false => Ok(()),
        };
        match (ask, self.barred(&version)) {
            (VersionAsk::Delete, Some(Barred::Deleted))
            | (VersionAsk::Retire, Some(Barred::Retired))
            | (VersionAsk::Reinstate, None) => Ok(None),
            (VersionAsk::Retire | VersionAsk::Reinstate, Some(Barred::Deleted)) => {
                Err(VersionRefused::Deleted)
            }
            (VersionAsk::Reinstate, Some(Barred::Retired)) => {
                Ok(Some(VersionRecord::Reinstate { version, actor, why }))
            }
            (VersionAsk::Retire, None) => {
                in_use()?;
                Ok(Some(VersionRecord::Retire { version, actor, why }))
            }
            (VersionAsk::Delete, _) => {
                in_use()?;
                Ok(Some(VersionRecord::Delete { version, actor, why }))
            }
        }
    }
}
