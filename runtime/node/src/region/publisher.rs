//! Brings the outbox and the heartbeats to the bus, each partition in its one order.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use syncline_bus::{BusError, Envelope, Lane, Outgoing, Publisher, encode_heartbeat};
use syncline_core::{CONTROL_PARTITION, Feed, FeedStep, Heartbeat, Hlc};
use syncline_store::kv::outbox;

use super::Shared;

/// Records and bytes that go to the bus at once.
const RECORDS_MAX: usize = 512;
const BYTES_MAX: usize = 4 << 20;
/// How long to wait after the bus has refused.
const PAUSE: Duration = Duration::from_millis(500);

/// How far each partition is, shared by who syncs and who produces. It holds no records, so it is
/// bounded however long the bus is away.
pub(super) struct Feeds {
    state: Mutex<FeedsState>,
    changed: Condvar,
}

struct FeedsState {
    feeds: BTreeMap<Lane, Feed>,
    closed: bool,
}

/// The number of a lane's partition in the store.
pub(super) fn partition_of_lane(lane: Lane) -> u32 {
    match lane {
        Lane::Changes(partition) => partition,
        Lane::Control => CONTROL_PARTITION,
    }
}

impl Feeds {
    pub(super) fn new(feeds: BTreeMap<Lane, Feed>) -> Arc<Self> {
        let state = Mutex::new(FeedsState { feeds, closed: false });
        Arc::new(Self { state, changed: Condvar::new() })
    }

    pub(super) fn synced(&self, lane: Lane, change: Option<Hlc>, heartbeat: Option<Heartbeat>) {
        self.with(lane, |feed| feed.synced(change, heartbeat));
    }

    pub(super) fn resend_after(&self, lane: Lane, hlc: Hlc) {
        self.with(lane, |feed| feed.resend_after(hlc));
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn with(&self, lane: Lane, change: impl FnOnce(&mut Feed)) {
        if let Some(feed) = self.lock().feeds.get_mut(&lane) {
            change(feed);
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, FeedsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do, lanes in turn. None: there is nothing and never will be.
    fn next(&self, last: Lane) -> Option<(Lane, FeedStep)> {
        let mut state = self.lock();
        loop {
            let after = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
            let in_turn = state.feeds.range(after).chain(state.feeds.range(..=last));
            let due = in_turn.map(|(lane, feed)| (*lane, feed.next()));
            if let Some(due) = due.into_iter().find(|(_, step)| *step != FeedStep::Idle) {
                return Some(due);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

/// Ends when the syncer has ended and everything is produced, or the bus refuses then.
pub(super) fn run(shared: &Arc<Shared>, feeds: &Feeds, mut bus: Box<dyn Publisher>) {
    let mut last = Lane::Control;
    let mut troubled = false;
    while let Some((lane, step)) = feeds.next(last) {
        last = lane;
        match produce(shared, feeds, &mut *bus, lane, step) {
            Ok(()) => {
                if std::mem::take(&mut troubled) {
                    tracing::info!(region = %shared.region, "the bus takes records again");
                }
            }
            Err(Failure::Bus(error)) => {
                if !std::mem::replace(&mut troubled, true) {
                    tracing::warn!(region = %shared.region, %error, "the bus takes no records");
                }
                if feeds.is_closed() {
                    return;
                }
                std::thread::sleep(PAUSE);
            }
            Err(Failure::Outbox(reason)) => {
                shared.fail(format!("read the outbox: {reason}"));
                return;
            }
        }
    }
}

enum Failure {
    Bus(BusError),
    Outbox(String),
}

fn produce(
    shared: &Shared,
    feeds: &Feeds,
    bus: &mut dyn Publisher,
    lane: Lane,
    step: FeedStep,
) -> Result<(), Failure> {
    match step {
        FeedStep::Idle => Ok(()),
        FeedStep::Heartbeat(beat) => {
            let envelope = encode_heartbeat(&beat);
            bus.produce(&[Outgoing { lane, envelope }]).map_err(Failure::Bus)?;
            feeds.with(lane, |feed| feed.beat(beat.hlc));
            Ok(())
        }
        FeedStep::Changes { after, upto } => {
            let partition = partition_of_lane(lane);
            let page = outbox::page(&shared.store, partition, after, upto, RECORDS_MAX, BYTES_MAX)
                .map_err(|error| Failure::Outbox(error.to_string()))?;
            // What every region has confirmed since is gone from the outbox, and need not be sent.
            let done = page.last().map_or(upto, |(hlc, _)| *hlc);
            let mut records = Vec::with_capacity(page.len());
            for (_, bytes) in page {
                let envelope = Envelope::from_bytes(&bytes)
                    .map_err(|error| Failure::Outbox(error.to_string()))?;
                records.push(Outgoing { lane, envelope });
            }
            bus.produce(&records).map_err(Failure::Bus)?;
            feeds.with(lane, |feed| feed.produced(done));
            Ok(())
        }
    }
}
