//! What is known of each link, and which are cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use syncline_core::{Hlc, PartitionCount, RegionId};

use super::status::LinkView;
use super::{Shared, now_ms};

/// A region that was not heard for so long is called silent.
const SILENT_AFTER_MS: u64 = 5_000;

/// The pairs of regions that do not read each other. Only `syncline dev` cuts.
#[derive(Clone, Debug, Default)]
pub struct Cuts(Arc<Mutex<BTreeSet<(RegionId, RegionId)>>>);

fn pair(a: &RegionId, b: &RegionId) -> (RegionId, RegionId) {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    (low.clone(), high.clone())
}

impl Cuts {
    /// As they were kept.
    pub fn of(pairs: impl IntoIterator<Item = (RegionId, RegionId)>) -> Self {
        let pairs = pairs.into_iter().map(|(a, b)| pair(&a, &b)).collect();
        Self(Arc::new(Mutex::new(pairs)))
    }

    /// Cuts the two from each other, or heals that. Answers true if that changed anything.
    pub fn set(&self, a: &RegionId, b: &RegionId, cut: bool) -> bool {
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cut { pairs.insert(pair(a, b)) } else { pairs.remove(&pair(a, b)) }
    }

    /// True if the two do not read each other.
    pub fn between(&self, a: &RegionId, b: &RegionId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&pair(a, b))
    }

    /// All pairs that are cut.
    pub fn pairs(&self) -> Vec<(RegionId, RegionId)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// How the links of a region stand, told by those who read them and those who apply. Regions come
/// and go.
pub(crate) struct LinkStates {
    partitions: PartitionCount,
    states: RwLock<BTreeMap<RegionId, Arc<LinkState>>>,
}

pub(crate) struct LinkState {
    /// The region is not to be read any more.
    ended: AtomicBool,
    /// Why the link is not read any more, and since when: a fork, or records newer than this
    /// software.
    stopped: Mutex<Option<(String, u64)>>,
    /// Why it cannot be read now.
    trouble: Mutex<Option<String>>,
    /// As its heartbeats say.
    tags: Mutex<Vec<RegionId>>,
    /// Silence is counted from here, too.
    made_at_ms: u64,
    heard_at_ms: AtomicU64,
    heard_hlc: AtomicU64,
    /// For each partition since when so much waits that the link is not to be read; zero where it
    /// is.
    full: Vec<AtomicU64>,
}

impl LinkStates {
    /// No links yet.
    pub(super) fn new(partitions: PartitionCount) -> Self {
        Self { partitions, states: RwLock::default() }
    }

    /// A link to a region that is to be read from now on.
    pub(super) fn add(&self, peer: &RegionId) -> Arc<LinkState> {
        let state = Arc::new(LinkState {
            ended: AtomicBool::new(false),
            stopped: Mutex::default(),
            trouble: Mutex::default(),
            tags: Mutex::default(),
            made_at_ms: now_ms(),
            heard_at_ms: AtomicU64::new(0),
            heard_hlc: AtomicU64::new(0),
            full: (0..self.partitions.get()).map(|_| AtomicU64::new(0)).collect(),
        });
        let mut states = self.states.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = states.insert(peer.clone(), Arc::clone(&state)) {
            before.ended.store(true, Ordering::Release);
        }
        state
    }

    /// The region is not read any more: whoever reads it ends.
    pub(super) fn remove(&self, peer: &RegionId) {
        let mut states = self.states.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.remove(peer) {
            state.ended.store(true, Ordering::Release);
        }
    }

    /// The regions that are read.
    pub(super) fn peers(&self) -> BTreeSet<RegionId> {
        self.states.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    pub(super) fn get(&self, peer: &RegionId) -> Option<Arc<LinkState>> {
        self.states.read().unwrap_or_else(PoisonError::into_inner).get(peer).cloned()
    }

    pub(super) fn stop(&self, peer: &RegionId, reason: String) {
        let Some(state) = self.get(peer) else { return };
        let mut stopped = state.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if stopped.is_none() {
            tracing::error!(%peer, %reason, "the link stops");
            *stopped = Some((reason, now_ms()));
        }
    }

    pub(super) fn view(&self, shared: &Shared) -> Vec<LinkView> {
        let now = now_ms();
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        let mut views: Vec<LinkView> = states
            .iter()
            .map(|(peer, state)| {
                let (site, cuts) = (&shared.site, shared.cuts.pairs());
                let via = site.routes.via(peer).map(str::to_owned);
                let heard_in = via.as_deref().unwrap_or_else(|| peer.name());
                let is_cut = cuts.iter().any(|(a, b)| {
                    let names = [a.name(), b.name()];
                    names.contains(&site.region.name()) && names.contains(&heard_in)
                });
                state.view(peer, via, is_cut, now)
            })
            .collect();
        views.push(LinkView {
            region: shared.site.region.clone(),
            own: true,
            via: None,
            tags: own_tags(shared),
            state: "up",
            lag_ms: Some(0),
            reason: None,
            since_ms: None,
            full_since_ms: None,
        });
        views.sort_by(|a, b| a.region.cmp(&b.region));
        views
    }
}

/// As they stand in this region's records.
fn own_tags(shared: &Shared) -> Vec<RegionId> {
    let (region, tags) = (&shared.site.region, &shared.site.tags);
    std::iter::once(region).chain(tags.iter().filter(|tag| *tag != region)).cloned().collect()
}

impl LinkState {
    fn view(&self, peer: &RegionId, via: Option<String>, is_cut: bool, now: u64) -> LinkView {
        let heard = self.heard_at_ms.load(Ordering::Relaxed);
        let lag = now.saturating_sub(self.heard_hlc.load(Ordering::Relaxed) >> 16);
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let trouble = self.trouble();
        let (reason, stopped_ms) = stopped.unzip();
        let (state, since_ms) = if stopped_ms.is_some() {
            ("stopped", stopped_ms)
        } else if is_cut {
            ("cut", None)
        } else if trouble.is_some() {
            ("unreadable", Some(heard.max(self.made_at_ms)))
        } else if now.saturating_sub(heard) > SILENT_AFTER_MS {
            ("silent", Some(heard.max(self.made_at_ms)))
        } else {
            ("up", None)
        };
        let unheard = via.as_ref().filter(|_| state == "silent").map(|via| {
            format!(
                "it is heard through {via}, in whose configuration [region] forwards = true must \
                 stand; not through its own log"
            )
        });
        let full = self.full.iter().map(|since| since.load(Ordering::Relaxed));
        let full = full.filter(|since| *since > 0);
        LinkView {
            region: peer.clone(),
            own: false,
            via,
            tags: self.tags.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            state,
            lag_ms: (heard > 0).then_some(lag),
            reason: reason.or(trouble).or(unheard),
            since_ms,
            full_since_ms: full.min(),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers true if that is news.
    pub(super) fn set_trouble(&self, reason: Option<String>) -> bool {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *trouble != reason;
        *trouble = reason;
        is_news
    }

    pub(super) fn set_tags(&self, tags: Vec<RegionId>) {
        *self.tags.lock().unwrap_or_else(PoisonError::into_inner) = tags;
    }

    pub(super) fn heard(&self, hlc: Hlc) {
        self.heard_at_ms.store(now_ms(), Ordering::Relaxed);
        self.heard_hlc.fetch_max(hlc.bits(), Ordering::Relaxed);
    }

    pub(super) fn set_full(&self, partition: u32, full: bool) {
        let Some(since) = self.full.get(partition as usize) else { return };
        let now = if full { now_ms() } else { 0 };
        // One that was full before is so since then.
        let _ = since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |since| {
            (full != (since > 0)).then_some(now)
        });
    }

    pub(super) fn is_full(&self, partition: u32) -> bool {
        self.full.get(partition as usize).is_some_and(|since| since.load(Ordering::Relaxed) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_holds_both_ways() {
        let (a, b, c): (RegionId, RegionId, RegionId) =
            ("a".parse().unwrap(), "b".parse().unwrap(), "c".parse().unwrap());
        let cuts = Cuts::default();
        assert!(cuts.set(&b, &a, true) && !cuts.set(&a, &b, true));
        assert!(cuts.between(&a, &b) && cuts.between(&b, &a) && !cuts.between(&a, &c));
        assert_eq!(Cuts::of(cuts.pairs()).pairs(), vec![(a.clone(), b.clone())]);
        assert!(cuts.set(&a, &b, false) && !cuts.between(&a, &b));
    }
}
