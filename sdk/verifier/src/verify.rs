//! Tries the laws.

use std::cell::Cell;

use crate::case::Case;
use crate::law::{Found, Law, Subjects, Trial, check};
use crate::mutate::{Mutator, plain};
use crate::report::{Answers, Blocking, Finding, Peak, Report, Verdict};
use crate::shrink::smallest;
use crate::subject::{Answer, Conflict, Failure, Outcome, Subject};

/// So many reasons against a function are told.
const BLOCKING_MAX: usize = 10;
/// A sentence about a broken law is cut at so many characters.
const WHAT_CHARS_MAX: usize = 300;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// What the generated conflicts are made from.
    pub seed: u64,
    /// How many conflicts are generated.
    pub generated: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { seed: 1, generated: 1_000 }
    }
}

/// Tries all laws on the conflicts that were given, that were recorded, and that are made of both.
///
/// `others` are the same function, run in other ways; their answers have to be the same. `progress` is
/// told how many conflicts were tried, and of how many. Where a call answers with
/// [`Failure::Stopped`], the report is of what was tried until then.
pub fn verify(
    subject: &dyn Subject,
    others: &[&dyn Subject],
    given: &[Case],
    recorded: &[Case],
    effort: Effort,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Report, Failure> {
    let main = Counted::new(subject);
    let mut run = Run {
        subjects: Subjects { main: &main, others },
        counted: &main,
        laws: Law::ALL.map(Standing::new),
        answers: Answers::default(),
        blocking: Vec::new(),
    };
    let mut tried = Tried::default();
    let stopped_early = match run.all(given, recorded, effort, &mut tried, progress) {
        Ok(()) => false,
        Err(Failure::Stopped) => true,
        Err(failure) => return Err(failure),
    };
    let engines = std::iter::once(&subject).chain(others).map(|s| s.name().to_owned());
    Ok(Report {
        seed: effort.seed,
        given: tried.cases.min(given.len()),
        recorded: tried.cases.saturating_sub(given.len()),
        generated: tried.generated,
        stopped_early,
        engines: engines.collect(),
        answers: run.answers,
        peak: main.peak.get(),
        findings: run.laws.into_iter().map(Standing::finding).collect(),
        blocking: run.blocking,
    })
}

/// How many conflicts were tried to their end.
#[derive(Default)]
struct Tried {
    /// Given and recorded, in this order.
    cases: usize,
    generated: usize,
}

/// How it stands with a law.
struct Standing {
    law: Law,
    held: usize,
    broken: Option<(String, Case)>,
}

impl Standing {
    fn new(law: Law) -> Self {
        Self { law, held: 0, broken: None }
    }

    fn finding(self) -> Finding {
        let Self { law, held: conflicts, broken } = self;
        let verdict = match (&broken, conflicts) {
            (Some(_), _) => Verdict::Broken,
            (None, 0) => Verdict::Inconclusive,
            (None, _) => Verdict::Holds,
        };
        let (what, witness) = broken.unzip();
        Finding { law, verdict, conflicts, what, witness }
    }
}

struct Run<'a> {
    subjects: Subjects<'a>,
    counted: &'a Counted<'a>,
    laws: [Standing; 6],
    answers: Answers,
    blocking: Vec<Blocking>,
}

impl Run<'_> {
    fn all(
        &mut self,
        given: &[Case],
        recorded: &[Case],
        effort: Effort,
        tried: &mut Tried,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), Failure> {
        let cases = || given.iter().chain(recorded);
        let conflicts: Vec<&Conflict> = cases().map(|case| &case.conflict).collect();
        let all = conflicts.len() + effort.generated;
        let mut mutator = Mutator::new(effort.seed, &conflicts);
        for case in cases() {
            let trial = mutator.trial(&case.conflict);
            self.hold(&trial, Some(&case.name))?;
            tried.cases += 1;
            progress(tried.cases, all);
        }
        let plain = plain();
        while tried.generated < effort.generated {
            let of = tried.generated % conflicts.len().max(1);
            let base = conflicts.get(of).copied().unwrap_or(&plain);
            // What can be no conflict counts too, or a base that always ends so would never end.
            if let Some(trial) = mutator.mutated(base) {
                self.hold(&trial, None)?;
            }
            tried.generated += 1;
            progress(tried.cases + tried.generated, all);
        }
        Ok(())
    }

    /// Holds a trial against all laws that are not broken yet. `name`: of the case, where it is none
    /// that was made here.
    fn hold(&mut self, trial: &Trial, name: Option<&str>) -> Result<(), Failure> {
        let answer = self.counted.call(&trial.conflict)?;
        let answers = &mut self.answers;
        *match &answer.outcome {
            Outcome::Merged(Some(_)) => &mut answers.merged,
            Outcome::Merged(None) => &mut answers.deleted,
            Outcome::Error(_) => &mut answers.refused,
            Outcome::Fault { .. } => &mut answers.faults,
        } += 1;
        for standing in &mut self.laws {
            let law = standing.law;
            let may_block = match law {
                Law::Total => name,
                // Whatever it is found on: regions would differ.
                Law::Deterministic => Some(name.unwrap_or("a generated conflict")),
                _ => None,
            };
            if standing.broken.is_some() && may_block.is_none() {
                continue;
            }
            match check(law, &self.subjects, trial, &answer)? {
                Found::Nothing => {}
                Found::Holds => standing.held += 1,
                Found::Broken(what, shown) => {
                    if let Some(case) = may_block
                        && self.blocking.len() < BLOCKING_MAX
                    {
                        let (case, what) = (case.to_owned(), cut(&what));
                        self.blocking.push(Blocking { case, law, what });
                    }
                    if standing.broken.is_none() {
                        let found =
                            self.counted.aside(|| witness(law, &self.subjects, what, *shown));
                        standing.broken = Some(found?);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The smallest trial that breaks the law, as a case.
fn witness(
    law: Law,
    subjects: &Subjects<'_>,
    what: String,
    shown: Trial,
) -> Result<(String, Case), Failure> {
    let code = |what: &str| what.split(':').next().unwrap_or_default().to_owned();
    let first = code(&what);
    let (what, trial) = smallest((what, shown), |trial| {
        let answer = subjects.main.call(&trial.conflict)?;
        Ok(match check(law, subjects, trial, &answer)? {
            // Another fault would be another finding.
            Found::Broken(what, shown) if law != Law::Total || code(&what) == first => {
                Some((what, *shown))
            }
            _ => None,
        })
    })?;
    let Trial { conflict, third } = trial;
    let case = Case {
        name: format!("not {law}"),
        conflict,
        third: (law == Law::Associative).then_some(third),
        law: Some(law),
        expected: None,
    };
    Ok((cut(&what), case))
}

fn cut(what: &str) -> String {
    match what.char_indices().nth(WHAT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &what[..at]),
        None => what.to_owned(),
    }
}

/// A subject whose calls are counted.
struct Counted<'a> {
    subject: &'a dyn Subject,
    peak: Cell<Peak>,
}

impl<'a> Counted<'a> {
    fn new(subject: &'a dyn Subject) -> Self {
        Self { subject, peak: Cell::default() }
    }

    /// Makes calls whose peak doesn't count: those that make a witness small.
    fn aside<T>(&self, calls: impl FnOnce() -> T) -> T {
        let peak = self.peak.get();
        let made = calls();
        self.peak.set(peak);
        made
    }
}

impl Subject for Counted<'_> {
    fn call(&self, conflict: &Conflict) -> Result<Answer, Failure> {
        let answer = self.subject.call(conflict)?;
        if let Some(usage) = answer.usage {
            let peak = self.peak.get();
            self.peak.set(Peak {
                fuel: peak.fuel.max(usage.fuel),
                stack_bytes: peak.stack_bytes.max(usage.stack_bytes),
                memory_bytes: peak.memory_bytes.max(usage.memory_bytes),
            });
        }
        Ok(answer)
    }

    fn name(&self) -> &str {
        self.subject.name()
    }
}
