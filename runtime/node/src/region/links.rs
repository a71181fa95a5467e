//! What is known of each link, and which are cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use syncline_bus::Lane;
use syncline_core::{Hlc, PartitionCount, RegionId};

use super::status::LinkView;
use super::{Shared, now_ms};

/// A region that was not heard for so long is called silent.
pub(super) const SILENT_AFTER_MS: u64 = 5_000;
/// A partition in which a region was not heard for so long is called silent, though others are not:
/// long after a thread that is busy would have been heard.
const PARTLY_SILENT_AFTER_MS: u64 = 20_000;

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
    /// For each partition when it was last heard there; zero where it never was.
    heard_in: Vec<AtomicU64>,
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
            heard_in: (0..self.partitions.get()).map(|_| AtomicU64::new(0)).collect(),
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
                state.view(peer, via, is_cut, (now, site.own()))
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
            silent_in: BTreeSet::new(),
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
    /// `now`, and the partitions that are read here.
    fn view(
        &self,
        peer: &RegionId,
        via: Option<String>,
        is_cut: bool,
        (now, own): (u64, &BTreeSet<u32>),
    ) -> LinkView {
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
            silent_in: if state == "up" { self.silent_in(now, own) } else { BTreeSet::new() },
        }
    }

    /// The partitions in which it was heard, and is no more.
    fn silent_in(&self, now: u64, own: &BTreeSet<u32>) -> BTreeSet<u32> {
        let silent = |partition: &&u32| {
            let heard = self.heard_in.get(**partition as usize);
            let heard = heard.map_or(0, |heard| heard.load(Ordering::Relaxed));
            now.saturating_sub(heard.max(self.made_at_ms)) > PARTLY_SILENT_AFTER_MS
        };
        own.iter().filter(silent).copied().collect()
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

    pub(super) fn heard(&self, lane: Lane, hlc: Hlc) {
        let now = now_ms();
        self.heard_at_ms.store(now, Ordering::Relaxed);
        if let Lane::Changes(partition) = lane
            && let Some(heard) = self.heard_in.get(partition as usize)
        {
            heard.store(now, Ordering::Relaxed);
        }
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
    fn a_partition_that_is_not_heard_any_more_is_told() {
        let peer: RegionId = "a".parse().unwrap();
        let states = LinkStates::new(PartitionCount::new(4).unwrap());
        let state = states.add(&peer);
        let own = BTreeSet::from([0, 1, 2]);
        let silent = |at| state.view(&peer, None, false, (now_ms() + at, &own)).silent_in;
        state.heard(Lane::Changes(0), Hlc::ZERO);
        assert!(silent(0).is_empty());
        let later = PARTLY_SILENT_AFTER_MS + 1_000;
        for partition in [0, 3] {
            state.heard_in[partition].store(now_ms() + later, Ordering::Relaxed);
        }
        state.heard_at_ms.store(now_ms() + later, Ordering::Relaxed);
        assert_eq!(silent(later), BTreeSet::from([1, 2]));
        // Of a region that is not heard at all that is said of the region.
        assert!(silent(2 * later).is_empty());
    }

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
