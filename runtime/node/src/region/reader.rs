//! Reads another region's log, and hands its records to the threads that they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use syncline_bus::{DecodeError, Decoded, Delivery, Envelope, Item, Lane, Reader, decode};
use syncline_core::{ControlRecord, RegionId, partition_of};

use super::Shared;
use super::controller::{ControlItem, ControlRead, ControlWork};
use super::shard::{Read, ReadItem, ReadRecords, ShardWork};

const RECORDS_MAX: usize = 512;
const BYTES_MAX: usize = 4 << 20;
/// How long a reader waits for records before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(100);
/// How often a reader of a link that is cut looks whether it is healed.
const WAIT_FOR_HEALING: Duration = Duration::from_millis(20);

/// One link: the log of `source`, as this region reads it.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) source: RegionId,
    pub(super) shards: Vec<SyncSender<ShardWork>>,
    pub(super) control: SyncSender<ControlWork>,
}

/// A record that is what it should be, where it should be.
enum Sorted {
    Row(Read),
    Control(ControlRead),
}

impl Link {
    /// Reads until the region stops, or the link has to.
    pub(super) fn run(self, mut log: Box<dyn Reader>) {
        let Some(state) = self.shared.links.get(&self.source) else { return };
        let mut paused: BTreeSet<u32> = BTreeSet::new();
        while !self.shared.is_stopping() && state.stopped().is_none() {
            self.wait_while_cut();
            for partition in 0..self.shared.partitions.get() {
                if state.is_full(partition) && paused.insert(partition) {
                    tracing::warn!(source = %self.source, partition, "too much waits: not read");
                    log.pause(Lane::Changes(partition));
                } else if !state.is_full(partition) && paused.remove(&partition) {
                    log.resume(Lane::Changes(partition));
                }
            }
            match log.poll(RECORDS_MAX, BYTES_MAX, WAIT) {
                Ok(deliveries) => {
                    // What arrived after the cut is not let through by a poll from before it.
                    self.wait_while_cut();
                    if !self.pass_on(deliveries) {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(source = %self.source, %error, "cannot read the link");
                    std::thread::sleep(WAIT);
                }
            }
        }
    }

    fn wait_while_cut(&self) {
        let shared = &self.shared;
        while shared.cuts.between(&shared.region, &self.source) && !shared.is_stopping() {
            std::thread::sleep(WAIT_FOR_HEALING);
        }
    }

    /// Answers false if nobody takes the records any more, or the link has to stop.
    fn pass_on(&self, deliveries: Vec<Delivery>) -> bool {
        let mut rows: BTreeMap<u32, Vec<ReadItem>> = BTreeMap::new();
        let mut control = Vec::new();
        let mut holds = false;
        for Delivery { lane, position, next_position, item } in deliveries {
            let sorted = match self.sort(lane, item) {
                Ok(sorted) => sorted,
                Err(version) => {
                    let reason = format!(
                        "it speaks version {version} of the format, which this software does not: \
                         update this region"
                    );
                    self.shared.links.stop(&self.source, reason);
                    holds = true;
                    break;
                }
            };
            match (lane, sorted) {
                (Lane::Changes(partition), Sorted::Row(what)) => {
                    let items = rows.entry(partition).or_default();
                    items.push(ReadItem { position, next_position, what });
                }
                (_, Sorted::Control(what)) => {
                    control.push(ControlItem { position, next_position, what });
                }
                (Lane::Control, Sorted::Row(_)) => {}
            }
        }
        for (partition, items) in rows {
            let shard = &self.shards[partition as usize % self.shards.len()];
            let read = ReadRecords { source: self.source.clone(), partition, items };
            if shard.send(ShardWork::Records(read)).is_err() {
                return false;
            }
        }
        if !control.is_empty() {
            let work = ControlWork::Records { source: self.source.clone(), items: control };
            if self.control.send(work).is_err() {
                return false;
            }
        }
        !holds
    }

    /// Decodes a record and checks that it is this region's, in this place. An error is a version
    /// that is not understood.
    fn sort(&self, lane: Lane, item: Item) -> Result<Sorted, u64> {
        let broken = |raw: Vec<u8>, reason: String| match lane {
            Lane::Changes(_) => Sorted::Row(Read::Broken { raw, reason }),
            Lane::Control => Sorted::Control(ControlRead::Broken { raw, reason }),
        };
        let envelope = match item {
            Item::Record(envelope) => envelope,
            Item::Corrupt { raw, reason } => return Ok(broken(raw, reason)),
            Item::Moved { asked, start, reason } => {
                tracing::warn!(source = %self.source, ?lane, asked, start, %reason,
                    "the log does not hold what is to be read next; what is missing is sent again");
                return Ok(match lane {
                    Lane::Changes(_) => Sorted::Row(Read::Moved),
                    Lane::Control => Sorted::Control(ControlRead::Moved),
                });
            }
        };
        match decode(&envelope) {
            Ok(decoded) => Ok(self
                .place(lane, decoded)
                .unwrap_or_else(|reason| broken(raw_of(envelope), reason.into()))),
            Err(DecodeError::UnknownVersion(version)) => Err(version),
            Err(DecodeError::Undecodable(reason)) => Ok(broken(raw_of(envelope), reason)),
        }
    }

    fn place(&self, lane: Lane, decoded: Decoded) -> Result<Sorted, &'static str> {
        let (region, hlc) = match &decoded {
            Decoded::Change(record) => (&record.change.id.region, record.change.id.hlc),
            Decoded::Heartbeat(beat) => (&beat.region, beat.hlc),
            Decoded::Control(ControlRecord { id, .. }) => (&id.region, id.hlc),
        };
        if *region != self.source {
            return Err("the record is not of the region whose log it stands in");
        }
        let sorted = match (lane, decoded) {
            (Lane::Changes(partition), Decoded::Change(record)) => {
                if partition_of(&record.row, self.shared.partitions) != partition {
                    return Err("the row does not belong to the partition that it stands in");
                }
                Sorted::Row(Read::Change(Box::new(record)))
            }
            (Lane::Changes(_), Decoded::Heartbeat(beat)) => {
                self.heard(hlc);
                Sorted::Row(Read::Heartbeat(beat))
            }
            (Lane::Control, Decoded::Heartbeat(beat)) => {
                self.heard(hlc);
                Sorted::Control(ControlRead::Heartbeat(beat))
            }
            (Lane::Control, Decoded::Control(record)) => {
                Sorted::Control(ControlRead::Record(record))
            }
            _ => return Err("the record does not belong to the topic that it stands in"),
        };
        self.shared.clock.observe(hlc);
        Ok(sorted)
    }

    fn heard(&self, hlc: syncline_core::Hlc) {
        if let Some(state) = self.shared.links.get(&self.source) {
            state.heard(hlc);
        }
    }
}

fn raw_of(envelope: Envelope) -> Vec<u8> {
    envelope.to_bytes()
}
