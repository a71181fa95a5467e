//! What the owner of a rollout decides. Only here time counts.

use super::gates::{self, GateReading, GateVerdict};
use super::plan::Gate;
use super::record::{RolloutCommand, RolloutDecision};
use super::report::RolloutCounters;
use super::view::Rollout;
use super::{RolloutId, RolloutPlace, RolloutRecord, RolloutText, Rollouts};
use crate::planted::{self, Bug};

/// Since when a rollout stands where it stands, with all regions as they should be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    place: RolloutPlace,
    since_ms: u64,
}

/// What the gates of a rollout say together.
struct Gates {
    readings: Vec<GateReading>,
    failed: Option<(Gate, GateReading)>,
    waits: bool,
}

impl Rollouts {
    /// What this region should say as the owner of rollouts, or to become the owner of those whose
    /// owner is not counted any more. `now_ms` is a clock that never goes back or jumps while the
    /// process runs; where it begins does not matter. After a start, and after a pause, all times
    /// begin anew: too late is better than too early.
    pub fn decide(&mut self, now_ms: u64) -> Vec<RolloutRecord> {
        let open: Vec<RolloutId> = self.open().map(|rollout| rollout.id.clone()).collect();
        self.settled.retain(|id, _| open.contains(id));
        let mut said = Vec::new();
        for id in open {
            let Some(rollout) = self.get(&id) else { continue };
            let settled = is_settled(rollout).then_some(rollout.place);
            let since_ms = match (settled, self.settled.get(&id)) {
                (Some(place), Some(known)) if known.place == place => Some(known.since_ms),
                (settled, _) => settled.map(|_| now_ms),
            };
            match (settled, since_ms) {
                (Some(place), Some(since_ms)) => {
                    self.settled.insert(id.clone(), Settled { place, since_ms });
                }
                _ => drop(self.settled.remove(&id)),
            }
            let Some(rollout) = self.get(&id) else { continue };
            if rollout.owner == self.me {
                let waited_ms = since_ms.map(|since_ms| now_ms.saturating_sub(since_ms));
                said.extend(decision(rollout, &self.reported(&id), waited_ms));
            } else {
                said.extend(self.succession(rollout));
            }
        }
        said
    }

    /// What the gates show, whoever is the owner: each with its limit and what it says.
    pub fn gates(&self, id: &RolloutId) -> Vec<(Gate, GateReading, GateVerdict)> {
        let Some(rollout) = self.get(id) else { return Vec::new() };
        let shown = gates::read(rollout, &self.reported(id)).into_iter();
        shown.map(|(gate, reading)| (gate, reading, gate.verdict(&reading))).collect()
    }

    /// The rollouts of an owner that is gone for good fall to the first region that is counted.
    fn succession(&self, rollout: &Rollout) -> Option<RolloutRecord> {
        let gone = !self.regions.contains(&rollout.owner) && !planted::is(Bug::OwnerNotSucceeded);
        if !gone || self.regions.first() != Some(&self.me) {
            return None;
        }
        Some(RolloutRecord::Command {
            rollout: rollout.id.clone(),
            command: RolloutCommand::Claim { from: rollout.owner.clone() },
            actor: RolloutText::default(),
            why: RolloutText::cut(&format!("region {} is no longer counted", rollout.owner)),
        })
    }
}

/// True while the time of its place runs.
fn is_settled(rollout: &Rollout) -> bool {
    rollout.paused.is_none() && rollout.not_active().is_empty()
}

fn decision(
    rollout: &Rollout,
    counters: &RolloutCounters,
    waited_ms: Option<u64>,
) -> Option<RolloutRecord> {
    let gates = Gates::of(rollout, counters);
    let say = |decision, why: &str| {
        Some(RolloutRecord::Decision {
            rollout: rollout.id.clone(),
            decision,
            gates: gates.readings.clone(),
            why: RolloutText::cut(why),
        })
    };
    if let Some([(a, at_a), (b, at_b)]) = rollout.differ() {
        let shown = |digest: [u8; 32]| hex::encode(&digest[..6]);
        let (at_a, profile_a) = (shown(at_a.digest), at_a.profile);
        let (at_b, profile_b) = (shown(at_b.digest), at_b.profile);
        return say(
            RolloutDecision::Abort,
            &format!(
                "the self-test came to {at_a} in {a} (profile {profile_a}), and to {at_b} in {b} \
                 (profile {profile_b})"
            ),
        );
    }
    if let Some((gate, GateReading { gate: kind, value_ppm, conflicts })) = gates.failed {
        let (name, limit) = (kind.as_str(), percent(gate.limit_ppm));
        let value = percent(value_ppm);
        return say(
            RolloutDecision::Abort,
            &format!("{name} is {value} of {conflicts} conflicts, the gate is at {limit}"),
        );
    }
    if rollout.paused.is_some() || !rollout.not_ready().is_empty() {
        return None;
    }
    let waited_ms = waited_ms?;
    let (from, to) = (rollout.place, rollout.plan.next(rollout.place));
    let (time_ms, why) = match from {
        RolloutPlace::Distributing => (0, "every region has it".to_owned()),
        RolloutPlace::Shadow => {
            (rollout.plan.shadow_ms, format!("ran in the shadow for {waited_ms} ms"))
        }
        RolloutPlace::Stage(number) => {
            (rollout.plan.bake_ms, format!("stage {number} baked for {waited_ms} ms"))
        }
        RolloutPlace::Complete => return None,
    };
    // What begins with the word of a person: to stamp the version in more regions.
    let asks = rollout.plan.manual && matches!(to, RolloutPlace::Stage(_));
    let baked = waited_ms >= time_ms || planted::is(Bug::BakeNotWaited);
    if asks || gates.waits || !baked {
        return None;
    }
    say(RolloutDecision::Move { from, to }, &why)
}

impl Gates {
    fn of(rollout: &Rollout, counters: &RolloutCounters) -> Self {
        let read = gates::read(rollout, counters);
        let verdict = |(gate, reading): &(Gate, GateReading)| gate.verdict(reading);
        Self {
            readings: read.iter().map(|(_, reading)| *reading).collect(),
            failed: read.iter().find(|gate| verdict(gate) == GateVerdict::Fails).copied(),
            waits: read.iter().any(|gate| verdict(gate) == GateVerdict::Waits),
        }
    }
}

/// Parts per million as a percentage, without a float.
fn percent(ppm: u32) -> String {
    let (whole, part) = (ppm / 10_000, ppm % 10_000);
    let text = format!("{whole}.{part:04}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn parts_per_million_are_shown_as_people_read_them() {
        let shown = [0, 1, 10_000, 12_500, 1_000_000].map(percent);
        assert_eq!(shown, ["0 %", "0.0001 %", "1 %", "1.25 %", "100 %"]);
    }
}
