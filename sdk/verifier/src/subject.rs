//! What is checked: something that merges conflicts.

use syncline_image::Image;
use thiserror::Error;

/// A conflict over rows in canonical form.
pub type Conflict = syncline_sdk::Conflict<Image>;

/// What a call came to. Of two calls with the same conflict all of it must be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The row, or none where the function deletes it.
    Merged(Option<Image>),
    /// The function's own refusal, with its text.
    Error(String),
    /// It trapped, or went over a limit.
    Fault {
        /// A stable word for what went wrong, such as `trap` or `out-of-fuel`.
        code: String,
        /// What there is to say about it, for people: two engines may say it in other words.
        text: String,
    },
}

impl Outcome {
    /// Whether two calls count as the same.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fault { code, .. }, Self::Fault { code: other, .. }) => code == other,
            _ => self == other,
        }
    }
}

/// What a call used up. Zero where the subject is not metered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel, in the profile's units.
    pub fuel: u64,
    /// Depth: bytes of the stack's account.
    pub stack_bytes: u64,
    /// The most linear memory it had, in bytes.
    pub memory_bytes: u64,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it came to.
    pub outcome: Outcome,
    /// What it used up. None: it ended before it could be asked.
    pub usage: Option<Usage>,
}

/// The call was not made, or not to its end: nothing is known of the function.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// Something around the function failed.
    #[error("the function could not be called: {0}")]
    NotCalled(String),
    /// Whoever verifies has no more time for it. What was found until then counts.
    #[error("the time for calling the function was over")]
    Stopped,
}

/// A merge function that can be called.
pub trait Subject {
    /// Calls it, in a fresh instance.
    fn call(&self, conflict: &Conflict) -> Result<Answer, Failure>;

    /// How it is run, in a word or two: `production`, `unoptimized`, `native`.
    fn name(&self) -> &str;
}

impl<S: Subject + ?Sized> Subject for &S {
    fn call(&self, conflict: &Conflict) -> Result<Answer, Failure> {
        (**self).call(conflict)
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}

impl<S: Subject + ?Sized> Subject for Box<S> {
    fn call(&self, conflict: &Conflict) -> Result<Answer, Failure> {
        (**self).call(conflict)
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}
