//! A rollout as it is shown.

use std::collections::BTreeMap;
use std::fmt;

use super::{RolloutEnd, RolloutId, RolloutPlace, RolloutPlan, RolloutText, SelfTest};
use crate::planted::{self, Bug};
use crate::{ChangeId, RegionId, Stamp, TableName};

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Not every region has the component, or nobody has said yet to go on.
    Distributing,
    /// The version runs beside the active one.
    Shadow,
    /// The regions of some stages stamp it, or are about to.
    Stage,
    /// Nothing goes on until someone resumes it.
    Paused,
    /// Every region stamps it, or is about to.
    Complete,
    /// No region stamps it, or will any more.
    Aborted,
    /// Another rollout of the table came first. It was active nowhere and never will be.
    Superseded,
}

impl RolloutState {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Distributing => "distributing",
            Self::Shadow => "shadow",
            Self::Stage => "stage",
            Self::Paused => "paused",
            Self::Complete => "complete",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }

    /// True while something can still happen to it.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Complete | Self::Aborted | Self::Superseded)
    }
}

/// How far one region is with a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RegionProgress {
    /// It has the component, compiled, with what the self-test came to.
    pub self_test: Option<SelfTest>,
    /// It has the component and cannot use it: why.
    pub unready: Option<RolloutText>,
    /// It stamps its changes with it, since this record.
    pub active: Option<ChangeId>,
}

impl RegionProgress {
    /// True if it has the component, and the component passed.
    pub fn is_ready(&self) -> bool {
        self.self_test.is_some()
    }

    /// True while it stamps its changes with the version.
    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }
}

/// What happened to a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is shown as what it says")]
pub enum RolloutEvent {
    Created,
    Superseded,
    Moved {
        from: RolloutPlace,
        to: RolloutPlace,
    },
    Paused,
    Resumed,
    Aborted,
    Claimed,
    /// The next rollout was created by a region that knew how this one ended.
    Ended(RolloutEnd),
    Active,
    Inactive,
}

impl fmt::Display for RolloutEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created"),
            Self::Superseded => f.write_str("superseded"),
            Self::Moved { from, to } => write!(f, "{from} -> {to}"),
            Self::Paused => f.write_str("paused"),
            Self::Resumed => f.write_str("resumed"),
            Self::Aborted | Self::Ended(RolloutEnd::Aborted) => f.write_str("aborted"),
            Self::Claimed => f.write_str("claimed"),
            Self::Ended(RolloutEnd::Complete) => f.write_str("complete"),
            Self::Active => f.write_str("active"),
            Self::Inactive => f.write_str("inactive"),
        }
    }
}

/// A line of a rollout's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutHistory {
    /// The record: when, and in which region.
    pub id: ChangeId,
    /// Who; empty where the region did it of its own accord.
    pub actor: RolloutText,
    /// What.
    pub what: RolloutEvent,
    /// Why.
    pub why: RolloutText,
}

/// A rollout, as far as this region knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Its identity; also says where it was created, and when.
    pub id: RolloutId,
    /// The table.
    pub table: TableName,
    /// What it brings.
    pub version: Stamp,
    /// What the table had before, that an abort goes back to.
    pub previous_version: Stamp,
    /// How it is to go.
    pub plan: RolloutPlan,
    /// How far it is.
    pub state: RolloutState,
    /// Where it is, also while it is paused, or where it was when it was aborted.
    pub place: RolloutPlace,
    /// The pause that is to be named when it is resumed.
    pub paused: Option<ChangeId>,
    /// Who decides.
    pub owner: RegionId,
    /// How far each counted region is.
    pub regions: BTreeMap<RegionId, RegionProgress>,
    /// Why it is paused, or was aborted.
    pub reason: Option<RolloutText>,
    /// What happened to it, oldest first.
    pub history: Vec<RolloutHistory>,
}

impl Rollout {
    /// True if the region is in a stage that has begun.
    pub fn is_entered_by(&self, region: &RegionId) -> bool {
        match self.place {
            RolloutPlace::Distributing | RolloutPlace::Shadow => false,
            RolloutPlace::Stage(_) if planted::is(Bug::StagesIgnored) => true,
            RolloutPlace::Stage(number) => self.plan.stage_of(region) <= number,
            RolloutPlace::Complete => true,
        }
    }

    /// The counted regions that do not have the version yet, or cannot use it.
    pub fn not_ready(&self) -> Vec<RegionId> {
        let not_ready = self.regions.iter().filter(|(_, progress)| !progress.is_ready());
        not_ready.map(|(region, _)| region.clone()).collect()
    }

    /// Two counted regions whose self-tests came to different ends.
    pub fn differ(&self) -> Option<[(RegionId, SelfTest); 2]> {
        if planted::is(Bug::SelfTestsNotCompared) {
            return None;
        }
        let tests = self.regions.iter().filter_map(|(r, at)| Some((r.clone(), at.self_test?)));
        let mut tests = tests.collect::<Vec<_>>().into_iter();
        let first = tests.next()?;
        let other = tests.find(|(_, test)| *test != first.1)?;
        Some([first, other])
    }

    /// True if every counted region has it, and all self-tests came to the same.
    pub fn is_everywhere(&self) -> bool {
        self.regions.values().all(RegionProgress::is_ready) && self.differ().is_none()
    }

    /// The regions in stages that have begun that do not stamp it yet.
    pub fn not_active(&self) -> Vec<RegionId> {
        let late = |(region, progress): &(&RegionId, &RegionProgress)| {
            self.is_entered_by(region) && !progress.is_active()
        };
        self.regions.iter().filter(late).map(|(region, _)| region.clone()).collect()
    }
}
