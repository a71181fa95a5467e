//! Registers: one value that is replaced as a whole.

use serde::{Deserialize, Serialize};

use super::dots::{self, Dots, Valued};
use super::{Error, GCounter, Merge};

/// A value with the time of its write: `{"at":1795203212955,"by":"eu","value":...}`. The last writer
/// wins.
///
/// `at` is any integer that grows, such as milliseconds since 1970; a client whose clock is behind
/// writes the one that it read plus 1. Of two writes at the same time the one with the higher `by` (by
/// its bytes) stays, and of two with the same `by` too the larger value. Without a reason of your own
/// for that clock (the time when a device took its measure, say) you need no such register: a newer
/// side that wins is what Syncline does with every field.
///
/// ```
/// use syncline_sdk::crdt::{LwwRegister, Merge};
///
/// let mut register = LwwRegister { at: 1_000, by: "eu".to_owned(), value: "cold" };
/// register.merge(LwwRegister { at: 1_000, by: "us".to_owned(), value: "warm" })?;
/// register.merge(LwwRegister { at: 999, by: "us".to_owned(), value: "hot" })?;
/// assert_eq!(serde_json::to_string(&register)?, r#"{"at":1000,"by":"us","value":"warm"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the state of an LwwRegister")]
pub struct LwwRegister<T> {
    /// When it was written.
    pub at: u64,
    /// By whom.
    pub by: String,
    /// What was written.
    pub value: T,
}

impl<T: Ord> Merge for LwwRegister<T> {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        if (self.at, &self.by, &self.value) < (other.at, &other.by, &other.value) {
            *self = other;
        }
        Ok(())
    }
}

/// A register that keeps all values that were written at once, until a later write has seen them:
/// `{"seen":{"eu":2},"values":{"eu":{"n":2,"value":...}}}`, at most one value a replica.
///
/// ```
/// use syncline_sdk::crdt::{Merge, MvRegister};
///
/// let mut register = MvRegister::new();
/// register.set("eu", "draft")?;
/// let mut other = register.clone();
/// register.set("eu", "cold")?;
/// other.set("us", "warm")?;
/// register.merge(other)?;
/// assert_eq!(register.values().collect::<Vec<_>>(), [&"cold", &"warm"]);
/// register.set("us", "mild")?;
/// assert_eq!(
///     serde_json::to_string(&register)?,
///     r#"{"seen":{"eu":2,"us":2},"values":{"us":{"n":2,"value":"mild"}}}"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form<T>", bound(deserialize = "T: Ord + Deserialize<'de>"))]
pub struct MvRegister<T> {
    seen: GCounter,
    values: Dots<Valued<Larger<T>>>,
}

impl<T> Default for MvRegister<T> {
    fn default() -> Self {
        Self { seen: GCounter::new(), values: Dots::new() }
    }
}

impl<T> MvRegister<T> {
    /// A register that nobody has written.
    pub fn new() -> Self {
        Self::default()
    }

    /// The values that stand beside each other, in the order of the replicas that wrote them.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter().map(|(_, dot)| &dot.value.0)
    }

    /// Writes a value in the name of `replica`, in the place of all others.
    ///
    /// # Errors
    /// A number above 2^64-1; one replica too many.
    pub fn set(&mut self, replica: &str, value: T) -> Result<(), Error> {
        let dot = |n| Valued { n, value: Larger(value) };
        self.values = dots::written(&mut self.seen, replica, dot)?;
        Ok(())
    }
}

impl<T: Ord> Merge for MvRegister<T> {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        let mine = std::mem::take(&mut self.values);
        self.values = dots::merged(mine, &self.seen, other.values, &other.seen)?;
        self.seen.merge(other.seen)
    }
}

/// The register as it is written, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the state of an MvRegister")]
struct Form<T> {
    seen: GCounter,
    values: Dots<Valued<Larger<T>>>,
}

impl<T: Ord> TryFrom<Form<T>> for MvRegister<T> {
    type Error = String;

    fn try_from(Form { seen, values }: Form<T>) -> Result<Self, String> {
        dots::check(&values, &seen)?;
        Ok(Self { seen, values })
    }
}

/// Of two values under one number, which no careful client writes, the larger stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Larger<T>(T);

impl<T: Ord> Merge for Larger<T> {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        if other.0 > self.0 {
            *self = other;
        }
        Ok(())
    }
}
