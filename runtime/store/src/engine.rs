//! Which engine keeps a node's store.

use std::fmt;
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

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
pub struct DiskStore {
    engine: Opened,
    /// Held by whoever commits; by one that wants no commits, alone.
    commits: RwLock<()>,
}

#[derive(Debug)]
enum Opened {
    Sled(Box<SledStore>),
    Fjall(FjallStore),
}

/// What came of a look at a store at rest.
#[derive(Clone, Copy, Debug)]
pub struct AtRest<T> {
    /// What the look came to.
    pub found: T,
    /// For how long nothing could be committed.
    pub pause: Duration,
}

impl DiskStore {
    /// Opens the store in a folder, which is made if need be.
    pub fn open(engine: Engine, path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let engine = match engine {
            Engine::Sled => Opened::Sled(Box::new(SledStore::open(path)?)),
            Engine::Fjall => Opened::Fjall(FjallStore::open(path)?),
        };
        Ok(Self { engine, commits: RwLock::default() })
    }

    /// How much the store takes on disk, in bytes.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        match &self.engine {
            Opened::Sled(store) => store.size_on_disk(),
            Opened::Fjall(store) => store.size_on_disk(),
        }
    }

    /// Commits are refused while less than this is free on the store's disk, in bytes.
    pub fn free_bytes_min(&self) -> u64 {
        match &self.engine {
            Opened::Sled(store) => store.free_bytes_min(),
            Opened::Fjall(store) => store.free_bytes_min(),
        }
    }

    /// Looks at the store as it is at one moment, all of which is durable. fjall has views that
    /// do not change; with sled nothing can be committed until the look is over: who commits waits.
    pub fn at_rest<T>(&self, look: impl FnOnce(&dyn Store) -> T) -> Result<AtRest<T>, StoreError> {
        let alone = self.commits.write().unwrap_or_else(PoisonError::into_inner);
        let since = Instant::now();
        match &self.engine {
            Opened::Sled(store) => {
                store.sync()?;
                let found = look(&**store);
                drop(alone);
                Ok(AtRest { found, pause: since.elapsed() })
            }
            Opened::Fjall(store) => {
                let view = store.view();
                drop(alone);
                let pause = since.elapsed();
                store.sync()?;
                Ok(AtRest { found: look(&view), pause })
            }
        }
    }

    fn store(&self) -> &dyn Store {
        match &self.engine {
            Opened::Sled(store) => &**store,
            Opened::Fjall(store) => store,
        }
    }
}

impl Store for DiskStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store().get(key)
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        self.store().scan(scan)
    }

    fn keys(&self, scan: &Scan) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store().keys(scan)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let _not_at_rest = self.commits.read().unwrap_or_else(PoisonError::into_inner);
        self.store().commit(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store().sync()
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

    #[test]
    fn a_look_at_rest_sees_no_later_commit() {
        for engine in Engine::ALL {
            let dir = TempDir::new().unwrap();
            let store = DiskStore::open(engine, dir.path()).unwrap();
            let put = |value: &[u8]| {
                let mut batch = Batch::new();
                batch.put(b"a", value);
                batch.put(b"b", value);
                store.commit(batch)
            };
            put(b"1").unwrap();
            std::thread::scope(|scope| {
                let later = store.at_rest(|view| {
                    let before = view.get(b"a").unwrap();
                    let later = scope.spawn(|| put(b"2"));
                    if engine == Engine::Fjall {
                        // It does not wait for the look to end.
                        while store.get(b"a").unwrap() != Some(b"2".to_vec()) {
                            std::thread::yield_now();
                        }
                    }
                    assert_eq!(
                        (before, view.get(b"b").unwrap()),
                        (Some(b"1".into()), Some(b"1".into()))
                    );
                    assert_eq!(view.keys(&Scan::prefix(b"")).unwrap().len(), 2);
                    later
                });
                later.unwrap().found.join().unwrap().unwrap();
            });
            assert_eq!(store.get(b"b").unwrap(), Some(b"2".to_vec()));
        }
    }
}
