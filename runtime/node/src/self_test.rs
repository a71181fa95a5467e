//! What every region tries a function on before it is activated anywhere. Regions compare a digest
//! of the outcomes: where two differ, the function may not go live.

use sha2::{Digest as _, Sha256};
use syncline_host::Host;
use syncline_verifier::{Case, Failure, InvalidCase, Outcome, Subject as _, Usage};

use crate::component::Component;
use syncline_core::FunctionVersion;

/// Conflicts of many kinds, the same in every region. They belong to the determinism profile:
/// whoever changes them gives the profile another number, or regions of two builds could never
/// agree on a function.
const CORPUS: &str = include_str!("self_test/corpus.json");

/// Why a self-test came to nothing. It says nothing about the function.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelfTestError {
    /// The corpus is none.
    #[error("read the corpus")]
    Cases(#[from] InvalidCase),
    /// The function could not be called.
    #[error(transparent)]
    Call(#[from] Failure),
}

/// A hash of what a loaded function makes of the corpus and of the cases that it brings with it: each
/// answer or fault, and the fuel that it took.
pub(crate) fn digest(
    host: &Host,
    version: FunctionVersion,
    given: &[Case],
) -> Result<[u8; 32], SelfTestError> {
    let corpus = Case::read(CORPUS)?;
    let component = Component { host: host.clone(), version, name: "self-test" };
    let mut hash = Sha256::new();
    for case in corpus.iter().chain(given) {
        let answer = component.call(&case.conflict)?;
        match &answer.outcome {
            Outcome::Merged(Some(image)) => add(&mut hash, b"merged", image.as_bytes()),
            Outcome::Merged(None) => add(&mut hash, b"deleted", b""),
            Outcome::Error(text) => add(&mut hash, b"error", text.as_bytes()),
            // What an engine says of a trap may differ from release to release.
            Outcome::Fault { code, .. } => add(&mut hash, b"fault", code.as_bytes()),
        }
        let fuel = answer.usage.map_or(0, |Usage { fuel, .. }| fuel);
        hash.update(fuel.to_be_bytes());
    }
    Ok(hash.finalize().into())
}

fn add(hash: &mut Sha256, kind: &[u8], bytes: &[u8]) {
    for part in [kind, bytes] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_host::PROFILE;

    #[test]
    fn the_corpus_goes_with_the_profile() {
        assert!(Case::read(CORPUS).unwrap().len() > 40);
        let checksum = FunctionVersion::of(CORPUS.as_bytes()).to_string();
        let of_profile_1 =
            "sha256:ca4f20bfb6eea7229c0e6d854c1f64ae005e5b51d480af2c3dc51eaf4d4718e2";
        assert_eq!((PROFILE, checksum.as_str()), (1, of_profile_1));
    }
}
