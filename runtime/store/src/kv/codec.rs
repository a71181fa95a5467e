//! Values: a byte for the version, then postcard.

use serde::{Deserialize, Serialize};

use super::key::place;
use crate::StoreError;

/// Writes a value in the given version of its form.
pub(crate) fn encode(version: u8, value: &impl Serialize, size_hint: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_hint + 64);
    bytes.push(version);
    // A growing vector takes all that is written, and all sequences here know their length; those
    // are the two things that postcard can fail for.
    postcard::to_extend(value, bytes).expect("postcard into a vector does not fail")
}

/// Reads a value that was written in `version`, and makes of it what it stands for. The key is for
/// the error's message.
pub(crate) fn decode<'a, Raw: Deserialize<'a>, T>(
    key: &[u8],
    version: u8,
    value: &'a [u8],
    make: impl FnOnce(Raw) -> Result<T, String>,
) -> Result<T, StoreError> {
    let bytes = versioned(key, version, value)?;
    let (raw, rest) = postcard::take_from_bytes::<Raw>(bytes)
        .map_err(|error| StoreError::corrupt(place(key), error))?;
    if !rest.is_empty() {
        return Err(StoreError::corrupt(place(key), "bytes follow the value"));
    }
    make(raw).map_err(|reason| StoreError::corrupt(place(key), reason))
}

/// What follows the version.
pub(crate) fn versioned<'a>(
    key: &[u8],
    version: u8,
    value: &'a [u8],
) -> Result<&'a [u8], StoreError> {
    match value.split_first() {
        Some((found, bytes)) if *found == version => Ok(bytes),
        Some((found, _)) if *found > version => {
            Err(StoreError::NewerVersion { place: place(key), version: *found })
        }
        _ => Err(StoreError::corrupt(place(key), "a value without a version")),
    }
}
