//! The bus of the simulation: one log a region and lane, which loses, repeats and spoils what it is
//! told to.

use std::collections::{BTreeMap, BTreeSet};

use syncline_bus::{Envelope, Item, Lane};
use syncline_core::RegionId;

/// One lane of a region's log.
#[derive(Debug, Default)]
pub struct Log {
    /// The position of the first record that is still there.
    start: u64,
    records: Vec<Envelope>,
}

impl Log {
    /// The position behind the last record.
    pub fn end(&self) -> u64 {
        self.start + self.records.len() as u64
    }

    /// Appends a record.
    pub fn append(&mut self, record: Envelope) {
        self.records.push(record);
    }

    /// What stands at a position, and where to go on. None at the end.
    pub fn read(&self, position: u64) -> Option<(Item, u64)> {
        if position < self.start || position > self.end() {
            let start = if position < self.start { self.start } else { self.end() };
            let reason = "the log does not hold it".into();
            return Some((Item::Moved { asked: position, start, reason }, start));
        }
        let record = self.records.get((position - self.start) as usize)?;
        Some((Item::Record(record.clone()), position + 1))
    }

    /// Loses its last records. Answers how many it had.
    pub fn lose_tail(&mut self, count: usize) -> usize {
        let lost = count.min(self.records.len());
        self.records.truncate(self.records.len() - lost);
        lost
    }

    /// Keeps its last records only.
    pub fn retain(&mut self, keeps: usize) -> usize {
        let dropped = self.records.len().saturating_sub(keeps);
        self.records.drain(..dropped);
        self.start += dropped as u64;
        dropped
    }

    /// Its records.
    pub fn records(&self) -> &[Envelope] {
        &self.records
    }

    /// Takes out its last record.
    pub fn pop(&mut self) -> Option<Envelope> {
        self.records.pop()
    }
}

/// All logs, and who cannot read whose.
#[derive(Debug, Default)]
pub struct Bus {
    logs: BTreeMap<(RegionId, Lane), Log>,
    cuts: BTreeSet<(RegionId, RegionId)>,
}

impl Bus {
    /// A region's log.
    pub fn log(&mut self, region: &RegionId, lane: Lane) -> &mut Log {
        self.logs.entry((region.clone(), lane)).or_default()
    }

    /// From now on `reader` does not reach `source`, or does again.
    pub fn set_cut(&mut self, reader: &RegionId, source: &RegionId, cut: bool) {
        let link = (reader.clone(), source.clone());
        if cut {
            self.cuts.insert(link)
        } else {
            self.cuts.remove(&link)
        };
    }

    /// Everyone reaches everyone.
    pub fn mend_all(&mut self) {
        self.cuts.clear();
    }

    /// True if `reader` does not reach `source`.
    pub fn is_cut(&self, reader: &RegionId, source: &RegionId) -> bool {
        self.cuts.contains(&(reader.clone(), source.clone()))
    }
}
