//! What regions tell each other of rollouts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::gates::GateReading;
use super::plan::{RolloutPlan, STAGES_MAX};
use super::report::RolloutCounters;
use crate::{ChangeId, Malformed, RegionId, Stamp, TableName};

/// The longest text in a record of a rollout, in bytes: a name, or a sentence or two. Every region
/// keeps it for good.
pub const ROLLOUT_TEXT_BYTES_MAX: usize = 1024;

/// A rollout's identity: its first record's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RolloutId(pub ChangeId);

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.event_id())
    }
}

/// Who did something, or why: up to 1,024 bytes of UTF-8 without control characters. May be empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RolloutText(Arc<str>);

/// Why a text does not go into a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is over {ROLLOUT_TEXT_BYTES_MAX} bytes or has a control character")]
pub struct InvalidText;

impl RolloutText {
    /// The text, without what does not fit: a control character becomes a space, and what is too
    /// long is cut.
    pub fn cut(text: &str) -> Self {
        let mut kept = String::with_capacity(text.len().min(ROLLOUT_TEXT_BYTES_MAX));
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if kept.len() + c.len_utf8() > ROLLOUT_TEXT_BYTES_MAX {
                break;
            }
            kept.push(c);
        }
        Self(kept.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RolloutText {
    fn default() -> Self {
        Self("".into())
    }
}

impl FromStr for RolloutText {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        if text.len() > ROLLOUT_TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(InvalidText);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for RolloutText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a rollout is on its way. The order is that of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RolloutPlace {
    /// Regions fetch the component, compile and test it.
    Distributing,
    /// The version runs beside the active one; nothing of it is applied.
    Shadow,
    /// The regions of this stage, from 1, and of all before it stamp the version.
    Stage(u8),
    /// All regions stamp the version.
    Complete,
}

impl fmt::Display for RolloutPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distributing => f.write_str("distributing"),
            Self::Shadow => f.write_str("shadow"),
            Self::Stage(number) => write!(f, "stage {number}"),
            Self::Complete => f.write_str("complete"),
        }
    }
}

/// A text is none of a rollout's places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a place is distributing, shadow, stage 1 to stage {STAGES_MAX}, or complete")]
pub struct InvalidPlace;

impl FromStr for RolloutPlace {
    type Err = InvalidPlace;

    /// Exactly what is printed.
    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let place = match text {
            "distributing" => Self::Distributing,
            "shadow" => Self::Shadow,
            "complete" => Self::Complete,
            _ => {
                let number = text.strip_prefix("stage ").and_then(|number| number.parse().ok());
                Self::Stage(number.ok_or(InvalidPlace)?)
            }
        };
        let exists = place.check().is_ok() && place.to_string() == text;
        if exists { Ok(place) } else { Err(InvalidPlace) }
    }
}

impl RolloutPlace {
    fn check(self) -> Result<(), Malformed> {
        match self {
            Self::Stage(number) if number == 0 || usize::from(number) > STAGES_MAX => {
                Err(Malformed::Rollout("a stage that no plan can have"))
            }
            _ => Ok(()),
        }
    }
}

/// What a self-test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SelfTest {
    /// A hash of all outcomes.
    pub digest: [u8; 32],
    /// The number of the determinism profile that it ran under.
    pub profile: u32,
}

impl SelfTest {
    /// Of last-writer-wins, which every region has: there is nothing to test.
    pub const BUILT_IN: Self = Self { digest: [0; 32], profile: 0 };

    /// The digest as 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(self.digest)
    }

    /// The digest that these 64 hexadecimal digits in lower case stand for.
    pub fn digest_of(digits: &str) -> Option<[u8; 32]> {
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).ok()?;
        (!digits.bytes().any(|b| b.is_ascii_uppercase())).then_some(digest)
    }
}

/// How a rollout ended that another one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutEnd {
    /// All regions stamp its version.
    Complete,
    /// No region stamps its version any more.
    Aborted,
}

/// The rollout before another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousRollout {
    /// Which one.
    pub rollout: RolloutId,
    /// How it ended, as far as the region knew that created the next one. Where the records before
    /// that one leave it open (its owner had lost a claim that it did not know of yet), it
    /// ends like this, at that point.
    pub ended: RolloutEnd,
}

/// A table is to resolve its conflicts otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRollout {
    /// The table.
    pub table: TableName,
    /// What it is to get: a version of a function, or plain last-writer-wins.
    pub version: Stamp,
    /// The table's last rollout, as far as the creating region knew. Of two rollouts made apart
    /// after the same one the later loses.
    pub previous: Option<PreviousRollout>,
    /// How it is to go.
    pub plan: RolloutPlan,
    /// Who asked for it.
    pub actor: RolloutText,
    /// Why.
    pub why: RolloutText,
}

/// What people ask of a rollout, in any region. On a rollout that has ended it does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutCommand {
    /// To go on, whatever time is left and however few conflicts there were. Does nothing
    /// elsewhere than at `from`, so that the same word said twice is one step.
    Promote {
        /// Where it is.
        from: RolloutPlace,
        /// A later stage, or the end.
        to: RolloutPlace,
    },
    /// Nothing goes on, wherever it is; who stamps the version keeps to it.
    Pause,
    /// To go on after a pause. A later pause than that one stays.
    Resume {
        /// The pause.
        pause: ChangeId,
    },
    /// All regions are to stamp again what they stamped before, wherever it is.
    Abort,
    /// The region that says it decides from here on.
    Claim {
        /// Who decides so far. Of two that claim from the same one the later loses.
        from: RegionId,
    },
}

/// What the owner decides. Does nothing if another region is the owner at that point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutDecision {
    /// To go on to what comes next in the plan. Does nothing elsewhere than at `from`, or while the
    /// rollout is paused.
    Move {
        /// Where it is.
        from: RolloutPlace,
        /// What comes next.
        to: RolloutPlace,
    },
    /// As [`RolloutCommand::Abort`].
    Abort,
}

/// What a region says of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutRecord {
    /// A table is to resolve its conflicts otherwise.
    Create(Box<CreateRollout>),
    /// The region has the component, compiled, and it passed the self-test.
    Ready {
        /// The rollout.
        rollout: RolloutId,
        /// What the self-test came to.
        self_test: SelfTest,
    },
    /// The region has the component and cannot use it.
    Unready {
        /// The rollout.
        rollout: RolloutId,
        /// What is in the way.
        reason: RolloutText,
    },
    /// Someone asks for something.
    Command {
        /// The rollout.
        rollout: RolloutId,
        /// What is asked for.
        command: RolloutCommand,
        /// Who asks.
        actor: RolloutText,
        /// Why.
        why: RolloutText,
    },
    /// The owner decides something.
    Decision {
        /// The rollout.
        rollout: RolloutId,
        /// What is decided.
        decision: RolloutDecision,
        /// What the gates showed.
        gates: Vec<GateReading>,
        /// Why.
        why: RolloutText,
    },
    /// From here on the region stamps the table's changes with the rollout's version, and with no
    /// other's.
    Active {
        /// The rollout.
        rollout: RolloutId,
    },
    /// From here on the region stamps the table's changes with no version: there was none before
    /// this rollout.
    Inactive {
        /// The rollout.
        rollout: RolloutId,
    },
    /// What the region has seen of the version since the rollout began. Only the last one of a
    /// region counts, and is kept.
    Report {
        /// The rollout.
        rollout: RolloutId,
        /// All of it, also what was said before.
        counters: Box<RolloutCounters>,
    },
}

impl RolloutRecord {
    /// The rollout that it is about; none for a creation, whose own identity that is.
    pub fn about(&self) -> Option<&RolloutId> {
        match self {
            Self::Create(_) => None,
            Self::Ready { rollout, .. }
            | Self::Unready { rollout, .. }
            | Self::Command { rollout, .. }
            | Self::Decision { rollout, .. }
            | Self::Active { rollout }
            | Self::Inactive { rollout }
            | Self::Report { rollout, .. } => Some(rollout),
        }
    }

    /// As [`crate::ChangeRecord::check`].
    pub fn check(&self) -> Result<(), Malformed> {
        let way = |from: RolloutPlace, to: RolloutPlace| {
            from.check()?;
            to.check()?;
            if from < to { Ok(()) } else { Err(Malformed::Rollout("a step that leads nowhere")) }
        };
        match self {
            Self::Create(create) => create.plan.check(),
            Self::Command { command: RolloutCommand::Promote { from, to }, .. } => way(*from, *to),
            Self::Decision { decision, gates, .. } => {
                if gates.len() > GateReading::COUNT_MAX {
                    return Err(Malformed::Rollout("more gates than there are"));
                }
                match decision {
                    RolloutDecision::Move { from, to } => way(*from, *to),
                    RolloutDecision::Abort => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
