//! What a peer was last heard to say, and whether it stands still.

use std::collections::BTreeMap;

use crate::{Hlc, RegionId, VersionVector};

/// After how many heartbeats of a peer, without progress in what it has taken, it is fed again.
const STANDSTILL_HEARTBEATS: u8 = 3;

/// Each time that feeding a peer again has not helped, twice as many heartbeats are waited for, up to
/// so many: a peer that takes nothing for long must not be sent everything every few seconds.
const STANDSTILL_HEARTBEATS_MAX: u8 = 48;

/// After how many heartbeats of its own a region takes a peer for silent, if it heard nothing.
const SILENT_HEARTBEATS: u8 = 3;

/// Sends again what a peer does not take.
#[derive(Clone, Debug)]
pub(super) struct Feeding {
    /// Heartbeats of the peer since what it has taken last moved.
    standing: u8,
    /// After how many it is fed again.
    patience: u8,
}

impl Default for Feeding {
    fn default() -> Self {
        Self { standing: 0, patience: STANDSTILL_HEARTBEATS }
    }
}

impl Feeding {
    /// Answers true if the peer is to be fed again.
    pub(super) fn heard(&mut self, behind: bool, moved: bool, counts: bool) -> bool {
        if !behind || moved {
            *self = Self::default();
            return false;
        }
        self.standing += u8::from(counts);
        if self.standing < self.patience {
            return false;
        }
        self.standing = 0;
        self.patience = (self.patience * 2).min(STANDSTILL_HEARTBEATS_MAX);
        true
    }
}

/// What the last heartbeats of a peer said. Not kept on disk: it is heard again within a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) watermarks: VersionVector,
    pub(crate) taken: VersionVector,
    /// Of this region's own changes.
    pub(super) feeding: Feeding,
    /// Of the changes of other regions that this one passes on.
    pub(super) passing_on: BTreeMap<RegionId, Feeding>,
    /// Heartbeats of this region since the peer was last heard.
    pub(super) silent: u8,
    /// A change of the peer is missing, as the last of its records told that its chain can judge.
    pub(super) lacks: bool,
    /// Older heartbeats of the peer do not count as standing still: they were made while the peer
    /// could not be heard, or before it was fed again, and say nothing about now.
    pub(super) counts_after: Hlc,
}

impl Heard {
    /// True if this region has made several heartbeats since it heard the peer.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent >= SILENT_HEARTBEATS
    }
}
