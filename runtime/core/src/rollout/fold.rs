//! The records of a table's rollouts, folded in (HLC, region) order.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{CreateRollout, RolloutCommand, RolloutDecision, RolloutEnd};
use super::view::{RegionProgress, Rollout, RolloutEvent, RolloutHistory, RolloutState};
use super::{RolloutId, RolloutPlace, RolloutRecord, RolloutText};
use crate::planted::{self, Bug};
use crate::{ChangeId, RegionId, Stamp, Versions};

/// So many lines of a rollout's history are kept in memory and shown, the last ones: someone
/// who pauses and resumes in a loop must not fill it up.
pub const ROLLOUT_HISTORY_MAX: usize = 500;

/// The rollouts of one table while they are folded. All are of the table; those that lost are here
/// too.
struct Folding<'a> {
    versions: &'a Versions,
    rollouts: BTreeMap<RolloutId, Rollout>,
    /// The last that did not lose.
    last: Option<RolloutId>,
    /// Whose version each region stamps; those that stamp none are not named.
    stamped: BTreeMap<RegionId, RolloutId>,
}

/// What the rollouts of a table come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Folded {
    pub(super) rollouts: BTreeMap<RolloutId, Rollout>,
    /// Whose version each region stamps, also of regions that are not counted; those that stamp
    /// none are not named.
    pub(super) stamped: BTreeMap<RegionId, RolloutId>,
}

/// What a command or decision is about, and who says so.
struct Saying<'a> {
    id: &'a ChangeId,
    actor: &'a RolloutText,
    why: &'a RolloutText,
}

/// Folds all records of a table, given in their order. `versions` say which rollouts are aborted by
/// what was said of their version before.
pub(super) fn fold<'a>(
    records: impl IntoIterator<Item = (&'a ChangeId, &'a RolloutRecord)>,
    regions: &BTreeSet<RegionId>,
    versions: &Versions,
) -> Folded {
    let mut folding =
        Folding { versions, rollouts: BTreeMap::new(), last: None, stamped: BTreeMap::new() };
    for (id, record) in records {
        folding.take(id, record);
    }
    for rollout in folding.rollouts.values_mut() {
        let told = std::mem::take(&mut rollout.regions);
        let of = |region: &RegionId| told.get(region).cloned().unwrap_or_default();
        rollout.regions = regions.iter().map(|region| (region.clone(), of(region))).collect();
        let beyond = rollout.history.len().saturating_sub(ROLLOUT_HISTORY_MAX);
        rollout.history.drain(..beyond);
    }
    Folded { rollouts: folding.rollouts, stamped: folding.stamped }
}

impl Folding<'_> {
    fn take(&mut self, id: &ChangeId, record: &RolloutRecord) {
        match record {
            RolloutRecord::Create(create) => self.create(id, create),
            RolloutRecord::Ready { rollout, self_test } => {
                if let Some(progress) = self.progress(rollout, &id.region) {
                    progress.self_test = Some(*self_test);
                    progress.unready = None;
                }
            }
            RolloutRecord::Unready { rollout, reason } => {
                if let Some(progress) = self.progress(rollout, &id.region) {
                    progress.self_test = None;
                    progress.unready = Some(reason.clone());
                }
            }
            RolloutRecord::Active { rollout } => self.stamps(id, Some(rollout)),
            RolloutRecord::Inactive { .. } => self.stamps(id, None),
            RolloutRecord::Command { rollout, command, actor, why } => {
                let saying = Saying { id, actor, why };
                if let Some(rollout) = self.open(rollout) {
                    command_said(rollout, command, &saying);
                }
            }
            RolloutRecord::Decision { rollout, decision, why, .. } => {
                let saying = Saying { id, actor: &RolloutText::default(), why };
                if let Some(rollout) = self.open(rollout) {
                    decided(rollout, *decision, &saying);
                }
            }
            // Counts decide nothing by themselves.
            RolloutRecord::Report { .. } => {}
        }
    }

    fn create(&mut self, id: &ChangeId, create: &CreateRollout) {
        let CreateRollout { table, version, previous, plan, actor, why } = create;
        let rollout_id = RolloutId(id.clone());
        let saying = Saying { id, actor, why };
        let wins = self.last.as_ref() == previous.as_ref().map(|previous| &previous.rollout)
            || planted::is(Bug::TwoRolloutsAtOnce);
        if wins && let Some(previous) = previous {
            self.settle(&previous.rollout, previous.ended, &saying);
        }
        let complete = |rollout: &&Rollout| rollout.state == RolloutState::Complete;
        let before = self.rollouts.values().rev().find(complete);
        let mut rollout = Rollout {
            id: rollout_id.clone(),
            table: table.clone(),
            version: *version,
            previous_version: before.map_or(Stamp::Lww, |rollout| rollout.version),
            plan: plan.clone(),
            state: RolloutState::Distributing,
            place: RolloutPlace::Distributing,
            paused: None,
            owner: id.region.clone(),
            regions: BTreeMap::new(),
            reason: None,
            history: Vec::new(),
        };
        rollout.note(&saying, RolloutEvent::Created);
        if wins {
            self.last = Some(rollout_id.clone());
            let barred = version.function().and_then(|v| self.versions.barred_at(&v, id));
            if let Some(barred) = barred {
                let (actor, why) = (&RolloutText::default(), &RolloutText::cut(barred.as_str()));
                rollout.abort(&Saying { id, actor, why });
            }
        } else {
            rollout.state = RolloutState::Superseded;
            rollout.history.push(RolloutHistory {
                id: id.clone(),
                actor: RolloutText::default(),
                what: RolloutEvent::Superseded,
                why: RolloutText::default(),
            });
        }
        self.rollouts.insert(rollout_id, rollout);
    }

    /// The next rollout builds on how its creator saw this one end.
    fn settle(&mut self, rollout: &RolloutId, ended: RolloutEnd, saying: &Saying<'_>) {
        let Some(rollout) = self.open(rollout) else { return };
        match ended {
            RolloutEnd::Complete => rollout.go(RolloutPlace::Complete),
            RolloutEnd::Aborted => rollout.state = RolloutState::Aborted,
        }
        rollout.note(saying, RolloutEvent::Ended(ended));
    }

    /// A rollout to which something can still happen.
    fn open(&mut self, rollout: &RolloutId) -> Option<&mut Rollout> {
        self.rollouts.get_mut(rollout).filter(|rollout| rollout.state.is_open())
    }

    fn progress(&mut self, rollout: &RolloutId, region: &RegionId) -> Option<&mut RegionProgress> {
        Some(self.rollouts.get_mut(rollout)?.regions.entry(region.clone()).or_default())
    }

    /// From here on the region stamps the version of `of`, or none.
    fn stamps(&mut self, id: &ChangeId, of: Option<&RolloutId>) {
        match of {
            Some(of) => drop(self.stamped.insert(id.region.clone(), of.clone())),
            None => drop(self.stamped.remove(&id.region)),
        }
        for (rollout_id, rollout) in &mut self.rollouts {
            let stamps = Some(rollout_id) == of;
            let progress = rollout.regions.entry(id.region.clone()).or_default();
            let what = match (progress.active.is_some(), stamps) {
                (false, true) => RolloutEvent::Active,
                (true, false) => RolloutEvent::Inactive,
                _ => continue,
            };
            progress.active = stamps.then(|| id.clone());
            let none = RolloutText::default();
            rollout.note(&Saying { id, actor: &none, why: &none }, what);
        }
    }
}

fn command_said(rollout: &mut Rollout, command: &RolloutCommand, saying: &Saying<'_>) {
    match command {
        RolloutCommand::Promote { from, to } => {
            let stands = rollout.stands(*from);
            if stands && rollout.plan.has(*to) {
                rollout.go(*to);
                rollout.note(saying, RolloutEvent::Moved { from: *from, to: *to });
            }
        }
        RolloutCommand::Pause => {
            rollout.paused = Some(saying.id.clone());
            rollout.state = RolloutState::Paused;
            rollout.reason = Some(saying.why.clone());
            rollout.note(saying, RolloutEvent::Paused);
        }
        RolloutCommand::Resume { pause } => {
            if rollout.paused.as_ref() == Some(pause) {
                rollout.paused = None;
                rollout.reason = None;
                rollout.go(rollout.place);
                rollout.note(saying, RolloutEvent::Resumed);
            }
        }
        RolloutCommand::Abort => rollout.abort(saying),
        RolloutCommand::Claim { from } => {
            if rollout.owner == *from {
                rollout.owner = saying.id.region.clone();
                rollout.note(saying, RolloutEvent::Claimed);
            }
        }
    }
}

fn decided(rollout: &mut Rollout, decision: RolloutDecision, saying: &Saying<'_>) {
    if rollout.owner != saying.id.region && !planted::is(Bug::AnyoneDecides) {
        return;
    }
    match decision {
        RolloutDecision::Move { from, to } => {
            let stands = rollout.stands(from);
            if stands && rollout.plan.next(from) == to {
                rollout.go(to);
                rollout.note(saying, RolloutEvent::Moved { from, to });
            }
        }
        RolloutDecision::Abort => rollout.abort(saying),
    }
}

impl Rollout {
    /// True if a step from there leads on.
    fn stands(&self, at: RolloutPlace) -> bool {
        self.paused.is_none() && (self.place == at || planted::is(Bug::StepsFromAnywhere))
    }

    fn go(&mut self, to: RolloutPlace) {
        self.place = to;
        self.state = match to {
            RolloutPlace::Distributing => RolloutState::Distributing,
            RolloutPlace::Shadow => RolloutState::Shadow,
            RolloutPlace::Stage(_) => RolloutState::Stage,
            RolloutPlace::Complete => RolloutState::Complete,
        };
    }

    fn abort(&mut self, saying: &Saying<'_>) {
        self.state = RolloutState::Aborted;
        self.paused = None;
        self.reason = Some(saying.why.clone());
        self.note(saying, RolloutEvent::Aborted);
    }

    fn note(&mut self, saying: &Saying<'_>, what: RolloutEvent) {
        self.history.push(RolloutHistory {
            id: saying.id.clone(),
            actor: saying.actor.clone(),
            what,
            why: saying.why.clone(),
        });
    }
}
