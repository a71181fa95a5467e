//! Replays the vectors that the model of convergence prints against the core.
//!
//! A vector is a row's changes, made in several regions, and what the row must come to: heads,
//! version vector and image. The merge functions of the vectors obey no law: what holds for them
//! holds for any function.

mod functions;
mod replay;
mod rng;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use syncline_core::{
    Change, ChangeId, FunctionVersion, Hlc, Image, Operation, RegionId, Stamp, VersionVector,
};

pub use functions::Scramble;
pub use rng::Rng;

/// One line of a file of vectors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    changes: Vec<LineChange>,
    heads: Vec<(String, u64)>,
    vv: BTreeMap<String, u64>,
    image: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineChange {
    region: String,
    hlc: u64,
    context: BTreeMap<String, u64>,
    before: Option<String>,
    after: Option<String>,
    stamp: String,
}

/// A row's changes, and what they come to.
#[derive(Debug)]
pub struct Vector {
    /// In the order in which they were made.
    pub changes: Vec<Change>,
    /// The heads, in order.
    pub heads: Vec<ChangeId>,
    /// All that is seen of the row.
    pub vv: VersionVector,
    /// The row.
    pub image: Option<Image>,
    /// The functions that the changes are stamped with.
    pub functions: Scramble,
}

impl Vector {
    /// Reads one line of a file of vectors.
    pub fn parse(line: &str) -> Result<Self> {
        let line: Line = serde_json::from_str(line).context("read the vector")?;
        let mut functions = Scramble::default();
        let mut changes = Vec::with_capacity(line.changes.len());
        for change in line.changes {
            changes.push(change.convert(&mut functions)?);
        }
        if changes.is_empty() {
            bail!("the vector has no changes");
        }
        let heads = line.heads.iter().map(|(region, hlc)| id(region, *hlc));
        let heads = heads.collect::<Result<_>>()?;
        Ok(Self { changes, heads, vv: vector(line.vv)?, image: image(line.image), functions })
    }

    /// Replays the changes in the order in which they were made.
    pub fn check(&self) -> Result<()> {
        replay::in_order(self)
    }

    /// Replays the changes in a random order, with duplicates, and with gaps that are filled later.
    pub fn check_permuted(&self, seed: u64) -> Result<()> {
        replay::permuted(self, &mut Rng::new(seed)).with_context(|| format!("permutation {seed}"))
    }
}

impl LineChange {
    fn convert(self, functions: &mut Scramble) -> Result<Change> {
        let (before, after) = (image(self.before), image(self.after));
        Ok(Change {
            id: id(&self.region, self.hlc)?,
            context: vector(self.context)?,
            operation: Operation::of(before.as_ref(), after.as_ref()),
            before,
            after,
            stamp: Stamp::Function(functions.version_of(&self.stamp)),
        })
    }
}

fn image(text: Option<String>) -> Option<Image> {
    text.map(|text| Image::opaque(text.into_bytes()))
}

fn id(region: &str, hlc: u64) -> Result<ChangeId> {
    Ok(ChangeId { hlc: Hlc::from_bits(hlc)?, region: region.parse()? })
}

fn vector(entries: BTreeMap<String, u64>) -> Result<VersionVector> {
    let entry = |(region, hlc): (String, u64)| -> Result<(RegionId, Hlc)> {
        Ok((region.parse()?, Hlc::from_bits(hlc)?))
    };
    entries.into_iter().map(entry).collect()
}

/// Checks a whole file: each vector in order and in `permutations` random orders. Calls `progress`
/// with the number of vectors done. Answers how many there were.
pub fn check_file(text: &str, permutations: u64, mut progress: impl FnMut(usize)) -> Result<usize> {
    let mut done = 0;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        check_line(line, permutations).with_context(|| format!("line {}", number + 1))?;
        done += 1;
        progress(done);
    }
    if done == 0 {
        bail!("the file holds no vectors");
    }
    Ok(done)
}

fn check_line(line: &str, permutations: u64) -> Result<()> {
    let vector = Vector::parse(line)?;
    vector.check()?;
    (0..permutations).try_for_each(|seed| vector.check_permuted(seed))
}

/// The version that stands for a function's name in a vector.
fn version(name: &str) -> FunctionVersion {
    FunctionVersion::of(name.as_bytes())
}
