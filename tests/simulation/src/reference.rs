//! What rollout records come to, worked out once more, in another way than the product does: all at
//! once, record by record, with nothing kept between two looks.

use std::collections::BTreeMap;

use syncline_core::{
    ChangeId, CreateRollout, FunctionVersion, RegionId, RolloutCommand, RolloutDecision,
    RolloutEnd, RolloutId, RolloutPlace, RolloutRecord, RolloutState, SelfTest, TableName,
    VersionRecord,
};

/// One rollout.
#[derive(Clone, Debug)]
pub struct Expected {
    /// As it was asked for.
    pub create: CreateRollout,
    /// Where it is.
    pub place: RolloutPlace,
    /// The last pause, while it stands still.
    pub pause: Option<ChangeId>,
    /// How it ended.
    pub ended: Option<RolloutState>,
    /// Who decides.
    pub owner: RegionId,
    /// The self-tests of the regions that have it.
    pub ready: BTreeMap<RegionId, SelfTest>,
}

/// All of them, and whose version each region stamps.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// By identity.
    pub rollouts: BTreeMap<RolloutId, Expected>,
    /// By region and table.
    pub stamped: BTreeMap<(RegionId, TableName), RolloutId>,
}

impl Expected {
    /// The state, as it is shown.
    pub fn state(&self) -> RolloutState {
        match (self.ended, &self.pause, self.place) {
            (Some(ended), ..) => ended,
            (None, Some(_), _) => RolloutState::Paused,
            (None, None, RolloutPlace::Distributing) => RolloutState::Distributing,
            (None, None, RolloutPlace::Shadow) => RolloutState::Shadow,
            (None, None, RolloutPlace::Stage(_)) => RolloutState::Stage,
            (None, None, RolloutPlace::Complete) => RolloutState::Complete,
        }
    }

    /// The number of the stage that names the region, or that has the rest.
    pub fn stage_of(&self, region: &RegionId) -> u8 {
        let stages = || (1u8..).zip(&self.create.plan.stages);
        let names = |names: &RegionId| names.name() == region.name();
        let named = stages().find(|(_, stage)| stage.regions.iter().any(names));
        let rest = || stages().find(|(_, stage)| stage.rest);
        named.or_else(rest).or_else(|| stages().last()).map_or(1, |(number, _)| number)
    }

    /// True if the region's stage has begun.
    pub fn entered(&self, region: &RegionId) -> bool {
        match self.place {
            RolloutPlace::Stage(number) => number >= self.stage_of(region),
            place => place == RolloutPlace::Complete,
        }
    }

    fn go(&mut self, to: RolloutPlace) {
        self.place = to;
        if to == RolloutPlace::Complete {
            self.ended = Some(RolloutState::Complete);
        }
    }

    fn next(&self) -> RolloutPlace {
        let stages = self.create.plan.stages.len();
        match self.place {
            RolloutPlace::Distributing if self.create.plan.shadow_ms != 0 => RolloutPlace::Shadow,
            RolloutPlace::Distributing | RolloutPlace::Shadow => RolloutPlace::Stage(1),
            RolloutPlace::Stage(number) if usize::from(number) < stages => {
                RolloutPlace::Stage(number + 1)
            }
            _ => RolloutPlace::Complete,
        }
    }
}

impl Reference {
    /// What these come to, with what was said of versions.
    pub fn of(
        records: &[(ChangeId, RolloutRecord)],
        versions: &[(ChangeId, VersionRecord)],
    ) -> Self {
        let mut sorted: Vec<_> = records.iter().collect();
        sorted.sort_by(|a, b| (a.0.hlc, &a.0.region).cmp(&(b.0.hlc, &b.0.region)));
        let mut reference = Self::default();
        for (id, record) in sorted {
            if let RolloutRecord::Create(create) = record {
                let barred = create.version.function().is_some_and(|v| is_barred(versions, v, id));
                reference.create(id, create, barred);
            }
            reference.take(id, record);
        }
        reference
    }

    fn take(&mut self, id: &ChangeId, record: &RolloutRecord) {
        let Some(rollout) = record.about() else { return };
        let Some(expected) = self.rollouts.get_mut(rollout) else { return };
        let at = (id.region.clone(), expected.create.table.clone());
        match record {
            RolloutRecord::Ready { self_test, .. } => {
                expected.ready.insert(id.region.clone(), *self_test);
            }
            RolloutRecord::Unready { .. } => drop(expected.ready.remove(&id.region)),
            RolloutRecord::Active { .. } => drop(self.stamped.insert(at, rollout.clone())),
            RolloutRecord::Inactive { .. } => drop(self.stamped.remove(&at)),
            _ if expected.ended.is_some() => {}
            RolloutRecord::Command { command, .. } => commanded(expected, id, command),
            RolloutRecord::Decision { decision, .. } if expected.owner == id.region => {
                match decision {
                    RolloutDecision::Abort => expected.ended = Some(RolloutState::Aborted),
                    RolloutDecision::Move { from, to } => {
                        let stands = expected.pause.is_none() && expected.place == *from;
                        if stands && expected.next() == *to {
                            expected.go(*to);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn create(&mut self, id: &ChangeId, create: &CreateRollout, is_barred: bool) {
        let of_table = |expected: &&Expected| {
            expected.create.table == create.table
                && expected.ended != Some(RolloutState::Superseded)
        };
        let last = self.rollouts.iter().rfind(|(_, expected)| of_table(expected));
        let last = last.map(|(id, _)| id.clone());
        let follows = create.previous.as_ref().map(|previous| previous.rollout.clone());
        let wins = last == follows;
        if wins
            && let Some(previous) = &create.previous
            && let Some(before) = self.rollouts.get_mut(&previous.rollout)
            && before.ended.is_none()
        {
            match previous.ended {
                RolloutEnd::Complete => before.go(RolloutPlace::Complete),
                RolloutEnd::Aborted => before.ended = Some(RolloutState::Aborted),
            }
        }
        let expected = Expected {
            create: create.clone(),
            place: RolloutPlace::Distributing,
            pause: None,
            ended: match (wins, is_barred) {
                (false, _) => Some(RolloutState::Superseded),
                (true, true) => Some(RolloutState::Aborted),
                (true, false) => None,
            },
            owner: id.region.clone(),
            ready: BTreeMap::new(),
        };
        self.rollouts.insert(RolloutId(id.clone()), expected);
    }

    /// The rollout whose version a region should stamp.
    pub fn wanted(&self, region: &RegionId, table: &TableName) -> Option<&RolloutId> {
        let of_table = || self.rollouts.iter().filter(|(_, e)| e.create.table == *table);
        let open = of_table().find(|(_, expected)| expected.ended.is_none());
        let stamped = self.stamped.get(&(region.clone(), table.clone()));
        let goes = |(id, expected): &(&RolloutId, &Expected)| {
            expected.entered(region) && (expected.pause.is_none() || stamped == Some(*id))
        };
        let complete = || of_table().rfind(|(_, e)| e.ended == Some(RolloutState::Complete));
        open.filter(goes).or_else(complete).map(|(id, _)| id)
    }
}

/// True if the version was retired or deleted before, and not brought back since.
fn is_barred(
    versions: &[(ChangeId, VersionRecord)],
    version: FunctionVersion,
    at: &ChangeId,
) -> bool {
    let before = |(id, record): &&(ChangeId, VersionRecord)| {
        record.version() == version && (id.hlc, &id.region) < (at.hlc, &at.region)
    };
    let mut before: Vec<_> = versions.iter().filter(before).collect();
    before.sort_by(|a, b| (a.0.hlc, &a.0.region).cmp(&(b.0.hlc, &b.0.region)));
    let last = |is: fn(&VersionRecord) -> bool| before.iter().rposition(|(_, record)| is(record));
    let uploaded = last(|record| matches!(record, VersionRecord::Upload { .. }));
    let deleted = last(|record| matches!(record, VersionRecord::Delete { .. }));
    let retired = last(|record| matches!(record, VersionRecord::Retire { .. }));
    let reinstated = last(|record| {
        matches!(record, VersionRecord::Upload { .. } | VersionRecord::Reinstate { .. })
    });
    deleted > uploaded || retired > reinstated
}

fn commanded(expected: &mut Expected, id: &ChangeId, command: &RolloutCommand) {
    match command {
        RolloutCommand::Promote { from, to } => {
            let exists = match to {
                RolloutPlace::Stage(n) => usize::from(*n) <= expected.create.plan.stages.len(),
                RolloutPlace::Shadow => expected.create.plan.shadow_ms != 0,
                _ => true,
            };
            if expected.pause.is_none() && expected.place == *from && exists {
                expected.go(*to);
            }
        }
        RolloutCommand::Pause => expected.pause = Some(id.clone()),
        RolloutCommand::Resume { pause } => {
            if expected.pause.as_ref() == Some(pause) {
                expected.pause = None;
            }
        }
        RolloutCommand::Abort => expected.ended = Some(RolloutState::Aborted),
        RolloutCommand::Claim { from } => {
            if expected.owner == *from {
                expected.owner = id.region.clone();
            }
        }
    }
}
