//! Lets in as many calls as the pool has slots for, so that no call finds it empty.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

pub(crate) struct Gate {
    free: Mutex<u32>,
    freed: Condvar,
}

/// A slot, given back when dropped.
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(crate) const fn new(slots: u32) -> Self {
        Self { free: Mutex::new(slots), freed: Condvar::new() }
    }

    /// Waits for a slot until the deadline. None: it came first.
    pub(crate) fn enter(&self, deadline: Instant) -> Option<Pass<'_>> {
        // A number stays a number whoever panicked with the lock held.
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let left = deadline.checked_duration_since(Instant::now())?;
            (free, _) = self.freed.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Some(Pass(self))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_gate_lets_in_when_one_leaves() {
        let gate = Gate::new(1);
        let first = gate.enter(Instant::now()).unwrap();
        assert!(gate.enter(Instant::now() + Duration::from_millis(5)).is_none());
        std::thread::scope(|scope| {
            let second =
                scope.spawn(|| gate.enter(Instant::now() + Duration::from_secs(60)).is_some());
            drop(first);
            assert!(second.join().unwrap());
        });
    }
}
