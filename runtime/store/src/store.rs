//! The byte level: one ordered key space, atomic commits, and a sync that makes a prefix of them
//! durable.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::Engine;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Another process, or another part of this one, has it open.
    #[error("open store {}: it is in use by another process", path.display())]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// The folder holds a store of another engine.
    #[error(
        "open store {}: it was made with engine = \"{found}\"; a store keeps its engine",
        path.display()
    )]
    OtherEngine {
        /// The store's folder.
        path: PathBuf,
        /// The engine that made it.
        found: Engine,
    },
    /// What is on disk is not what was written. The store is to be set aside and rebuilt.
    #[error("read {place}: the store is corrupt: {reason}")]
    Corrupt {
        /// What was read.
        place: String,
        /// What is wrong with it.
        reason: String,
        /// Nobody has seen that its bytes are wrong: the engine panicked, which it does on some that
        /// are, and by bugs of its own.
        panicked: bool,
    },
    /// A value that a newer software wrote.
    #[error("read {place}: its version {version} is newer than this software")]
    NewerVersion {
        /// What was read.
        place: String,
        /// The version it has.
        version: u8,
    },
    /// There is no space for the commit. Nothing of it was written; reads go on, and a later commit
    /// succeeds once there is space again.
    #[error("commit {bytes} bytes: no space left on the disk")]
    NoSpace {
        /// The size of the batch.
        bytes: usize,
    },
    /// What was committed may not be on disk, now or ever. The store takes no more commits.
    #[error("sync the store: {reason}")]
    Sync {
        /// Why.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("{action}: {reason}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        reason: String,
    },
    /// The key is empty, or begins with a byte that stores keep for themselves.
    #[error("commit a key that begins with a reserved byte, or is empty")]
    ReservedKey,
}

impl StoreError {
    pub(crate) fn corrupt(place: impl Into<String>, reason: impl ToString) -> Self {
        Self::Corrupt { place: place.into(), reason: reason.to_string(), panicked: false }
    }

    /// The engine has panicked.
    pub(crate) fn panicked(place: impl Into<String>, reason: impl ToString) -> Self {
        Self::Corrupt { place: place.into(), reason: reason.to_string(), panicked: true }
    }
}

/// A put or a delete, as it lies in a batch's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Write {
    key: Range<usize>,
    /// None deletes.
    value: Option<Range<usize>>,
}

/// Puts and deletes that are committed together. Of two for one key the later counts.
///
/// All keys and values lie in one buffer: a commit has hundreds of them, and an allocation for each
/// would cost as much as their encoding. Behind each value there is a zero, for a store that has to
/// mark a value and would otherwise copy it for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    buffer: Vec<u8>,
    writes: Vec<Write>,
}

impl Batch {
    /// An empty batch.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), writes: Vec::new() }
    }

    /// Writes a value.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.put_with(key, |mut buffer| {
            buffer.extend_from_slice(value.as_ref());
            buffer
        });
    }

    /// Writes a value that is appended to the buffer in place.
    pub(crate) fn put_with(
        &mut self,
        key: impl AsRef<[u8]>,
        append: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) {
        let key = self.append(key.as_ref());
        self.buffer = append(std::mem::take(&mut self.buffer));
        let value = Some(key.end..self.buffer.len());
        self.buffer.push(0);
        self.writes.push(Write { key, value });
    }

    /// Deletes a key; one that is not there is no error.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        let key = self.append(key.as_ref());
        self.writes.push(Write { key, value: None });
    }

    /// Makes room for so many bytes of keys and values.
    pub fn reserve(&mut self, bytes: usize) {
        self.buffer.reserve(bytes);
    }

    /// Empties the batch.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.writes.clear();
    }

    /// How many puts and deletes there are.
    pub const fn len(&self) -> usize {
        self.writes.len()
    }

    /// True if it does nothing.
    pub const fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The size of its keys and values, and of a byte for each value.
    pub const fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The puts and deletes in the order in which they were made; `None` deletes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<&[u8]>)> {
        self.writes.iter().map(|Write { key, value }| {
            let value = value.as_ref().map(|value| &self.buffer[value.clone()]);
            (&self.buffer[key.clone()], value)
        })
    }

    /// As [`Batch::iter`], but with the zero behind each value.
    pub(crate) fn iter_with_zero(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.writes.iter().map(|Write { key, value }| {
            let value = value.as_ref().map(|value| &self.buffer[value.start..=value.end]);
            (&self.buffer[key.clone()], value)
        })
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }
}

/// What to read of a range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The first key that may be read.
    pub from: Vec<u8>,
    /// The first key beyond; keys are below it. Empty: no bound.
    pub to: Vec<u8>,
    /// From the end of the range to its start.
    pub reverse: bool,
    /// At most so many pairs.
    pub limit: usize,
    /// Stops after the pair with which the values come to this; so at least one pair is read.
    pub bytes: usize,
}

impl Scan {
    /// Keys from `from` on, and below `to`.
    pub fn range(from: Vec<u8>, to: Vec<u8>) -> Self {
        Self { from, to, reverse: false, limit: usize::MAX, bytes: usize::MAX }
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self::range(prefix.to_vec(), prefix_end(prefix))
    }

    /// Of what is left only the keys above `key`.
    #[must_use]
    pub fn after(mut self, key: &[u8]) -> Self {
        let next = [key, &[0]].concat();
        self.from = self.from.max(next);
        self
    }

    /// At most so many pairs.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Stops after about so many bytes of values.
    #[must_use]
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// From the end to the start.
    #[must_use]
    pub const fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// True if no key can be in it.
    pub fn is_void(&self) -> bool {
        self.limit == 0 || (!self.to.is_empty() && self.from >= self.to)
    }
}

/// The first key above all that begin with `prefix`; empty where there is none.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// An ordered key space. Keys are not empty and begin with a byte below 0xF0; above, a store keeps
/// its own.
///
/// Readers see whole commits: no read, a scan included, shows a part of one.
pub trait Store: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Pairs in the order of keys.
    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError>;

    /// As [`Store::scan`], but the keys alone; [`Scan::bytes`] does not count.
    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Does all of the batch or nothing of it, also if the process dies meanwhile. Until the next
    /// sync it may be lost with the process or with power; then all commits after it are lost too.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// Makes every commit that was done before this call durable. What survives a loss of power is
    /// always a prefix of all commits.
    fn sync(&self) -> Result<(), StoreError>;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(key)
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        (**self).scan(scan)
    }

    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        (**self).keys(scan)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        (**self).commit(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        (**self).sync()
    }
}

/// Keys that are not to be had by callers.
pub(crate) fn check_keys(batch: &Batch) -> Result<(), StoreError> {
    let allowed = |key: &[u8]| key.first().is_some_and(|first| *first < RESERVED_FROM);
    if batch.iter().all(|(key, _)| allowed(key)) { Ok(()) } else { Err(StoreError::ReservedKey) }
}

/// Keys from this byte on belong to the store's implementation.
pub(crate) const RESERVED_FROM: u8 = 0xf0;

/// Where a store on disk keeps the number of its last commit.
pub(crate) const COMMITS_KEY: &[u8] = &[RESERVED_FROM + 1, b'n'];

/// The longest key that the stores on disk take; sled's pages set it, see `sled_chunks`. The
/// longest that there is holds a table's name, a row's key and a region's name: about 1,300 bytes.
pub(crate) const KEY_BYTES_MAX: usize = 1800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_what_was_put_in() {
        let mut batch = Batch::new();
        batch.put(b"ab", b"xyz");
        batch.delete(b"c");
        batch.put_with(b"d", |buffer| buffer);
        let writes: Vec<_> = batch.iter().collect();
        let expected: [(&[u8], Option<&[u8]>); 3] =
            [(b"ab", Some(b"xyz")), (b"c", None), (b"d", Some(b""))];
        assert_eq!(writes, expected);
        assert_eq!((batch.len(), batch.bytes()), (3, 9));
        assert_eq!(batch.iter_with_zero().next(), Some((&b"ab"[..], Some(&b"xyz\0"[..]))));
        batch.clear();
        assert_eq!((batch.is_empty(), batch.bytes()), (true, 0));
    }

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_without_it() {
        assert_eq!(prefix_end(b"ab"), b"ac");
        assert_eq!(prefix_end(b"a\xff\xff"), b"b");
        assert_eq!(prefix_end(b"\xff"), b"");
    }
}
