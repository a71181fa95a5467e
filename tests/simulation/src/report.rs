//! What is printed: a failing run explained, many runs summed up, and how far it is.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::{Failed, Player, REPLAY, Ran};
use crate::scenario::Scenario;
use crate::seeds::Chosen;
use crate::shrink::{PLAYS_MAX, Shrunk, shrink};
use crate::stats::Stats;
use crate::world::Outcome;

/// So many seeds must meet all that is expected; fewer need not.
const SEEDS_ENOUGH: u64 = 1000;

/// Faults that many runs must bring about. A fault that never comes tests nothing.
pub const FAULTS_EXPECTED: [&str; 23] = [
    "a clock that jumped",
    "a full disk",
    "a join",
    "a kill",
    "a link that was cut",
    "a log that dropped its head",
    "a log that lost its tail",
    "a loss of power",
    "a produce that broke off",
    "a network that was split",
    "a region that died",
    "two regions that died with what only they knew",
    "a region that was cut off",
    "a self-test that is odd",
    "a sync that failed",
    "an engine that fails",
    "an engine that gives other bytes",
    "an eviction",
    "an eviction of a region that lives",
    "an old disk",
    "garbage in a log",
    "records read again",
    "records skipped",
];

/// States that many runs must meet.
pub const STATES_EXPECTED: [&str; 38] = [
    "a change waited for a function",
    "a change waited for an engine",
    "a change was given up with a lost region",
    "a clock was not believed",
    "a component was dropped",
    "a conflict fell back to its newest head",
    "a conflict was merged",
    "a deleted row was forgotten",
    "a divergence paused a rollout",
    "a full disk refused a commit",
    "a function was deployed",
    "a membership change went on",
    "a record was quarantined",
    "a region had passed on all it knew",
    "a region joined by a snapshot",
    "a region went back to the version before",
    "a rollout went on",
    "a row was repaired",
    "a row was written again after a divergence",
    "another image before a change was found",
    "another outcome was found",
    "another state was found",
    "a sync failed",
    "a table went back to the last writer",
    "a version was released",
    "a version was retired, or no longer",
    "a version was to be deleted",
    "a write met a clock that is ahead",
    "a write met a full disk",
    "a write met a full outbox",
    "a write met a region that may not write",
    "a write met a row that is not as it asked",
    "an old disk was seen",
    "changes were sent again",
    "conflicts under a rollout were reported",
    "records of a lost region were passed on",
    "regions were told to do without one that passed on",
    "something was asked of a rollout",
];

/// States that mean trouble: none of them is expected.
pub const STATES_OF_TROUBLE: [&str; 3] =
    ["a fork was seen", "a write met a broken region", "a write met a clock that is behind"];

/// A failing seed, explained.
#[derive(Debug)]
pub struct Explained {
    /// What failed in the run of the seed.
    pub failed: Failed,
    /// Its scenario, made short.
    pub shrunk: Shrunk,
    /// The short run.
    pub outcome: Outcome,
    /// Where all events of the whole run are; the error says why they are nowhere.
    pub log: Result<PathBuf, String>,
}

/// Plays a failing seed again for its story, makes it short, and writes the whole of it to a file.
pub fn explain(failed: &Failed, mut player: Player, log_dir: &Path) -> Explained {
    // A second play of each run is needed only where that is what failed.
    player.twice = failed.failure.check == REPLAY;
    let scenario = Scenario::of(failed.seed);
    let whole = player.play(&scenario, true);
    let log = write_log(log_dir, &scenario, &whole);
    let (shrunk, outcome) = made_short(&scenario, failed.failure.check, player);
    Explained { failed: failed.clone(), shrunk, outcome, log }
}

/// Makes a scenario short that fails `check`, and plays what is left of it.
pub fn made_short(scenario: &Scenario, check: &str, player: Player) -> (Shrunk, Outcome) {
    let shrunk = shrink(scenario, PLAYS_MAX, |candidate| {
        player.play(candidate, false).failure.is_some_and(|failure| failure.check == check)
    });
    let outcome = player.play(&shrunk.scenario, true);
    (shrunk, outcome)
}

fn write_log(dir: &Path, scenario: &Scenario, outcome: &Outcome) -> Result<PathBuf, String> {
    let file = dir.join(format!("{}.log", scenario.seed));
    let text = format!("{}\n{}\n{}", Steps(scenario), Story(outcome), Ended(outcome));
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&file, text))
        .map(|()| file.clone())
        .map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// A scenario as data, a step a line.
#[derive(Debug)]
pub struct Steps<'a>(pub &'a Scenario);

impl fmt::Display for Steps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { seed, setup, steps } = self.0;
        writeln!(f, "seed {seed}: {setup:?}")?;
        steps.iter().enumerate().try_for_each(|(number, step)| writeln!(f, "{number:>4}  {step:?}"))
    }
}

/// What happened, in words and in the order of time, a line each.
#[derive(Debug)]
pub struct Story<'a>(pub &'a Outcome);

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.story.iter().try_for_each(|line| writeln!(f, "{}", legible(line)))
    }
}

/// Digests cut to what tells them apart.
pub fn legible(line: &str) -> String {
    const DIGEST: &str = "sha256:";
    const KEPT: usize = 8;
    let mut parts = line.split(DIGEST);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        text += DIGEST;
        text += &part[..digits.min(KEPT)];
        text += &part[digits..];
    }
    text
}

/// How a run ended, in a sentence.
#[derive(Debug)]
pub struct Ended<'a>(pub &'a Outcome);

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.failure {
            None => writeln!(f, "Clean: everything is as promised. Trace {:016x}.", self.0.trace),
            Some(failure) => {
                write!(f, "FAILED {}", failure.check)?;
                if let Some(step) = failure.step {
                    write!(f, " in step {step}")?;
                }
                writeln!(f, ": {}", legible(&failure.what))
            }
        }
    }
}

/// How far the shrinking got.
#[derive(Debug)]
pub struct HowShort<'a>(pub &'a Shrunk);

impl fmt::Display for HowShort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shrunk { scenario, steps_before, plays, is_minimal } = self.0;
        write!(f, "{} of {steps_before} steps are left after {plays} runs", scenario.steps.len())?;
        f.write_str(if *is_minimal {
            ", and each of them is needed"
        } else {
            ", which is where the shrinking was stopped: there may be less in it"
        })
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { seed, failure } = &self.failed;
        writeln!(f, "\nSeed {seed} FAILED {}", failure.check)?;
        writeln!(f, "  {}", legible(&failure.what))?;
        writeln!(f, "  replay it:  cargo xtask sim replay {seed} --shrunk")?;
        match &self.log {
            Ok(file) => writeln!(f, "  all events: {}", file.display())?,
            Err(why) => writeln!(f, "  all events: {why}")?,
        }
        writeln!(f, "\n  Made short: {}.", HowShort(&self.shrunk))?;
        for line in Story(&self.outcome).to_string().lines() {
            writeln!(f, "  {line}")?;
        }
        write!(f, "  {}", Ended(&self.outcome))
    }
}

/// Many runs, summed up.
#[derive(Debug)]
pub struct Summary<'a> {
    /// Which seeds were to be played.
    pub chosen: &'a Chosen,
    /// What came of them.
    pub ran: &'a Ran,
    /// The failing ones.
    pub explained: &'a [Explained],
    /// On so many threads.
    pub jobs: usize,
    /// How long the runs took, without the explaining.
    pub took: Duration,
}

impl Summary<'_> {
    fn per_second(&self, count: f64) -> f64 {
        count / self.took.as_secs_f64().max(0.001)
    }

    /// What was never met, though it should be.
    pub fn missing(&self) -> Vec<&'static str> {
        if self.ran.stats.seeds < SEEDS_ENOUGH {
            return Vec::new();
        }
        let Stats { faults, states, .. } = &self.ran.stats;
        let of = |met: &BTreeMap<&'static str, u64>, expected: &[&'static str]| {
            expected.iter().filter(|name| !met.contains_key(*name)).copied().collect::<Vec<_>>()
        };
        [of(faults, &FAULTS_EXPECTED), of(states, &STATES_EXPECTED)].concat()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let stats = &self.ran.stats;
        let failure = |explained: &Explained| {
            let Explained { failed, shrunk, outcome, log } = explained;
            json!({
                "seed": failed.seed,
                "check": failed.failure.check,
                "what": failed.failure.what,
                "step": failed.failure.step,
                "steps_before": shrunk.steps_before,
                "steps": shrunk.scenario.steps.len(),
                "is_minimal": shrunk.is_minimal,
                "story": outcome.story,
                "log": log.as_ref().ok(),
            })
        };
        json!({
            "ok": self.ran.failures.is_empty(),
            "from": self.chosen.range.start,
            "upto": self.chosen.range.end,
            "seeds": stats.seeds,
            "jobs": self.jobs,
            "seconds": self.took.as_secs_f64(),
            "seeds_per_second": self.per_second(stats.seeds as f64),
            "region_hours": region_hours(stats),
            "region_hours_per_second": self.per_second(region_hours(stats)),
            "events": stats.events,
            "changes": stats.changes,
            "rounds_max": stats.rounds_max,
            "faults": with_expected(&stats.faults, &FAULTS_EXPECTED),
            "conflicts_by_heads": stats.conflicts,
            "states": with_expected(&stats.states, &STATES_EXPECTED),
            "never_met": self.missing(),
            "failures": self.explained.iter().map(failure).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = &self.ran.stats;
        writeln!(
            f,
            "{} seeds in {:.1} s on {} threads, {:.0} a second",
            stats.seeds,
            self.took.as_secs_f64(),
            self.jobs,
            self.per_second(stats.seeds as f64)
        )?;
        writeln!(
            f,
            "{:.1} simulated region-hours, {:.2} a second; {} events, {} changes; at the most {} \
             rounds of healing",
            region_hours(stats),
            self.per_second(region_hours(stats)),
            stats.events,
            stats.changes,
            stats.rounds_max
        )?;
        table(f, "Faults", with_expected(&stats.faults, &FAULTS_EXPECTED))?;
        let heads = stats.conflicts.iter();
        table(f, "Conflicts", heads.map(|(heads, count)| (format!("of {heads} heads"), *count)))?;
        table(f, "States met", with_expected(&stats.states, &STATES_EXPECTED))?;
        writeln!(f)?;
        for name in self.missing() {
            writeln!(f, "WARNING: never met, in {} seeds: {name}", stats.seeds)?;
        }
        match self.ran.failures.len() {
            0 => writeln!(f, "OK: everything was as promised in all runs."),
            1 => writeln!(f, "WRONG: 1 run failed."),
            count => writeln!(f, "WRONG: {count} runs failed."),
        }
    }
}

fn region_hours(stats: &Stats) -> f64 {
    stats.simulated_ms as f64 / 3_600_000.0
}

/// What was met, and with 0 what was not.
fn with_expected<'a>(met: &BTreeMap<&'a str, u64>, expected: &[&'a str]) -> BTreeMap<&'a str, u64> {
    let mut all: BTreeMap<_, _> = expected.iter().map(|name| (*name, 0)).collect();
    all.extend(met);
    all
}

fn table<N: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    rows: impl IntoIterator<Item = (N, u64)>,
) -> fmt::Result {
    writeln!(f, "\n{title}")?;
    rows.into_iter().try_for_each(|(name, count)| writeln!(f, "  {count:>9}  {name}"))
}

/// Says on stderr how far it is: about once a second on a terminal, in place; more rarely where the
/// lines are kept.
#[derive(Debug)]
pub struct Progress {
    what: String,
    seeds: u64,
    start: Instant,
    said: Instant,
    on_terminal: bool,
}

impl Progress {
    /// Of `seeds` seeds for something.
    pub fn new(what: impl Into<String>, seeds: u64) -> Self {
        let (start, on_terminal) = (Instant::now(), io::stderr().is_terminal());
        Self { what: what.into(), seeds, start, said: start, on_terminal }
    }

    /// Says it, if it is time.
    pub fn at(&mut self, ran: &Ran) {
        let every = Duration::from_secs(if self.on_terminal { 1 } else { 10 });
        if self.said.elapsed() < every {
            return;
        }
        self.said = Instant::now();
        let (seeds, failures) = (ran.stats.seeds, ran.failures.len());
        let speed = seeds as f64 / self.start.elapsed().as_secs_f64();
        let (what, all) = (&self.what, self.seeds);
        let mut line = format!("{what}: {seeds} of {all} seeds, {speed:.0}/s, {failures} failed");
        if self.on_terminal {
            line.insert_str(0, "\r\x1b[K");
        } else {
            line.push('\n');
        }
        // Where nobody reads it, nothing is lost.
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(line.as_bytes()).and_then(|()| stderr.flush());
    }

    /// Leaves the terminal as it was, and says how long it took.
    pub fn end(self) -> Duration {
        if self.on_terminal {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
        self.start.elapsed()
    }
}

/// Rows of words, each column as wide as its widest word.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, word) in widths.iter_mut().zip(row) {
            *width = word.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, word) in widths.iter().zip(row) {
            // Writing to a text does not fail.
            let _ = write!(line, "{word:<width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Failure;

    /// The literals that are given to `call` anywhere in the world.
    fn named(call: &str) -> Vec<String> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/world");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let after = text.split(call).skip(1);
            names.extend(after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
        assert!(!names.is_empty());
        names
    }

    fn source() -> String {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/world");
        let files = std::fs::read_dir(dir).unwrap();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn what_is_expected_is_what_the_world_counts() {
        for name in named(".fault(\"") {
            assert!(FAULTS_EXPECTED.contains(&&*name), "{name} is not in FAULTS_EXPECTED");
        }
        let states = [&STATES_EXPECTED[..], &STATES_OF_TROUBLE].concat();
        for name in named(".state(\"") {
            assert!(states.contains(&&*name), "{name} is not in STATES_EXPECTED");
        }
        let source = source();
        for name in FAULTS_EXPECTED.iter().chain(&states) {
            assert!(source.contains(&format!("\"{name}\"")), "the world never counts {name}");
        }
    }

    #[test]
    fn digests_are_cut_and_nothing_else() {
        let line = "writes sha256:0123456789abcdef0123, sha256:98 and sha256";
        assert_eq!(legible(line), "writes sha256:01234567, sha256:98 and sha256");
        assert_eq!(legible("ä"), "ä");
    }

    fn summary<'a>(chosen: &'a Chosen, ran: &'a Ran, explained: &'a [Explained]) -> Summary<'a> {
        Summary { chosen, ran, explained, jobs: 2, took: Duration::from_secs(2) }
    }

    #[test]
    fn what_many_runs_never_met_is_shown() {
        let chosen = Chosen { range: 0..2000, why: String::new() };
        let mut ran = Ran::default();
        ran.stats.seeds = 2000;
        ran.stats.simulated_ms = 7_200_000;
        ran.stats.fault("a kill");
        let summary = summary(&chosen, &ran, &[]);
        let text = summary.to_string();
        assert!(text.contains("\n          1  a kill\n"), "{text}");
        assert!(text.contains("\n          0  a full disk\n"), "{text}");
        assert!(text.contains("WARNING: never met, in 2000 seeds: a full disk\n"), "{text}");
        assert!(!text.contains("WARNING: never met, in 2000 seeds: a kill\n"), "{text}");
        let json = summary.json();
        assert_eq!(json["faults"]["a full disk"], 0);
        assert_eq!(json["region_hours_per_second"], 1.0);
        assert_eq!(json["ok"], true);
        let all = FAULTS_EXPECTED.len() + STATES_EXPECTED.len();
        assert_eq!(json["never_met"].as_array().map(Vec::len), Some(all - 1));
    }

    #[test]
    fn a_failing_seed_is_explained() {
        let failure = Failure { check: "rest", what: "no rest".into(), step: Some(3) };
        let failed = Failed { seed: 7, failure: failure.clone() };
        let scenario = Scenario::of(7);
        let shrunk = Shrunk { steps_before: 90, plays: 12, is_minimal: true, scenario };
        let story = vec!["       0.000 s  a starts".to_owned()];
        let outcome = Outcome { failure: Some(failure), stats: Stats::default(), trace: 1, story };
        let log = Ok(PathBuf::from("logs/7.log"));
        let text = Explained { failed, shrunk, outcome, log }.to_string();
        for part in [
            "Seed 7 FAILED rest\n  no rest\n",
            "cargo xtask sim replay 7 --shrunk",
            "logs/7.log",
            "of 90 steps are left after 12 runs, and each of them is needed.",
            "         0.000 s  a starts\n",
            "FAILED rest in step 3: no rest",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    }
}
