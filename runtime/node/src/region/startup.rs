//! What a region that starts waits for before it takes writes and produces anything: the word of
//! those who may know more of it than its disk does.
//!
//! It reads the end of its own log, and waits for a heartbeat of each peer that was made after the
//! start. If its cluster is dark it takes writes after [`OWN_LOG_WAIT`] all the same, and if a peer
//! is, after [`start_wait`]; but it produces nothing before it has read its own log. It goes on
//! comparing what it hears: a disk that turns out to be old later stops the region then.
//!
//! [`start_wait`]: crate::config::LimitsConfig::start_wait

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use syncline_bus::{Bus, BusError, Decoded, Delivery, Item, Lane, decode};
use syncline_core::{Heartbeat, Hlc, RegionId, StartCheck, StartVerdict};

use super::aside::way_back;
use super::nodes::Peers;
use super::{Shared, chain};

/// How long writes wait for the region's own log. It is read at once unless its cluster is dark.
const OWN_LOG_WAIT: Duration = Duration::from_secs(10);
/// How long writes wait for the node that leads, if that is dark.
const LEAD_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked whether the wait is over.
const LOOK: Duration = Duration::from_millis(50);
/// How soon a cluster that could not be asked is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// The same, once nothing waits for the answer but the check of the wall clock.
const ASK_LATER: Duration = Duration::from_secs(5);
/// A cluster that cannot be asked is worth a word after so long.
const TROUBLE_AFTER: Duration = Duration::from_secs(2);
/// How much of the own log is read at once.
const RECORDS_MAX: usize = 1024;
const BYTES_MAX: usize = 4 << 20;

/// What a region that starts still waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// The end of its own log was not read yet.
    pub own_log: bool,
    /// Peers that were not heard since the start.
    pub peers: BTreeSet<RegionId>,
    /// Other nodes of the region that were not asked yet whether they claim what this one has.
    pub nodes: BTreeSet<String>,
    /// The node that leads, where it has not told what holds since the start.
    pub lead: Option<String>,
}

impl std::fmt::Display for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = self.own_log.then(|| "the region's own log".to_owned());
        let peers = self.peers.iter().map(ToString::to_string);
        let nodes = self.nodes.iter().map(|node| format!("node {node}"));
        let lead = self.lead.iter().map(|lead| format!("node {lead}, which leads"));
        let all: Vec<String> = own.into_iter().chain(peers).chain(nodes).chain(lead).collect();
        f.write_str(&all.join(", "))
    }
}

/// The start of a region, until it has taken up its work, and what it goes on watching for.
pub(crate) struct Startup {
    me: RegionId,
    started: Instant,
    /// How long peers are waited for.
    wait: Duration,
    is_open: AtomicBool,
    /// The other nodes of the region.
    nodes: Option<Arc<Peers>>,
    lead: Option<Lead>,
    state: Mutex<State>,
    changed: Condvar,
}

/// The node that leads, where that is another one.
pub(super) struct Lead {
    /// Its name.
    pub(super) node: String,
    /// What it told in an earlier run is known: without it nothing can be done while it is dark.
    pub(super) is_known: bool,
}

struct State {
    lead_heard: bool,
    /// When the node that leads last said no.
    lead_refused_at: Option<Instant>,
    own_log_read: bool,
    checks: BTreeMap<Lane, StartCheck>,
    old: Option<(Hlc, Hlc)>,
}

impl Startup {
    /// `known` is the highest HLC on the disk.
    pub(super) fn new(
        me: &RegionId,
        peers: &BTreeSet<RegionId>,
        lanes: impl Iterator<Item = Lane>,
        known: Hlc,
        wait: Duration,
    ) -> Self {
        let peers = peers.iter().filter(|_| !wait.is_zero());
        let check = StartCheck::new(me.clone(), known, peers.cloned());
        let checks = lanes.map(|lane| (lane, check.clone())).collect();
        let state = State {
            lead_heard: false,
            lead_refused_at: None,
            own_log_read: false,
            checks,
            old: None,
        };
        Self {
            me: me.clone(),
            started: Instant::now(),
            wait,
            is_open: AtomicBool::new(false),
            nodes: None,
            lead: None,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// The same, of one of several nodes; `lead` is none for the one that leads.
    pub(super) fn among(self, nodes: Option<Arc<Peers>>, lead: Option<Lead>) -> Self {
        Self { nodes, lead, ..self }
    }

    /// The node that leads has told what holds.
    pub(super) fn lead_was_heard(&self) {
        let mut state = self.lock();
        (state.lead_heard, state.lead_refused_at) = (true, None);
    }

    /// The node that leads takes this one for what it says it is.
    pub(super) fn lead_admits(&self) {
        self.lock().lead_refused_at = None;
    }

    /// The node that leads says no. Nothing begins while it does, and until it was dark for long enough
    /// since.
    pub(super) fn lead_refuses(&self) {
        self.lock().lead_refused_at = Some(Instant::now());
    }

    /// What is waited for before writes are taken; none: nothing any more. `takes_up` is called once,
    /// when that is so, and answers the lowest HLC that this start draws.
    pub(super) fn awaited(&self, takes_up: impl FnOnce() -> Hlc) -> Option<Awaited> {
        if self.is_open.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let mut awaited = state.awaited();
        awaited.nodes = self.nodes.as_ref().map(|nodes| nodes.unasked()).unwrap_or_default();
        let lead = self.lead.as_ref().filter(|_| !state.lead_heard);
        awaited.lead = lead.map(|lead| lead.node.clone());
        let waited = self.started.elapsed();
        let waits = (awaited.own_log && waited < OWN_LOG_WAIT)
            || (!awaited.peers.is_empty() && waited < self.wait)
            || !awaited.nodes.is_empty()
            || lead.is_some_and(|lead| {
                let since = state.lead_refused_at.unwrap_or(self.started);
                !lead.is_known || since.elapsed() < LEAD_WAIT
            });
        if waits || state.old.is_some() {
            return Some(awaited);
        }
        // Another thread may have been here before.
        if !self.is_open.load(Ordering::Acquire) {
            let own_from = takes_up();
            state.checks.values_mut().for_each(|check| check.takes_up(own_from));
            self.is_open.store(true, Ordering::Release);
            if awaited != Awaited::default() {
                tracing::warn!(region = %self.me, not_heard = %awaited,
                    "the region takes writes, though not all were heard that might know that its \
                     disk is old");
            }
        }
        None
    }

    /// Waits until the region may produce. False: it never may.
    pub(super) fn may_produce(&self, shared: &Shared) -> bool {
        let mut state = self.lock();
        while state.old.is_none() && !shared.is_stopping() {
            drop(state);
            if self.is_over(shared) {
                return true;
            }
            state = self.lock();
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// True once nothing is waited for and the own log was read: what this region says counts.
    pub(super) fn is_over(&self, shared: &Shared) -> bool {
        let is_open = shared.awaited().is_none();
        let state = self.lock();
        is_open && state.own_log_read && state.old.is_none()
    }

    /// Nothing was ever said in the log that the peer is heard in: there is nothing to wait for.
    fn is_new(&self, peer: &RegionId) {
        self.lock().checks.values_mut().for_each(|check| check.does_not_await(peer));
    }

    /// A peer's heartbeat, in the log of `source`; fresh if it got there after the start.
    pub(super) fn heard(
        &self,
        shared: &Shared,
        lane: Lane,
        source: &RegionId,
        beat: &Heartbeat,
        is_fresh: bool,
    ) {
        self.look(shared, lane, |check| {
            if beat.region == *source {
                check.heard(beat, is_fresh);
            } else {
                check.heard_through(source, beat);
            }
        });
    }

    fn look(&self, shared: &Shared, lane: Lane, show: impl FnOnce(&mut StartCheck)) {
        let mut state = self.lock();
        let Some(check) = state.checks.get_mut(&lane) else { return };
        show(check);
        if let StartVerdict::Old { known, told } = check.verdict()
            && state.old.is_none()
        {
            state.old = Some((known, told));
            drop(state);
            let was_open = self.is_open.load(Ordering::Acquire);
            shared.fail(self.is_old(lane, (known, told), was_open));
        }
    }

    /// What is told of a disk that is old. `was_open`: writes have been taken since the start.
    fn is_old(&self, lane: Lane, (known, told): (Hlc, Hlc), was_open: bool) -> String {
        let of_node = match &self.nodes {
            Some(nodes) => format!(
                ", in {lane}, which the configuration gives to node {}. Another node may have had \
                 that before, and has it still: partitions cannot be given to another",
                nodes.nodes().me()
            ),
            None => String::new(),
        };
        let since = if was_open {
            "That was not known when it began to take writes: what it has acknowledged since this \
             start may be in this folder only. Keep a copy of the folder, and write that again once \
             the region is back"
        } else {
            "Nothing was written or produced from it since"
        };
        format!(
            "its disk is old: it knows the region's changes up to {known}, others know some up to \
             {told}{of_node}. {since}. Put the newer data folder back if there is one. If there is \
             none: {}",
            way_back(&self.me)
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn awaited(&self) -> Awaited {
        let mut awaited = Awaited { own_log: !self.own_log_read, ..Awaited::default() };
        for check in self.checks.values() {
            if let StartVerdict::Waiting { peers } = check.verdict() {
                awaited.peers.extend(peers);
            }
        }
        awaited
    }
}

/// Reads the end of the region's own log, however long its cluster is dark.
pub(super) fn read_own_log(shared: &Arc<Shared>, bus: &dyn Bus) {
    while !shared.is_stopping() {
        match read_to_end(shared, bus) {
            Ok(true) => {
                shared.set_own_log(None);
                shared.startup.lock().own_log_read = true;
                shared.startup.changed.notify_all();
                return;
            }
            Ok(false) => return,
            Err(error) => {
                note_trouble(shared, Some(chain(&error)));
                std::thread::sleep(ASK_AGAIN);
            }
        }
    }
}

fn note_trouble(shared: &Shared, reason: Option<String>) {
    // A topic that was made just now has no leader for a moment.
    if shared.startup.started.elapsed() > TROUBLE_AFTER {
        let what = "nothing is produced before its end was read";
        shared.set_own_log(reason.map(|reason| format!("{what}: {reason}")));
    }
}

/// Answers false if the region stops before that.
fn read_to_end(shared: &Shared, bus: &dyn Bus) -> Result<bool, BusError> {
    let me = &shared.site.region;
    let tails: BTreeMap<Lane, u64> = bus.tails(me)?.into_iter().collect();
    let mut left: BTreeMap<Lane, u64> = bus.ends(me)?.into_iter().collect();
    left.retain(|lane, end| tails.get(lane).is_none_or(|tail| tail < end));
    let from: Vec<(Lane, u64)> = tails.into_iter().collect();
    let mut reader = bus.reader(me, &from)?;
    for lane in shared.site.foreign_lanes() {
        left.remove(&lane);
        reader.pause(lane);
    }
    while !left.is_empty() && !shared.is_stopping() {
        let deliveries = reader.poll(RECORDS_MAX, BYTES_MAX, LOOK)?;
        note_trouble(shared, reader.trouble());
        for Delivery { lane, next_position, item, .. } in deliveries {
            if left.get(&lane).is_some_and(|end| next_position >= *end) {
                left.remove(&lane);
            }
            match said(&item) {
                Some(Said::By(region, hlc)) if region == *me => {
                    shared.startup.look(shared, lane, |check| check.own_record(hlc));
                }
                // What was passed on tells what its region knew of this one then.
                Some(Said::Heartbeat(beat)) => {
                    shared.startup.look(shared, lane, |check| match beat.region == *me {
                        true => check.own_record(beat.hlc),
                        false => check.heard(&beat, false),
                    });
                }
                _ => {}
            }
        }
    }
    Ok(left.is_empty())
}

/// What a record of the own log tells of this region.
enum Said {
    By(RegionId, Hlc),
    Heartbeat(Heartbeat),
}

fn said(item: &Item) -> Option<Said> {
    let Item::Record(envelope) = item else { return None };
    Some(match decode(envelope).ok()? {
        Decoded::Change(record) => Said::By(record.change.id.region, record.change.id.hlc),
        Decoded::Heartbeat(beat) => Said::Heartbeat(beat),
        Decoded::Control(record) => Said::By(record.id.region, record.id.hlc),
    })
}

/// From which position on each lane of a peer's log was written after the start. It is asked for
/// until it is known.
pub(super) struct Freshness {
    peer: RegionId,
    /// All that are heard in its log.
    heard_here: Vec<RegionId>,
    from: Option<BTreeMap<Lane, u64>>,
    ask_at: Instant,
}

impl Freshness {
    pub(super) fn of(peer: &RegionId, heard_here: Vec<RegionId>) -> Self {
        Self { peer: peer.clone(), heard_here, from: None, ask_at: Instant::now() }
    }

    pub(super) fn look(&mut self, shared: &Shared, bus: &dyn Bus) {
        if self.from.is_some() || Instant::now() < self.ask_at {
            return;
        }
        let starts = shared.awaited().is_some();
        self.ask_at = Instant::now() + if starts { ASK_AGAIN } else { ASK_LATER };
        if let Ok(ends) = bus.ends(&self.peer) {
            if ends.iter().all(|(_, end)| *end == 0) {
                self.heard_here.iter().for_each(|peer| shared.startup.is_new(peer));
            }
            self.from = Some(ends.into_iter().collect());
        }
    }

    pub(super) fn is_fresh(&self, lane: Lane, position: u64) -> bool {
        let from = self.from.as_ref().and_then(|from| from.get(&lane));
        from.is_some_and(|from| position >= *from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hlc(n: u64) -> Hlc {
        Hlc::from_bits(n).unwrap()
    }

    fn startup(wait: Duration) -> Startup {
        let peers = BTreeSet::from(["me", "a"].map(|name| name.parse().unwrap()));
        let me: RegionId = "me".parse().unwrap();
        Startup::new(&me, &peers, Lane::all(1), hlc(10), wait)
    }

    #[test]
    fn a_node_waits_for_the_one_that_leads_and_without_its_word_as_long_as_it_takes() {
        for is_known in [true, false] {
            let startup = startup(Duration::ZERO);
            let mut startup = startup.among(None, Some(Lead { node: "a".into(), is_known }));
            startup.lock().own_log_read = true;
            assert_eq!(startup.awaited(|| hlc(20)).unwrap().to_string(), "node a, which leads");
            startup.started -= LEAD_WAIT;
            startup.lead_refuses();
            assert!(startup.awaited(|| hlc(20)).is_some());
            startup.lock().lead_refused_at = Instant::now().checked_sub(LEAD_WAIT);
            assert_eq!(startup.awaited(|| hlc(20)).is_none(), is_known);
            startup.lead_was_heard();
            assert_eq!(startup.awaited(|| hlc(20)), None);
        }
    }

    #[test]
    fn writes_wait_for_the_own_log_and_each_peer() {
        let startup = startup(Duration::from_secs(3600));
        assert_eq!(startup.awaited(|| hlc(20)).unwrap().to_string(), "the region's own log, a");
        startup.lock().own_log_read = true;
        assert_eq!(startup.awaited(|| hlc(20)).unwrap().to_string(), "a");
        startup.is_new(&"a".parse().unwrap());
        assert_eq!(startup.awaited(|| hlc(20)), None);
    }

    #[test]
    fn writes_that_were_taken_on_an_old_disk_are_to_be_kept() {
        let startup = startup(Duration::ZERO);
        let told = |was_open| startup.is_old(Lane::Control, (hlc(1), hlc(2)), was_open);
        assert!(told(false).contains("Nothing was written") && !told(false).contains("copy"));
        assert!(!told(true).contains("Nothing was written"), "{}", told(true));
        assert!(told(true).contains("Keep a copy of the folder") && told(true).contains("evict"));
    }

    #[test]
    fn a_dark_peer_is_waited_for_up_to_a_limit() {
        let startup = startup(Duration::from_nanos(1));
        startup.lock().own_log_read = true;
        assert_eq!(startup.awaited(|| hlc(20)), None);
    }

    #[test]
    fn no_peer_is_waited_for_where_the_limit_is_nothing() {
        assert_eq!(
            startup(Duration::ZERO).awaited(|| hlc(20)).unwrap().to_string(),
            "the region's own log"
        );
    }
}
