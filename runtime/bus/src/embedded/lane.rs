//! A reader's place in one lane.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::segment::{Extent, Found, OpenSegment, Segment, Window};
use crate::{BusError, Delivery, Envelope, Item, Lane};

/// Where the lane's records end: what a reader gets to that reads all there is.
pub(super) fn end(dir: &Path) -> Result<u64, BusError> {
    // A segment may be deleted between the listing and the look into it: then there is a later one.
    loop {
        let Some(last) = Segment::list(dir)?.pop() else { return Ok(0) };
        let (base, follows) = (last.base, last.follows);
        let Some(mut open) = OpenSegment::open(last)? else { continue };
        let Extent { readable, .. } = Extent::of(&mut open)?;
        return Ok(if readable > base { readable } else { follows });
    }
}

/// The beginning of the last segment that holds records, else the lane's end.
pub(super) fn tail(dir: &Path) -> Result<u64, BusError> {
    for segment in Segment::list(dir)?.into_iter().rev() {
        let base = segment.base;
        // One that is gone since was the oldest.
        let Some(mut open) = OpenSegment::open(segment)? else { break };
        let Extent { readable, .. } = Extent::of(&mut open)?;
        if readable > base {
            return Ok(base);
        }
    }
    end(dir)
}

/// How much a batch may still take.
pub(super) struct Budget {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Budget {
    pub(super) fn is_spent(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }

    fn spend(&mut self, bytes: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// A reader's place in one lane. It opens a file when there is something to read, and holds at most
/// one.
pub(super) struct LaneReader {
    lane: Lane,
    dir: PathBuf,
    position: u64,
    paused: bool,
    open: Option<OpenSegment>,
    /// When the folder was last looked at, and the position then. Where the publisher is in another
    /// process nobody says that it has changed.
    looked: Option<(Instant, u64)>,
}

/// Where the open segment stands in its lane.
enum Standing {
    /// At the end: more may be written to it.
    Last,
    /// Another follows it.
    Sealed,
    /// It is not in the log any more, or not as it was.
    Gone,
}

impl LaneReader {
    pub(super) fn new(lane: Lane, dir: PathBuf, position: u64) -> Self {
        Self { lane, dir, position, paused: false, open: None, looked: None }
    }

    pub(super) fn seek(&mut self, position: u64) {
        (self.position, self.open, self.looked) = (position, None, None);
    }

    /// A paused lane holds no file, which may be one that retention has deleted.
    pub(super) fn pause(&mut self, paused: bool) {
        (self.paused, self.open) = (paused, self.open.take().filter(|_| !paused));
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Collects what there is, as far as the budget goes. `known_end` is the lane's end where the
    /// publisher is in this process; `has_log` says that the source has a log, in which a lane
    /// without segments is an empty one.
    pub(super) fn collect(
        &mut self,
        known_end: Option<u64>,
        has_log: bool,
        window: &mut Window,
        budget: &mut Budget,
        out: &mut Vec<Delivery>,
    ) -> Result<(), BusError> {
        if known_end == Some(self.position) {
            return Ok(());
        }
        window.forget();
        let mut sealed = false;
        while !budget.is_spent() {
            let Some(open) = &mut self.open else {
                sealed = false;
                if !self.locate(has_log, budget, out)? {
                    return Ok(());
                }
                window.forget();
                continue;
            };
            // At the end of the segment before, until there is something in this one.
            let position = self.position.max(open.segment.base);
            match open.find(position, sealed, window)? {
                Found::Frame { body, next } => {
                    let item = match Envelope::from_bytes(body) {
                        Ok(envelope) => Item::Record(envelope),
                        Err(bad) => {
                            let (raw, reason) = (body.to_vec(), bad.to_string());
                            Item::Corrupt { raw, whole: false, reason }
                        }
                    };
                    budget.spend(body.len());
                    self.deliver(position, next, item, out);
                }
                Found::Corrupt { raw, reason, next } => {
                    budget.spend(raw.len());
                    self.deliver(position, next, Item::Corrupt { raw, whole: false, reason }, out);
                }
                Found::End if sealed => self.open = None,
                Found::End => {
                    if known_end.is_none() && !self.may_look() {
                        return Ok(());
                    }
                    match self.standing()? {
                        Standing::Last => return Ok(()),
                        // What was written to it before the next one was begun is still to be read.
                        Standing::Sealed => sealed = true,
                        Standing::Gone => self.open = None,
                    }
                    window.forget();
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, position: u64, next: u64, item: Item, out: &mut Vec<Delivery>) {
        out.push(Delivery { lane: self.lane, position, next_position: next, item });
        self.position = next;
    }

    /// Looking costs some system calls; a busy reader's idle lanes need not be asked each time.
    fn may_look(&mut self) -> bool {
        const PAUSE: Duration = Duration::from_millis(10);
        let may = self
            .looked
            .is_none_or(|(when, position)| position != self.position || when.elapsed() >= PAUSE);
        if may {
            self.looked = Some((Instant::now(), self.position));
        }
        may
    }

    fn standing(&self) -> Result<Standing, BusError> {
        let Some(open) = &self.open else { return Ok(Standing::Gone) };
        let segments = Segment::list(&self.dir)?;
        let Some(at) = segments.iter().position(|segment| *segment == open.segment) else {
            return Ok(Standing::Gone);
        };
        // Another file of the same name shows by its length; the same file that has just grown is
        // opened again for nothing, which does no harm.
        let end = open.end()?;
        let named = std::fs::metadata(&open.segment.path).map(|m| open.segment.base + m.len());
        if named.ok() != Some(end) || end < self.position {
            Ok(Standing::Gone)
        } else if at + 1 < segments.len() {
            Ok(Standing::Sealed)
        } else {
            Ok(Standing::Last)
        }
    }

    /// Opens the segment that the position is in, or delivers that there is none. False if there is
    /// nothing to read yet.
    fn locate(
        &mut self,
        has_log: bool,
        budget: &mut Budget,
        out: &mut Vec<Delivery>,
    ) -> Result<bool, BusError> {
        let mut segments = Segment::list(&self.dir)?;
        let after = segments.partition_point(|segment| segment.base <= self.position);
        // An owner that died before its first record may have left an empty segment, which follows
        // the same position as the one of the owner after it: the last such is meant.
        let continues = |segment: &Segment| segment.follows == self.position;
        let next = segments[after..].iter().rposition(continues).unwrap_or(0) + after;
        let is_last = next + 1 >= segments.len();
        let next = (next < segments.len()).then(|| segments.swap_remove(next));
        let within = match after.checked_sub(1) {
            Some(within) => OpenSegment::open(segments.swap_remove(within))?,
            None => None,
        };
        match (within, next) {
            (None, None) if after == 0 && has_log && self.position > 0 => {
                self.moved(0, "the log is empty", budget, out);
                Ok(false)
            }
            // Without a log it is waited for; a segment deleted just now is looked for again.
            (None, None) => Ok(false),
            (Some(open), _) if self.position < open.end()? => self.enter(open),
            // The next segment continues the position, or it is the place to go on.
            (_, Some(next)) => {
                if next.follows != self.position {
                    let reason = "the log does not hold the position any more";
                    self.moved(next.base, reason, budget, out);
                }
                let Some(open) = OpenSegment::open(next)? else { return Ok(false) };
                if !is_last && open.end()? == open.segment.base {
                    // It lost all it had: what follows it follows a position that it does not have.
                    self.position = open.segment.base;
                }
                self.enter(open)
            }
            (Some(open), None) if self.position == open.end()? => self.enter(open),
            (Some(mut open), None) => {
                let Extent { readable, .. } = Extent::of(&mut open)?;
                self.moved(readable, "the log ends before the position", budget, out);
                self.enter(open)
            }
        }
    }

    fn enter(&mut self, open: OpenSegment) -> Result<bool, BusError> {
        (self.open, self.looked) = (Some(open), None);
        Ok(true)
    }

    fn moved(&mut self, start: u64, reason: &str, budget: &mut Budget, out: &mut Vec<Delivery>) {
        budget.spend(0);
        let asked = self.position;
        self.deliver(asked, start, Item::Moved { asked, start, reason: reason.to_owned() }, out);
    }
}
