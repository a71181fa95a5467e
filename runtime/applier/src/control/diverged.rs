//! A divergence holds up what is being rolled out.

use syncline_core::planted::{self, Bug};
use syncline_core::{ChangeId, Divergence, Rollout, RolloutAsk, RolloutText};

use super::ControlApplier;
use crate::Site;
use crate::site::Noted;

/// The actor of what a region does to a rollout by itself.
const BY_ITSELF: &str = "syncline";

impl ControlApplier {
    /// A version whose table does not hold the same everywhere goes no further until somebody has
    /// looked. Each divergence pauses a rollout once, also over restarts.
    pub(super) fn pause_what_diverged<S>(&mut self, site: &Site<S>, now_ms: u64) -> Vec<Noted> {
        let noted = site.take_divergences();
        for Noted { divergence, is_new } in &noted {
            if planted::is(Bug::DivergencePausesNothing) {
                continue;
            }
            let why = RolloutText::cut(&divergence.to_string());
            let open = self.control.rollouts().open().filter(|rollout| {
                let is_named = divergence.tables().contains(&rollout.table);
                is_named && !is_paused_for(rollout, divergence, *is_new, &why)
            });
            for id in open.map(|rollout| rollout.id.clone()).collect::<Vec<_>>() {
                let actor = RolloutText::cut(BY_ITSELF);
                // It may be paused already, or have ended.
                let _ = self.ask(site, &id, RolloutAsk::Pause, (actor, why.clone()), now_ms);
            }
        }
        noted
    }
}

/// True if the rollout needs no pause for a divergence: it had one, or whoever created it knew.
fn is_paused_for(rollout: &Rollout, found: &Divergence, is_new: bool, why: &RolloutText) -> bool {
    if rollout.history.iter().any(|line| line.why == *why) {
        return true;
    }
    // Of several that were found together only the first one has a line.
    let since = |id: &ChangeId| id.hlc.millis() >= found.found_at_ms;
    let mut paused = rollout.history.iter().filter(|line| line.actor.as_str() == BY_ITSELF);
    !is_new && (since(&rollout.id.0) || paused.any(|line| since(&line.id)))
}
