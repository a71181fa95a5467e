//! Room on the disk for a file that is made beside the store.
//!
//! A disk that is full stops the store, so such a file is begun only where there is room for all of
//! it, and given up before it takes what the store needs for its own work.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use syncline_store::StoreError;
use thiserror::Error;

/// So much is written between two looks at what is free.
const LOOK_EVERY_BYTES: u64 = 8 << 20;

/// There is no room for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the copy needs {needed} bytes on the disk of the data folder, with those that are kept free \
     for writes, and {free} are free: make room there; it goes on by itself"
)]
pub(super) struct NoRoom {
    pub(super) needed: u64,
    pub(super) free: u64,
}

/// Why a file was not made.
#[derive(Debug, Error)]
pub(super) enum NotMade<E> {
    #[error(transparent)]
    NoRoom(NoRoom),
    #[error("write the copy")]
    Io(#[source] io::Error),
    #[error(transparent)]
    Store(StoreError),
    #[error(transparent)]
    Contents(E),
}

/// Where files are made, and what they leave free there.
pub(super) struct Room<F> {
    /// How many bytes are free on the disk.
    pub(super) free: F,
    /// So many are left free, whatever is written.
    pub(super) left: u64,
    /// A file that did not fit was longer than this.
    pub(super) found_longer_than: u64,
}

impl<F: Fn() -> Result<u64, StoreError>> Room<F> {
    /// Makes a file of about so many bytes. What is there of it after any failure is deleted.
    pub(super) fn make<T, E>(
        &mut self,
        path: &Path,
        bytes: u64,
        contents: impl FnOnce(&mut (dyn Write + Send)) -> Result<T, E>,
    ) -> Result<T, NotMade<E>>
    where
        F: Sync + Send,
    {
        // What an attempt before this one, or a process before this one, has left.
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(NotMade::Io(error)),
            _ => {}
        }
        let about = bytes.max(self.found_longer_than);
        let needed = about.saturating_add(self.left);
        let free = (self.free)().map_err(NotMade::Store)?;
        if free < needed {
            return Err(NotMade::NoRoom(NoRoom { needed, free }));
        }
        let file = File::create(path).map_err(NotMade::Io)?;
        let mut bounded =
            Bounded { to: file, room: &*self, written: 0, look_at: 0, is_full: false };
        let made = write_all(&mut bounded, contents);
        let (written, is_full) = (bounded.written, bounded.is_full);
        drop(bounded);
        if made.is_err() {
            // The failure is what is told; what cannot be deleted now is before the next attempt.
            let _ = fs::remove_file(path);
        }
        match made {
            Err(_) if is_full => {
                // By how much it is longer is not known.
                self.found_longer_than = written.saturating_add(written / 4);
                let needed = self.found_longer_than.max(bytes).saturating_add(self.left);
                let free = (self.free)().map_err(NotMade::Store)?;
                Err(NotMade::NoRoom(NoRoom { needed, free }))
            }
            made => made,
        }
    }
}

fn write_all<T, E>(
    to: &mut (impl Write + Send),
    contents: impl FnOnce(&mut (dyn Write + Send)) -> Result<T, E>,
) -> Result<T, NotMade<E>> {
    let mut to = BufWriter::new(to);
    let made = contents(&mut to);
    match (made, to.flush()) {
        (Ok(made), Ok(())) => Ok(made),
        (Ok(_), Err(error)) => Err(NotMade::Io(error)),
        (Err(error), _) => Err(NotMade::Contents(error)),
    }
}

/// A file that is not written further once too little would be free.
struct Bounded<'a, F> {
    to: File,
    room: &'a Room<F>,
    written: u64,
    /// At so many bytes it is looked again.
    look_at: u64,
    is_full: bool,
}

impl<F: Fn() -> Result<u64, StoreError>> Write for Bounded<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written >= self.look_at {
            let free = (self.room.free)().map_err(io::Error::other)?;
            if free < self.room.left.saturating_add(LOOK_EVERY_BYTES) {
                self.is_full = true;
                return Err(ErrorKind::StorageFull.into());
            }
            self.look_at = self.written + LOOK_EVERY_BYTES;
        }
        let written = self.to.write(bytes);
        match &written {
            Ok(count) => self.written += *count as u64,
            Err(error) => self.is_full |= error.kind() == ErrorKind::StorageFull,
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A disk on which only what is written to one file takes space.
    fn disk(path: &Path, size: &'static AtomicU64) -> impl Fn() -> Result<u64, StoreError> {
        let path = path.to_owned();
        move || {
            let taken = fs::metadata(&path).map_or(0, |file| file.len());
            Ok(size.load(Ordering::SeqCst).saturating_sub(taken))
        }
    }

    fn mebibytes(count: u64) -> impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()> {
        move |to| (0..count).try_for_each(|_| to.write_all(&vec![7; MIB as usize]))
    }

    #[test]
    fn a_file_that_has_no_room_is_not_begun() {
        static SIZE: AtomicU64 = AtomicU64::new(29 * MIB);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        fs::write(&path, [0; 100]).unwrap();
        let mut room = Room { free: disk(&path, &SIZE), left: 10 * MIB, found_longer_than: 0 };
        let never = |_: &mut (dyn Write + Send)| -> io::Result<()> { panic!("it is begun") };
        let refused = room.make(&path, 20 * MIB, never).unwrap_err();
        let told = NoRoom { needed: 30 * MIB, free: 29 * MIB };
        assert!(matches!(refused, NotMade::NoRoom(no_room) if no_room == told));
        assert!(told.to_string().contains("needs 31457280 bytes"), "{told}");
        assert!(!path.exists(), "what a process before this one has left is gone");
        SIZE.store(64 * MIB, Ordering::SeqCst);
        room.make(&path, 20 * MIB, mebibytes(20)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 20 * MIB);
    }

    #[test]
    fn a_file_that_is_longer_than_it_was_thought_leaves_the_store_its_room() {
        static SIZE: AtomicU64 = AtomicU64::new(60 * MIB);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        let lowest = AtomicU64::new(u64::MAX);
        let disk = disk(&path, &SIZE);
        let free = || {
            let free = disk()?;
            lowest.fetch_min(free, Ordering::SeqCst);
            Ok(free)
        };
        let mut room = Room { free, left: 20 * MIB, found_longer_than: 0 };
        let refused = room.make(&path, MIB, mebibytes(70)).unwrap_err();
        let NotMade::NoRoom(told) = refused else { panic!("{refused}") };
        assert!(told.needed > 60 * MIB && told.free == 60 * MIB, "{told:?}");
        assert!(lowest.load(Ordering::SeqCst) >= 20 * MIB && !path.exists());
        let again = room.make(&path, MIB, mebibytes(1)).unwrap_err();
        assert!(matches!(again, NotMade::NoRoom(_)), "as long as there is no more room");
        SIZE.store(200 * MIB, Ordering::SeqCst);
        room.make(&path, MIB, mebibytes(70)).unwrap();
    }

    #[test]
    fn what_is_there_of_a_file_is_deleted_after_any_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        let mut room = Room { free: || Ok(u64::MAX), left: 0, found_longer_than: 0 };
        let failed = room.make(&path, 1, |to| {
            to.write_all(&[7; 100])?;
            Err::<(), _>(io::Error::other("no more"))
        });
        assert!(matches!(failed, Err(NotMade::Contents(_))) && !path.exists());
    }
}
