//! Versions that are retired and deleted: what people ask for, and what must hold of that.

use std::collections::BTreeMap;

use syncline_core::{
    ChangeId, FunctionVersion, Hlc, RolloutText, RowKey, VersionAsk, VersionRecord,
};
use syncline_store::kv::{component, version};
use syncline_store::{Search, find_stamped};

use super::World;
use crate::functions::Function;
use crate::scenario::VersionAsked;

impl World {
    pub(super) fn ask_version(&mut self, region: usize, function: Function, asked: VersionAsked) {
        let (now, steady) = (self.moment(region), self.steady_ms());
        let Some(running) = self.running(region) else { return };
        let version = function.version();
        let ask = match asked {
            VersionAsked::Retire => VersionAsk::Retire,
            VersionAsked::Reinstate => VersionAsk::Reinstate,
            VersionAsked::Delete => VersionAsk::Delete,
        };
        let nobody = (RolloutText::default(), RolloutText::default());
        let answer = running.control.ask_version(&running.site, version, ask, nobody, now.now_ms);
        let done = running.control.end(&running.site, false, now, steady);
        self.control_done(region, done, vec![]);
        if let Ok(Some(_)) = answer {
            self.stats.state(match asked {
                VersionAsked::Delete => "a version was to be deleted",
                _ => "a version was retired, or no longer",
            });
        }
        self.tell_of(region, || format!("{asked:?} {function:?}: {answer:?}"));
    }

    /// Drops what no one needs, as the product does with each heartbeat. What is dropped is gone for
    /// good once the turn is committed.
    pub(super) fn drop_components(&mut self, region: usize) -> Vec<FunctionVersion> {
        let Some(running) = self.running(region) else { return Vec::new() };
        let site = &running.site;
        let mut dropped = Vec::new();
        for (version, deletion) in running.control.control().droppable() {
            let found = find_stamped(&site.store, site.partitions, &version, || true);
            if found == Ok(Search::Nothing) && running.control.drop_component(&version, &deletion) {
                dropped.push(version);
            }
        }
        dropped
    }

    /// The turn in which these were dropped is committed.
    pub(super) fn dropped(&mut self, region: usize, versions: &[FunctionVersion]) {
        for version in versions {
            let Some(running) = self.running(region) else { return };
            running.here.remove(version);
            self.stats.state("a component was dropped");
            self.tell_of(region, || format!("drops {version}"));
        }
    }

    /// A change waits for a function that is not here: never for one that was deleted.
    pub(super) fn check_not_deleted(
        &mut self,
        region: usize,
        row: &RowKey,
        version: &FunctionVersion,
    ) {
        let dropped = component::dropped(&*self.regions[region].store).unwrap_or_default();
        if dropped.iter().any(|(gone, _)| gone == version) {
            let name = self.regions[region].id.clone();
            self.fail("deleted", || format!("{name} {row} waits for {version}, which is deleted"));
        }
    }

    /// What is still to be deleted, and why not; none where all that can be dropped is.
    pub(super) fn kept_without_reason(&self, region: usize) -> Option<String> {
        let running = self.regions[region].running.as_ref()?;
        let control = running.control.control();
        let rollouts = control.rollouts();
        let deleted = rollouts.versions().iter().filter(|(_, view)| view.deletion.is_some());
        let idle = |version: &FunctionVersion| {
            let uses = rollouts.uses(version, |_| Hlc::MAX);
            let kept = control.is_here(version) || !control.unreleased_by(version).is_empty();
            uses.is_empty() && kept
        };
        let kept = deleted.map(|(version, _)| version).find(|version| idle(version))?;
        Some(format!("{kept} is to be deleted; waits for {:?}", control.unreleased_by(kept)))
    }

    /// All regions know the same of versions.
    pub(super) fn check_same_versions(&mut self, region: usize, first: usize) {
        let shown = |region: usize| {
            let rollouts = self.regions[region].running.as_ref()?.control.control().rollouts();
            let versions = rollouts.versions().iter();
            Some(versions.map(|(v, view)| (*v, view.clone())).collect::<BTreeMap<_, _>>())
        };
        let (mine, theirs) = (shown(region), shown(first));
        if mine != theirs {
            let name = self.regions[region].id.clone();
            self.fail("versions", || format!("{name} knows {mine:?}, others {theirs:?}"));
        }
    }

    /// What this region keeps of what was said of versions.
    pub(super) fn version_records(&self, region: usize) -> Vec<(ChangeId, VersionRecord)> {
        version::all(&*self.regions[region].store).unwrap_or_default()
    }
}
