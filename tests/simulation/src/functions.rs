//! The merge functions of the simulation, native so that a run costs little: the same value for the
//! same input, and nothing else in common.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use syncline_core::{
    FunctionVersion, GuestFault, HostFault, Image, MergeFunctions, MergeInput, MergeSide, Merged,
};

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    /// A hash of all that it is given, and now and then a deletion: not commutative, not
    /// associative, not idempotent.
    Scramble(u8),
    /// As [`Function::Scramble`], but it often faults.
    Faulting,
    /// Adds up what both sides added since their ancestor.
    Counter,
    /// Keeps what neither side took out.
    Set,
    /// As [`Function::Counter`], for quantities by article; an empty cart is no row.
    Cart,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Scramble(1),
        Self::Scramble(2),
        Self::Faulting,
        Self::Counter,
        Self::Set,
        Self::Cart,
    ];

    /// The bytes that stand for its component.
    pub fn component(self) -> Vec<u8> {
        format!("the native function {self:?} of the simulation").into_bytes()
    }

    /// Its version.
    pub fn version(self) -> FunctionVersion {
        FunctionVersion::of(&self.component())
    }

    /// Asks it.
    pub fn merge(self, input: &MergeInput<'_>) -> Result<Merged, GuestFault> {
        let sides = [input.ancestor, input.older.image, input.newer.image];
        let [ancestor, older, newer] = sides.map(numbers);
        match self {
            Self::Scramble(salt) => Ok(scramble(input, salt).0),
            Self::Faulting => match scramble(input, 0) {
                (_, true) => Err(GuestFault::Trap("as a function that faults does".into())),
                (merged, false) => Ok(merged),
            },
            Self::Counter => Ok(Some(image_of(&summed(&ancestor, &older, &newer)))),
            Self::Cart => {
                let mut cart = summed(&ancestor, &older, &newer);
                cart.retain(|_, quantity| *quantity != 0);
                Ok((!cart.is_empty()).then(|| image_of(&cart)))
            }
            Self::Set => {
                let mut set: BTreeMap<String, i64> = older.clone();
                set.extend(newer.clone());
                let gone = |key: &String| !older.contains_key(key) || !newer.contains_key(key);
                set.retain(|key, _| !(ancestor.contains_key(key) && gone(key)));
                let both_gone = input.older.image.is_none() && input.newer.image.is_none();
                Ok((!both_gone).then(|| image_of(&set)))
            }
        }
    }
}

fn summed(
    ancestor: &BTreeMap<String, i64>,
    older: &BTreeMap<String, i64>,
    newer: &BTreeMap<String, i64>,
) -> BTreeMap<String, i64> {
    let keys: BTreeSet<&String> = ancestor.keys().chain(older.keys()).chain(newer.keys()).collect();
    let of = |map: &BTreeMap<String, i64>, key: &String| map.get(key).copied().unwrap_or_default();
    let sum = |key: &String| of(older, key) + of(newer, key) - of(ancestor, key);
    keys.into_iter().map(|key| (key.clone(), sum(key))).collect()
}

/// The answer, and whether a function that faults would fault on this.
fn scramble(input: &MergeInput<'_>, salt: u8) -> (Merged, bool) {
    let mut hash = Sha256::new_with_prefix([salt]);
    let mut add = |image: Option<&Image>| {
        let bytes = image.map_or(&b"none"[..], Image::as_bytes);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(input.ancestor);
    for MergeSide { image, .. } in [&input.older, &input.newer] {
        add(*image);
    }
    for MergeSide { region, hlc, operation, .. } in [&input.older, &input.newer] {
        hash.update(format!("{region} {hlc} {operation:?}"));
    }
    let digest: [u8; 32] = hash.finalize().into();
    let hex: String = digest[2..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let image = Image::opaque(format!("{{\"v\":\"{hex}\"}}").into_bytes());
    ((digest[0] >= 64).then_some(image), digest[1] < 100)
}

/// The numbers of an image by their names; of anything else, and of no image, none.
pub fn numbers(image: Option<&Image>) -> BTreeMap<String, i64> {
    let Some(image) = image else { return BTreeMap::new() };
    let text = String::from_utf8_lossy(image.as_bytes());
    let members = text.trim_start_matches('{').trim_end_matches('}').split(',');
    let member = |member: &str| {
        let (key, value) = member.split_once(':')?;
        Some((key.trim_matches('"').to_owned(), value.parse().ok()?))
    };
    members.filter_map(member).collect()
}

/// An image of these numbers.
pub fn image_of(numbers: &BTreeMap<String, i64>) -> Image {
    let members: Vec<String> = numbers.iter().map(|(key, n)| format!("\"{key}\":{n}")).collect();
    Image::opaque(format!("{{{}}}", members.join(",")).into_bytes())
}

/// The functions as one region has them.
pub struct Loaded<'a> {
    /// Those that have arrived.
    pub here: &'a BTreeSet<FunctionVersion>,
    /// The engine of this region answers nothing just now.
    pub fails: bool,
    /// The engine of this region answers something else now and then.
    pub lies: bool,
}

impl MergeFunctions for Loaded<'_> {
    fn merge(
        &self,
        version: &FunctionVersion,
        input: &MergeInput<'_>,
    ) -> Result<Result<Merged, GuestFault>, HostFault> {
        if self.fails {
            return Err(HostFault::Engine("as the scenario says".into()));
        }
        if !self.here.contains(version) {
            return Err(HostFault::NotHere(*version));
        }
        match function_of(version) {
            Some(_) if self.lies && lied_about(input).is_some() => {
                Ok(Ok(lied_about(input).flatten()))
            }
            Some(function) => Ok(function.merge(input)),
            None => Err(HostFault::NotHere(*version)),
        }
    }
}

/// What a broken engine makes of a conflict: of some the right row, of some another one or none.
fn lied_about(input: &MergeInput<'_>) -> Option<Merged> {
    match (input.older.hlc.bits() / 7 + input.newer.hlc.bits()) % 8 {
        0 | 1 => Some(Some(image_of(&BTreeMap::from([("lie".to_owned(), 1)])))),
        2 => Some(None),
        _ => None,
    }
}

/// The function of a version.
pub fn function_of(version: &FunctionVersion) -> Option<Function> {
    thread_local! {
        static VERSIONS: BTreeMap<FunctionVersion, Function> =
            Function::ALL.into_iter().map(|function| (function.version(), function)).collect();
    }
    VERSIONS.with(|versions| versions.get(version).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_canonical_and_read_back() {
        let map = BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), -1)]);
        let image = image_of(&map);
        assert_eq!(numbers(Some(&image)), map);
        assert!(Image::from_canonical(image.as_bytes()).is_ok());
        assert_eq!(numbers(Some(&image_of(&BTreeMap::new()))), BTreeMap::new());
    }
}
