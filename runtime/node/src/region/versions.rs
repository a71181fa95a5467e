//! Versions that are retired or deleted: what is asked of the controller, and how a component goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_core::{
    ChangeId, FunctionVersion, Hlc, RegionId, RolloutText, VersionAsk, VersionUse, VersionView,
};
use syncline_store::{Search, Stamped, StoreError, find_stamped};
use tokio::sync::oneshot;

use super::controller::{ControlWork, Controller};
use super::rollouts::DeployError;
use super::status::PartitionView;
use super::syncer::Reply;
use super::{Region, threads};

/// After a search that has found something the next one waits so long: what was found goes as stable
/// rises, a heartbeat or two later as a rule, and a search may read all history.
const SEARCH_AGAIN: Duration = Duration::from_secs(5);

/// What is known of a version besides its component and its rollouts.
#[derive(Clone, Debug, Default)]
pub struct VersionStanding {
    /// As its records have it.
    pub view: VersionView,
    /// Where it is used, or may be.
    pub uses: Vec<VersionUse>,
    /// The regions that have not said yet that they are done with it, where it is to be deleted.
    pub waits_for: Vec<RegionId>,
    /// What this region found when it last looked whether it can drop the component.
    pub needed_by: Option<Stamped>,
}

/// The searches for what still needs a component.
#[derive(Default)]
pub(super) struct Searches {
    searched: BTreeMap<FunctionVersion, Searched>,
    /// Dropped with the turn that is not committed yet.
    dropped: Vec<FunctionVersion>,
}

enum Searched {
    UnderWay,
    Found { stamped: Option<Stamped>, again_at: Instant },
}

impl Region {
    /// Asks something for a version; answers how it stands afterwards.
    pub async fn ask_version(
        &self,
        version: FunctionVersion,
        ask: VersionAsk,
        said: (RolloutText, RolloutText),
    ) -> Result<VersionView, DeployError> {
        if let Some(awaited) = self.starting() {
            return Err(DeployError::Starting { awaited });
        }
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::AskVersion { version, ask, said, reply }).await;
        answer.await.unwrap_or(Err(DeployError::Stopping))
    }

    /// All versions of which something was said apart from their rollouts.
    pub async fn versions(&self) -> BTreeMap<FunctionVersion, VersionView> {
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::InspectVersions(reply)).await;
        answer.await.unwrap_or_default()
    }

    /// How a version stands. `views` are those of all partitions of the region.
    pub async fn version(
        &self,
        version: FunctionVersion,
        views: &[PartitionView],
    ) -> VersionStanding {
        // For a whole region what counts is the partition that is the furthest behind.
        let mut stable: BTreeMap<RegionId, Hlc> = BTreeMap::new();
        for region in &self.members().members {
            let least = views.iter().map(|view| view.stable.get(region)).min();
            stable.insert(region.clone(), least.unwrap_or(Hlc::ZERO));
        }
        let (reply, answer) = oneshot::channel();
        self.control(ControlWork::InspectVersion { version, stable, reply }).await;
        answer.await.unwrap_or_default()
    }
}

impl Controller {
    pub(super) fn ask_version(
        &mut self,
        version: FunctionVersion,
        ask: VersionAsk,
        said: (RolloutText, RolloutText),
        reply: oneshot::Sender<Result<VersionView, DeployError>>,
        replies: &mut Vec<Reply>,
    ) {
        let asked =
            self.applier.ask_version(&self.shared.site, version, ask, said, self.shared.now_ms());
        match asked {
            Ok(_) => {
                let view = self.applier.control().rollouts().versions().get(&version).cloned();
                let view = Some(view.unwrap_or_default());
                replies.push(super::controller::once_durable(reply, view));
            }
            Err(refused) => drop(reply.send(Err(refused.into()))),
        }
    }

    pub(super) fn version_views(&self) -> BTreeMap<FunctionVersion, VersionView> {
        let versions = self.applier.control().rollouts().versions().iter();
        versions.map(|(version, view)| (*version, view.clone())).collect()
    }

    pub(super) fn version_standing(
        &self,
        version: &FunctionVersion,
        stable: &BTreeMap<RegionId, Hlc>,
    ) -> VersionStanding {
        let control = self.applier.control();
        let rollouts = control.rollouts();
        let view = rollouts.versions().get(version).cloned().unwrap_or_default();
        let waits_for = match view.deletion {
            Some(_) => control.unreleased_by(version).into_iter().collect(),
            None => Vec::new(),
        };
        let stable = |region: &RegionId| stable.get(region).copied().unwrap_or(Hlc::ZERO);
        let needed_by = match self.searches.searched.get(version) {
            Some(Searched::Found { stamped, .. }) => stamped.clone(),
            _ => None,
        };
        let mut uses = rollouts.uses(version, stable);
        // A region that has released it knows better than what its last record lets others guess.
        let released = |used: &VersionUse| match used {
            VersionUse::StampedUntil { region, .. } => view.released.contains(region),
            _ => false,
        };
        uses.retain(|used| !released(used));
        VersionStanding { view, uses, waits_for, needed_by }
    }

    /// Once a heartbeat: looks, aside, whether anything here still needs what is to be dropped.
    pub(super) fn search(&mut self) {
        let droppable = self.applier.control().droppable();
        let still = |version: &FunctionVersion| droppable.iter().any(|(of, _)| of == version);
        self.searches.searched.retain(|version, _| still(version));
        for (version, deletion) in droppable {
            let waits = match self.searches.searched.get(&version) {
                Some(Searched::UnderWay) => true,
                Some(Searched::Found { again_at, .. }) => *again_at > Instant::now(),
                None => false,
            };
            if waits {
                continue;
            }
            self.searches.searched.insert(version, Searched::UnderWay);
            let (shared, own) = (Arc::clone(&self.shared), self.own.clone());
            threads::aside(&self.shared, "search", move || {
                let (store, partitions) = (&shared.site.store, shared.site.partitions);
                let found = find_stamped(store, partitions, &version, || !shared.is_stopping());
                // The controller is gone when the region stops; the next start searches again.
                let _ = own.send(ControlWork::Searched { version, deletion, found });
            });
        }
    }

    /// A search has ended.
    pub(super) fn searched(
        &mut self,
        version: FunctionVersion,
        deletion: &ChangeId,
        found: Result<Search, StoreError>,
    ) {
        let again_at = Instant::now() + SEARCH_AGAIN;
        let stamped = match found {
            Ok(Search::Nothing) => {
                self.searches.searched.remove(&version);
                if self.applier.drop_component(&version, deletion) {
                    self.searches.dropped.push(version);
                }
                return;
            }
            Ok(Search::Found(stamped)) => Some(stamped),
            Ok(Search::GivenUp) => None,
            Err(error) => {
                tracing::error!(%version, %error, "search for what needs a version");
                None
            }
        };
        self.searches.searched.insert(version, Searched::Found { stamped, again_at });
    }

    /// The turn is committed, or it is not.
    pub(super) fn unload_dropped(&mut self, committed: bool) {
        for version in std::mem::take(&mut self.searches.dropped) {
            if committed {
                tracing::info!(region = %self.shared.site.region, %version, "a version is deleted");
                self.shared.host.remove(&version);
            }
        }
    }
}
