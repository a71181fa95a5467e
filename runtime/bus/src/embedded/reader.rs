//! Reading one region's log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LogDir;
use super::lane::{Budget, LaneReader};
use super::segment::Window;
use super::signal::Signal;
use crate::{BusError, Delivery, Lane, Reader};

/// How often a log is looked at whose publisher is in another process.
pub(super) const FOREIGN_LOOK: Duration = Duration::from_millis(20);

/// And one whose publisher is here, and wakes its readers: only in case something else touched it.
const OWN_LOOK: Duration = Duration::from_millis(500);

pub(super) struct EmbeddedReader {
    log: LogDir,
    signal: Arc<Signal>,
    lanes: Vec<LaneReader>,
    /// The lane that the next batch begins with, so that a busy one does not starve the others.
    first: usize,
    /// The source has a log, and its number of partitions is right.
    has_log: bool,
    ends: Vec<u64>,
    window: Window,
}

impl EmbeddedReader {
    pub(super) fn new(
        log: LogDir,
        signal: Arc<Signal>,
        from: &[(Lane, u64)],
    ) -> Result<Self, BusError> {
        let lanes = log.lanes().map(|lane| LaneReader::new(lane, log.lane(lane), 0)).collect();
        let (ends, window) = (Vec::new(), Window::default());
        let mut reader = Self { log, signal, lanes, first: 0, has_log: false, ends, window };
        for (lane, position) in from {
            let index = reader.log.index(*lane)?;
            reader.lanes[index].seek(*position);
        }
        Ok(reader)
    }

    fn collect(&mut self, mut budget: Budget, out: &mut Vec<Delivery>) -> Result<(), BusError> {
        if !self.has_log {
            self.has_log = self.log.meta()?.is_some();
        }
        let count = self.lanes.len();
        let first = self.first;
        self.first = (first + 1) % count;
        self.window.read_ahead(budget.bytes);
        for index in (first..count).chain(0..first) {
            let lane = &mut self.lanes[index];
            if lane.is_paused() || budget.is_spent() {
                continue;
            }
            let end = self.ends.get(index).copied();
            lane.collect(end, self.has_log, &mut self.window, &mut budget, out)?;
        }
        Ok(())
    }

    fn lane(&mut self, lane: Lane) -> Option<&mut LaneReader> {
        let index = self.log.index(lane).ok()?;
        self.lanes.get_mut(index)
    }
}

impl Reader for EmbeddedReader {
    fn poll(
        &mut self,
        max_records: usize,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        let started = Instant::now();
        let mut out = Vec::new();
        loop {
            // Looked at before the files are: what is told in between ends the wait below at once.
            let seen = self.signal.look(&mut self.ends);
            let budget = Budget { records: max_records, bytes: max_bytes };
            match self.collect(budget, &mut out) {
                // What was collected before the error is delivered; the error will be back.
                Err(error) if out.is_empty() => return Err(error),
                _ => {}
            }
            let left = timeout.saturating_sub(started.elapsed());
            if !out.is_empty() || max_records == 0 || left.is_zero() {
                return Ok(out);
            }
            let look = if self.ends.is_empty() { FOREIGN_LOOK } else { OWN_LOOK };
            self.signal.wait(seen, left.min(look));
        }
    }

    fn seek(&mut self, lane: Lane, position: u64) {
        if let Some(lane) = self.lane(lane) {
            lane.seek(position);
        }
    }

    fn pause(&mut self, lane: Lane) {
        if let Some(lane) = self.lane(lane) {
            lane.pause(true);
        }
    }

    fn resume(&mut self, lane: Lane) {
        if let Some(lane) = self.lane(lane) {
            lane.pause(false);
        }
    }
}
