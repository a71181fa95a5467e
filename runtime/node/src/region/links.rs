//! What is known of each link, and which are cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use syncline_bus::Lane;
use syncline_core::{Hlc, PartitionCount, RegionId};

use super::status::{LinkView, MovedView};
use super::{Shared, now_ms};

/// A region that was not heard for so long is called silent.
pub(super) const SILENT_AFTER_MS: u64 = 5_000;
/// A partition in which a region was not heard for so long is called silent, though others are not:
/// long after a thread that is busy would have been heard.
const PARTLY_SILENT_AFTER_MS: u64 = 20_000;
/// A record that is missing for so long does not come by itself: what is missing is sent again after
/// three heartbeats of whom it is missing to, and, however often that did not help, after 48.
const LACKS_AFTER_MS: u64 = 60_000;

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
    started: Instant,
    states: RwLock<BTreeMap<RegionId, Arc<LinkState>>>,
}

/// Silence is counted by a clock that nobody sets, in milliseconds since `started`.
pub(crate) struct LinkState {
    started: Instant,
    partitions: PartitionCount,
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
    /// is. In milliseconds since 1970.
    full: Vec<AtomicU64>,
    /// For each lane since when a record is missing, as the last that was read of it tells; zero
    /// where none is.
    lacks: Vec<AtomicU64>,
    /// Where reading did last not go on where it had ended.
    moved: Mutex<Option<MovedView>>,
}

/// When a link is looked at.
#[derive(Clone, Copy)]
struct Now {
    /// Milliseconds since 1970, for people.
    wall_ms: u64,
    /// As [`LinkState`] counts.
    steady_ms: u64,
}

impl Now {
    /// So long ago.
    fn since(self, steady_ms: u64) -> u64 {
        self.steady_ms.saturating_sub(steady_ms)
    }

    /// The same moment by the wall clock.
    fn wall_of(self, steady_ms: u64) -> u64 {
        self.wall_ms.saturating_sub(self.since(steady_ms))
    }
}

/// Never zero, which stands for never.
fn steady_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}

impl LinkStates {
    /// No links yet.
    pub(super) fn new(partitions: PartitionCount) -> Self {
        Self { partitions, started: Instant::now(), states: RwLock::default() }
    }

    /// A link to a region that is to be read from now on.
    pub(super) fn add(&self, peer: &RegionId) -> Arc<LinkState> {
        let none = |count: u32| (0..count).map(|_| AtomicU64::new(0)).collect();
        let partitions = self.partitions;
        let state = Arc::new(LinkState {
            started: self.started,
            partitions,
            ended: AtomicBool::new(false),
            stopped: Mutex::default(),
            trouble: Mutex::default(),
            tags: Mutex::default(),
            made_at_ms: steady_ms(self.started),
            heard_at_ms: AtomicU64::new(0),
            heard_hlc: AtomicU64::new(0),
            heard_in: none(partitions.get()),
            full: none(partitions.get()),
            lacks: none(partitions.get() + 1),
            moved: Mutex::default(),
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

    /// Notes of which regions a record is missing in a lane, as it was just committed.
    pub(super) fn note_lacking(&self, lane: Lane, lacks_of: impl Fn(&RegionId) -> bool) {
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        states.iter().for_each(|(peer, state)| state.set_lacks(lane, lacks_of(peer)));
    }

    pub(super) fn view(&self, shared: &Shared) -> Vec<LinkView> {
        let now = Now { wall_ms: now_ms(), steady_ms: steady_ms(self.started) };
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
        blame_the_way(&mut views);
        views.push(own_view(shared));
        views.sort_by(|a, b| a.region.cmp(&b.region));
        views
    }
}

fn own_view(shared: &Shared) -> LinkView {
    let (reason, since_ms) = shared.own_log().unzip();
    LinkView {
        region: shared.site.region.clone(),
        own: true,
        via: None,
        tags: own_tags(shared),
        state: if reason.is_some() { "unwritable" } else { "up" },
        lag_ms: Some(0),
        reason,
        since_ms,
        full_since_ms: None,
        silent_in: BTreeSet::new(),
        lacks_in: BTreeSet::new(),
        lacks_since_ms: None,
        moved: None,
    }
}

/// Says of each region that is not heard what is wrong on the way to it, where it is heard through
/// another one.
fn blame_the_way(views: &mut [LinkView]) {
    let ways: BTreeMap<String, (&'static str, Option<String>)> = views
        .iter()
        .map(|view| (view.region.name().to_owned(), (view.state, view.reason.clone())))
        .collect();
    for view in views.iter_mut().filter(|view| view.state == "silent") {
        let Some(via) = &view.via else { continue };
        let what = match ways.get(via) {
            Some(("silent", _)) => "which is not heard itself: bring that back first".to_owned(),
            Some((state @ ("unreadable" | "stopped"), reason)) => {
                let reason = reason.as_deref().unwrap_or_default();
                format!("whose log is {state} here: {reason}")
            }
            None => "which is not read here, as it is no member".to_owned(),
            Some(_) => format!(
                "which is heard: either it does not run itself, or [region] forwards = true is \
                 missing in the configuration of {via}"
            ),
        };
        view.reason = Some(format!("it is heard through {via}, {what}"));
    }
}

/// As they stand in this region's records.
fn own_tags(shared: &Shared) -> Vec<RegionId> {
    let (region, tags) = (&shared.site.region, &shared.site.tags);
    std::iter::once(region).chain(tags.iter().filter(|tag| *tag != region)).cloned().collect()
}

impl LinkState {
    /// When it is looked at, and the partitions that are read here.
    fn view(
        &self,
        peer: &RegionId,
        via: Option<String>,
        is_cut: bool,
        (now, own): (Now, &BTreeSet<u32>),
    ) -> LinkView {
        let heard = self.heard_at_ms.load(Ordering::Relaxed);
        let lag = now.wall_ms.saturating_sub(self.heard_hlc.load(Ordering::Relaxed) >> 16);
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let trouble = self.trouble();
        let last_heard = now.wall_of(heard.max(self.made_at_ms));
        let (reason, stopped_ms) = stopped.unzip();
        let (state, since_ms) = if stopped_ms.is_some() {
            ("stopped", stopped_ms)
        } else if is_cut {
            ("cut", None)
        } else if trouble.is_some() {
            ("unreadable", Some(last_heard))
        } else if heard == 0 || now.since(heard) > SILENT_AFTER_MS {
            ("silent", Some(last_heard))
        } else {
            ("up", None)
        };
        let full = self.full.iter().map(|since| since.load(Ordering::Relaxed));
        let full = full.filter(|since| *since > 0);
        let (lacks_in, lacks_since) =
            if state == "up" { self.lacks_in(now) } else { Default::default() };
        LinkView {
            region: peer.clone(),
            own: false,
            via,
            tags: self.tags.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            state,
            lag_ms: (heard > 0).then_some(lag),
            reason: reason.or(trouble),
            since_ms,
            full_since_ms: full.min(),
            silent_in: if state == "up" { self.silent_in(now, own) } else { BTreeSet::new() },
            lacks_in,
            lacks_since_ms: lacks_since.map(|since| now.wall_of(since)),
            moved: self.moved.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// The partitions in which it was heard, and is no more.
    fn silent_in(&self, now: Now, own: &BTreeSet<u32>) -> BTreeSet<u32> {
        let silent = |partition: &&u32| {
            let heard = self.heard_in.get(**partition as usize);
            let heard = heard.map_or(0, |heard| heard.load(Ordering::Relaxed));
            now.since(heard.max(self.made_at_ms)) > PARTLY_SILENT_AFTER_MS
        };
        own.iter().filter(silent).copied().collect()
    }

    /// The lanes in which a record is missing for long, and since when in the first of them.
    fn lacks_in(&self, now: Now) -> (BTreeSet<Lane>, Option<u64>) {
        let since = self.lacks.iter().map(|since| since.load(Ordering::Relaxed));
        let lanes = Lane::all(self.partitions.get()).zip(since);
        let long = |(_, since): &(Lane, u64)| *since > 0 && now.since(*since) > LACKS_AFTER_MS;
        let long: Vec<(Lane, u64)> = lanes.filter(long).collect();
        (long.iter().map(|(lane, _)| *lane).collect(), long.iter().map(|(_, since)| *since).min())
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
        let now = steady_ms(self.started);
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
        keep_since(since, if full { now_ms() } else { 0 });
    }

    fn set_lacks(&self, lane: Lane, lacks: bool) {
        let since = lane.index(self.partitions.get()).ok().and_then(|lane| self.lacks.get(lane));
        let Some(since) = since else { return };
        keep_since(since, if lacks { steady_ms(self.started) } else { 0 });
    }

    /// Reading does not go on where it had ended.
    pub(super) fn set_moved(&self, lane: Lane, reason: String) {
        let moved = MovedView { lane, reason, at_ms: now_ms() };
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Some(moved);
    }

    pub(super) fn is_full(&self, partition: u32) -> bool {
        self.full.get(partition as usize).is_some_and(|since| since.load(Ordering::Relaxed) > 0)
    }
}

/// What holds since before holds since then; zero: it does not hold.
fn keep_since(since: &AtomicU64, now: u64) {
    let _ = since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |since| {
        ((now > 0) != (since > 0)).then_some(now)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> (LinkStates, Arc<LinkState>) {
        let states = LinkStates::new(PartitionCount::new(4).unwrap());
        let state = states.add(&"a".parse().unwrap());
        (states, state)
    }

    fn viewed(state: &LinkState, now: Now) -> LinkView {
        let own = BTreeSet::from([0, 1, 2]);
        state.view(&"a".parse().unwrap(), None, false, (now, &own))
    }

    #[test]
    fn a_partition_that_is_not_heard_any_more_is_told() {
        let (_, state) = states();
        let silent = |steady_ms| viewed(&state, Now { wall_ms: now_ms(), steady_ms }).silent_in;
        state.heard(Lane::Changes(0), Hlc::ZERO);
        assert!(silent(1).is_empty());
        let later = 2 * PARTLY_SILENT_AFTER_MS;
        for partition in [0, 3] {
            state.heard_in[partition].store(later, Ordering::Relaxed);
        }
        state.heard_at_ms.store(later, Ordering::Relaxed);
        assert_eq!(silent(later), BTreeSet::from([1, 2]));
        // Of a region that is not heard at all that is said of the region.
        assert!(silent(2 * later).is_empty());
    }

    #[test]
    fn silence_is_counted_by_a_clock_that_nobody_sets() {
        let (_, state) = states();
        state.heard_at_ms.store(10_000, Ordering::Relaxed);
        let at = |wall_ms, steady_ms| {
            let view = viewed(&state, Now { wall_ms, steady_ms });
            (view.state, view.since_ms)
        };
        // Whatever the wall clock is set to meanwhile.
        assert_eq!(at(1_000, 10_001), ("up", None));
        assert_eq!(at(9_000_000_000, 10_001), ("up", None));
        let silent = 10_001 + SILENT_AFTER_MS;
        assert_eq!(at(1_000_000, silent), ("silent", Some(1_000_000 - SILENT_AFTER_MS - 1)));
    }

    #[test]
    fn what_is_missing_for_long_is_told_with_its_lane() {
        let (states, state) = states();
        let heard = |steady_ms| {
            state.heard_at_ms.store(steady_ms, Ordering::Relaxed);
            let view = viewed(&state, Now { wall_ms: 2_000_000, steady_ms });
            (view.lacks_in, view.lacks_since_ms)
        };
        states.note_lacking(Lane::Control, |_| true);
        states.note_lacking(Lane::Changes(2), |_| true);
        state.lacks[2].store(500, Ordering::Relaxed);
        state.lacks[4].store(LACKS_AFTER_MS, Ordering::Relaxed);
        // It holds since it began.
        states.note_lacking(Lane::Changes(2), |_| true);
        assert_eq!(heard(500 + LACKS_AFTER_MS), Default::default());
        let since = 2_000_000 - LACKS_AFTER_MS - 1;
        assert_eq!(heard(501 + LACKS_AFTER_MS), ([Lane::Changes(2)].into(), Some(since)));
        states.note_lacking(Lane::Changes(2), |_| false);
        let since = 2_000_000 - LACKS_AFTER_MS - 2;
        assert_eq!(heard(2 * LACKS_AFTER_MS + 2), ([Lane::Control].into(), Some(since)));
        // Of a region that is not heard, that is said.
        let now = Now { wall_ms: 0, steady_ms: 9 * LACKS_AFTER_MS };
        assert_eq!(viewed(&state, now).lacks_in, [].into());
    }

    #[test]
    fn who_is_heard_through_another_is_not_blamed_for_it() {
        let (_, state) = states();
        let view = |name: &str, via: Option<&str>, of, reason: Option<&str>| {
            let view = viewed(&state, Now { wall_ms: 0, steady_ms: 1 });
            let (region, via) = (name.parse().unwrap(), via.map(str::to_owned));
            LinkView { region, via, state: of, reason: reason.map(str::to_owned), ..view }
        };
        let told = |of, reason| {
            let mut views =
                vec![view("far", Some("hub"), "silent", None), view("hub#2", None, of, reason)];
            blame_the_way(&mut views);
            assert_eq!(views[1].reason.as_deref(), reason);
            views[0].reason.clone().unwrap()
        };
        assert!(told("up", None).contains("[region] forwards = true"));
        let dead = told("silent", None);
        assert!(dead.contains("heard through hub, which is not heard itself"), "{dead}");
        let dark = told("unreadable", Some("no way there"));
        assert!(dark.ends_with("hub, whose log is unreadable here: no way there"), "{dark}");
        let mut alone = vec![view("far", Some("hub"), "up", None)];
        blame_the_way(&mut alone);
        assert_eq!(alone[0].reason, None);
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
