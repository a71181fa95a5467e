//! Brings the outbox and the heartbeats to the bus, each partition in its one order.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use syncline_applier::{FeedError, portion};
use syncline_bus::{BadFrame, BusError, Lane, Publisher};
use syncline_core::{FeedStep, Forward, Heartbeat, Hlc, PassOn};

use super::failpoint::Failpoint;
use super::own_log::Refused;
use super::{Shared, chain};

/// So much of all lanes goes to the bus together, and of the last of them what there is.
const TOGETHER_BYTES_MAX: usize = 16 << 20;
/// So long a region that stops goes on producing what is in its outbox. What is left is durable, and
/// is produced by the next start.
const DRAIN: Duration = Duration::from_secs(10);
/// How long to wait after the bus has refused.
const PAUSE: Duration = Duration::from_millis(500);

/// How far each partition is, shared by who syncs and who produces. It holds no records, so it is
/// bounded however long the bus is away.
pub(super) struct Feeds {
    state: Mutex<FeedsState>,
    changed: Condvar,
}

struct FeedsState {
    feeds: syncline_applier::Feeds,
    /// Nothing is added any more, and nothing produced after this.
    closed_until: Option<Instant>,
}

impl Feeds {
    pub(super) fn new(feeds: syncline_applier::Feeds) -> Arc<Self> {
        let state = Mutex::new(FeedsState { feeds, closed_until: None });
        Arc::new(Self { state, changed: Condvar::new() })
    }

    pub(super) fn synced(&self, durable: Vec<(Lane, Option<Hlc>, Option<Heartbeat>)>) {
        self.with(|feeds| {
            for (lane, change, heartbeat) in durable {
                feeds.synced(lane, change, heartbeat);
            }
        });
    }

    /// What a commit has taken of other regions, where this one passes it on.
    pub(super) fn forward(&self, lane: Lane, what: Vec<Forward>) {
        if !what.is_empty() {
            self.with(|feeds| feeds.forward(lane, what));
        }
    }

    /// What others lack, as a commit has found.
    pub(super) fn lacking(&self, lane: Lane, resend_after: Option<Hlc>, pass_on: Vec<PassOn>) {
        if resend_after.is_none() && pass_on.is_empty() {
            return;
        }
        self.with(|feeds| {
            if let Some(after) = resend_after {
                feeds.resend_after(lane, after);
            }
            pass_on.into_iter().for_each(|what| feeds.pass_on(lane, what));
        });
    }

    /// Nothing is added any more. What there is may be produced for a while.
    pub(super) fn close(&self) {
        self.close_at(Instant::now() + DRAIN);
    }

    fn close_at(&self, until: Instant) {
        self.lock().closed_until = Some(until);
        self.changed.notify_all();
    }

    fn with(&self, change: impl FnOnce(&mut syncline_applier::Feeds)) {
        change(&mut self.lock().feeds);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, FeedsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do: lanes in turn from the one behind `last`, so many at most. None:
    /// there is nothing and never will be, or it is for the next start to do.
    fn due(&self, last: Lane, lanes: usize) -> Option<Vec<(Lane, FeedStep)>> {
        let mut state = self.lock();
        loop {
            if state.closed_until.is_some_and(|until| Instant::now() >= until) {
                return None;
            }
            let due: Vec<_> = state.feeds.due(last).take(lanes).collect();
            if !due.is_empty() {
                return Some(due);
            }
            if state.closed_until.is_some() {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lanes(&self) -> usize {
        self.lock().feeds.lanes()
    }

    fn is_closed(&self) -> bool {
        self.lock().closed_until.is_some()
    }
}

/// Ends when the syncer has ended and everything is produced; or the bus refuses then, or it takes
/// too long.
///
/// What all lanes have goes to the bus together, as its answer takes as long for many records as for
/// one. After a refusal each lane goes alone once, so that one that is refused holds up no other.
pub(super) fn run(
    shared: &Arc<Shared>,
    feeds: &Feeds,
    mut bus: Box<dyn Publisher>,
    mut failpoint: Failpoint,
) {
    if shared.startup.may_produce(shared) {
        produce_all(shared, feeds, &mut *bus, &mut failpoint);
    }
    // After a failure it is not the outbox that people need to hear of.
    if shared.fatal.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
        tell_what_is_left(shared, feeds);
    }
}

fn tell_what_is_left(shared: &Shared, feeds: &Feeds) {
    let feeds = feeds.lock().feeds.clone();
    let region = &shared.site.region;
    match feeds.left(&shared.site) {
        Ok(0) => {}
        Ok(left) => tracing::warn!(%region, left,
            "changes were not produced before the region stopped: they are kept, and the next start \
             produces them"),
        Err(error) => tracing::warn!(%region, %error, "count what was not produced"),
    }
}

fn produce_all(
    shared: &Arc<Shared>,
    feeds: &Feeds,
    bus: &mut dyn Publisher,
    failpoint: &mut Failpoint,
) {
    let mut last = Lane::Control;
    let lanes = feeds.lanes();
    let mut alone = 0_usize;
    let mut refused = Refused::default();
    while let Some(due) = feeds.due(last, if alone > 0 { 1 } else { lanes }) {
        let (tried, produced) = produce(shared, feeds, bus, due, failpoint);
        last = tried.last().copied().unwrap_or(last);
        let why = match &produced {
            Err(Failure::Bus(error)) => Some(chain(error)),
            _ => None,
        };
        shared.set_own_log(refused.note(&tried, why.as_deref()));
        match produced {
            Ok(()) => alone = alone.saturating_sub(1),
            Err(Failure::Bus(_)) => {
                alone = lanes;
                if feeds.is_closed() {
                    return;
                }
                std::thread::sleep(PAUSE);
            }
            Err(Failure::Outbox(error)) => {
                let reason = chain(&error);
                match error {
                    FeedError::Store(error) => shared.fail_in_store(reason, &error),
                    // A newer build may have been here.
                    FeedError::Record(BadFrame::Layout(_)) => shared.fail(reason),
                    FeedError::Record(_) => shared.fail_as_corrupt(reason),
                }
                return;
            }
        }
    }
}

enum Failure {
    Bus(BusError),
    Outbox(FeedError),
}

/// Answers the lanes of which something was tried, too.
fn produce(
    shared: &Shared,
    feeds: &Feeds,
    bus: &mut dyn Publisher,
    due: Vec<(Lane, FeedStep)>,
    failpoint: &mut Failpoint,
) -> (Vec<Lane>, Result<(), Failure>) {
    let (mut tried, mut bytes) = (Vec::new(), 0);
    let (mut records, mut portions) = (Vec::new(), Vec::new());
    for (lane, step) in due {
        if bytes >= TOGETHER_BYTES_MAX {
            break;
        }
        tried.push(lane);
        match portion(&shared.site, lane, step) {
            Ok(None) => {}
            Ok(Some(mut due)) => {
                bytes += due.records.iter().map(|r| r.envelope.payload.len()).sum::<usize>();
                records.append(&mut due.records);
                portions.push(due);
            }
            Err(error) => return (tried, Err(Failure::Outbox(error))),
        }
    }
    if let Some(first) = failpoint.cuts(&records) {
        // Whether they get there is for the test to see.
        let _ = bus.produce(&records[..first]);
        std::process::abort();
    }
    let produced = bus.produce(&records).map_err(Failure::Bus);
    if produced.is_ok() {
        feeds.with(|feeds| portions.iter().for_each(|due| feeds.produced(due)));
    }
    (tried, produced)
}

#[cfg(test)]
mod tests {
    use syncline_core::Feed;

    use super::*;

    #[test]
    fn a_region_that_stops_produces_for_a_while_and_no_longer() {
        let lane = Lane::Changes(0);
        let hlc = |n| Hlc::from_bits(n).unwrap();
        let all = [(lane, Feed::starting_after(Hlc::ZERO, hlc(9)))];
        let feeds = Feeds::new(syncline_applier::Feeds::new(all));
        assert!(feeds.due(lane, 1).is_some() && !feeds.is_closed());
        feeds.close();
        assert!(feeds.due(lane, 1).is_some() && feeds.is_closed(), "what is there is produced");
        feeds.close_at(Instant::now());
        assert!(feeds.due(lane, 1).is_none(), "the rest is for the next start");
    }
}
