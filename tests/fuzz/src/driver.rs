//! Runs cases by the number, on threads of its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// Compilers recurse over what they compile, and guests are called on the thread's own stack.
const THREAD_STACK_BYTES: usize = 64 << 20;
/// How often threads are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What is fuzzed.
pub trait Target: Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Makes the case from its seed, and tries it.
    ///
    /// # Errors
    /// What does not hold.
    fn run(&self, case: &mut Case<'_>) -> anyhow::Result<()>;
}

/// One case, on its way.
pub struct Case<'a> {
    /// All that is random in it.
    pub rng: Rng,
    seed: u64,
    kinds: Vec<String>,
    exhibits: &'a Mutex<Exhibits>,
}

/// Files that tell what a case is about, by name.
type Exhibits = BTreeMap<&'static str, Vec<u8>>;

impl Case<'_> {
    /// Its number.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Counts that a case of this kind was met, for the summary.
    pub fn met(&mut self, kind: impl Into<String>) {
        self.kinds.push(kind.into());
    }

    /// Keeps what the case is about, before it is tried. It is written to a file if that fails.
    pub fn show(&self, name: &'static str, bytes: &[u8]) {
        locked(self.exhibits).insert(name, bytes.to_vec());
    }
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first seed; the others follow.
    pub first: u64,
    /// How many cases. None: as many as there is time for.
    pub count: Option<u64>,
    /// After so long no case is begun. None: all cases are run.
    pub time: Option<Duration>,
    /// How many at a time.
    pub threads: usize,
    /// A case that takes longer hangs, and that is a failure.
    pub case_time_max: Duration,
    /// Where a folder is made for each failure, and the seeds that are being run are noted: a
    /// crash of the whole process leaves them there.
    pub folder: PathBuf,
}

/// How far it got.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Cases that came to an end.
    pub cases: u64,
    /// How many of them met what.
    pub kinds: BTreeMap<String, u64>,
    /// The first that failed.
    pub failure: Option<Failure>,
}

/// A case that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its number.
    pub seed: u64,
    /// What does not hold.
    pub what: String,
    /// Where its files are.
    pub folder: PathBuf,
}

/// Runs the plan; ends at the first failure. `progress` is told every `every` how far it is.
/// After a case that hangs its thread still runs: the process is best ended then.
///
/// # Errors
/// The folder can't be written to, or there are no threads to be had.
pub fn run(
    target: &Arc<dyn Target>,
    plan: &Plan,
    every: Duration,
    progress: &mut dyn FnMut(&Summary),
) -> io::Result<Summary> {
    let dir = plan.folder.join(target.name());
    fs::create_dir_all(&dir)?;
    let shared = Arc::new(Shared {
        plan: plan.clone(),
        dir,
        begun: Instant::now(),
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        summary: Mutex::default(),
    });
    let mut desks = Vec::new();
    let mut workers = Vec::new();
    for number in 0..plan.threads {
        let desk = Arc::new(Desk::default());
        let (target, shared, own) = (Arc::clone(target), Arc::clone(&shared), Arc::clone(&desk));
        let builder = thread::Builder::new().name(format!("fuzz-{number}"));
        workers.push(
            builder
                .stack_size(THREAD_STACK_BYTES)
                .spawn(move || shared.work(&*target, &own, number))?,
        );
        desks.push((desk, Watch::default()));
    }
    let mut told = Instant::now();
    loop {
        let done = workers.iter().all(thread::JoinHandle::is_finished);
        for (desk, watch) in &mut desks {
            if let Some(seed) = watch.hangs(desk, plan.case_time_max) {
                let what = format!("it hangs: more than {:?}", plan.case_time_max);
                shared.failed(seed, what, &locked(&desk.exhibits));
            }
        }
        if done || locked(&shared.summary).failure.is_some() {
            break;
        }
        if told.elapsed() >= every {
            told = Instant::now();
            progress(&locked(&shared.summary));
        }
        thread::sleep(LOOK);
    }
    shared.stop.store(true, Ordering::Relaxed);
    let summary = locked(&shared.summary).clone();
    Ok(summary)
}

struct Shared {
    plan: Plan,
    dir: PathBuf,
    begun: Instant,
    next: AtomicU64,
    stop: AtomicBool,
    summary: Mutex<Summary>,
}

/// What one thread is on.
#[derive(Default)]
struct Desk {
    /// The case's number among all, and its seed.
    case: Mutex<Option<(u64, u64)>>,
    exhibits: Mutex<Exhibits>,
}

/// How long a thread has been on one case. Counted in looks, and not read from a clock: a process
/// that was stopped for a while does not hang.
#[derive(Default)]
struct Watch {
    case: Option<(u64, u64)>,
    time: Duration,
}

impl Watch {
    /// Has a look; gives the seed of a case that takes too long.
    fn hangs(&mut self, desk: &Desk, limit: Duration) -> Option<u64> {
        let case = *locked(&desk.case);
        let goes_on = case == self.case;
        *self = Self { case, time: if goes_on { self.time + LOOK } else { Duration::ZERO } };
        let (_, seed) = case?;
        (self.time > limit).then_some(seed)
    }
}

impl Shared {
    fn work(&self, target: &dyn Target, desk: &Desk, number: usize) {
        let note = self.dir.join(format!("running-{number}"));
        let mut noted = File::create(&note).ok();
        while let Some(number) = self.next_case() {
            let seed = self.plan.first.wrapping_add(number);
            locked(&desk.exhibits).clear();
            if let Some(file) = &mut noted {
                // For who looks after a crash; without it only that is lost. All seeds are of one
                // length, so that the file never is empty.
                let _ = file.rewind().and_then(|()| write!(file, "{seed:020}"));
            }
            *locked(&desk.case) = Some((number, seed));
            let rng = Rng::with_seed(seed);
            let mut case = Case { rng, seed, kinds: Vec::new(), exhibits: &desk.exhibits };
            let done = catch_unwind(AssertUnwindSafe(|| target.run(&mut case)));
            *locked(&desk.case) = None;
            let kinds = case.kinds;
            match done {
                Ok(Ok(())) => self.passed(kinds),
                Ok(Err(error)) => {
                    self.failed(seed, format!("{error:#}"), &locked(&desk.exhibits));
                }
                Err(panic) => {
                    let what = format!("it panics: {}", message(&*panic));
                    self.failed(seed, what, &locked(&desk.exhibits));
                }
            }
        }
        let _ = fs::remove_file(note);
    }

    fn next_case(&self) -> Option<u64> {
        let late = self.plan.time.is_some_and(|time| self.begun.elapsed() >= time);
        if late || self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.plan.count.is_none_or(|count| number < count).then_some(number)
    }

    fn passed(&self, kinds: Vec<String>) {
        let mut summary = locked(&self.summary);
        summary.cases += 1;
        for kind in kinds {
            *summary.kinds.entry(kind).or_default() += 1;
        }
    }

    /// Only the first one counts.
    fn failed(&self, seed: u64, what: String, exhibits: &Exhibits) {
        self.stop.store(true, Ordering::Relaxed);
        let mut summary = locked(&self.summary);
        if summary.failure.is_some() {
            return;
        }
        let folder = self.dir.join(seed.to_string());
        let what = match write_all(&folder, &what, exhibits) {
            Ok(()) => what,
            Err(error) => format!("{what}\n(its files could not be written: {error})"),
        };
        summary.failure = Some(Failure { seed, what, folder });
    }
}

fn write_all(folder: &Path, what: &str, exhibits: &Exhibits) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("failure.txt"), what)?;
    exhibits.iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// A panic in one case leaves nothing half done in what threads share.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
