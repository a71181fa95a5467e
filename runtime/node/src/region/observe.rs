//! What is seen of the versions that are being rolled out: what they resolve, what they cost, and
//! what they would have made of conflicts that others resolved.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use syncline_core::{
    ConflictId, ConflictOutcome, ConflictRecord, Replayed, Rollout, RolloutCounters, RolloutId,
    RolloutPlace, Stamp, TableName,
};
use syncline_host::Host;

use super::Shared;
use super::merging::{Calls, Used};
use super::nodes::WatchedForm;
use super::tally::{Tally, VersionCounts};
use crate::replay::{Difference, Metered, needs_ancestor};

/// Conflicts that wait to be replayed by a version in the shadow. Rows are shared with the store's
/// cache and the log, so this is small; what does not fit is dropped, and counted.
const SHADOW_QUEUE: usize = 256;
/// After each replay the shadow rests for as long as that took, so that it has no more than half of
/// one processor, however many conflicts come.
const SHADOW_REST: u32 = 1;
/// Of each rollout the last conflicts that ended otherwise, or in a fault, are kept to be shown.
const SAMPLES_MAX: usize = 10;
/// Of so many rollouts, the last ones.
const SAMPLED_ROLLOUTS_MAX: usize = 16;
/// Of larger rows only the conflict's id is kept: its record has them.
const SAMPLE_BYTES_MAX: usize = 64 << 10;
/// How often an idle shadow looks whether the region stops.
const SHADOW_LOOK: Duration = Duration::from_millis(200);

/// A rollout that is under way.
#[derive(Clone, Debug)]
struct Watched {
    rollout: RolloutId,
    version: Stamp,
    in_shadow: bool,
}

/// A conflict that tells something about a version.
#[derive(Debug)]
pub struct Sample {
    /// The version did not answer: why.
    pub fault: Option<String>,
    /// Where it ran beside the active version and came to another row: both.
    pub difference: Option<Difference>,
    /// The conflict.
    pub conflict: ConflictId,
}

/// Shared by those who resolve conflicts, the shadow, and the controller who reports.
pub(crate) struct Observer {
    watched: RwLock<Arc<BTreeMap<TableName, Watched>>>,
    seen: Mutex<Seen>,
    queue: SyncSender<ConflictRecord>,
}

#[derive(Default)]
struct Seen {
    /// Since the last report.
    counters: BTreeMap<RolloutId, RolloutCounters>,
    samples: BTreeMap<RolloutId, VecDeque<Arc<Sample>>>,
    /// Since the start, of all versions.
    tally: Tally,
}

/// The conflicts for the shadow's thread.
pub(super) struct ShadowQueue(Receiver<ConflictRecord>);

impl Observer {
    /// Nothing is watched yet.
    pub(super) fn new() -> (Self, ShadowQueue) {
        let (queue, conflicts) = sync_channel(SHADOW_QUEUE);
        let observer = Self { watched: RwLock::default(), seen: Mutex::default(), queue };
        (observer, ShadowQueue(conflicts))
    }

    /// These rollouts are under way; of others nothing is kept.
    pub(super) fn watch<'a>(&self, open: impl Iterator<Item = &'a Rollout>) {
        let watched = |rollout: &Rollout| Watched {
            rollout: rollout.id.clone(),
            version: rollout.version,
            in_shadow: is_in_shadow(rollout),
        };
        self.set_watched(open.map(|rollout| (rollout.table.clone(), watched(rollout))).collect());
    }

    /// The same, as the node that leads tells it.
    pub(super) fn watch_told(&self, told: &[WatchedForm]) {
        let watched = |told: &WatchedForm| Watched {
            rollout: RolloutId(told.rollout.clone().make()),
            version: told.version.0,
            in_shadow: told.in_shadow,
        };
        self.set_watched(told.iter().map(|told| (told.table.0.clone(), watched(told))).collect());
    }

    fn set_watched(&self, now: BTreeMap<TableName, Watched>) {
        let is_open = |id: &RolloutId| now.values().any(|watched| watched.rollout == *id);
        self.seen().counters.retain(|id, _| is_open(id));
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
    }

    /// Conflicts were resolved, by these calls.
    pub(super) fn resolved(&self, conflicts: Vec<ConflictRecord>, calls: &Calls) {
        if conflicts.is_empty() {
            return;
        }
        self.tally(&conflicts, calls);
        let watched = self.watched();
        for conflict in conflicts {
            let Some(at) = watched.get(&conflict.row.table) else { continue };
            if conflict.stamp == at.version {
                self.count_live(at, &conflict, calls);
            } else if at.in_shadow
                && let Err(TrySendError::Full(conflict)) = self.queue.try_send(conflict)
            {
                self.seen().dropped(at, &conflict);
            }
        }
    }

    fn tally(&self, conflicts: &[ConflictRecord], calls: &Calls) {
        let mut seen = self.seen();
        for conflict in conflicts {
            let fault = fault_of(&conflict.outcome).map(|(code, _)| code);
            let counts = seen.tally.of(&conflict.row.table, conflict.stamp);
            counts.live.count(fault, &calls.of(&conflict.row));
        }
    }

    /// What conflicts came to since the start, by table and stamp.
    pub(crate) fn counted(&self) -> Vec<(TableName, Stamp, VersionCounts)> {
        self.seen().tally.all()
    }

    fn count_live(&self, at: &Watched, conflict: &ConflictRecord, calls: &Calls) {
        let used = calls.of(&conflict.row);
        let fault = fault_of(&conflict.outcome);
        let mut seen = self.seen();
        let counters = seen.counters.entry(at.rollout.clone()).or_default();
        counters.live.count(fault.map(|(code, _)| code), used.fuel_ppm, used.micros());
        if let Some((code, text)) = fault {
            let fault = Some(format!("{code}: {text}"));
            seen.keep(&at.rollout, Sample { fault, difference: None, conflict: conflict.id });
        }
    }

    /// What was seen of a rollout since this was last asked.
    pub(super) fn take(&self, id: &RolloutId) -> Option<RolloutCounters> {
        self.seen().counters.remove(id)
    }

    /// What was taken could not be reported.
    pub(super) fn put_back(&self, id: &RolloutId, counters: &RolloutCounters) {
        self.seen().counters.entry(id.clone()).or_default().add(counters);
    }

    /// The last conflicts in which a rollout's version did not answer or differed, in this region.
    pub(crate) fn samples(&self, id: &RolloutId) -> Vec<Arc<Sample>> {
        self.seen().samples.get(id).into_iter().flatten().cloned().collect()
    }

    fn watched(&self) -> Arc<BTreeMap<TableName, Watched>> {
        Arc::clone(&self.watched.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replays one conflict by the version that is in its table's shadow.
    fn shadow(&self, host: &Host, conflict: &ConflictRecord) {
        let watched = self.watched();
        let in_shadow = |at: &&Watched| at.in_shadow;
        let Some(at) = watched.get(&conflict.row.table).filter(in_shadow) else { return };
        let metered = Metered::new(host);
        let Some(needs_ancestor) = needs_ancestor(host, at.version) else { return };
        let start = Instant::now();
        let replayed = conflict.replay(at.version, needs_ancestor, &metered);
        let (fuel_ppm, fuel) = (metered.most_fuel_ppm(), metered.fuel());
        let used = Used { fuel_ppm, fuel, took: start.elapsed() };
        let mut seen = self.seen();
        let outcome = match replayed {
            Ok(Replayed::Outcome(outcome)) => outcome,
            // Nothing can be said about it, as of those for which there was no room.
            Ok(Replayed::AncestorUnknown | Replayed::NoImages) | Err(_) => {
                seen.dropped(at, conflict);
                return;
            }
        };
        let fault = fault_of(&outcome);
        let code = fault.map(|(code, _)| code);
        let differs = !conflict.leaves_the_same(&outcome);
        let counters = seen.counters.entry(at.rollout.clone()).or_default();
        counters.shadow.count(code, used.fuel_ppm, used.micros());
        counters.different += u64::from(differs);
        let counts = seen.tally.of(&conflict.row.table, at.version);
        counts.shadow.count(code, &used);
        counts.different += u64::from(differs);
        if differs || fault.is_some() {
            let fault = fault.map(|(code, text)| format!("{code}: {text}"));
            let difference = differs.then(|| Difference::of(conflict, at.version, &outcome));
            let difference = difference.filter(|both| both.bytes() <= SAMPLE_BYTES_MAX);
            seen.keep(&at.rollout, Sample { fault, difference, conflict: conflict.id });
        }
    }
}

impl Seen {
    /// Nothing is known of what a version in the shadow makes of a conflict.
    fn dropped(&mut self, at: &Watched, conflict: &ConflictRecord) {
        self.counters.entry(at.rollout.clone()).or_default().dropped += 1;
        self.tally.of(&conflict.row.table, at.version).dropped += 1;
    }

    fn keep(&mut self, id: &RolloutId, sample: Sample) {
        let samples = self.samples.entry(id.clone()).or_default();
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Arc::new(sample));
        if self.samples.len() > SAMPLED_ROLLOUTS_MAX {
            self.samples.pop_first();
        }
    }
}

/// Its version runs beside the active one.
pub(super) fn is_in_shadow(rollout: &Rollout) -> bool {
    rollout.place == RolloutPlace::Shadow && rollout.paused.is_none()
}

fn fault_of(outcome: &ConflictOutcome) -> Option<(&str, &str)> {
    match outcome {
        ConflictOutcome::Fallback { code, text } => Some((code, text)),
        ConflictOutcome::Merged(_) | ConflictOutcome::Waiting { .. } => None,
    }
}

/// Replays what is in the queue, until the region stops. Nobody waits for it.
pub(super) fn run_shadow(shared: &Shared, queue: &ShadowQueue) {
    while !shared.is_stopping() {
        let Ok(conflict) = queue.0.recv_timeout(SHADOW_LOOK) else { continue };
        let start = Instant::now();
        shared.observer.shadow(&shared.host, &conflict);
        std::thread::sleep(start.elapsed() * SHADOW_REST);
    }
}
