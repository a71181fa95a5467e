//! What a task says of itself: each step as it starts, and at the end where the time went.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Says what happens now. To stderr, as stdout belongs to what the task runs.
pub(crate) fn say(what: &str) {
    eprintln!("\n==> {what}");
}

/// What a step is for; the time is added up by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    SetUp,
    Format,
    Lint,
    Build,
    Tests,
    PlantedBugs,
    Guests,
    Docs,
    Benches,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::SetUp,
        Self::Format,
        Self::Lint,
        Self::Build,
        Self::Tests,
        Self::PlantedBugs,
        Self::Guests,
        Self::Docs,
        Self::Benches,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::SetUp => "set up",
            Self::Format => "format",
            Self::Lint => "lints",
            Self::Build => "build",
            Self::Tests => "tests",
            Self::PlantedBugs => "bugs",
            Self::Guests => "guests",
            Self::Docs => "docs",
            Self::Benches => "benches",
        }
    }
}

/// Runs steps, one after the other, and keeps their time.
#[derive(Debug, Default)]
pub(crate) struct Report {
    done: Vec<(Kind, Duration)>,
    skipped: Vec<(&'static str, String)>,
}

impl Report {
    /// Runs a step. The error names it.
    pub(crate) fn step(
        &mut self,
        kind: Kind,
        what: &str,
        step: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        say(what);
        let start = Instant::now();
        let ended = step();
        self.done.push((kind, start.elapsed()));
        ended.with_context(|| format!("this step failed: {what}"))
    }

    /// Notes what is not done.
    pub(crate) fn skip(&mut self, what: &'static str, why: impl Into<String>) {
        self.skipped.push((what, why.into()));
    }

    /// Where the time went, and what was skipped. No line of it reads like a test's result.
    pub(crate) fn table(&self, budget: Option<Duration>) -> String {
        let total: Duration = self.done.iter().map(|(_, time)| *time).sum();
        let mut table = String::from("\nwhere the time went\n");
        for kind in Kind::ALL {
            let times = self.done.iter().filter(|(of, _)| *of == kind).map(|(_, time)| *time);
            let (steps, time) =
                times.fold((0, Duration::ZERO), |(n, sum), time| (n + 1, sum + time));
            if steps > 0 {
                let share = 100 * time.as_millis() / total.as_millis().max(1);
                table += &format!("  {:<8} {:>9}  {share:>3} %\n", kind.name(), seconds(time));
            }
        }
        table += &format!("  {:<8} {:>9}", "total", seconds(total));
        if let Some(budget) = budget {
            table += &format!("  of {} for a clean run on 2 cores", seconds(budget));
        }
        table.push('\n');
        for (what, why) in &self.skipped {
            table += &format!("skipped: {what}: {why}\n");
        }
        table
    }
}

fn seconds(time: Duration) -> String {
    format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_added_up_by_kind_and_what_is_skipped_has_a_reason() {
        let report = Report {
            done: vec![
                (Kind::Tests, Duration::from_millis(1500)),
                (Kind::Build, Duration::from_secs(6)),
                (Kind::Tests, Duration::from_millis(500)),
            ],
            skipped: vec![("the book", "mdbook is not installed".into())],
        };
        let table = report.table(Some(Duration::from_secs(900)));
        let expected = "\nwhere the time went\n  build        6.0 s   75 %\n  tests        2.0 s   \
                        25 %\n  total        8.0 s  of 900.0 s for a clean run on 2 cores\nskipped: \
                        the book: mdbook is not installed\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_failed_step_is_named() {
        let mut report = Report::default();
        let ended = report.step(Kind::Lint, "clippy", || anyhow::bail!("exit code 101"));
        let error = format!("{:#}", ended.unwrap_err());
        assert_eq!(error, "this step failed: clippy: exit code 101");
    }
}
