//! Appending to one lane.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use super::segment::{Extent, OpenSegment, Segment};
use super::{Retention, frame, io_error};
use crate::{BusError, Envelope};

/// Frames are collected up to here and written with one call.
const PENDING_BYTES: usize = 1 << 20;

/// The end of one lane's log, in the hands of its owner.
pub(super) struct Appender {
    dir: PathBuf,
    retention: Retention,
    /// The segments that are complete, the oldest first, with their sizes.
    sealed: VecDeque<(Segment, u64)>,
    /// The segment that is being written; none before the first record.
    current: Option<Current>,
    /// Behind the lane's last record.
    end: u64,
    /// Where the first segment of this owner begins.
    base: u64,
    /// Frames that follow `end` and are not written yet.
    pending: Vec<u8>,
}

struct Current {
    segment: Segment,
    file: File,
    /// A failed write may have left the beginning of a frame behind the last complete one.
    torn: bool,
}

/// What [`write_whole`] needs of a file; a test puts a full disk behind it.
trait Appendable: Write {
    fn cut(&self, len: u64) -> io::Result<()>;
}

impl Appendable for File {
    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// Appends all of the bytes to a file that holds `len` good ones, or none of them.
fn write_whole(
    file: &mut impl Appendable,
    torn: &mut bool,
    len: u64,
    bytes: &[u8],
) -> io::Result<()> {
    if *torn {
        file.cut(len)?;
        *torn = false;
    }
    file.write_all(bytes).inspect_err(|_| *torn = file.cut(len).is_err())
}

impl Appender {
    /// Opens the lane for its only owner, and cuts off a torn tail: what an earlier owner, or the
    /// system, did not write to its end.
    pub(super) fn open(dir: PathBuf, retention: Retention) -> Result<Self, BusError> {
        let (mut end, mut base) = (0, 0);
        let mut sealed = VecDeque::new();
        let mut segments = Segment::list(&dir)?;
        while let Some(last) = segments.pop() {
            end = cut_tail(&last)?;
            if end > last.base {
                let size = end - last.base;
                sealed.push_front((last, size));
                break;
            }
            // Nothing of it is left; the lane's end is where it began.
            end = last.follows;
            base = last.base.max(base);
            fs::remove_file(&last.path).map_err(io_error("remove segment", &last.path))?;
        }
        for segment in segments.into_iter().rev() {
            let metadata = fs::metadata(&segment.path);
            let size = metadata.map_err(io_error("measure segment", &segment.path))?.len();
            sealed.push_front((segment, size));
        }
        let (current, pending) = (None, Vec::new());
        Ok(Self { dir, retention, sealed, current, end, base: base.max(end), pending })
    }

    /// Behind the lane's last record.
    pub(super) fn end(&self) -> u64 {
        match &self.current {
            // It was begun, but its first record could not be written.
            Some(current) if self.end == current.segment.base => current.segment.follows,
            _ => self.end,
        }
    }

    /// The highest position that an earlier owner began at or wrote to, as far as the folder tells.
    pub(super) fn highest(&self) -> u64 {
        self.base.max(self.end)
    }

    /// The first segment of this owner is to begin here, unless the lane is behind that already.
    pub(super) fn begin_at(&mut self, base: u64) {
        self.base = self.base.max(base);
    }

    /// Adds a record. It is written by [`Appender::flush`], if not before.
    pub(super) fn push(&mut self, envelope: &Envelope) -> Result<(), BusError> {
        if self.current.is_none() {
            self.begin_segment(self.base)?;
        }
        let before = self.pending.len();
        frame::append(&mut self.pending, self.end + before as u64, envelope);
        if before as u64 + self.size() > 0
            && self.size() + self.pending.len() as u64 > self.retention.segment_bytes
        {
            self.pending.truncate(before);
            self.flush()?;
            self.begin_segment(self.end)?;
            frame::append(&mut self.pending, self.end, envelope);
        }
        if self.pending.len() >= PENDING_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) -> Result<(), BusError> {
        let size = self.size();
        let Some(current) = &mut self.current else { return Ok(()) };
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = write_whole(&mut current.file, &mut current.torn, size, &self.pending);
        written.map_err(io_error("append to segment", &current.segment.path))?;
        self.end += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Forgets what was added and not written.
    pub(super) fn abandon(&mut self) {
        self.pending.clear();
    }

    /// How many bytes of the current segment are written.
    fn size(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| self.end - current.segment.base)
    }

    fn begin_segment(&mut self, base: u64) -> Result<(), BusError> {
        let segment = Segment::new(&self.dir, base, self.end);
        let opened = fs::create_dir_all(&self.dir)
            .and_then(|()| File::options().create_new(true).append(true).open(&segment.path));
        let file = opened.map_err(io_error("create segment", &segment.path))?;
        let size = self.size();
        let current = Current { segment, file, torn: false };
        if let Some(full) = self.current.replace(current) {
            self.sealed.push_back((full.segment, size));
        }
        self.end = base;
        self.delete_oldest();
        Ok(())
    }

    /// Keeps the lane within its retention, with room for the segment just begun.
    fn delete_oldest(&mut self) {
        let Retention { bytes_max, segment_bytes } = self.retention;
        let mut kept: u64 = self.sealed.iter().map(|(_, size)| size).sum();
        while kept + segment_bytes > bytes_max
            && let Some((oldest, size)) = self.sealed.front()
        {
            if let Err(error) = fs::remove_file(&oldest.path) {
                // It is tried again with the next segment. The log is too long, not wrong.
                let path = oldest.path.display();
                tracing::warn!(%path, %error, "an old segment could not be removed");
                return;
            }
            kept -= size;
            self.sealed.pop_front();
        }
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        // A segment without a record is nothing that the next owner should have to think about.
        if let Some(current) = &self.current
            && self.end == current.segment.base
        {
            let _ = fs::remove_file(&current.segment.path);
        }
    }
}

/// Cuts off what follows the segment's last sound frame, and returns where that ends.
fn cut_tail(segment: &Segment) -> Result<u64, BusError> {
    let Some(mut open) = OpenSegment::open(segment.clone())? else { return Ok(segment.base) };
    let Extent { sound, .. } = Extent::of(&mut open)?;
    let lost = open.end()?.saturating_sub(sound);
    if lost > 0 {
        let path = segment.path.display();
        tracing::warn!(%path, bytes = lost, "the torn tail of a log is cut off");
        File::options()
            .write(true)
            .open(&segment.path)
            .and_then(|file| file.set_len(sound - segment.base))
            .map_err(io_error("cut segment", &segment.path))?;
    }
    Ok(sound)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A file on a disk that has room for some more bytes, and that may refuse to be cut.
    struct SmallDisk {
        bytes: RefCell<Vec<u8>>,
        room: usize,
        cuts: bool,
    }

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let held = self.bytes.get_mut();
            match bytes.len().min(self.room - held.len()) {
                0 => Err(io::ErrorKind::StorageFull.into()),
                taken => {
                    held.extend_from_slice(&bytes[..taken]);
                    Ok(taken)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Appendable for SmallDisk {
        fn cut(&self, len: u64) -> io::Result<()> {
            if !self.cuts {
                return Err(io::ErrorKind::Other.into());
            }
            self.bytes.borrow_mut().truncate(len as usize);
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_leaves_no_part_of_a_frame() {
        for cuts in [true, false] {
            let mut disk = SmallDisk { bytes: RefCell::default(), room: 10, cuts };
            let mut torn = false;
            assert!(write_whole(&mut disk, &mut torn, 0, b"12345678").is_ok());
            let refused = write_whole(&mut disk, &mut torn, 8, b"abcd");
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(torn, !cuts);
            assert_eq!(disk.bytes.borrow().len(), if cuts { 8 } else { 10 });
            // There is room again; where the part is still there, it goes first.
            (disk.room, disk.cuts) = (100, true);
            assert!(write_whole(&mut disk, &mut torn, 8, b"abcd").is_ok());
            assert_eq!((disk.bytes.borrow().as_slice(), torn), (&b"12345678abcd"[..], false));
        }
    }
}
