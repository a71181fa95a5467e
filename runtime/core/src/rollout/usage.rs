//! Which versions are still needed.

use std::collections::BTreeMap;

use super::view::RolloutState;
use super::{RolloutId, RolloutRecord, Rollouts};
use crate::{ChangeId, FunctionVersion, Hlc, RegionId, Stamp, TableName};

/// What keeps a version from being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionUse {
    /// A rollout to it is under way.
    Open(RolloutId),
    /// It is what the table's last complete rollout brought.
    InForce(TableName),
    /// A region stamps changes of the table with it.
    Stamped {
        /// The table.
        table: TableName,
        /// The region.
        region: RegionId,
    },
    /// A region has stopped to stamp changes of the table with it, and changes from before that may
    /// not be stable yet.
    StampedUntil {
        /// The table.
        table: TableName,
        /// The region.
        region: RegionId,
        /// When it stopped.
        until: Hlc,
    },
}

/// A write that was on its way when its region stopped to stamp a version may have a later HLC than
/// the record that says so: by so many milliseconds at the most, far more than a turn takes.
pub const LATE_STAMP_MS: u64 = 60_000;

impl Rollouts {
    /// The number of the determinism profile that each version goes by that was ever active: the one
    /// under which regions tested it first. They were all of one mind then, or it could not have
    /// become active.
    pub fn profiles(&self) -> BTreeMap<FunctionVersion, u32> {
        let mut first: BTreeMap<FunctionVersion, (&ChangeId, u32)> = BTreeMap::new();
        for rollout in self.iter() {
            let Stamp::Function(version) = rollout.version else { continue };
            let sayings = || self.sayings.get(&rollout.id).into_iter().flatten();
            if !sayings().any(|(_, record)| matches!(record, RolloutRecord::Active { .. })) {
                continue;
            }
            let tested = sayings().find_map(|(id, record)| match record {
                RolloutRecord::Ready { self_test, .. } => Some((id, self_test.profile)),
                _ => None,
            });
            let Some(tested) = tested else { continue };
            let known = first.entry(version).or_insert(tested);
            *known = tested.min(*known);
        }
        first.into_iter().map(|(version, (_, profile))| (version, profile)).collect()
    }

    /// What keeps a version from being deleted, as far as the rollouts tell. `stable` is up to which
    /// HLC a region's changes are stable, in the partition that is the furthest behind. That no
    /// head, history or waiting change here has its stamp is for the store to tell.
    pub fn uses(
        &self,
        version: &FunctionVersion,
        stable: impl Fn(&RegionId) -> Hlc,
    ) -> Vec<VersionUse> {
        let mut uses = Vec::new();
        for (table, folded) in &self.tables {
            let rollouts = || folded.rollouts.values();
            let of_version =
                rollouts().filter(|rollout| rollout.version == Stamp::Function(*version));
            let open = of_version.filter(|rollout| rollout.state.is_open());
            uses.extend(open.map(|rollout| VersionUse::Open(rollout.id.clone())));
            let in_force = rollouts().rfind(|rollout| rollout.state == RolloutState::Complete);
            if in_force.is_some_and(|rollout| rollout.version == Stamp::Function(*version)) {
                uses.push(VersionUse::InForce(table.clone()));
            }
            for (region, until) in self.stamped_until(table, version) {
                let (table, is_stable) = (table.clone(), |until: Hlc| {
                    stable(&region).millis() > until.millis().saturating_add(LATE_STAMP_MS)
                });
                match until {
                    None => uses.push(VersionUse::Stamped { table, region }),
                    Some(until) if !is_stable(until) => {
                        uses.push(VersionUse::StampedUntil { table, region, until });
                    }
                    Some(_) => {}
                }
            }
        }
        uses
    }

    /// True once no table has the version, none is about to get it, and this region stamps no table
    /// with it: if all is known that was said up to [`Rollouts::last_said`], that stays so for good,
    /// as no later rollout of a version that is to be deleted goes on.
    pub(crate) fn is_done_with(&self, version: &FunctionVersion) -> bool {
        let stamped = self.stamps().into_values().any(|stamp| stamp == Stamp::Function(*version));
        let holds =
            |used: &VersionUse| matches!(used, VersionUse::Open(_) | VersionUse::InForce(_));
        !stamped && !self.uses(version, |_| Hlc::MAX).iter().any(holds)
    }

    /// The last that was said here of any rollout of a table that ever had one to the version.
    pub(crate) fn last_said(&self, version: &FunctionVersion) -> Hlc {
        let of_tables = self.tables_of(version);
        let rollouts =
            of_tables.iter().filter_map(|t| self.creations.get(t)).flat_map(|all| all.keys());
        let said = rollouts.map(|rollout| {
            let last = self.sayings.get(rollout).and_then(|said| said.keys().next_back());
            last.map_or(rollout.0.hlc, |last| last.hlc.max(rollout.0.hlc))
        });
        said.max().unwrap_or(Hlc::ZERO)
    }

    /// The counted regions that ever stamped the table with the version, and when each has stopped.
    fn stamped_until(
        &self,
        table: &TableName,
        version: &FunctionVersion,
    ) -> BTreeMap<RegionId, Option<Hlc>> {
        let rollouts = self.creations.get(table).into_iter().flat_map(BTreeMap::keys);
        let sayings = rollouts.filter_map(|rollout| self.sayings.get(rollout)).flatten();
        let mut steps: Vec<(&ChangeId, Option<&RolloutId>)> = sayings
            .filter_map(|(id, record)| match record {
                RolloutRecord::Active { rollout } => Some((id, Some(rollout))),
                RolloutRecord::Inactive { .. } => Some((id, None)),
                _ => None,
            })
            .filter(|(id, _)| self.regions.contains(&id.region))
            .collect();
        steps.sort_by_key(|(id, _)| *id);
        let mut until = BTreeMap::new();
        for (id, rollout) in steps {
            let stamps = rollout.and_then(|rollout| self.get(rollout));
            if stamps.is_some_and(|rollout| rollout.version == Stamp::Function(*version)) {
                until.insert(id.region.clone(), None);
            } else if let Some(open @ None) = until.get_mut(&id.region) {
                *open = Some(id.hlc);
            }
        }
        until
    }
}
