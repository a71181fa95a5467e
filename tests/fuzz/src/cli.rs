//! The command line.

use std::env;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use crate::driver::{self, Plan, Summary, Target};
use crate::{admission, merge, meter};

const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Most cases take some tens of milliseconds, on a machine that is busy some hundreds.
const CASE_TIME_MAX: Duration = Duration::from_secs(30);
/// A case was found that fails.
const FAILED: u8 = 1;
/// The fuzzer itself could not run.
const BROKEN: u8 = 3;

/// Runs random cases against the host, until one fails.
///
/// A case is made from its seed alone. Exits 0 if none failed, 1 if one did, 2 if it was used
/// wrongly, 3 if it could not run.
#[derive(Debug, Parser)]
#[command(
    name = "syncline-fuzz",
    max_term_width = 100,
    after_help = "Examples:\n  syncline-fuzz meter --minutes 5\n  syncline-fuzz admission \
                  --minutes 30 --threads 2\n  syncline-fuzz merge --seed 4711 --count 1"
)]
struct Arguments {
    /// What is fuzzed.
    target: Name,
    /// Begin no case after so many minutes.
    #[arg(long, value_name = "M", default_value = "1")]
    minutes: f64,
    /// The first seed; the others follow. Without one, another in each run.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// So many cases, however long they take.
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    count: Option<u64>,
    /// So many cases at a time.
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// Where a failing case's files are written. By default `fuzz` in the target folder.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// Damaged and odd components: each gets an answer, and what is admitted runs.
    Admission,
    /// The metering pass: modules stay what they were, and every engine counts the same.
    Meter,
    /// Conflicts through the examples: every engine answers as the native function does.
    Merge,
}

/// The program, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match fuzz(&arguments) {
        Ok(summary) if summary.failure.is_none() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILED),
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(BROKEN)
        }
    }
}

fn fuzz(arguments: &Arguments) -> anyhow::Result<Summary> {
    let target: Arc<dyn Target> = match arguments.target {
        Name::Admission => Arc::new(admission::Admission::new()?),
        Name::Meter => Arc::new(meter::Metering::new()?),
        Name::Merge => Arc::new(merge::Merging::new()?),
    };
    // Short enough to be typed.
    let first = arguments.seed.unwrap_or_else(|| fastrand::u64(..) >> 24);
    let time = Duration::try_from_secs_f64(arguments.minutes * 60.0)?;
    let plan = Plan {
        first,
        count: arguments.count,
        time: arguments.count.is_none().then_some(time),
        threads: arguments.threads.get(),
        case_time_max: CASE_TIME_MAX,
        folder: arguments.folder.clone().unwrap_or_else(folder),
    };
    let name = target.name();
    say(&format!("{name}: seeds from {first}, {} at a time", plan.threads));
    let begun = Instant::now();
    let line = |summary: &Summary| line(name, summary, begun.elapsed());
    let summary = driver::run(&target, &plan, PROGRESS_EVERY, &mut |summary| say(&line(summary)))?;
    say(&line(&summary));
    if let Some(failure) = &summary.failure {
        say(&format!(
            "\nSeed {seed} FAILED: {what}\n  replay it:  cargo xtask fuzz {name} --seed {seed} \
             --count 1\n  its files:  {folder}",
            seed = failure.seed,
            what = failure.what,
            folder = failure.folder.display(),
        ));
    }
    Ok(summary)
}

/// In the target folder, which is where this program lies.
fn folder() -> PathBuf {
    let program = env::current_exe().ok();
    let target = program.as_deref().and_then(|program| program.ancestors().nth(2));
    target.map_or_else(|| "target".into(), PathBuf::from).join("fuzz")
}

fn line(name: &str, summary: &Summary, took: Duration) -> String {
    let rate = summary.cases as f64 / took.as_secs_f64().max(0.001);
    let kinds = summary.kinds.iter().map(|(kind, count)| format!("{kind} {count}"));
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    format!("{name}: {} cases in {:.0} s, {rate:.1}/s: {kinds}", summary.cases, took.as_secs_f64())
}

/// Where nobody reads it, nothing is lost.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
