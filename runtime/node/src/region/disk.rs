//! Whether the disk is full, as the turns of the partitions find.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use syncline_bus::Lane;

use super::{Region, Shared, now_ms};

/// What there is no space for.
#[derive(Default)]
pub(crate) struct Disk {
    /// Lanes whose last commit found no space.
    full: Mutex<BTreeSet<Lane>>,
    /// Since when there are any, in milliseconds since 1970; zero: there are none.
    since_ms: AtomicU64,
}

impl Disk {
    /// Answers true if that is news of the disk.
    fn note(&self, lane: Lane, is_full: bool) -> bool {
        // Every commit asks, and the disk is hardly ever full.
        if !is_full && self.since_ms.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let was_full = !full.is_empty();
        if is_full {
            full.insert(lane)
        } else {
            full.remove(&lane)
        };
        let is_news = was_full == full.is_empty();
        if is_news {
            let since_ms = if full.is_empty() { 0 } else { now_ms() };
            self.since_ms.store(since_ms, Ordering::SeqCst);
        }
        is_news
    }
}

impl Shared {
    /// A commit of the lane found no space.
    pub(super) fn finds_no_space(&self, lane: Lane, error: &dyn std::error::Error) {
        if self.disk.note(lane, true) {
            tracing::error!(region = %self.site.region, data = %self.data.display(), %error,
                "the disk is full: nothing is taken until there is space");
        }
    }

    /// A commit of the lane was made.
    pub(super) fn finds_space(&self, lane: Lane) {
        if self.disk.note(lane, false) {
            tracing::warn!(region = %self.site.region, "there is space on the disk again");
        }
    }
}

impl Region {
    /// What is said where the disk is full, and since when: milliseconds since 1970. None: it is not.
    pub fn disk_full(&self) -> Option<(String, u64)> {
        let since_ms = self.shared.disk.since_ms.load(Ordering::SeqCst);
        let detail = format!(
            "there is no space left for {}: neither writes nor what others write are taken until \
             there is",
            self.shared.data.display()
        );
        (since_ms > 0).then_some((detail, since_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_until_each_lane_that_found_no_space_finds_some() {
        let disk = Disk::default();
        let (a, b, c) = (Lane::Changes(0), Lane::Changes(1), Lane::Control);
        let since_ms = || disk.since_ms.load(Ordering::SeqCst);
        assert!(!disk.note(a, false) && since_ms() == 0);
        assert!(disk.note(a, true) && !disk.note(b, true) && !disk.note(a, true));
        let since = since_ms();
        // A small commit may find space where a large one does not.
        assert!(!disk.note(c, false) && !disk.note(a, false));
        assert!(since > 0 && since_ms() == since);
        assert!(disk.note(b, false) && since_ms() == 0 && !disk.note(b, false));
    }
}
