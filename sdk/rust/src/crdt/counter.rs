//! Counters: a number for each replica, which that replica alone changes.

use serde::{Deserialize, Serialize};

use super::sorted::Sorted;
use super::{Error, Merge, REPLICAS_MAX};

/// A counter that only grows: `{"eu":3,"us":5}`. Two states merge to the larger number of each
/// replica.
///
/// ```
/// use syncline_sdk::crdt::{GCounter, Merge};
///
/// let mut counter: GCounter = serde_json::from_str(r#"{"eu":3,"us":5}"#)?;
/// let mut other = counter.clone();
/// counter.add("eu", 2)?;
/// other.add("ap", 1)?;
/// counter.merge(other)?;
/// assert_eq!(counter.value(), 11);
/// assert_eq!(serde_json::to_string(&counter)?, r#"{"ap":1,"eu":5,"us":5}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Numbers")]
pub struct GCounter(Numbers);

type Numbers = Sorted<String, u64>;

impl GCounter {
    /// A counter at 0.
    pub const fn new() -> Self {
        Self(Sorted::new())
    }

    /// The sum over all replicas; a few hundred numbers of 64 bits always fit.
    pub fn value(&self) -> u128 {
        self.0.iter().map(|(_, number)| u128::from(*number)).sum()
    }

    /// What one replica has added.
    pub fn get(&self, replica: &str) -> u64 {
        self.0.get(replica).copied().unwrap_or_default()
    }

    /// Adds `n` in the name of `replica`; its number after that.
    ///
    /// # Errors
    /// A number above 2^64-1; one replica too many.
    pub fn add(&mut self, replica: &str, n: u64) -> Result<u64, Error> {
        let sum = self.get(replica).checked_add(n).ok_or(Error::NumberTooLarge)?;
        if self.0.get(replica).is_none() {
            self.check(REPLICAS_MAX - 1)?;
        }
        self.0.insert(replica.to_owned(), sum);
        Ok(sum)
    }

    fn check(&self, replicas_max: usize) -> Result<(), Error> {
        if self.0.len() > replicas_max { Err(Error::TooManyReplicas) } else { Ok(()) }
    }
}

impl TryFrom<Numbers> for GCounter {
    type Error = Error;

    fn try_from(numbers: Numbers) -> Result<Self, Error> {
        let counter = Self(numbers);
        counter.check(REPLICAS_MAX).map(|()| counter)
    }
}

impl Merge for GCounter {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        let mine = std::mem::take(&mut self.0);
        self.0 = mine.joined(other.0, |_, mine, theirs| Ok(mine.max(theirs)))?;
        self.check(REPLICAS_MAX)
    }
}

/// A counter that goes up and down: `{"added":{"eu":3},"taken":{"us":1}}`, two [`GCounter`]s.
///
/// ```
/// use syncline_sdk::crdt::{Merge, PnCounter};
///
/// let mut stock = PnCounter::new();
/// stock.add("eu", 5)?;
/// let mut other = stock.clone();
/// stock.take("eu", 2)?;
/// other.take("us", 4)?;
/// stock.merge(other)?;
/// assert_eq!(stock.value(), -1);
/// assert_eq!(serde_json::to_string(&stock)?, r#"{"added":{"eu":5},"taken":{"eu":2,"us":4}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the state of a PnCounter")]
pub struct PnCounter {
    added: GCounter,
    taken: GCounter,
}

impl PnCounter {
    /// A counter at 0.
    pub const fn new() -> Self {
        Self { added: GCounter::new(), taken: GCounter::new() }
    }

    /// What was added without what was taken.
    pub fn value(&self) -> i128 {
        // Each sum is of at most 256 numbers of 64 bits, so both fit.
        self.added.value().cast_signed() - self.taken.value().cast_signed()
    }

    /// Adds `n` in the name of `replica`.
    ///
    /// # Errors
    /// As those of [`GCounter::add`].
    pub fn add(&mut self, replica: &str, n: u64) -> Result<(), Error> {
        self.added.add(replica, n).map(drop)
    }

    /// Takes `n` away in the name of `replica`.
    ///
    /// # Errors
    /// As those of [`GCounter::add`].
    pub fn take(&mut self, replica: &str, n: u64) -> Result<(), Error> {
        self.taken.add(replica, n).map(drop)
    }
}

impl Merge for PnCounter {
    fn merge(&mut self, other: Self) -> Result<(), Error> {
        self.added.merge(other.added)?;
        self.taken.merge(other.taken)
    }
}
