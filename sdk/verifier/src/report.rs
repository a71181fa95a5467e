//! What the verifier found out.

use std::fmt;

use serde::Serialize;

use crate::case::Case;
use crate::law::Law;

/// What is known of a function after its verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the generated conflicts were made from.
    pub seed: u64,
    /// How many conflicts came from cases.
    pub given: usize,
    /// How many had really happened.
    pub recorded: usize,
    /// How many were made from those.
    pub generated: usize,
    /// It ended before all that was asked for was tried, as there was no more time.
    pub stopped_early: bool,
    /// How the function was run; the first made the answers, the others had to answer alike.
    pub engines: Vec<String>,
    /// What the function answered.
    pub answers: Answers,
    /// The most that a call used.
    pub peak: Peak,
    /// Law by law, in the order of [`Law::ALL`].
    pub findings: Vec<Finding>,
    /// Why the function must not go live. Empty: nothing speaks against it.
    pub blocking: Vec<Blocking>,
}

/// What a function answered to the conflicts themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// With a row.
    pub merged: usize,
    /// By deleting the row.
    pub deleted: usize,
    /// With an error of its own.
    pub refused: usize,
    /// It trapped or reached a limit.
    pub faults: usize,
}

/// The most that any call used. Zero where the function is not metered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Peak {
    /// Fuel.
    pub fuel: u64,
    /// Depth: bytes of the stack's account.
    pub stack_bytes: u64,
    /// Linear memory, in bytes.
    pub memory_bytes: u64,
}

/// What is known of one law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The law.
    pub law: Law,
    /// What is known.
    pub verdict: Verdict,
    /// How many conflicts it was held against and held.
    pub conflicts: usize,
    /// How it is broken, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// The smallest conflict found that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Case>,
}

/// What is known of a law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was not broken by any conflict.
    Holds,
    /// A conflict breaks it.
    Broken,
    /// No conflict says anything of it.
    Inconclusive,
}

/// A reason against a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocking {
    /// The case that shows it: one that was given, or that really happened; of a function that is not
    /// deterministic also a generated one.
    pub case: String,
    /// Total or deterministic: no other law may block.
    pub law: Law,
    /// What happens there.
    pub what: String,
}

impl Report {
    /// What is known of a law.
    pub fn verdict(&self, law: Law) -> Verdict {
        let finding = self.findings.iter().find(|finding| finding.law == law);
        finding.map_or(Verdict::Inconclusive, |finding| finding.verdict)
    }

    /// How many conflicts were tried.
    pub fn conflicts(&self) -> usize {
        self.given + self.recorded + self.generated
    }
}

impl Finding {
    /// What it means that the law is broken, for who has to decide whether that matters.
    pub fn meaning(&self) -> &'static str {
        match self.law {
            Law::Total => "such a conflict falls back to its newest change, in every region alike",
            Law::Deterministic => "a function like this must not run: regions would differ",
            Law::Commutative => "the answer depends on which side is newer",
            Law::Associative => {
                "of three changes at once, the answer depends on the order of their times"
            }
            Law::Idempotent => {
                "two regions that make the same change count as two changes: right for counters, \
                 wrong for most else"
            }
            Law::KeepsUnknownFields => {
                "a field that a newer application writes gets lost in conflicts"
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { given, recorded, generated, seed, .. } = self;
        writeln!(
            f,
            "{} conflicts: {given} given, {recorded} recorded, {generated} generated (seed {seed})",
            self.conflicts()
        )?;
        if self.stopped_early {
            writeln!(f, "stopped early: the time for verifying was over")?;
        }
        let Answers { merged, deleted, refused, faults } = self.answers;
        writeln!(
            f,
            "answers: {merged} merged, {deleted} deleted, {refused} refused, {faults} faults"
        )?;
        for finding in &self.findings {
            let law = finding.law.as_str();
            match finding.verdict {
                Verdict::Holds => writeln!(f, "  {law:<22}holds on {}", finding.conflicts)?,
                Verdict::Inconclusive => {
                    writeln!(f, "  {law:<22}inconclusive: no conflict shows it")?
                }
                Verdict::Broken => {
                    writeln!(f, "  {law:<22}broken: {}", finding.what.as_deref().unwrap_or(""))?;
                    writeln!(f, "  {:<22}{}", "", finding.meaning())?;
                }
            }
        }
        writeln!(f, "{}", self.about_determinism())?;
        for Blocking { case, law, what } in &self.blocking {
            writeln!(f, "must not go live: {case}: not {law}: {what}")?;
        }
        f.write_str("Regions converge whatever the laws say: all call the same function alike.\n")
    }
}

impl Report {
    fn about_determinism(&self) -> String {
        let engines = self.engines.join(", ");
        if self.engines.iter().any(|engine| engine == crate::native::NAME) {
            return format!(
                "Run by: {engines}. As a component each call has an instance of its own; here what \
                 the function keeps in statics shows."
            );
        }
        format!(
            "Run by: {engines}. Each call has an instance of its own: what a function keeps in \
             globals or memory is gone before the next, so it can't show."
        )
    }
}
