//! States of a row that no one ever wrote, but that folds passed through.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::{Held, History};
use crate::{ChangeId, Image};

/// States kept beyond one fold. Without any, 8 regions that keep writing one row cost thousands of
/// calls for each change; with fewer, a state may be folded again, to the same image.
const STATES_MAX: usize = 4096;
/// Bytes of images kept beyond one fold.
const BYTES_MAX: usize = 16 << 20;

/// Images by the heads that they are the fold of; the least lately used go first.
#[derive(Clone, Debug, Default)]
pub(super) struct StateCache {
    states: BTreeMap<Vec<ChangeId>, Entry>,
    by_use: BTreeMap<u64, Vec<ChangeId>>,
    uses: u64,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    used: u64,
    image: Option<Image>,
}

pub(super) fn key(heads: &[Arc<Held>]) -> Vec<ChangeId> {
    heads.iter().map(|held| held.id.clone()).collect()
}

fn size(image: Option<&Image>) -> usize {
    image.map_or(0, |image| image.as_bytes().len())
}

impl StateCache {
    pub(super) fn get(&mut self, key: &[ChangeId]) -> Option<Option<Image>> {
        let entry = self.states.get_mut(key)?;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.uses += 1;
            entry.used = self.uses;
            self.by_use.insert(self.uses, key);
        }
        Some(entry.image.clone())
    }

    /// As [`Self::get`], without counting as a use.
    pub(super) fn peek(&self, key: &[ChangeId]) -> Option<Option<Image>> {
        self.states.get(key).map(|entry| entry.image.clone())
    }

    pub(super) fn insert(&mut self, key: Vec<ChangeId>, image: Option<Image>) {
        self.uses += 1;
        self.bytes += size(image.as_ref());
        self.by_use.insert(self.uses, key.clone());
        if let Some(old) = self.states.insert(key, Entry { used: self.uses, image }) {
            self.bytes -= size(old.image.as_ref());
            self.by_use.remove(&old.used);
        }
    }

    /// Keeps within the limits. Not called in the middle of a fold, which may need every state that
    /// it passed through.
    pub(super) fn trim(&mut self) {
        while self.states.len() > STATES_MAX || self.bytes > BYTES_MAX {
            let Some((_, key)) = self.by_use.pop_first() else { return };
            if let Some(entry) = self.states.remove(&key) {
                self.bytes -= size(entry.image.as_ref());
            }
        }
    }

    /// Drops the states that no look-up can ask for any more: those with a head that is not held.
    pub(super) fn drop_unheld(&mut self, past: &History) {
        let Self { states, by_use, bytes, .. } = self;
        states.retain(|key, entry| {
            let held = key.iter().all(|head| past.get(head).is_some());
            if !held {
                by_use.remove(&entry.used);
                *bytes -= size(entry.image.as_ref());
            }
            held
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hlc;

    fn at(n: u64) -> Vec<ChangeId> {
        vec![ChangeId { hlc: Hlc::from_bits(n).unwrap(), region: "a".parse().unwrap() }]
    }

    #[test]
    fn the_least_lately_used_goes_first() {
        let mut cache = StateCache::default();
        for n in 1..=STATES_MAX as u64 + 2 {
            cache.insert(at(n), Some(Image::opaque(vec![0; 8])));
        }
        assert!(cache.get(&at(1)).is_some());
        cache.trim();
        assert_eq!((cache.states.len(), cache.by_use.len()), (STATES_MAX, STATES_MAX));
        assert_eq!(cache.bytes, 8 * STATES_MAX);
        assert!(cache.get(&at(1)).is_some());
        assert!(cache.get(&at(2)).is_none() && cache.get(&at(3)).is_none());
    }

    #[test]
    fn large_images_count_by_their_bytes() {
        let mut cache = StateCache::default();
        for n in 1..=3 {
            cache.insert(at(n), Some(Image::opaque(vec![0; BYTES_MAX / 2])));
        }
        cache.trim();
        assert_eq!((cache.states.len(), cache.bytes), (2, BYTES_MAX));
        cache.insert(at(2), None);
        assert_eq!(cache.bytes, BYTES_MAX / 2);
    }
}
