//! A donor's copy on its way to a region that joins: the keys and values of the store that the region
//! begins with, one behind the other, cut into pages.
//!
//! Each pair stands behind the lengths of its key and its value, in four bytes each, the highest
//! first. The pages of one *attempt* are numbered from 0; the first says what will come, the last
//! what has come, with the SHA-256 of it all. A donor that was killed makes another attempt, with a
//! higher number.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use syncline_bus::Lane;
use syncline_core::{PartitionCount, RegionId};
use syncline_store::{Batch, Pair, Scan, Store, StoreError};

use crate::{JoinError, join_from};

/// Bytes of the copy in a page.
const PART_BYTES: usize = 512 << 10;
/// What is read of a copy is committed once it comes to so many bytes: a store holds all of a
/// commit in memory.
const BATCH_BYTES: usize = 1 << 20;
/// The longest value that is believed: a row of 64 heads with images of 1 MiB before and after, and
/// as much again of history.
const VALUE_BYTES_MAX: usize = 256 << 20;
/// The longest key that is believed: more than any store takes.
const KEY_BYTES_MAX: usize = 64 << 10;

const MAGIC: [u8; 4] = *b"SYNS";
const VERSION: u8 = 1;
const BEGIN: u8 = 1;
const PART: u8 = 2;
const END: u8 = 3;

/// What is copied, and for whom.
#[derive(Clone, Debug)]
pub struct Copying {
    /// The region whose store it is.
    pub donor: RegionId,
    /// The region that joins.
    pub joiner: RegionId,
    /// Into how many partitions rows are spread.
    pub partitions: PartitionCount,
    /// Of the donor's log, before the copy is made.
    pub positions: Vec<(Lane, u64)>,
}

/// A whole copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// How many keys there are.
    pub pairs: u64,
    /// The checksum of its bytes.
    pub sha256: [u8; 32],
}

/// A page of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// An attempt begins.
    Begin {
        /// Which.
        attempt: u64,
        /// Whose data they are.
        donor: RegionId,
        /// Whom they are for.
        joiner: RegionId,
        /// Into how many partitions rows are spread.
        partitions: PartitionCount,
        /// How many bytes there will be.
        bytes: u64,
    },
    /// A part of the copy.
    Part {
        /// The attempt.
        attempt: u64,
        /// The page's number, from 1.
        number: u64,
        /// The part.
        bytes: Vec<u8>,
    },
    /// All was there.
    End {
        /// The attempt.
        attempt: u64,
        /// The page's number.
        number: u64,
        /// All that came before.
        copied: Copied,
    },
}

/// Copies to a stream what `from` has for a region that joins: a store that has all of it is that
/// region's. For `from` see [`join_from`].
pub fn write_copy(
    copying: &Copying,
    from: &(impl Store + ?Sized),
    to: impl Write + Send,
) -> Result<Copied, JoinError> {
    let stream = Stream { to, hash: Sha256::new(), bytes: 0, pairs: 0 };
    let stream = Outlet(Mutex::new(stream));
    let Copying { donor, joiner, partitions, positions } = copying;
    join_from(donor, from, positions, joiner, &stream, *partitions)?;
    let mut stream = stream.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    stream.to.flush().map_err(|error| failed("write the copy", &error))?;
    let Stream { hash, bytes, pairs, .. } = stream;
    Ok(Copied { bytes, pairs, sha256: hash.finalize().into() })
}

/// Fills an empty store with a copy that is whole. Until this has returned the store is nobody's.
pub fn read_copy(mut from: impl Read, to: &impl Store) -> Result<u64, JoinError> {
    let mut pairs = 0;
    let mut batch = Batch::new();
    while let Some((key, value)) = read_pair(&mut from)? {
        batch.put(key, value);
        pairs += 1;
        if batch.bytes() >= BATCH_BYTES {
            to.commit(std::mem::take(&mut batch))?;
        }
    }
    to.commit(batch)?;
    to.sync()?;
    Ok(pairs)
}

fn read_pair(from: &mut impl Read) -> Result<Option<Pair>, StoreError> {
    let mut lengths = [[0; 4]; 2];
    match from.read_exact(&mut lengths[0]) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read.map_err(|error| failed("read the copy", &error))?,
    }
    let mut read = |buffer: &mut [u8]| {
        from.read_exact(buffer).map_err(|error| failed("read the copy", &error))
    };
    read(&mut lengths[1])?;
    let [key, value] = lengths.map(|length| u32::from_be_bytes(length) as usize);
    if key > KEY_BYTES_MAX || value > VALUE_BYTES_MAX {
        let reason = format!("a key of {key} bytes, or a value of {value}");
        return Err(StoreError::Io { action: "read the copy".into(), reason });
    }
    let (mut key, mut value) = (vec![0; key], vec![0; value]);
    read(&mut key)?;
    read(&mut value)?;
    Ok(Some((key, value)))
}

fn failed(action: &str, error: &io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull => StoreError::NoSpace { bytes: 0 },
        _ => StoreError::Io { action: action.to_owned(), reason: error.to_string() },
    }
}

struct Stream<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
    pairs: u64,
}

impl<W: Write> Stream<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes)
    }
}

/// A store that holds nothing: what is put into it goes on.
struct Outlet<W>(Mutex<Stream<W>>);

impl<W: Write + Send> Store for Outlet<W> {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn scan(&self, _: &Scan) -> Result<Vec<Pair>, StoreError> {
        Ok(Vec::new())
    }

    fn keys(&self, _: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch.iter() {
            // Nothing is there that could be deleted.
            let Some(value) = value else { continue };
            let lengths = [key.len() as u32, value.len() as u32].map(u32::to_be_bytes);
            let mut write = || -> io::Result<()> {
                stream.write(lengths.as_flattened())?;
                stream.write(key)?;
                stream.write(value)
            };
            write().map_err(|error| failed("write the copy", &error))?;
            stream.pairs += 1;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Cuts a copy into pages.
#[derive(Debug)]
pub struct PagesMade<R> {
    from: R,
    attempt: u64,
    first: Option<Page>,
    next: u64,
    copied: Copied,
    ended: bool,
}

impl<R: Read> PagesMade<R> {
    /// The pages of an attempt; `from` is the whole copy.
    pub fn new(copying: &Copying, attempt: u64, copied: Copied, from: R) -> Self {
        let Copying { donor, joiner, partitions, .. } = copying.clone();
        let first = Page::Begin { attempt, donor, joiner, partitions, bytes: copied.bytes };
        Self { from, attempt, first: Some(first), next: 1, copied, ended: false }
    }
}

impl<R: Read> Iterator for PagesMade<R> {
    type Item = io::Result<Page>;

    fn next(&mut self) -> Option<io::Result<Page>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.ended {
            return None;
        }
        let mut bytes = Vec::with_capacity(PART_BYTES);
        if let Err(error) = (&mut self.from).take(PART_BYTES as u64).read_to_end(&mut bytes) {
            self.ended = true;
            return Some(Err(error));
        }
        let (attempt, number) = (self.attempt, self.next);
        self.next += 1;
        self.ended = bytes.is_empty();
        Some(Ok(if self.ended {
            Page::End { attempt, number, copied: self.copied }
        } else {
            Page::Part { attempt, number, bytes }
        }))
    }
}

impl Page {
    /// As it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, attempt, number) = match self {
            Self::Begin { attempt, .. } => (BEGIN, *attempt, 0),
            Self::Part { attempt, number, .. } => (PART, *attempt, *number),
            Self::End { attempt, number, .. } => (END, *attempt, *number),
        };
        let mut page = MAGIC.to_vec();
        page.extend([VERSION, kind]);
        page.extend(attempt.to_be_bytes());
        page.extend(number.to_be_bytes());
        match self {
            Self::Begin { donor, joiner, partitions, bytes, .. } => {
                page.extend(partitions.get().to_be_bytes());
                page.extend(bytes.to_be_bytes());
                for region in [donor, joiner] {
                    // A region's name is short.
                    page.push(region.as_str().len() as u8);
                    page.extend(region.as_str().as_bytes());
                }
            }
            Self::Part { bytes, .. } => page.extend(bytes),
            Self::End { copied: Copied { bytes, pairs, sha256 }, .. } => {
                page.extend(bytes.to_be_bytes());
                page.extend(pairs.to_be_bytes());
                page.extend(sha256);
            }
        }
        page
    }

    /// None of what is no page of this version.
    pub fn from_bytes(page: &[u8]) -> Option<Self> {
        let rest = page.strip_prefix(&MAGIC)?.strip_prefix(&[VERSION])?;
        let (kind, rest) = rest.split_first()?;
        let (attempt, rest) = number(rest)?;
        let (number_of_page, rest) = number(rest)?;
        match *kind {
            BEGIN => {
                let (partitions, rest) = rest.split_first_chunk()?;
                let partitions = PartitionCount::new(u32::from_be_bytes(*partitions)).ok()?;
                let (bytes, rest) = number(rest)?;
                let (donor, rest) = region(rest)?;
                let (joiner, _) = region(rest)?;
                Some(Self::Begin { attempt, donor, joiner, partitions, bytes })
            }
            PART => Some(Self::Part { attempt, number: number_of_page, bytes: rest.to_vec() }),
            END => {
                let (bytes, rest) = number(rest)?;
                let (pairs, rest) = number(rest)?;
                let (sha256, _) = rest.split_first_chunk()?;
                let copied = Copied { bytes, pairs, sha256: *sha256 };
                Some(Self::End { attempt, number: number_of_page, copied })
            }
            _ => None,
        }
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn region(bytes: &[u8]) -> Option<(RegionId, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(name).ok()?.parse().ok()?, rest))
}

/// What a page comes to, for whoever puts the copy together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageStep {
    /// Nothing: it was there before, or is of an earlier attempt.
    Known,
    /// An attempt begins: what was gathered before is of no use.
    Begins,
    /// To be appended to what was gathered.
    Append(Vec<u8>),
    /// All of it was there: what was gathered is to be this.
    Whole(Copied),
    /// Something is missing before it: read again from the start of the log.
    Lost,
    /// It is not for this region, or not from that donor; or the regions do not fit together.
    Foreign(String),
}

/// Puts the pages of a snapshot together.
#[derive(Clone, Debug)]
pub struct Assembly {
    donor: RegionId,
    joiner: RegionId,
    partitions: PartitionCount,
    /// The attempt that is gathered; 0 where none is.
    pub attempt: u64,
    /// The number of the page that comes next.
    pub next: u64,
    /// How many bytes there will be.
    pub bytes: u64,
}

impl Assembly {
    /// Nothing was gathered yet.
    pub fn new(donor: RegionId, joiner: RegionId, partitions: PartitionCount) -> Self {
        Self { donor, joiner, partitions, attempt: 0, next: 0, bytes: 0 }
    }

    /// What a page comes to.
    pub fn take(&mut self, page: Page) -> PageStep {
        let (attempt, number) = match &page {
            Page::Begin { attempt, .. } => (*attempt, 0),
            Page::Part { attempt, number, .. } | Page::End { attempt, number, .. } => {
                (*attempt, *number)
            }
        };
        if let Page::Begin { donor, joiner, partitions, bytes, .. } = page {
            if attempt <= self.attempt {
                return PageStep::Known;
            }
            if (&donor, &joiner) != (&self.donor, &self.joiner) {
                return PageStep::Foreign(format!("it is what {donor} has, for {joiner}"));
            }
            if partitions != self.partitions {
                return PageStep::Foreign(format!(
                    "{donor} has {} partitions, this region {}; the number is the same in every \
                     region",
                    partitions.get(),
                    self.partitions.get()
                ));
            }
            (self.attempt, self.next, self.bytes) = (attempt, 1, bytes);
            return PageStep::Begins;
        }
        if attempt < self.attempt || (attempt == self.attempt && number < self.next) {
            return PageStep::Known;
        }
        if attempt > self.attempt || number > self.next {
            return PageStep::Lost;
        }
        self.next += 1;
        match page {
            Page::Part { bytes, .. } => PageStep::Append(bytes),
            Page::End { copied, .. } => PageStep::Whole(copied),
            Page::Begin { .. } => PageStep::Known,
        }
    }
}

#[cfg(test)]
mod tests;
