//! How a publisher wakes the readers of its process.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a region's publisher tells the readers of its process.
#[derive(Default)]
pub(super) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Counts what was told.
    version: u64,
    /// Each lane's end, by the lane's index; empty while no publisher is in this process.
    ends: Vec<u64>,
}

impl Signal {
    /// The publisher has written up to here; with no ends, it is gone.
    pub(super) fn tell(&self, ends: impl IntoIterator<Item = u64>) {
        let mut state = self.state();
        state.version = state.version.wrapping_add(1);
        state.ends.clear();
        state.ends.extend(ends);
        drop(state);
        self.changed.notify_all();
    }

    /// Each lane's end, by the lane's index; empty while no publisher is in this process.
    pub(super) fn ends(&self) -> Vec<u64> {
        self.state().ends.clone()
    }

    /// As [`Signal::ends`], into a buffer; returns what [`Signal::wait`] is to be called with.
    pub(super) fn look(&self, ends: &mut Vec<u64>) -> u64 {
        let state = self.state();
        ends.clear();
        ends.extend_from_slice(&state.ends);
        state.version
    }

    /// Waits until something is told after `seen` was looked at, but not longer than `timeout`.
    pub(super) fn wait(&self, seen: u64, timeout: Duration) {
        let untold = |state: &mut State| state.version == seen;
        // Whether it was told or timed out, the caller looks again.
        drop(self.changed.wait_timeout_while(self.state(), timeout, untold));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
