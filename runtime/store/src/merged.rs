//! Reading one kind of key over all partitions, as if they were one.

use std::collections::VecDeque;

use crate::{Pair, Scan, Store, StoreError};

/// Where in a key the part begins that does not say the family and the partition.
const BEHIND_PARTITION: usize = 5;
/// What is read of one partition at a time.
const PAGE: usize = 64;
const PAGE_BYTES: usize = 1 << 20;

struct Source {
    rest: Scan,
    read: VecDeque<Pair>,
    at_end: bool,
}

/// Pairs of several partitions, in the order of what follows the partition in their keys.
pub(crate) struct Merged<'a, S: ?Sized> {
    store: &'a S,
    sources: Vec<Source>,
    reverse: bool,
}

impl<'a, S: Store + ?Sized> Merged<'a, S> {
    /// `scans` are those of the partitions, all forward or all in reverse.
    pub(crate) fn new(store: &'a S, scans: impl Iterator<Item = Scan>, reverse: bool) -> Self {
        let source = |scan: Scan| Source {
            rest: Scan { reverse, ..scan }.limit(PAGE).bytes(PAGE_BYTES),
            read: VecDeque::new(),
            at_end: false,
        };
        Self { store, sources: scans.map(source).collect(), reverse }
    }

    /// The next pair.
    pub(crate) fn next(&mut self) -> Result<Option<Pair>, StoreError> {
        for source in &mut self.sources {
            if source.read.is_empty() && !source.at_end {
                source.fill(self.store)?;
            }
        }
        let with_next = self.sources.iter_mut().filter(|source| !source.read.is_empty());
        let chosen = if self.reverse {
            with_next.max_by(|a, b| a.next_key().cmp(b.next_key()))
        } else {
            with_next.min_by(|a, b| a.next_key().cmp(b.next_key()))
        };
        Ok(chosen.and_then(|source| source.read.pop_front()))
    }
}

impl Source {
    fn next_key(&self) -> &[u8] {
        let key = self.read.front().map_or(&[][..], |(key, _)| key);
        key.get(BEHIND_PARTITION..).unwrap_or_default()
    }

    fn fill(&mut self, store: &(impl Store + ?Sized)) -> Result<(), StoreError> {
        self.read = store.scan(&self.rest)?.into();
        match self.read.back() {
            None => self.at_end = true,
            Some((last, _)) if self.rest.reverse => self.rest.to = last.clone(),
            Some((last, _)) => self.rest.from = [last, &[0][..]].concat(),
        }
        Ok(())
    }
}
