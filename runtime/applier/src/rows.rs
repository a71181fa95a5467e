//! Rows in memory, in front of the store.

use lru::LruCache;
use syncline_core::{LoadError, Row, RowKey, Rows};
use syncline_store::{Store, load_row};

/// Rows kept in memory for each partition.
const ROWS_MAX: usize = 8192;
/// Bytes of rows kept in memory for each partition, by a rough account. Only long histories come
/// near it, and a row whose history is long must not be read again for each of its changes.
const BYTES_MAX: usize = 256 << 20;
/// What a change in the history takes beside its image, roughly.
const HELD_BYTES: usize = 256;

/// The rows of one partition that were used last.
pub(crate) struct RowCache {
    rows: LruCache<RowKey, Cached>,
    bytes: usize,
}

struct Cached {
    row: Row,
    bytes: usize,
}

fn size(row: &Row) -> usize {
    let image = row.image().map_or(0, |image| image.as_bytes().len());
    // The history's images are about as large as the row's own.
    image + (image + HELD_BYTES) * (1 + row.history_len())
}

impl RowCache {
    pub(crate) fn new() -> Self {
        Self { rows: LruCache::unbounded(), bytes: 0 }
    }

    /// The rows of a partition, for one batch.
    pub(crate) fn over<'a, S>(&'a mut self, store: &'a S, partition: u32) -> CachedRows<'a, S> {
        CachedRows { cache: self, store, partition }
    }

    /// Keeps within the limits. Only between batches: what a batch changed is on disk only after its
    /// commit.
    pub(crate) fn trim<'a>(&mut self, changed: impl Iterator<Item = &'a RowKey>) {
        for key in changed {
            if let Some(cached) = self.rows.peek_mut(key) {
                let bytes = size(&cached.row);
                self.bytes = self.bytes - cached.bytes + bytes;
                cached.bytes = bytes;
            }
        }
        // The row used last stays, however large: it is in use.
        while self.rows.len() > 1 && (self.rows.len() > ROWS_MAX || self.bytes > BYTES_MAX) {
            if let Some((_, cached)) = self.rows.pop_lru() {
                self.bytes -= cached.bytes;
            }
        }
    }
}

pub(crate) struct CachedRows<'a, S> {
    cache: &'a mut RowCache,
    store: &'a S,
    partition: u32,
}

impl<S: Store> Rows for CachedRows<'_, S> {
    fn row(&mut self, key: &RowKey) -> Result<&mut Row, LoadError> {
        if !self.cache.rows.contains(key) {
            let loaded = load_row(self.store, self.partition, key)
                .map_err(|error| LoadError { row: key.clone(), reason: error.to_string() })?;
            let row = loaded.unwrap_or_default();
            let bytes = size(&row);
            self.cache.bytes += bytes;
            self.cache.rows.put(key.clone(), Cached { row, bytes });
        }
        match self.cache.rows.get_mut(key) {
            Some(cached) => Ok(&mut cached.row),
            None => Err(LoadError { row: key.clone(), reason: "the cache lost it".into() }),
        }
    }
}
