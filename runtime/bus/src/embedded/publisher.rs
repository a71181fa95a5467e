//! Appending to one region's log.

use std::fs::{self, File, TryLockError};
use std::sync::Arc;

use super::appender::Appender;
use super::frame::BODY_BYTES_MAX;
use super::meta::Meta;
use super::signal::Signal;
use super::{LogDir, Retention, io_error};
use crate::{BusError, Outgoing, Publisher};

/// Each publisher has so many bits of positions in a lane to itself: 64 GiB. Who writes more goes
/// on into the next generation, and the one after it begins behind that.
const GENERATION_BITS: u32 = 36;

/// As many generations as positions have room for: a publisher a second for two years.
const GENERATION_MAX: u64 = (1 << 26) - 1;

pub(super) struct EmbeddedPublisher {
    log: LogDir,
    lanes: Vec<Appender>,
    signal: Arc<Signal>,
    /// Locked as long as it is open. The system unlocks it when the process dies, however it dies.
    _owner: File,
}

impl EmbeddedPublisher {
    pub(super) fn open(
        log: LogDir,
        retention: Retention,
        signal: Arc<Signal>,
    ) -> Result<Self, BusError> {
        fs::create_dir_all(&log.path).map_err(io_error("create folder", &log.path))?;
        let owner = own(&log)?;
        let meta = log.meta()?;
        let open = |lane| Appender::open(log.lane(lane), retention);
        let mut lanes = log.lanes().map(open).collect::<Result<Vec<_>, _>>()?;
        let told = meta.map_or(0, |meta| meta.generation.saturating_add(1));
        let unused = match lanes.iter().map(Appender::highest).max() {
            None | Some(0) => 0,
            Some(highest) => (highest >> GENERATION_BITS) + 1,
        };
        let generation = told.max(unused).min(GENERATION_MAX);
        Meta { partitions: log.partitions, generation }.write(&log.path)?;
        for lane in &mut lanes {
            lane.begin_at(generation << GENERATION_BITS);
        }
        signal.tell(lanes.iter().map(Appender::end));
        Ok(Self { log, lanes, signal, _owner: owner })
    }

    fn append(&mut self, records: &[Outgoing]) -> Result<(), BusError> {
        for record in records {
            let index = self.log.index(record.lane)?;
            self.lanes[index].push(&record.envelope)?;
        }
        self.lanes.iter_mut().try_for_each(Appender::flush)
    }
}

/// Locks the log for this publisher.
fn own(log: &LogDir) -> Result<File, BusError> {
    let path = log.path.join("owner.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io_error("open file", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BusError::Owned { region: log.region.clone() }),
        Err(TryLockError::Error(error)) => Err(io_error("lock file", &path)(error)),
    }
}

impl Publisher for EmbeddedPublisher {
    fn produce(&mut self, records: &[Outgoing]) -> Result<(), BusError> {
        for Outgoing { lane, envelope } in records {
            self.log.index(*lane)?;
            let headers = envelope.headers.iter().map(|(name, value)| name.len() + value.len() + 8);
            let bytes = envelope.payload.len() + envelope.key.len() + headers.sum::<usize>() + 32;
            if bytes > BODY_BYTES_MAX {
                let place = format!("lane {lane} of {}", self.log.region);
                return Err(BusError::TooLarge { place, bytes, limit: BODY_BYTES_MAX });
            }
        }
        let appended = self.append(records);
        if appended.is_err() {
            // What waits in memory belongs to a batch that has failed, and will be produced again.
            self.lanes.iter_mut().for_each(Appender::abandon);
        }
        self.signal.tell(self.lanes.iter().map(Appender::end));
        appended
    }
}

impl Drop for EmbeddedPublisher {
    fn drop(&mut self) {
        // While the lock is still held, so that the next owner's word is the later one.
        self.signal.tell([]);
    }
}
