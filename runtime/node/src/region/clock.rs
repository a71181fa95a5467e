//! The region's wall clock, and what it is worth.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use syncline_applier::Moment;
use syncline_core::Hlc;

use super::startup::Awaited;
use super::{Region, Shared, now_ms};

/// The wall clock that a region goes by: the machine's, or one that is off, to play a region whose
/// clock is wrong. All clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct WallClock {
    off_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// Moves it away from the machine's clock, by so many milliseconds.
    pub fn set_off_ms(&self, off_ms: i64) {
        self.off_ms.store(off_ms, Ordering::SeqCst);
    }

    fn now_ms(&self) -> u64 {
        now_ms().saturating_add_signed(self.off_ms.load(Ordering::SeqCst))
    }
}

/// How the wall clock stands beside the other regions' time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockView {
    /// By how many milliseconds it is ahead, zero where it is behind; none where their time is not
    /// known.
    pub ahead_ms: Option<u64>,
    /// Local writes are refused for that since this moment, in milliseconds since 1970.
    pub refused_since_ms: Option<u64>,
}

/// Why no writes are taken.
pub(crate) fn clock_ahead(ahead_ms: u64) -> String {
    format!(
        "this region's wall clock is {ahead_ms} ms ahead of the other regions': set it right, and \
         writes are taken again at once"
    )
}

impl Shared {
    /// Milliseconds since the start, by a clock that nobody sets.
    pub(super) fn steady_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Now, as far as the wall clock may be believed.
    pub(super) fn moment(&self) -> Moment {
        let moment = self.site.moment(self.clock.now_ms(), self.steady_ms());
        let region = &self.site.region;
        let since = if moment.ahead_ms.is_some() { moment.now_ms } else { 0 };
        let was = self.ahead_since_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |was| {
            ((was > 0) != (since > 0)).then_some(since)
        });
        match (was, moment.ahead_ms) {
            (Ok(_), Some(ahead_ms)) => {
                tracing::error!(%region, ahead_ms,
                    "the wall clock is ahead of the other regions': no local writes are taken");
            }
            (Ok(_), None) => {
                tracing::warn!(%region, "the wall clock is right again: local writes are taken");
            }
            (Err(_), _) => {}
        }
        moment
    }

    /// The time that records and notes go by: milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        self.moment().now_ms
    }

    /// What the region waits for before it says anything; none: it has begun.
    pub(super) fn awaited(&self) -> Option<Awaited> {
        self.startup.awaited(|| {
            let now = Hlc::new(self.now_ms(), 0).unwrap_or(Hlc::MAX);
            let from = now.max(self.site.clock.last());
            // Whatever it says is later.
            self.site.clock.observe(from);
            from
        })
    }
}

impl Region {
    /// How its wall clock stands beside the other regions' time.
    pub fn clock(&self) -> ClockView {
        let shared = &self.shared;
        let ahead_of = |peers_ms| shared.clock.now_ms().saturating_sub(peers_ms);
        let refused = shared.moment().ahead_ms.is_some();
        let since_ms = shared.ahead_since_ms.load(Ordering::SeqCst);
        ClockView {
            ahead_ms: shared.site.peers_ms(shared.steady_ms()).map(ahead_of),
            refused_since_ms: refused.then_some(since_ms),
        }
    }
}
