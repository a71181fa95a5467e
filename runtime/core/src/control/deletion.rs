//! Versions that are to be deleted: when this region says that it is done with one, and when it may
//! drop the component.

use std::collections::{BTreeMap, BTreeSet};

use super::ControlPartition;
use crate::planted::{self, Bug};
use crate::{
    ChangeId, FunctionVersion, Hlc, PartitionCount, PartitionStanding, RegionId, VersionRecord,
};

impl ControlPartition {
    /// True while this region has something to say of a version that is to be deleted, for which
    /// the row partitions' standings are asked.
    pub fn has_deletions_due(&self) -> bool {
        self.unreleased().next().is_some()
    }

    /// What this region should say next of versions that are to be deleted. `standings` are as for
    /// [`ControlPartition::due_membership`]. `stamped_until` is a timestamp that the clock had given
    /// out when the present stamps already counted for all writes: no later change of this region
    /// has another stamp.
    pub fn due_versions(
        &self,
        standings: &BTreeMap<u32, PartitionStanding>,
        partitions: PartitionCount,
        stamped_until: Hlc,
    ) -> Vec<VersionRecord> {
        let me = self.chains.me();
        let is_member = self.membership.members().contains(me);
        if !is_member || standings.len() < partitions.get() as usize {
            return Vec::new();
        }
        let is_everywhere = standings.values().all(|at| at.stable.get(me) >= stamped_until)
            || planted::is(Bug::ReleaseUnstable);
        let may = |version: &FunctionVersion, deletion: &ChangeId| {
            let said = self.rollouts.last_said(version).max(deletion.hlc);
            let mut counted = self.chains.links.values().filter(|link| link.is_counted());
            let knows_all = counted.all(|link| link.reached() >= said);
            knows_all && is_everywhere && self.rollouts.is_done_with(version)
        };
        let due = self.unreleased().filter(|(version, deletion)| may(version, deletion));
        let released = due.map(|(version, deletion)| VersionRecord::Released {
            version: *version,
            deletion: deletion.clone(),
        });
        released.collect()
    }

    /// The deletions that this region has not answered.
    fn unreleased(&self) -> impl Iterator<Item = (&FunctionVersion, &ChangeId)> {
        let versions = self.rollouts.versions();
        versions.deletions().filter(|(version, _)| {
            let released = versions.get(version).map(|view| &view.released);
            !released.is_some_and(|released| released.contains(self.chains.me()))
        })
    }

    /// The regions that have not said yet that they are done with a version that is to be deleted.
    pub fn unreleased_by(&self, version: &FunctionVersion) -> BTreeSet<RegionId> {
        let Some(view) = self.rollouts.versions().get(version) else { return BTreeSet::new() };
        let counted = self.chains.links.iter().filter(|(_, link)| link.is_counted());
        let mut regions: BTreeSet<RegionId> = counted.map(|(region, _)| region.clone()).collect();
        regions.insert(self.chains.me().clone());
        regions.retain(|region| !view.released.contains(region));
        regions
    }

    /// The components that are here, or parts of them, and are to be dropped, each with the deletion
    /// that says so: nothing that is still to come has their stamp. Each is to be dropped by
    /// [`ControlPartition::drop_component`] once it is found that no waiting change and, looked at
    /// after these, no history of this region has it either.
    pub fn droppable(&self) -> Vec<(FunctionVersion, ChangeId)> {
        let kept: BTreeSet<&FunctionVersion> = self.here.iter().chain(self.parts.keys()).collect();
        let droppable = kept.into_iter().map(|version| Some((*version, self.drops(version)?)));
        droppable.flatten().collect()
    }

    /// All versions that every region has released, each with its deletion, whether this node has
    /// their components or not.
    pub fn released_by_all(&self) -> Vec<(FunctionVersion, ChangeId)> {
        let deletions = self.rollouts.versions().deletions();
        deletions.filter_map(|(version, _)| Some((*version, self.drops(version)?))).collect()
    }

    /// The deletion of a version, once all have released it.
    fn drops(&self, version: &FunctionVersion) -> Option<ChangeId> {
        let deletion = self.rollouts.versions().get(version)?.deletion.clone();
        deletion.filter(|_| self.unreleased_by(version).is_empty())
    }

    /// Drops a component of which nothing in this region has the stamp. Answers false where it is
    /// to be kept after all, as it was uploaded again since it was said to be droppable.
    pub fn drop_component(&mut self, version: &FunctionVersion, deletion: &ChangeId) -> bool {
        let drops = self.drops(version).as_ref() == Some(deletion);
        if drops {
            self.here.remove(version);
            self.parts.remove(version);
            self.tested.remove(version);
            self.commit.assembled.retain(|assembled| assembled != version);
            self.commit.chunks.retain(|chunk| chunk.version != *version);
            self.commit.dropped.push(*version);
        }
        drops
    }
}
