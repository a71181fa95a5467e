//! A reader's place in one lane.

use std::collections::VecDeque;
use std::time::Instant;

use crate::{Delivery, Item, Lane};

/// How much a batch may still take.
pub(super) struct Budget {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// A reader's place in one lane.
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) paused: bool,
    /// The client fetches it.
    pub(super) is_read: bool,
    /// Whether the log holds `next` is asked before it is read.
    pub(super) is_doubted: bool,
    /// `next` is of a topic that had the same name before.
    pub(super) is_other_topic: bool,
    /// The position of what is fetched next.
    pub(super) next: u64,
    /// What is fetched and not delivered.
    pub(super) fetched: VecDeque<Delivery>,
    /// How much that is.
    pub(super) fetched_bytes: usize,
    /// When something was last fetched.
    pub(super) heard_at: Instant,
    /// Where it was when the log was last seen to be longer than what came of it.
    pub(super) behind_at: Option<u64>,
}

impl LaneState {
    pub(super) fn new(lane: Lane, now: Instant) -> Self {
        Self {
            lane,
            paused: false,
            is_read: false,
            is_doubted: false,
            is_other_topic: false,
            next: 0,
            fetched: VecDeque::new(),
            fetched_bytes: 0,
            heard_at: now,
            behind_at: None,
        }
    }

    /// From now on the client fetches it.
    pub(super) fn starts(&mut self, now: Instant) {
        (self.is_read, self.is_doubted, self.heard_at) = (true, false, now);
    }

    pub(super) fn seek(&mut self, position: u64) {
        self.next = position;
        self.fetched.clear();
        self.fetched_bytes = 0;
        // A position that a caller kept may be of any age; the client finds out where it is wrong.
        self.is_doubted = false;
    }

    /// Delivers that the log does not hold what was to be fetched next, and where it goes on.
    pub(super) fn move_to(&mut self, start: u64, reason: &str) {
        let asked = self.next;
        let item = Item::Moved { asked, start, reason: reason.to_owned() };
        let lane = self.lane;
        self.fetched.push_back(Delivery { lane, position: asked, next_position: start, item });
        self.next = start;
        self.is_other_topic = false;
    }

    pub(super) fn push(&mut self, position: u64, next_position: u64, item: Item, now: Instant) {
        let delivery = Delivery { lane: self.lane, position, next_position, item };
        self.fetched_bytes += size(&delivery);
        self.fetched.push_back(delivery);
        (self.next, self.heard_at, self.behind_at) = (next_position, now, None);
    }

    /// Delivers what is fetched, as far as the budget goes.
    pub(super) fn take(&mut self, budget: &mut Budget, out: &mut Vec<Delivery>) {
        while !self.paused && budget.records > 0 && budget.bytes > 0 {
            let Some(delivery) = self.fetched.pop_front() else { return };
            let bytes = size(&delivery);
            self.fetched_bytes = self.fetched_bytes.saturating_sub(bytes);
            budget.records -= 1;
            budget.bytes = budget.bytes.saturating_sub(bytes);
            out.push(delivery);
        }
    }
}

fn size(delivery: &Delivery) -> usize {
    match &delivery.item {
        Item::Record(envelope) => envelope.payload.len() + envelope.key.len(),
        Item::Corrupt { raw, .. } => raw.len(),
        Item::Moved { .. } => 0,
    }
}
