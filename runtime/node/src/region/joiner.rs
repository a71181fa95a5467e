//! How a region that joins takes over what a donor has, before it starts.
//!
//! What comes is gathered in a file. Only when all of it is there and is what the donor says it is,
//! it is made a store of, aside, which then gets its name. A process that is killed goes on where it
//! was, or begins again: until the end there is no store.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use syncline_applier::{Assembly, Copied, JoinError, Page, PageStep, read_copy};
use syncline_bus::{Bus, BusError, SnapshotPage, SnapshotReader};
use syncline_core::RegionId;
use syncline_store::kv::node;
use syncline_store::{DiskStore, StoreError};
use thiserror::Error;

use super::aside::{is_lost, set_aside, store_of};
use super::{RegionOptions, chain};

/// Pages that are asked for at once.
const PAGES_AT_ONCE: usize = 16;
/// So many pages are gathered before it is noted how far they are: what comes after is asked for
/// again.
const PAGES_OF_NOTE: u64 = 64;
/// How long to wait for pages before it is looked whether to stop.
const WAIT: Duration = Duration::from_millis(500);
/// What is told in the log: each tenth.
const TOLD_PARTS: u64 = 10;

/// How far a region is that joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinProgress {
    /// Pages that are here.
    pub pages: u64,
    /// Bytes that are here.
    pub bytes: u64,
    /// How many there will be; 0 until that is known.
    pub total: u64,
    /// All of it is here, and is made a store of.
    pub is_loading: bool,
    /// Why it does not go on.
    pub trouble: Option<String>,
}

/// A region that joins, and whoever asks how far it is.
#[derive(Debug)]
pub struct Joining {
    /// The region.
    pub me: RegionId,
    /// The region that it takes its data over from.
    pub donor: RegionId,
    progress: Mutex<JoinProgress>,
    stopping: std::sync::atomic::AtomicBool,
}

/// Why a region could not take over another's data.
#[derive(Debug, Error)]
pub enum TakeOverError {
    /// The data folder.
    #[error("{action} {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it could not be.
        #[source]
        source: io::Error,
    },
    /// Another process does the same.
    #[error("{} is in use by another process", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The bus.
    #[error("read the snapshot")]
    Bus(#[from] BusError),
    /// The store that is made.
    #[error("make the store")]
    Store(#[from] StoreError),
    /// The copy.
    #[error("make the store of the copy")]
    Copy(#[from] JoinError),
    /// The data are another region's.
    #[error(
        "the data in {} are of {found}: a region joins with an empty folder, or with that of an \
         earlier incarnation", data.display()
    )]
    OtherData {
        /// The folder.
        data: PathBuf,
        /// Whose data there are.
        found: RegionId,
    },
}

fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> TakeOverError + 'a {
    move |source| TakeOverError::Io { action, path: path.to_owned(), source }
}

/// True if the region has no store yet, and has lost none. One of an earlier incarnation, or one
/// that cannot be read, is set aside.
pub fn must_join(options: &RegionOptions) -> Result<bool, TakeOverError> {
    let RegionOptions { region, data, engine, .. } = options;
    // This very one has joined before: the start says what is to be done.
    if is_lost(data, region) {
        return Ok(false);
    }
    if !store_of(data).exists() {
        return Ok(true);
    }
    let found = DiskStore::open(*engine, store_of(data)).and_then(|store| node::get(&store));
    let why = match found {
        Ok(Some(found)) if found.region == *region => return Ok(false),
        Ok(Some(found)) => {
            let found = found.region;
            if found.name() != region.name() || found.incarnation() > region.incarnation() {
                return Err(TakeOverError::OtherData { data: data.clone(), found });
            }
            format!("incarnation-{}", found.incarnation())
        }
        Ok(None) => "nobodys".to_owned(),
        Err(StoreError::Corrupt { .. }) => "corrupt".to_owned(),
        Err(error) => return Err(error.into()),
    };
    let kept = set_aside(data, &why).map_err(io_error("set aside the store in", data))?;
    tracing::warn!(%region, kept = %kept.display(), "the store that was there is set aside");
    Ok(true)
}

impl Joining {
    /// A region that joins.
    pub fn new(me: RegionId, donor: RegionId) -> Self {
        let (progress, stopping) = Default::default();
        Self { me, donor, progress, stopping }
    }

    /// How far it is.
    pub fn progress(&self) -> JoinProgress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives up; what is here is kept for another time.
    pub fn stop(&self) {
        self.stopping.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn tell(&self, change: impl FnOnce(&mut JoinProgress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn trouble(&self, trouble: String) {
        if self.progress().trouble.as_ref() != Some(&trouble) {
            tracing::warn!(region = %self.me, donor = %self.donor, trouble, "joining");
        }
        self.tell(|progress| progress.trouble = Some(trouble));
    }

    /// Takes over the donor's data, once all have agreed that the region joins. Answers false if it
    /// was told to stop before it was done.
    pub fn take_over(&self, options: &RegionOptions, bus: &dyn Bus) -> Result<bool, TakeOverError> {
        let folder = options.data.join("joining");
        fs::create_dir_all(&folder).map_err(io_error("make folder", &folder))?;
        let _mine = lock(&folder)?;
        tracing::warn!(region = %self.me, donor = %self.donor, "waits for a snapshot");
        loop {
            let partitions = options.partitions;
            let assembly = Assembly::new(self.donor.clone(), self.me.clone(), partitions);
            let mut gathered = Gathered::open(&folder, assembly)?;
            let Some(copied) = self.gather(&mut gathered, bus)? else { return Ok(false) };
            if gathered.is(copied) {
                break;
            }
            self.trouble("the copy is damaged, and is read again".into());
            gathered.begin().map_err(io_error("empty", &folder))?;
            gathered.note(0).map_err(io_error("write to", &folder))?;
        }
        self.tell(|progress| (progress.is_loading, progress.trouble) = (true, None));
        load(options, &folder)?;
        fs::remove_dir_all(&folder).map_err(io_error("remove", &folder))?;
        tracing::warn!(region = %self.me, donor = %self.donor, "has taken over the data");
        Ok(true)
    }

    /// None if it was told to stop.
    fn gather(
        &self,
        gathered: &mut Gathered,
        bus: &dyn Bus,
    ) -> Result<Option<Copied>, TakeOverError> {
        let open = |from| bus.snapshot_reader(&self.donor, &self.me, from);
        let mut reader: Box<dyn SnapshotReader> = open(gathered.position)?;
        while !self.is_stopping() {
            let pages = match reader.poll(PAGES_AT_ONCE, WAIT) {
                Ok(pages) => pages,
                Err(error) => {
                    self.trouble(chain(&error));
                    std::thread::sleep(WAIT);
                    continue;
                }
            };
            for page in pages {
                match self.take(gathered, page)? {
                    Taken::GoOn => {}
                    Taken::Whole(copied) => return Ok(Some(copied)),
                    Taken::StartOver => {
                        std::thread::sleep(WAIT);
                        reader = open(0)?;
                        break;
                    }
                }
            }
        }
        Ok(None)
    }

    fn take(&self, gathered: &mut Gathered, page: SnapshotPage) -> Result<Taken, TakeOverError> {
        let SnapshotPage { next_position, bytes } = page;
        let folder = gathered.folder.clone();
        let failed = || io_error("write to", &folder);
        let step = match Page::from_bytes(&bytes) {
            Some(page) => gathered.assembly.take(page),
            // What was noted may be a position of an earlier topic.
            None if gathered.resumed => PageStep::Lost,
            None => PageStep::Foreign("something that is no page stands in it".into()),
        };
        match step {
            PageStep::Known => {}
            PageStep::Begins => {
                gathered.begin().map_err(failed())?;
                gathered.note(next_position).map_err(failed())?;
                tracing::warn!(region = %self.me, donor = %self.donor,
                    bytes = gathered.assembly.bytes, "a snapshot begins");
            }
            PageStep::Append(bytes) => {
                gathered.append(&bytes).map_err(failed())?;
                if gathered.assembly.next.is_multiple_of(PAGES_OF_NOTE) {
                    gathered.note(next_position).map_err(failed())?;
                }
            }
            PageStep::Whole(copied) => {
                self.show(gathered);
                return Ok(Taken::Whole(copied));
            }
            PageStep::Lost => {
                (gathered.assembly.attempt, gathered.resumed) = (0, false);
                return Ok(Taken::StartOver);
            }
            PageStep::Foreign(why) => {
                self.trouble(why);
                return Ok(Taken::GoOn);
            }
        }
        self.show(gathered);
        Ok(Taken::GoOn)
    }

    fn show(&self, gathered: &Gathered) {
        let (bytes, total) = (gathered.bytes, gathered.assembly.bytes);
        let before = self.progress();
        let part = |bytes: u64, total: u64| bytes * TOLD_PARTS / total.max(1);
        if before.total == total && part(before.bytes, total) != part(bytes, total) {
            tracing::warn!(region = %self.me, donor = %self.donor, bytes, total, "a snapshot comes");
        }
        let pages = gathered.assembly.next;
        self.tell(|progress| {
            *progress = JoinProgress { pages, bytes, total, is_loading: false, trouble: None };
        });
    }
}

enum Taken {
    GoOn,
    Whole(Copied),
    StartOver,
}

/// Two processes must not gather in one folder.
fn lock(folder: &Path) -> Result<File, TakeOverError> {
    let path = folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io_error("open file", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TakeOverError::InUse { folder: folder.into() }),
        Err(TryLockError::Error(error)) => Err(io_error("lock file", &path)(error)),
    }
}

/// What has come, in a file, and how far that is.
struct Gathered {
    folder: PathBuf,
    copy: File,
    hash: Sha256,
    bytes: u64,
    assembly: Assembly,
    /// Where to go on reading.
    position: u64,
    /// That is not the start.
    resumed: bool,
}

impl Gathered {
    /// As it was noted last; empty if it cannot be told.
    fn open(folder: &Path, assembly: Assembly) -> Result<Self, TakeOverError> {
        let path = folder.join("copy");
        let mut options = File::options();
        let options = options.create(true).truncate(false).read(true).write(true);
        let copy = options.open(&path).map_err(io_error("open file", &path))?;
        let folder = folder.to_owned();
        let mut gathered = Self {
            folder,
            copy,
            hash: Sha256::new(),
            bytes: 0,
            assembly,
            position: 0,
            resumed: false,
        };
        gathered.restore().map_err(io_error("read", &path))?;
        Ok(gathered)
    }

    fn restore(&mut self) -> io::Result<()> {
        let noted = match fs::read_to_string(self.folder.join("progress")) {
            Ok(text) => text.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>().ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let length = self.copy.metadata()?.len();
        match noted.as_deref() {
            Some([attempt, next, total, position, bytes]) if *bytes <= length => {
                (self.assembly.attempt, self.assembly.next) = (*attempt, *next);
                (self.assembly.bytes, self.position, self.bytes) = (*total, *position, *bytes);
                self.resumed = true;
                self.copy.set_len(*bytes)?;
                self.copy.seek(SeekFrom::Start(0))?;
                let mut reader = BufReader::new(&self.copy);
                let mut buffer = vec![0; 1 << 16];
                loop {
                    match reader.read(&mut buffer)? {
                        0 => break,
                        read => self.hash.update(&buffer[..read]),
                    }
                }
                Ok(())
            }
            _ => self.begin(),
        }
    }

    /// Empties it.
    fn begin(&mut self) -> io::Result<()> {
        (self.hash, self.bytes) = (Sha256::new(), 0);
        self.copy.set_len(0)?;
        self.copy.seek(SeekFrom::Start(0))?;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.copy.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Notes how far it is, whole or not at all. Position 0 begins again.
    fn note(&mut self, position: u64) -> io::Result<()> {
        self.position = position;
        self.copy.sync_data()?;
        let Assembly { attempt, next, bytes: total, .. } = &self.assembly;
        let (note, new) = (self.folder.join("progress"), self.folder.join("progress.new"));
        if position == 0 {
            return fs::remove_file(note);
        }
        fs::write(&new, format!("{attempt} {next} {total} {position} {}", self.bytes))?;
        File::open(&new)?.sync_all()?;
        fs::rename(new, note)
    }

    fn is(&self, copied: Copied) -> bool {
        let sha256: [u8; 32] = self.hash.clone().finalize().into();
        (self.bytes, sha256) == (copied.bytes, copied.sha256)
    }
}

/// Makes the store, aside, and gives it its name.
fn load(options: &RegionOptions, folder: &Path) -> Result<(), TakeOverError> {
    let RegionOptions { region, data, engine, .. } = options;
    let unfinished = data.join("store.joining");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(io_error("remove", &unfinished)(error));
        }
        _ => {}
    }
    let copy = folder.join("copy");
    let file = File::open(&copy).map_err(io_error("open file", &copy))?;
    let store = DiskStore::open(*engine, &unfinished)?;
    read_copy(BufReader::new(file), &store)?;
    match node::get(&store)? {
        Some(made) if made.region == *region => {}
        other => {
            let found = other.map_or_else(|| region.clone(), |made| made.region);
            return Err(TakeOverError::OtherData { data: data.clone(), found });
        }
    }
    drop(store);
    fs::rename(&unfinished, store_of(data))
        .and_then(|()| File::open(data)?.sync_all())
        .map_err(io_error("name the store in", data))
}
