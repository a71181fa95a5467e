//! Which version of which table's function each region stamps its changes with.
//!
//! Uploading and activating are two things. A rollout is folded from records that travel through
//! the control topics, in (HLC, region) order, so that it is the same in every region, whatever
//! order they arrive in. Here it has one stage, with all regions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use crate::planted::{self, Bug};
use crate::{ChangeId, FunctionVersion, RegionId, Stamp, TableName};

/// A rollout's identity: its first record's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RolloutId(pub ChangeId);

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.event_id())
    }
}

/// What a region says of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutRecord {
    /// A table is to get a version.
    Create {
        /// The table.
        table: TableName,
        /// The version.
        version: FunctionVersion,
        /// The table's last rollout, as far as the creating region knew. Of two rollouts made apart
        /// after the same one the later loses.
        previous: Option<RolloutId>,
    },
    /// The region has the component, verified and compiled.
    Ready {
        /// The rollout.
        rollout: RolloutId,
    },
    /// From here on the region stamps the table's changes with the version.
    Active {
        /// The rollout.
        rollout: RolloutId,
    },
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Not every region has the component.
    Distributing,
    /// Every region has it; some stamp it.
    Stage,
    /// Every region stamps it.
    Complete,
    /// Another rollout of the table came first. It was active nowhere and never will be.
    Superseded,
}

impl RolloutState {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Distributing => "distributing",
            Self::Stage => "stage",
            Self::Complete => "complete",
            Self::Superseded => "superseded",
        }
    }
}

/// How far one region is with a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RegionProgress {
    /// It has the component, verified and compiled.
    pub ready: bool,
    /// It stamps its changes with it.
    pub active: bool,
}

/// A rollout, as far as this region knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Its identity; also says who created it, and when.
    pub id: RolloutId,
    /// The table.
    pub table: TableName,
    /// The version.
    pub version: FunctionVersion,
    /// The version before it; none where the table was last-writer-wins.
    pub previous_version: Option<FunctionVersion>,
    /// How far it is.
    pub state: RolloutState,
    /// How far each region is.
    pub regions: BTreeMap<RegionId, RegionProgress>,
}

/// Why a rollout cannot be created here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CreateRefused {
    /// One rollout a table at a time.
    #[error("rollout {id} of this table to {version} is under way")]
    Open {
        /// The other rollout.
        id: RolloutId,
        /// Its version.
        version: FunctionVersion,
    },
}

/// All rollouts that this region knows of.
#[derive(Clone, Debug)]
pub struct Rollouts {
    me: RegionId,
    regions: BTreeSet<RegionId>,
    records: BTreeMap<ChangeId, RolloutRecord>,
    folded: BTreeMap<RolloutId, Rollout>,
}

impl Rollouts {
    /// None yet, in the eyes of `me`, one of `regions`.
    pub fn new(me: RegionId, regions: impl IntoIterator<Item = RegionId>) -> Self {
        let regions = regions.into_iter().collect();
        Self { me, regions, records: BTreeMap::new(), folded: BTreeMap::new() }
    }

    /// The regions are these now. A rollout waits no longer for one that is gone, and does for one
    /// that has come.
    pub fn set_regions(&mut self, regions: BTreeSet<RegionId>) {
        if regions != self.regions {
            self.regions = regions;
            self.folded = self.fold();
        }
    }

    /// False while some region stamps a table with a version that this one does not yet: then what
    /// it wrote would be resolved by another function than its users expect.
    pub fn stamps_with_the_others(&self) -> bool {
        let active = |rollout: &Rollout| rollout.regions.values().any(|region| region.active);
        let mine =
            |rollout: &Rollout| rollout.regions.get(&self.me).is_some_and(|region| region.active);
        let tables: BTreeSet<&TableName> = self.folded.values().map(|r| &r.table).collect();
        tables.into_iter().filter_map(|table| self.current(table)).all(|r| !active(r) || mine(r))
    }

    /// Takes in a record, of any region, in any order.
    pub fn insert(&mut self, id: ChangeId, record: RolloutRecord) {
        self.records.insert(id, record);
        self.folded = self.fold();
    }

    /// Every rollout, in the order of creation.
    pub fn iter(&self) -> impl Iterator<Item = &Rollout> {
        self.folded.values()
    }

    /// One rollout.
    pub fn get(&self, id: &RolloutId) -> Option<&Rollout> {
        self.folded.get(id)
    }

    /// The table's rollout that counts: the last that was not superseded.
    pub fn current(&self, table: &TableName) -> Option<&Rollout> {
        let of_table = self.folded.values().filter(|rollout| rollout.table == *table);
        of_table.rev().find(|rollout| rollout.state != RolloutState::Superseded)
    }

    /// The record that would create a rollout.
    pub fn create(
        &self,
        table: TableName,
        version: FunctionVersion,
    ) -> Result<RolloutRecord, CreateRefused> {
        let current = self.current(&table);
        if let Some(open) = current.filter(|rollout| rollout.state != RolloutState::Complete) {
            return Err(CreateRefused::Open { id: open.id.clone(), version: open.version });
        }
        let previous = current.map(|rollout| rollout.id.clone());
        Ok(RolloutRecord::Create { table, version, previous })
    }

    /// What this region stamps the table's changes with.
    pub fn stamp(&self, table: &TableName) -> Stamp {
        let active = self.folded.values().rev().find(|rollout| {
            rollout.table == *table && rollout.regions.get(&self.me).is_some_and(|me| me.active)
        });
        active.map_or(Stamp::Lww, |rollout| Stamp::Function(rollout.version))
    }

    /// The tables that this region stamps with a function.
    pub fn stamps(&self) -> BTreeMap<TableName, Stamp> {
        let tables: BTreeSet<&TableName> = self.folded.values().map(|r| &r.table).collect();
        tables.into_iter().map(|table| (table.clone(), self.stamp(table))).collect()
    }

    /// What this region should say next, given which components it has. Saying `Active` is what
    /// activates: nothing is activated before every region has it.
    pub fn due(&self, is_here: impl Fn(&FunctionVersion) -> bool) -> Vec<RolloutRecord> {
        let mut due = Vec::new();
        for rollout in self.folded.values() {
            let me = rollout.regions.get(&self.me).copied().unwrap_or_default();
            match rollout.state {
                RolloutState::Superseded | RolloutState::Complete => {}
                RolloutState::Distributing if !me.ready && is_here(&rollout.version) => {
                    due.push(RolloutRecord::Ready { rollout: rollout.id.clone() });
                }
                RolloutState::Distributing
                    if planted::is(Bug::ActivateEarly) && me.ready && !me.active =>
                {
                    due.push(RolloutRecord::Active { rollout: rollout.id.clone() });
                }
                RolloutState::Stage if !me.active => {
                    due.push(RolloutRecord::Active { rollout: rollout.id.clone() });
                }
                RolloutState::Distributing | RolloutState::Stage => {}
            }
        }
        due
    }

    fn fold(&self) -> BTreeMap<RolloutId, Rollout> {
        let mut folded = BTreeMap::new();
        let mut last: BTreeMap<&TableName, RolloutId> = BTreeMap::new();
        for (id, record) in &self.records {
            let RolloutRecord::Create { table, version, previous } = record else { continue };
            let id = RolloutId(id.clone());
            let wins = last.get(table) == previous.as_ref();
            let before: Option<&Rollout> = previous.as_ref().and_then(|id| folded.get(id));
            let rollout = Rollout {
                id: id.clone(),
                table: table.clone(),
                version: *version,
                previous_version: before.map(|rollout| rollout.version),
                state: if wins { RolloutState::Distributing } else { RolloutState::Superseded },
                regions: self.regions.iter().map(|r| (r.clone(), Default::default())).collect(),
            };
            folded.insert(id.clone(), rollout);
            if wins {
                last.insert(table, id);
            }
        }
        for (id, record) in &self.records {
            let (rollout, active) = match record {
                RolloutRecord::Create { .. } => continue,
                RolloutRecord::Ready { rollout } => (rollout, false),
                RolloutRecord::Active { rollout } => (rollout, true),
            };
            let region = folded.get_mut(rollout).and_then(|r| r.regions.get_mut(&id.region));
            if let Some(region) = region {
                region.ready = true;
                region.active |= active;
            }
        }
        for rollout in folded.values_mut() {
            if rollout.state == RolloutState::Distributing {
                rollout.state = progress(&rollout.regions);
            }
        }
        folded
    }
}

fn progress(regions: &BTreeMap<RegionId, RegionProgress>) -> RolloutState {
    if regions.values().all(|region| region.active) {
        RolloutState::Complete
    } else if regions.values().all(|region| region.ready) {
        RolloutState::Stage
    } else {
        RolloutState::Distributing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hlc;

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    fn at(n: u64, name: &str) -> ChangeId {
        ChangeId { hlc: Hlc::from_bits(n).unwrap(), region: region(name) }
    }

    fn known_to(me: &str) -> Rollouts {
        Rollouts::new(region(me), vec![region("a"), region("b")])
    }

    fn table() -> TableName {
        "carts".parse().unwrap()
    }

    const V1: FunctionVersion = FunctionVersion([1; 32]);
    const V2: FunctionVersion = FunctionVersion([2; 32]);

    #[test]
    fn nothing_is_active_before_every_region_has_it() {
        let mut a = known_to("a");
        let create = a.create(table(), V1).unwrap();
        a.insert(at(1, "a"), create);
        let rollout = RolloutId(at(1, "a"));
        assert!(a.due(|_| false).is_empty());
        let ready = RolloutRecord::Ready { rollout: rollout.clone() };
        assert_eq!(a.due(|v| *v == V1), vec![ready.clone()]);
        a.insert(at(2, "a"), ready.clone());
        assert!(a.due(|_| true).is_empty());
        assert!(matches!(a.create(table(), V2), Err(CreateRefused::Open { .. })));
        a.insert(at(2, "b"), ready);
        let active = RolloutRecord::Active { rollout: rollout.clone() };
        assert_eq!(a.due(|_| true), vec![active.clone()]);
        assert_eq!(a.stamp(&table()), Stamp::Lww);
        a.insert(at(3, "a"), active.clone());
        assert_eq!(a.stamp(&table()), Stamp::Function(V1));
        assert_eq!(a.get(&rollout).unwrap().state, RolloutState::Stage);
        a.insert(at(4, "b"), active);
        assert_eq!(a.get(&rollout).unwrap().state, RolloutState::Complete);
        assert!(a.create(table(), V2).is_ok());
    }

    #[test]
    fn of_two_made_apart_the_later_loses_and_is_active_nowhere() {
        let create = |version| RolloutRecord::Create { table: table(), version, previous: None };
        let (first, second) = (at(1, "a"), at(2, "b"));
        for order in [[&first, &second], [&second, &first]] {
            let mut a = known_to("a");
            for id in order {
                a.insert(id.clone(), create(if *id == first { V1 } else { V2 }));
            }
            let state = |id: &ChangeId| a.get(&RolloutId(id.clone())).unwrap().state;
            assert_eq!(state(&first), RolloutState::Distributing);
            assert_eq!(state(&second), RolloutState::Superseded);
            assert_eq!(
                a.due(|_| true),
                vec![RolloutRecord::Ready { rollout: RolloutId(first.clone()) }]
            );
        }
    }

    #[test]
    fn a_region_stamps_the_last_version_it_activated() {
        let mut a = known_to("a");
        for (n, version) in [(10, V1), (20, V2)] {
            let create = a.create(table(), version).unwrap();
            a.insert(at(n, "a"), create);
            for (i, name) in ["a", "b"].into_iter().enumerate() {
                let rollout = RolloutId(at(n, "a"));
                a.insert(
                    at(n + 1 + i as u64, name),
                    RolloutRecord::Ready { rollout: rollout.clone() },
                );
                a.insert(at(n + 3 + i as u64, name), RolloutRecord::Active { rollout });
            }
        }
        assert_eq!(a.stamp(&table()), Stamp::Function(V2));
        assert_eq!(a.current(&table()).unwrap().previous_version, Some(V1));
        assert_eq!(a.stamps().len(), 1);
    }
}
