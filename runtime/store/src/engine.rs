//! Which engine keeps a node's store.

use std::fmt;
use std::path::Path;

use crate::{Batch, FjallStore, Pair, Scan, SledStore, Store, StoreError};

/// What can keep a store on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// [`SledStore`].
    #[default]
    Sled,
    /// [`FjallStore`].
    Fjall,
}

impl Engine {
    const ALL: [Self; 2] = [Self::Sled, Self::Fjall];

    /// What lies in a folder once the engine has made its store there, and in no other engine's.
    pub(crate) const fn own_entry(self) -> &'static str {
        match self {
            Self::Sled => "conf",
            Self::Fjall => "fjall",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::Fjall => "fjall",
        })
    }
}

/// Refuses a folder that another engine's store is in: a store that begins empty there would
/// stand for one that has forgotten everything.
pub(crate) fn check_no_other(engine: Engine, path: &Path) -> Result<(), StoreError> {
    let mut others = Engine::ALL.into_iter().filter(|other| *other != engine);
    match others.find(|other| path.join(other.own_entry()).exists()) {
        Some(found) => Err(StoreError::OtherEngine { path: path.to_path_buf(), found }),
        None => Ok(()),
    }
}

/// A node's store, kept by the engine that the configuration names.
#[derive(Debug)]
pub enum DiskStore {
    /// Kept by sled.
    Sled(Box<SledStore>),
    /// Kept by fjall.
    Fjall(FjallStore),
}

impl DiskStore {
    /// Opens the store in a folder, which is made if need be.
    pub fn open(engine: Engine, path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Ok(match engine {
            Engine::Sled => Self::Sled(Box::new(SledStore::open(path)?)),
            Engine::Fjall => Self::Fjall(FjallStore::open(path)?),
        })
    }

    /// How much the store takes on disk, in bytes.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        match self {
            Self::Sled(store) => store.size_on_disk(),
            Self::Fjall(store) => store.size_on_disk(),
        }
    }
}

impl Store for DiskStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Sled(store) => store.get(key),
            Self::Fjall(store) => store.get(key),
        }
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        match self {
            Self::Sled(store) => store.scan(scan),
            Self::Fjall(store) => store.scan(scan),
        }
    }

    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        match self {
            Self::Sled(store) => store.keys(scan),
            Self::Fjall(store) => store.keys(scan),
        }
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        match self {
            Self::Sled(store) => store.commit(batch),
            Self::Fjall(store) => store.commit(batch),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        match self {
            Self::Sled(store) => store.sync(),
            Self::Fjall(store) => store.sync(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_folder_keeps_its_engine() {
        for (first, second) in [(Engine::Sled, Engine::Fjall), (Engine::Fjall, Engine::Sled)] {
            let dir = TempDir::new().unwrap();
            let mut batch = Batch::new();
            batch.put(b"a", b"1");
            let store = DiskStore::open(first, dir.path()).unwrap();
            store.commit(batch).unwrap();
            store.sync().unwrap();
            assert!(store.size_on_disk().unwrap() > 0);
            drop(store);
            let refused = DiskStore::open(second, dir.path()).map(|_| ()).unwrap_err();
            let path = dir.path().to_path_buf();
            assert_eq!(refused, StoreError::OtherEngine { path, found: first });
            let store = DiskStore::open(first, dir.path()).unwrap();
            assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
        }
    }
}
