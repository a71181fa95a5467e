//! What waits for a shard: what clients ask for and what was read, in one order.

use std::sync::mpsc::{Receiver, SendError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use syncline_applier::{Read, ReadItem, ReadRecords};

use super::shard::ShardWork;

/// So many bytes of records may wait for a shard, or be in its turn. Enough for large commits, and
/// little enough that a write behind them does not wait for long.
const RECORDS_BYTES_MAX: usize = 8 << 20;

/// The way to a shard.
#[derive(Clone)]
pub(super) struct ShardQueue {
    work: SyncSender<ShardWork>,
    room: Arc<Room>,
}

impl ShardQueue {
    /// A queue with so many places. Records take half of them at most, so that a backlog does not turn
    /// writes away.
    pub(super) fn new(places: usize) -> (Self, Receiver<ShardWork>) {
        let (work, taken) = sync_channel(places);
        let batches_max = (places / 2).max(1);
        let room = Room { batches_max, held: Mutex::default(), freed: Condvar::new() };
        (Self { work, room: Arc::new(room) }, taken)
    }

    /// Waits for a place.
    pub(super) fn send(&self, work: ShardWork) -> Result<(), SendError<ShardWork>> {
        self.work.send(work)
    }

    /// Fails where there is no place.
    pub(super) fn try_send(&self, work: ShardWork) -> Result<(), TrySendError<ShardWork>> {
        self.work.try_send(work)
    }

    /// Waits until there is room for what was read. Answers false if nobody takes it any more.
    pub(super) fn send_records(&self, read: ReadRecords) -> bool {
        let taken = Room::take(&self.room, read.items.iter().map(bytes).sum());
        self.work.send(ShardWork::Records(read, taken)).is_ok()
    }
}

/// How much of the record is kept in memory as it came.
fn bytes(item: &ReadItem) -> usize {
    match &item.what {
        Read::Change(_, envelope) | Read::Heartbeat(_, envelope) => envelope.payload.len(),
        Read::Broken(broken) => broken.raw.len(),
        Read::Moved => 0,
    }
}

/// What records may take of a queue.
struct Room {
    batches_max: usize,
    held: Mutex<Held>,
    freed: Condvar,
}

#[derive(Default)]
struct Held {
    batches: usize,
    bytes: usize,
}

impl Room {
    /// A batch that is larger than all there is finds room alone.
    fn take(room: &Arc<Self>, bytes: usize) -> TakenRoom {
        let is_full = |held: &mut Held| {
            held.batches > 0
                && (held.batches >= room.batches_max || held.bytes + bytes > RECORDS_BYTES_MAX)
        };
        let held = room.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = room.freed.wait_while(held, is_full);
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        held.batches += 1;
        held.bytes += bytes;
        TakenRoom { room: Arc::clone(room), bytes }
    }
}

/// Room that a batch of records has, until this is dropped.
pub(super) struct TakenRoom {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for TakenRoom {
    fn drop(&mut self) {
        let mut held = self.room.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.batches -= 1;
        held.bytes -= self.bytes;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use syncline_applier::Broken;

    use super::*;

    fn read(bytes: usize) -> ReadRecords {
        let broken = Broken { raw: vec![0; bytes], whole: true, reason: String::new() };
        let item = ReadItem { position: 0, next_position: 1, what: Read::Broken(broken) };
        ReadRecords { source: "a".parse().unwrap(), partition: 0, items: vec![item] }
    }

    /// Sends batches from a thread of its own, and gives how many there was room for.
    fn room_for(places: usize, bytes: usize) -> usize {
        let (queue, work) = ShardQueue::new(places);
        let sender = std::thread::spawn(move || while queue.send_records(read(bytes)) {});
        let mut taken = Vec::new();
        // What is taken and not dropped keeps its room.
        while let Ok(work) = work.recv_timeout(Duration::from_millis(500)) {
            taken.push(work);
        }
        let count = taken.len();
        taken.pop();
        assert!(work.recv().is_ok(), "there is room again");
        drop((taken, work));
        sender.join().unwrap();
        count
    }

    #[test]
    fn records_take_half_of_the_places_and_so_many_bytes() {
        assert_eq!(room_for(8, 1), 4);
        assert_eq!(room_for(1, 1), 1);
        assert_eq!(room_for(100, RECORDS_BYTES_MAX / 3), 3);
        assert_eq!(room_for(100, RECORDS_BYTES_MAX + 1), 1);
    }
}
