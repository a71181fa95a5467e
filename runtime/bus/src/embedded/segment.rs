//! Segment files: their names, and reading in them.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::frame::{self, BODY_BYTES_MAX, HEADER_BYTES, Step};
use super::io_error;
use crate::BusError;

/// So much is read at once to find the next frame behind a damaged one. More than two of the
/// largest frames, so that one that begins in its first half is found whole.
const SEARCH_BYTES: usize = 16 << 20;

/// Of a damaged stretch that is longer than any frame, only the beginning is kept.
const RAW_BYTES_MAX: usize = BODY_BYTES_MAX + HEADER_BYTES;

const DIGITS: usize = 20;

/// A file whose name says more is none of ours. So sums of positions and lengths stay in range,
/// whatever stands in the folder.
const POSITION_MAX: u64 = 1 << 62;

/// One segment of a lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// The position of its first byte.
    pub(super) base: u64,
    /// The position that its base continues: the lane's end when it was begun.
    pub(super) follows: u64,
    pub(super) path: PathBuf,
}

impl Segment {
    pub(super) fn new(dir: &Path, base: u64, follows: u64) -> Self {
        let path = dir.join(format!("{base:0DIGITS$}-{follows:0DIGITS$}.log"));
        Self { base, follows, path }
    }

    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
        let (base, follows) = name.split_once('-')?;
        let number = |digits: &str| {
            let number: u64 = digits.parse().ok()?;
            (digits.len() == DIGITS && number <= POSITION_MAX).then_some(number)
        };
        Some(Self { base: number(base)?, follows: number(follows)?, path })
    }

    /// A lane's segments in the order of their positions; none where it has no folder. Files that
    /// are something else are left alone.
    pub(super) fn list(dir: &Path) -> Result<Vec<Self>, BusError> {
        let failed = io_error("list folder", dir);
        let listed = fs::read_dir(dir).and_then(|entries| {
            entries.map(|entry| entry.map(|e| Self::of(e.path()))).collect::<io::Result<Vec<_>>>()
        });
        match listed {
            Ok(segments) => {
                let mut segments: Vec<_> = segments.into_iter().flatten().collect();
                segments.sort_unstable();
                Ok(segments)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Bytes of a segment that were read ahead. They are looked at again and again while a batch is
/// collected, and forgotten before the next one, as the file may have changed.
#[derive(Default)]
pub(super) struct Window {
    start: u64,
    bytes: Vec<u8>,
    read_ahead: usize,
}

impl Window {
    /// What is kept of it between two batches.
    const KEPT_BYTES: usize = 1 << 20;

    pub(super) fn new(read_ahead: usize) -> Self {
        Self { read_ahead, ..Self::default() }
    }

    pub(super) fn forget(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(Self::KEPT_BYTES);
    }

    pub(super) fn read_ahead(&mut self, bytes: usize) {
        self.read_ahead = bytes.clamp(64 << 10, Self::KEPT_BYTES);
    }

    /// The bytes from `position` on, at least `want` if there are so many.
    fn at(&mut self, open: &OpenSegment, position: u64, want: usize) -> Result<&[u8], BusError> {
        let skip = position.checked_sub(self.start).map_or(usize::MAX, |skip| skip as usize);
        if self.bytes.len().checked_sub(skip).is_none_or(|have| have < want) {
            open.read_into(&mut self.bytes, position, want.max(self.read_ahead))?;
            self.start = position;
            return Ok(&self.bytes);
        }
        Ok(self.bytes.get(skip..).unwrap_or_default())
    }
}

/// What a reader finds in a segment.
pub(super) enum Found<'a> {
    /// A sound frame: its body, and the position behind it.
    Frame { body: &'a [u8], next: u64 },
    /// Something that was a frame once.
    Corrupt { raw: Vec<u8>, reason: String, next: u64 },
    /// Nothing more than the beginning of a frame, if that.
    End,
}

/// A segment that is being read.
pub(super) struct OpenSegment {
    pub(super) segment: Segment,
    file: File,
    /// Where no frame was found, and how long the file was then: not to be searched again before
    /// it has grown.
    fruitless: Option<(u64, u64)>,
}

impl OpenSegment {
    /// None if it has been deleted meanwhile.
    pub(super) fn open(segment: Segment) -> Result<Option<Self>, BusError> {
        match File::open(&segment.path) {
            Ok(file) => Ok(Some(Self { segment, file, fruitless: None })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("open segment", &segment.path)(error)),
        }
    }

    /// The position behind its last byte, sound or not.
    pub(super) fn end(&self) -> Result<u64, BusError> {
        let metadata =
            self.file.metadata().map_err(io_error("measure segment", &self.segment.path))?;
        Ok(self.segment.base + metadata.len())
    }

    /// What stands at `position`. In a segment that is `sealed` nothing will follow: what is not
    /// complete there never will be.
    pub(super) fn find<'w>(
        &mut self,
        position: u64,
        sealed: bool,
        window: &'w mut Window,
    ) -> Result<Found<'w>, BusError> {
        let mut want = HEADER_BYTES;
        loop {
            let bytes = window.at(self, position, want)?;
            match frame::step(bytes, position) {
                Step::Frame { len } => {
                    // Borrowed anew, as the loop may have had to read more.
                    let bytes = window.at(self, position, len)?;
                    let body = bytes.get(HEADER_BYTES..len).unwrap_or_default();
                    return Ok(Found::Frame { body, next: position + len as u64 });
                }
                Step::Damaged { len } => {
                    let reason = "its checksum does not fit its bytes".to_owned();
                    let raw = bytes.get(..len).unwrap_or_default().to_vec();
                    return Ok(Found::Corrupt { raw, reason, next: position + len as u64 });
                }
                Step::Incomplete { need } if bytes.len() < need && want >= need => {
                    if bytes.is_empty() || !sealed {
                        return Ok(Found::End);
                    }
                    let reason = "its segment ends within it".to_owned();
                    let next = position + bytes.len() as u64;
                    return Ok(Found::Corrupt { raw: bytes.to_vec(), reason, next });
                }
                Step::Incomplete { need } => want = need,
                Step::Nothing => return self.search(position, sealed),
            }
        }
    }

    /// No frame begins at `position`: looks for the next one.
    fn search(&mut self, position: u64, sealed: bool) -> Result<Found<'static>, BusError> {
        let end = self.end()?;
        if !sealed && self.fruitless == Some((position, end)) {
            return Ok(Found::End);
        }
        let mut bytes = Vec::new();
        self.read_into(&mut bytes, position, SEARCH_BYTES)?;
        let len = match frame::find(&bytes, position) {
            // It was cut just now.
            None if bytes.is_empty() => return Ok(Found::End),
            Some(len) => len,
            None if bytes.len() == SEARCH_BYTES => SEARCH_BYTES - RAW_BYTES_MAX,
            None if sealed => bytes.len(),
            None => {
                // It may be that its bytes are still being written, or that the next frame is.
                self.fruitless = Some((position, end));
                return Ok(Found::End);
            }
        };
        bytes.truncate(len.min(RAW_BYTES_MAX));
        bytes.shrink_to_fit();
        let reason = format!("{len} bytes are no record");
        Ok(Found::Corrupt { raw: bytes, reason, next: position + len as u64 })
    }

    /// Replaces `bytes` by up to `want` bytes from `position` on.
    fn read_into(&self, bytes: &mut Vec<u8>, position: u64, want: usize) -> Result<(), BusError> {
        let failed = io_error("read segment", &self.segment.path);
        let offset = position.saturating_sub(self.segment.base);
        bytes.clear();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(want as u64).read_to_end(bytes))
            .map_err(failed)?;
        Ok(())
    }
}

/// How far the frames of a segment go.
pub(super) struct Extent {
    /// Behind the last sound frame.
    pub(super) sound: u64,
    /// Behind the last frame that a reader gets past.
    pub(super) readable: u64,
}

impl Extent {
    /// Reads through the segment.
    pub(super) fn of(open: &mut OpenSegment) -> Result<Self, BusError> {
        let mut window = Window::new(Window::KEPT_BYTES);
        let base = open.segment.base;
        let mut extent = Self { sound: base, readable: base };
        loop {
            match open.find(extent.readable, false, &mut window)? {
                Found::Frame { next, .. } => extent = Self { sound: next, readable: next },
                Found::Corrupt { next, .. } => extent.readable = next,
                Found::End => return Ok(extent),
            }
        }
    }
}
