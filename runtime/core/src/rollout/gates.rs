//! What gates show.

use super::plan::{Gate, RolloutGates};
use super::report::RolloutCounters;
use super::{Rollout, RolloutPlace};

/// Which gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GateKind {
    /// [`RolloutGates::fault_rate`].
    FaultRate,
    /// [`RolloutGates::shadow_difference_rate`].
    ShadowDifferenceRate,
    /// [`RolloutGates::fuel_p99`].
    FuelP99,
}

impl GateKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::FaultRate, Self::ShadowDifferenceRate, Self::FuelP99];

    /// The word of the API and of the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FaultRate => "fault_rate",
            Self::ShadowDifferenceRate => "shadow_difference_rate",
            Self::FuelP99 => "fuel_p99",
        }
    }
}

/// A gate's number at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateReading {
    /// Which gate.
    pub gate: GateKind,
    /// Its number, in parts per million.
    pub value_ppm: u32,
    /// Of how many conflicts.
    pub conflicts: u64,
}

impl GateReading {
    /// One for each gate at most.
    pub const COUNT_MAX: usize = GateKind::ALL.len();
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateVerdict {
    /// There are too few conflicts to say.
    Waits,
    /// It holds.
    Passes,
    /// It does not hold.
    Fails,
}

impl Gate {
    /// What it makes of a reading.
    pub fn verdict(&self, reading: &GateReading) -> GateVerdict {
        if reading.conflicts < self.min_conflicts {
            GateVerdict::Waits
        } else if reading.value_ppm > self.limit_ppm {
            GateVerdict::Fails
        } else {
            GateVerdict::Passes
        }
    }
}

impl RolloutGates {
    /// One of them, if it is set.
    pub fn get(&self, kind: GateKind) -> Option<Gate> {
        match kind {
            GateKind::FaultRate => self.fault_rate,
            GateKind::ShadowDifferenceRate => self.shadow_difference_rate,
            GateKind::FuelP99 => self.fuel_p99,
        }
    }
}

/// What all gates of a rollout show, over all that the regions have reported. While the version
/// only runs beside the active one, what counts is that; afterwards, what it resolved.
pub(super) fn read(rollout: &Rollout, counters: &RolloutCounters) -> Vec<(Gate, GateReading)> {
    let calls = match rollout.place {
        RolloutPlace::Distributing => return Vec::new(),
        RolloutPlace::Shadow => &counters.shadow,
        RolloutPlace::Stage(_) | RolloutPlace::Complete => &counters.live,
    };
    let shown = |gate: GateKind| {
        let set = rollout.plan.gates.get(gate)?;
        let (value_ppm, conflicts) = match gate {
            GateKind::FaultRate => (share(calls.faulted(), calls.conflicts), calls.conflicts),
            GateKind::FuelP99 => (calls.fuel_p99_ppm(), calls.conflicts),
            // Differences come from the shadow alone, and there the gate has its say.
            GateKind::ShadowDifferenceRate if rollout.place != RolloutPlace::Shadow => return None,
            GateKind::ShadowDifferenceRate => {
                (share(counters.different, calls.conflicts), calls.conflicts)
            }
        };
        Some((set, GateReading { gate, value_ppm, conflicts }))
    };
    GateKind::ALL.into_iter().filter_map(shown).collect()
}

/// In parts per million, rounded up, so that a gate of 0 lets nothing pass.
fn share(part: u64, whole: u64) -> u32 {
    if whole == 0 {
        return 0;
    }
    let ppm = (u128::from(part) * 1_000_000).div_ceil(u128::from(whole));
    u32::try_from(ppm).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_up() {
        let found =
            [(0, 0), (5, 0), (0, 9), (1, 3), (1, u64::MAX), (3, 3)].map(|(p, w)| share(p, w));
        assert_eq!(found, [0, 0, 0, 333_334, 1, 1_000_000]);
    }

    #[test]
    fn a_gate_waits_for_its_conflicts() {
        let gate = Gate { limit_ppm: 10_000, min_conflicts: 500 };
        let verdict = |value_ppm, conflicts| {
            gate.verdict(&GateReading { gate: GateKind::FaultRate, value_ppm, conflicts })
        };
        assert_eq!(verdict(900_000, 499), GateVerdict::Waits);
        assert_eq!(verdict(10_000, 500), GateVerdict::Passes);
        assert_eq!(verdict(10_001, 500), GateVerdict::Fails);
    }
}
