//! Which seeds are played.
//!
//! Where none are named, they begin at a number that every commit changes: a range that is always
//! the same would sooner or later be the one range that works.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// What was asked for: `2000`, or `100..200`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// So many, from wherever the default range begins.
    Count(u64),
    /// These; the last one is not played.
    Range(Range<u64>),
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse::<u64>().map_err(|error| format!("{text:?} is no number of a seed: {error}"))
        };
        let Some((from, upto)) = text.split_once("..") else {
            return match number(text)? {
                0 => Err("no seeds at all would prove nothing".into()),
                count => Ok(Self::Count(count)),
            };
        };
        let range = number(from)?..number(upto)?;
        if range.is_empty() {
            return Err(format!("{text} is empty: the second number must be greater"));
        }
        Ok(Self::Range(range))
    }
}

/// A range, and why it begins where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The seeds.
    pub range: Range<u64>,
    /// In words.
    pub why: String,
}

impl Seeds {
    /// The seeds that are played, with a count from `from` if that is given.
    pub fn chosen(&self, from: Option<u64>) -> Result<Chosen, String> {
        let (count, (start, why)) = match (self, from) {
            (Self::Range(_), Some(_)) => {
                return Err("--from goes with a number of seeds, not with a range of them".into());
            }
            (Self::Range(range), None) => {
                return Ok(Chosen { range: range.clone(), why: "as asked".into() });
            }
            (Self::Count(count), Some(from)) => (*count, (from, "as asked".into())),
            (Self::Count(count), None) => (*count, default_start()),
        };
        let upto = start.checked_add(count).ok_or("there are no seeds beyond 2^64")?;
        Ok(Chosen { range: start..upto, why })
    }
}

/// From the commit's hash; from the version where there is no git.
fn default_start() -> (u64, String) {
    match commit() {
        Some(hash) => match hash.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
            Some(number) => (shortened(number), format!("from the hash of commit {}", &hash[..12])),
            None => from_version(),
        },
        None => from_version(),
    }
}

fn from_version() -> (u64, String) {
    let version = env!("CARGO_PKG_VERSION");
    let digest = Sha256::digest(version);
    let number = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    (shortened(number), format!("from version {version}, as there is no git here"))
}

/// Leaves room for ranges, and is short enough to be typed.
fn shortened(number: u64) -> u64 {
    number >> 16
}

fn commit() -> Option<String> {
    // The folder of the sources, wherever this is run: if it is gone, then so is its git.
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(sources).output();
    let output = output.ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|hash| hash.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_range() {
        assert_eq!("20".parse(), Ok(Seeds::Count(20)));
        assert_eq!("7..9".parse(), Ok(Seeds::Range(7..9)));
        for wrong in ["", "0", "a", "9..7", "7..7", "..", "7..", "-1", "1..2..3"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_a_number_of_seeds_has_a_start() {
        assert_eq!(Seeds::Count(2).chosen(Some(7)).map(|chosen| chosen.range), Ok(7..9));
        assert_eq!(Seeds::Range(7..9).chosen(None).map(|chosen| chosen.range), Ok(7..9));
        assert!(Seeds::Range(7..9).chosen(Some(7)).is_err());
        assert!(Seeds::Count(2).chosen(Some(u64::MAX)).is_err());
    }

    #[test]
    fn by_default_the_start_is_the_same_each_time_and_leaves_room() {
        let first = Seeds::Count(5).chosen(None).unwrap();
        assert_eq!(Ok(&first), Seeds::Count(5).chosen(None).as_ref());
        assert_eq!(first.range.end - first.range.start, 5);
        assert!(first.range.start < 1 << 48);
        assert!(from_version().0 < 1 << 48);
    }
}
