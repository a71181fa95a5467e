//! How a rollout is to go.

use std::collections::BTreeSet;

use thiserror::Error;

use super::RolloutPlace;
use crate::{Malformed, REGIONS_MAX, RegionId};

/// So many stages at most: one for each region that there can be.
pub const STAGES_MAX: usize = REGIONS_MAX;

/// The longest bake or shadow time: 30 days. Longer than that a rollout is not watched but
/// forgotten, while it keeps every other one of its table waiting.
pub const ROLLOUT_WAIT_MS_MAX: u64 = 30 * 24 * 3_600_000;

/// The regions of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RolloutStage {
    /// Those that it names, in whatever incarnation.
    pub regions: BTreeSet<RegionId>,
    /// And those that no stage names: `*`.
    pub rest: bool,
}

/// A number that must not be passed, and from how many conflicts on it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The highest share that passes, in parts per million.
    pub limit_ppm: u32,
    /// With fewer conflicts than this the gate neither fails nor passes: it waits.
    pub min_conflicts: u64,
}

/// What must hold for a rollout to go on by itself. Where it does not hold, the rollout is aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RolloutGates {
    /// How many of the conflicts that the version was called for ended in a fault.
    pub fault_rate: Option<Gate>,
    /// For how many of the conflicts that it ran beside the active version it gave another outcome.
    pub shadow_difference_rate: Option<Gate>,
    /// What 99 % of its calls keep to, as a share of the limit on fuel.
    pub fuel_p99: Option<Gate>,
}

/// How a rollout is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutPlan {
    /// Which regions stamp the version, stage after stage.
    pub stages: Vec<RolloutStage>,
    /// For so long, in milliseconds, all regions of a stage stamp it before the next stage begins.
    pub bake_ms: u64,
    /// For so long, in milliseconds, it runs beside the active version first. 0: not at all.
    pub shadow_ms: u64,
    /// Stages begin only when someone says so.
    pub manual: bool,
    /// What must hold.
    pub gates: RolloutGates,
}

impl Default for RolloutPlan {
    /// One stage with all regions, at once.
    fn default() -> Self {
        Self {
            stages: vec![RolloutStage { regions: BTreeSet::new(), rest: true }],
            bake_ms: 0,
            shadow_ms: 0,
            manual: false,
            gates: RolloutGates::default(),
        }
    }
}

/// Why a plan does not fit the regions that there are.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanRefused {
    /// It names a region that there is not.
    #[error("there is no region {0}")]
    UnknownRegion(RegionId),
    /// It leaves a region out.
    #[error("no stage names region {0}, and none has the rest (*)")]
    LeftOut(RegionId),
    /// It is none.
    #[error("{0}")]
    Malformed(Malformed),
}

impl RolloutPlan {
    /// Its last stage.
    pub fn last_stage(&self) -> u8 {
        // A plan that was checked has 1 to 64.
        u8::try_from(self.stages.len()).unwrap_or(u8::MAX)
    }

    /// The stage of a region: the first that names it; else the first with the rest, or the last.
    pub fn stage_of(&self, region: &RegionId) -> u8 {
        let names = |stage: &RolloutStage| stage.regions.iter().any(|r| r.name() == region.name());
        let named = self.stages.iter().position(names);
        let place = named.or_else(|| self.stages.iter().position(|stage| stage.rest));
        place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(self.last_stage())
    }

    /// What comes after a place; at the end the end.
    pub fn next(&self, place: RolloutPlace) -> RolloutPlace {
        match place {
            RolloutPlace::Distributing if self.shadow_ms > 0 => RolloutPlace::Shadow,
            RolloutPlace::Distributing | RolloutPlace::Shadow => RolloutPlace::Stage(1),
            RolloutPlace::Stage(number) if number < self.last_stage() => {
                RolloutPlace::Stage(number + 1)
            }
            RolloutPlace::Stage(_) | RolloutPlace::Complete => RolloutPlace::Complete,
        }
    }

    /// True if there is such a place.
    pub(super) fn has(&self, place: RolloutPlace) -> bool {
        match place {
            RolloutPlace::Distributing | RolloutPlace::Complete => true,
            RolloutPlace::Shadow => self.shadow_ms > 0,
            RolloutPlace::Stage(number) => (1..=self.last_stage()).contains(&number),
        }
    }

    /// Checks what can be checked without knowing the regions.
    pub fn check(&self) -> Result<(), Malformed> {
        if self.stages.is_empty() || self.stages.len() > STAGES_MAX {
            return Err(Malformed::Rollout("no stage, or more than there can be"));
        }
        let mut named = BTreeSet::new();
        for stage in &self.stages {
            if stage.regions.is_empty() && !stage.rest {
                return Err(Malformed::Rollout("a stage without a region"));
            }
            if !stage.regions.iter().all(|region| named.insert(region.name())) {
                return Err(Malformed::Rollout("a region that stands in two places"));
            }
        }
        if named.len() > REGIONS_MAX {
            return Err(Malformed::Rollout("more regions than there can be"));
        }
        if self.stages.iter().filter(|stage| stage.rest).count() > 1 {
            return Err(Malformed::Rollout("the rest (*) in two stages"));
        }
        if self.bake_ms.max(self.shadow_ms) > ROLLOUT_WAIT_MS_MAX {
            return Err(Malformed::Rollout("a bake or shadow time of more than 30 days"));
        }
        let RolloutGates { fault_rate, shadow_difference_rate, fuel_p99 } = self.gates;
        let gates = [fault_rate, shadow_difference_rate, fuel_p99];
        if gates.into_iter().flatten().any(|gate| gate.limit_ppm > 1_000_000) {
            return Err(Malformed::Rollout("a gate at more than everything"));
        }
        Ok(())
    }

    /// Checks it against the regions that there are.
    pub fn check_for(&self, regions: &BTreeSet<RegionId>) -> Result<(), PlanRefused> {
        self.check().map_err(PlanRefused::Malformed)?;
        let named = || self.stages.iter().flat_map(|stage| &stage.regions);
        let is = |a: &RegionId, b: &RegionId| a.name() == b.name();
        if let Some(unknown) = named().find(|named| !regions.iter().any(|r| is(r, named))) {
            return Err(PlanRefused::UnknownRegion(unknown.clone()));
        }
        let has_rest = self.stages.iter().any(|stage| stage.rest);
        match regions.iter().find(|region| !has_rest && !named().any(|named| is(named, region))) {
            Some(left_out) => Err(PlanRefused::LeftOut(left_out.clone())),
            None => Ok(()),
        }
    }
}
