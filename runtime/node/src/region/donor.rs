//! Copies what this region has, for a region that joins.
//!
//! Who joins follows from the control records; the donor is the region that proposed the join, and
//! any that was asked for it since. It copies its store to a file as it is at one moment, and
//! publishes that while it goes on working. A donor that was killed makes another copy, unless the
//! last one was published to its end.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use syncline_applier::{Copied, Copying, JoinError, PagesMade, write_copy};
use syncline_bus::{Bus, BusError};
use syncline_core::{Hlc, Membership, MembershipChange, MembershipState, RegionId};
use syncline_store::{AtRest, StoreError, free_space};
use thiserror::Error;

use super::room::{NoRoom, NotMade, Room};
use super::threads::Threads;
use super::{Shared, chain};

/// Pages that are published at once: some megabytes, which is worth a round trip.
const PAGES_AT_ONCE: usize = 8;
/// How often pages that the bus did not take are tried again before another attempt begins.
const TRIES: usize = 5;
/// How often a copy that rests looks whether it is given up.
const LOOK: Duration = Duration::from_millis(100);
/// How long to wait after something failed; twice as long after each further failure, up to the
/// second. With some engines nothing is written while a copy is tried.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// A copy leaves so many times the space free that the store needs for its writes.
const LEFT_TIMES: u64 = 2;
/// In the folder of a copy: it was published to its end.
const PUBLISHED: &str = "published";
/// In the folder of a copy, until it is published.
const COPY: &str = "copy";

/// What is done for a region that joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Donation {
    /// The region that joins.
    pub joiner: RegionId,
    /// copying, publishing or published.
    pub state: &'static str,
    /// How much of it is published.
    pub bytes: u64,
    /// How large it is; 0 until it is known.
    pub total: u64,
    /// Why it does not go on, if it does not.
    pub trouble: Option<String>,
}

/// Starts and ends what is done for regions that join.
pub(super) struct Donor {
    shared: Arc<Shared>,
    bus: Arc<dyn Bus>,
    threads: Arc<Threads>,
    /// A folder for each copy.
    folder: PathBuf,
    current: Option<(RegionId, Arc<AtomicBool>)>,
    /// What a run before this one has left was looked at.
    tidied: bool,
}

/// Why an attempt came to nothing.
#[derive(Debug, Error)]
enum Failed {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Copy(#[from] JoinError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("write the copy")]
    Io(#[from] io::Error),
    #[error(transparent)]
    NoRoom(NoRoom),
    #[error("the clock has reached its end")]
    Clock,
}

impl<E: Into<Failed>> From<NotMade<E>> for Failed {
    fn from(not_made: NotMade<E>) -> Self {
        match not_made {
            NotMade::NoRoom(no_room) => Self::NoRoom(no_room),
            NotMade::Io(error) => Self::Io(error),
            NotMade::Store(error) => Self::Store(error),
            NotMade::Contents(error) => error.into(),
        }
    }
}

impl Donor {
    pub(super) fn new(shared: Arc<Shared>, bus: Arc<dyn Bus>, threads: Arc<Threads>) -> Self {
        let folder = shared.data.join("snapshot");
        Self { shared, bus, threads, folder, current: None, tidied: false }
    }

    /// Does what follows from the membership.
    pub(super) fn align(&mut self, membership: &Membership) {
        let due = membership.to_admit().filter(|joiner| self.is_asked(membership, joiner));
        let due = due.cloned();
        let current = self.current.as_ref().map(|(joiner, _)| joiner.clone());
        if current != due {
            self.end();
            if let Some(joiner) = current {
                self.clear(joiner);
            }
            if let Some(joiner) = &due {
                self.start(joiner.clone());
            }
        }
        if !std::mem::replace(&mut self.tidied, true) {
            for left in folders(&self.folder) {
                if Some(&left) != due.as_ref() {
                    self.clear(left);
                }
            }
        }
    }

    /// Makes another copy, if the region may take one over.
    pub(super) fn again(&mut self, membership: &Membership, joiner: &RegionId) {
        if membership.to_admit() != Some(joiner) {
            return;
        }
        self.end();
        // A folder says that this region was asked, also after a restart.
        let folder = self.folder.join(joiner.as_str());
        let _ = fs::remove_dir_all(&folder);
        if let Err(error) = fs::create_dir_all(&folder) {
            tracing::error!(%joiner, %error, "make a folder for a copy");
        }
        self.start(joiner.clone());
    }

    fn is_asked(&self, membership: &Membership, joiner: &RegionId) -> bool {
        let mut joins = membership.iter().filter(|view| {
            let is_join =
                matches!(&view.change, MembershipChange::Join { region } if region == joiner);
            is_join && view.state == MembershipState::Agreed
        });
        joins.any(|view| view.id.0.region == self.shared.site.region)
            || self.folder.join(joiner.as_str()).is_dir()
    }

    fn start(&mut self, joiner: RegionId) {
        let stop = Arc::new(AtomicBool::new(false));
        self.current = Some((joiner.clone(), Arc::clone(&stop)));
        let folder = self.folder.join(joiner.as_str());
        let (shared, bus) = (Arc::clone(&self.shared), Arc::clone(&self.bus));
        let job = Job { shared, bus, joiner, folder, stop };
        self.threads.start(&self.shared, "donor", move || job.run());
    }

    fn end(&mut self) {
        if let Some((_, stop)) = self.current.take() {
            stop.store(true, Ordering::SeqCst);
            *self.shared.donation.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Drops what was published for a region, aside: its cluster may be dark.
    fn clear(&self, joiner: RegionId) {
        let (bus, me) = (Arc::clone(&self.bus), self.shared.site.region.clone());
        let folder = self.folder.join(joiner.as_str());
        let drop_it = move || match bus.drop_snapshot(&me, &joiner) {
            // What stays for now is dropped at the next start.
            Err(error) => tracing::warn!(%joiner, error = chain(&error), "drop a snapshot"),
            Ok(()) => drop(fs::remove_dir_all(folder)),
        };
        self.threads.start(&self.shared, "drop a snapshot", drop_it);
    }
}

/// The regions that a copy was made for.
fn folders(folder: &Path) -> Vec<RegionId> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// One copy.
struct Job {
    shared: Arc<Shared>,
    bus: Arc<dyn Bus>,
    joiner: RegionId,
    folder: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Job {
    fn run(&self) {
        let store = &self.shared.site.store;
        let mut room = Room {
            free: || free_space(&self.folder),
            left: store.free_bytes_min().saturating_mul(LEFT_TIMES),
            found_longer_than: 0,
        };
        let mut made = None;
        let mut pause = PAUSE;
        while !self.is_stopped() {
            match self.attempt(&mut room, &mut made) {
                Ok(()) => return,
                Err(error) => {
                    let trouble = chain(&error);
                    if self.tell(|now| now.trouble.as_ref() != Some(&trouble)) == Some(true) {
                        tracing::warn!(joiner = %self.joiner, trouble, "a copy cannot be made now");
                    }
                    self.tell(|now| now.trouble = Some(trouble));
                    self.rest(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Waits, unless it is given up meanwhile.
    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.is_stopped() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.shared.is_stopping()
    }

    /// Changes what is told of this copy, unless it was given up.
    fn tell<T>(&self, change: impl FnOnce(&mut Donation) -> T) -> Option<T> {
        let mut told = self.shared.donation.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.stop.load(Ordering::SeqCst)).then(|| {
            change(told.get_or_insert_with(|| Donation {
                joiner: self.joiner.clone(),
                state: "copying",
                bytes: 0,
                total: 0,
                trouble: None,
            }))
        })
    }

    fn attempt(
        &self,
        room: &mut Room<impl Fn() -> Result<u64, StoreError> + Send + Sync>,
        made: &mut Option<(Copying, Copied)>,
    ) -> Result<(), Failed> {
        self.tell(|_| ());
        if self.folder.join(PUBLISHED).exists() {
            self.is_published();
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let (copying, copied) = match made.take() {
            Some(made) => made,
            None => self.copy(room)?,
        };
        let done = self.publish(&copying, copied);
        *made = Some((copying, copied));
        if done? {
            File::create(self.folder.join(PUBLISHED))?.sync_all()?;
            self.is_published();
            tracing::warn!(joiner = %self.joiner, bytes = copied.bytes, "a copy is published");
        }
        Ok(())
    }

    fn is_published(&self) {
        // It takes room, and nobody asks for it again; the folder goes when the region has joined.
        let _ = fs::remove_file(self.folder.join(COPY));
        self.tell(|now| (now.state, now.trouble) = ("published", None));
    }

    /// Copies the store as it is at one moment, if there is room.
    fn copy(
        &self,
        room: &mut Room<impl Fn() -> Result<u64, StoreError> + Send + Sync>,
    ) -> Result<(Copying, Copied), Failed> {
        let site = &self.shared.site;
        let donor = site.region.clone();
        // Before the store is at rest: what stands before these was committed by then.
        let positions = self.bus.ends(&donor)?;
        let (joiner, partitions) = (self.joiner.clone(), site.partitions);
        let copying = Copying { donor, joiner, partitions, positions };
        let bytes = site.store.size_on_disk()?;
        let (copied, pause) = room.make(&self.folder.join(COPY), bytes, |file| {
            let AtRest { found, pause } =
                site.store.at_rest(|store| write_copy(&copying, store, file))?;
            Ok::<_, Failed>((found?, pause))
        })?;
        let pause_ms = pause.as_millis();
        tracing::warn!(joiner = %self.joiner, bytes = copied.bytes, pause_ms,
            "the store is copied for a region that joins; writes waited for so long");
        self.tell(|now| {
            (now.state, now.total, now.trouble) = ("publishing", copied.bytes, None);
        });
        Ok((copying, copied))
    }

    /// Answers true once all is published, false if it was given up.
    fn publish(&self, copying: &Copying, copied: Copied) -> Result<bool, Failed> {
        let site = &self.shared.site;
        let attempt =
            site.clock.tick(self.shared.now_ms()).map(Hlc::bits).map_err(|_| Failed::Clock)?;
        let mut writer = self.bus.snapshot_writer(&site.region, &self.joiner)?;
        let copy = BufReader::new(File::open(self.folder.join(COPY))?);
        let mut pages = PagesMade::new(copying, attempt, copied, copy);
        let mut bytes = 0u64;
        loop {
            let next: Vec<_> = (&mut pages).take(PAGES_AT_ONCE).collect::<Result<_, _>>()?;
            if next.is_empty() {
                return Ok(true);
            }
            let next: Vec<Vec<u8>> = next.iter().map(syncline_applier::Page::to_bytes).collect();
            let mut tries = 0;
            while let Err(error) = writer.append(&next) {
                if self.is_stopped() {
                    return Ok(false);
                }
                tries += 1;
                if tries == TRIES {
                    return Err(error.into());
                }
                std::thread::sleep(PAUSE);
            }
            bytes += next.iter().map(|page| page.len() as u64).sum::<u64>();
            self.tell(|now| (now.bytes, now.trouble) = (bytes.min(copied.bytes), None));
            if self.is_stopped() {
                return Ok(false);
            }
        }
    }
}
