//! What people ask for, made into records, or refused.

use thiserror::Error;

use super::plan::{PlanRefused, RolloutPlan};
use super::record::{CreateRollout, PreviousRollout, RolloutCommand, RolloutEnd};
use super::view::{Rollout, RolloutState};
use super::{RolloutId, RolloutPlace, RolloutRecord, RolloutText, Rollouts};
use crate::{Barred, FunctionVersion, RegionId, Stamp, TableName};

/// A rollout, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRollout {
    /// The table.
    pub table: TableName,
    /// What the table is to get: a version of a function, or plain last-writer-wins.
    pub version: Stamp,
    /// How it is to go.
    pub plan: RolloutPlan,
    /// Who asks.
    pub actor: RolloutText,
    /// Why.
    pub why: RolloutText,
}

/// Why a rollout cannot be created here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CreateRefused {
    /// One rollout a table at a time.
    #[error("rollout {id} of this table to {version} is under way")]
    Open {
        /// The other rollout.
        id: RolloutId,
        /// What it brings.
        version: Stamp,
    },
    /// The plan does not fit.
    #[error(transparent)]
    Plan(#[from] PlanRefused),
    /// It is not to be rolled out any more.
    #[error("version {version} is retired; take that back first, or roll out another one")]
    Retired {
        /// The version.
        version: FunctionVersion,
    },
    /// It is not to be kept.
    #[error("version {version} is deleted; to have it again, upload it")]
    Deleted {
        /// The version.
        version: FunctionVersion,
    },
}

/// What can be asked of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutAsk {
    /// To go on: to this stage, or to what comes after where it is.
    Promote {
        /// The stage.
        to_stage: Option<u8>,
    },
    /// To stand still.
    Pause,
    /// To go on after a pause.
    Resume,
    /// To go back.
    Abort,
    /// That this region decides from here on.
    Claim {
        /// The owner was not heard for a while.
        owner_is_silent: bool,
    },
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AskRefused {
    /// There is no such rollout.
    #[error("this region knows of no such rollout")]
    Unknown,
    /// It has ended.
    #[error("the rollout has ended: it is {}", state.as_str())]
    Ended {
        /// How.
        state: RolloutState,
    },
    /// It stands still.
    #[error("the rollout is paused; resume it first")]
    Paused,
    /// It does not stand still.
    #[error("the rollout is not paused")]
    NotPaused,
    /// The plan has no such stage.
    #[error("the rollout has {stages} stages, and no stage {stage}")]
    NoStage {
        /// The stage asked for.
        stage: u8,
        /// How many there are.
        stages: u8,
    },
    /// Not every region has the version.
    #[error("not every region has the version yet: {}", names(regions))]
    NotReady {
        /// Those that have it not.
        regions: Vec<RegionId>,
    },
    /// Regions would resolve one conflict to different rows.
    #[error("the self-test came to different ends in {} and {}", regions[0], regions[1])]
    Differ {
        /// Two of them.
        regions: [RegionId; 2],
    },
    /// Not every region of the last stage stamps the version.
    #[error("not every region stamps the version yet: {}", names(regions))]
    NotActive {
        /// Those that do not.
        regions: Vec<RegionId>,
    },
    /// Its owner was heard lately.
    #[error("region {owner} decides, and was heard lately")]
    OwnerSpeaks {
        /// The owner.
        owner: RegionId,
    },
}

fn names(regions: &[RegionId]) -> String {
    regions.iter().map(RegionId::as_str).collect::<Vec<_>>().join(", ")
}

impl Rollouts {
    /// The record that would create a rollout.
    pub fn create(&self, new: NewRollout) -> Result<RolloutRecord, CreateRefused> {
        if let Stamp::Function(version) = new.version {
            match self.versions.barred(&version) {
                Some(Barred::Retired) => return Err(CreateRefused::Retired { version }),
                Some(Barred::Deleted) => return Err(CreateRefused::Deleted { version }),
                None => {}
            }
        }
        self.create_uploaded(new)
    }

    /// The same behind a record that says that the version is uploaded again.
    pub fn create_uploaded(&self, new: NewRollout) -> Result<RolloutRecord, CreateRefused> {
        let NewRollout { table, version, plan, actor, why } = new;
        plan.check_for(&self.regions)?;
        let current = self.current(&table);
        let previous = current.map(|last| match last.state {
            RolloutState::Complete => Ok((last.id.clone(), RolloutEnd::Complete)),
            RolloutState::Aborted => Ok((last.id.clone(), RolloutEnd::Aborted)),
            _ => Err(CreateRefused::Open { id: last.id.clone(), version: last.version }),
        });
        let previous =
            previous.transpose()?.map(|(rollout, ended)| PreviousRollout { rollout, ended });
        let create = CreateRollout { table, version, previous, plan, actor, why };
        Ok(RolloutRecord::Create(Box::new(create)))
    }

    /// The record that does what is asked; none if it is so already.
    pub fn ask(
        &self,
        id: &RolloutId,
        ask: RolloutAsk,
        actor: RolloutText,
        why: RolloutText,
    ) -> Result<Option<RolloutRecord>, AskRefused> {
        let rollout = self.get(id).ok_or(AskRefused::Unknown)?;
        if !rollout.state.is_open() {
            let is_so = match ask {
                RolloutAsk::Abort => rollout.state == RolloutState::Aborted,
                RolloutAsk::Promote { .. } => rollout.state == RolloutState::Complete,
                _ => false,
            };
            let state = rollout.state;
            return if is_so { Ok(None) } else { Err(AskRefused::Ended { state }) };
        }
        let command = match ask {
            RolloutAsk::Promote { to_stage } => promotion(rollout, to_stage)?,
            RolloutAsk::Pause => rollout.paused.is_none().then_some(RolloutCommand::Pause),
            RolloutAsk::Resume => {
                let pause = rollout.paused.clone().ok_or(AskRefused::NotPaused)?;
                Some(RolloutCommand::Resume { pause })
            }
            RolloutAsk::Abort => Some(RolloutCommand::Abort),
            RolloutAsk::Claim { .. } if rollout.owner == self.me => None,
            // Who is not counted does not come back.
            RolloutAsk::Claim { owner_is_silent: false }
                if self.regions.contains(&rollout.owner) =>
            {
                return Err(AskRefused::OwnerSpeaks { owner: rollout.owner.clone() });
            }
            RolloutAsk::Claim { .. } => Some(RolloutCommand::Claim { from: rollout.owner.clone() }),
        };
        let record = |command| RolloutRecord::Command { rollout: id.clone(), command, actor, why };
        Ok(command.map(record))
    }
}

fn promotion(
    rollout: &Rollout,
    to_stage: Option<u8>,
) -> Result<Option<RolloutCommand>, AskRefused> {
    let (from, stages) = (rollout.place, rollout.plan.last_stage());
    let to = match (to_stage, from) {
        (Some(stage), _) if stage == 0 || stage > stages => {
            return Err(AskRefused::NoStage { stage, stages });
        }
        (Some(stage), _) => RolloutPlace::Stage(stage),
        (None, RolloutPlace::Distributing) => RolloutPlace::Stage(1),
        (None, from) => rollout.plan.next(from),
    };
    if to <= from {
        return Ok(None);
    }
    if rollout.paused.is_some() {
        return Err(AskRefused::Paused);
    }
    let regions = rollout.not_ready();
    if !regions.is_empty() {
        return Err(AskRefused::NotReady { regions });
    }
    if let Some([(a, _), (b, _)]) = rollout.differ() {
        return Err(AskRefused::Differ { regions: [a, b] });
    }
    let regions = rollout.not_active();
    if to == RolloutPlace::Complete && !regions.is_empty() {
        return Err(AskRefused::NotActive { regions });
    }
    Ok(Some(RolloutCommand::Promote { from, to }))
}
