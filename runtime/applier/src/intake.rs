//! What stands in a region's log, decoded and put in its place.

use syncline_bus::{DecodeError, Decoded, Envelope, Item, Lane, decode};
use syncline_core::{
    ChangeRecord, ControlRecord, Heartbeat, PartitionCount, RegionId, partition_of,
};
use syncline_store::kv::quarantine::{QuarantineId, Quarantined};

/// A record that cannot be read.
#[derive(Clone, Debug)]
pub struct Broken {
    /// As it came.
    pub raw: Vec<u8>,
    /// It came as the record that was put into the log, and only what it says is not understood.
    pub whole: bool,
    /// What is wrong with it.
    pub reason: String,
}

/// What was read of a log at one position of a row partition's lane.
#[derive(Clone, Debug)]
pub enum Read {
    /// A change, and its record as it came.
    Change(Box<ChangeRecord>, Envelope),
    /// A heartbeat, and its record as it came.
    Heartbeat(Heartbeat, Envelope),
    /// It cannot be read; kept as it is.
    Broken(Broken),
    /// The log does not hold the position that was asked for; reading goes on from this one.
    Moved,
}

/// What was read of a log at one position of the control lane.
#[derive(Clone, Debug)]
pub enum ControlRead {
    /// A control record, and its record as it came.
    Record(Box<ControlRecord>, Envelope),
    /// As [`Read::Heartbeat`].
    Heartbeat(Heartbeat, Envelope),
    /// As [`Read::Broken`].
    Broken(Broken),
    /// As [`Read::Moved`].
    Moved,
}

/// A record in its place.
#[derive(Clone, Debug)]
pub struct ReadItem {
    /// Where it stands.
    pub position: u64,
    /// Where to go on reading.
    pub next_position: u64,
    /// What it is.
    pub what: Read,
}

/// A control record in its place.
#[derive(Clone, Debug)]
pub struct ControlItem {
    /// Where it stands.
    pub position: u64,
    /// Where to go on reading.
    pub next_position: u64,
    /// What it is.
    pub what: ControlRead,
}

/// Records of one partition of one region's log.
#[derive(Clone, Debug)]
pub struct ReadRecords {
    /// In whose log they stand.
    pub source: RegionId,
    /// In which partition.
    pub partition: u32,
    /// In order.
    pub items: Vec<ReadItem>,
}

/// A record that is what it should be, where it should be.
#[derive(Clone, Debug)]
pub enum Sorted {
    /// For a row partition.
    Row(Read),
    /// For the control partition.
    Control(ControlRead),
}

/// Takes in one region's log.
#[derive(Clone, Debug)]
pub struct Intake {
    /// In whose log the records stand.
    pub source: RegionId,
    /// Into how many partitions rows are spread.
    pub partitions: PartitionCount,
    /// Its region passes on what it hears: heartbeats of others may stand in it too.
    pub forwards: bool,
}

impl Intake {
    /// Decodes a record and checks that it may stand in this log, in this lane. An error is a
    /// version of the format that this software does not understand: the link must hold.
    pub fn sort(&self, lane: Lane, item: Item) -> Result<Sorted, u64> {
        let envelope = match item {
            Item::Record(envelope) => envelope,
            Item::Corrupt { raw, whole, reason } => {
                return Ok(broken(lane, Broken { raw, whole, reason }));
            }
            Item::Moved { .. } => {
                return Ok(match lane {
                    Lane::Changes(_) => Sorted::Row(Read::Moved),
                    Lane::Control => Sorted::Control(ControlRead::Moved),
                });
            }
        };
        match decode(&envelope) {
            Ok(decoded) => Ok(self.place(lane, decoded, envelope)),
            Err(DecodeError::UnknownVersion { version, origin }) if self.hears(&origin) => {
                Err(version)
            }
            Err(DecodeError::UnknownVersion { version, origin }) => {
                let origin: String = origin.as_str().chars().take(80).collect();
                let reason = format!(
                    "its version is {version}, and {origin}, which it is of, has no place in this \
                     log"
                );
                Ok(broken(lane, Broken::of(&envelope, reason)))
            }
            Err(DecodeError::Undecodable(reason)) => {
                Ok(broken(lane, Broken::of(&envelope, reason)))
            }
        }
    }

    /// True if what the region says may stand in this log.
    fn hears(&self, region: &RegionId) -> bool {
        *region == self.source || self.forwards
    }

    /// A change or a control record of another region may stand here if that region is gone, or is
    /// heard in this log: the partition decides.
    fn place(&self, lane: Lane, decoded: Decoded, envelope: Envelope) -> Sorted {
        let refuse = |reason: &str| broken(lane, Broken::of(&envelope, reason.into()));
        match (lane, decoded) {
            (Lane::Changes(partition), Decoded::Change(record)) => {
                if partition_of(&record.row, self.partitions) != partition {
                    return refuse("the row does not belong to the partition that it stands in");
                }
                Sorted::Row(Read::Change(Box::new(record), envelope))
            }
            (_, Decoded::Heartbeat(beat)) if !self.hears(&beat.region) => {
                refuse("the heartbeat is not of the region whose log it stands in")
            }
            (Lane::Changes(_), Decoded::Heartbeat(beat)) => {
                Sorted::Row(Read::Heartbeat(beat, envelope))
            }
            (Lane::Control, Decoded::Heartbeat(beat)) => {
                Sorted::Control(ControlRead::Heartbeat(beat, envelope))
            }
            (Lane::Control, Decoded::Control(record)) => {
                Sorted::Control(ControlRead::Record(Box::new(record), envelope))
            }
            _ => refuse("the record does not belong to the topic that it stands in"),
        }
    }
}

/// A record that is kept aside, as it came.
pub(crate) fn quarantined(
    (source, partition, position): (&RegionId, u32, u64),
    broken: Broken,
    at_ms: u64,
) -> Quarantined {
    let Broken { raw, whole, reason } = broken;
    let id = QuarantineId { source: source.clone(), partition, position };
    Quarantined { id, reason, at_ms, raw_bytes: raw.len() as u64, raw, whole }
}

impl Broken {
    /// A record that came whole.
    pub(crate) fn of(envelope: &Envelope, reason: String) -> Self {
        Self { raw: envelope.to_bytes(), whole: true, reason }
    }
}

/// Why a record of another region than the log's is kept aside.
pub(crate) const FOREIGN: &str = "the record is of a region that has no place in this log";

fn broken(lane: Lane, broken: Broken) -> Sorted {
    match lane {
        Lane::Changes(_) => Sorted::Row(Read::Broken(broken)),
        Lane::Control => Sorted::Control(ControlRead::Broken(broken)),
    }
}
