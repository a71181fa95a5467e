//! Values: a byte for the version, then postcard.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use super::key::place;
use crate::{Batch, StoreError};

/// Adds a value in the given version of its form to a batch.
pub(crate) fn put(batch: &mut Batch, key: &[u8], version: u8, value: &impl Serialize) {
    batch.put_with(key, |buffer| append(buffer, version, value));
}

/// A value in the given version of its form.
pub(crate) fn encode(version: u8, value: &impl Serialize) -> Vec<u8> {
    append(Vec::new(), version, value)
}

fn append(mut buffer: Vec<u8>, version: u8, value: &impl Serialize) -> Vec<u8> {
    buffer.push(version);
    // A growing vector takes all that is written, and all sequences here know their length; those
    // are the two things that postcard can fail for.
    postcard::serialize_with_flavor(value, Growing(buffer))
        .expect("postcard into a vector does not fail")
}

/// Takes slices at once; the vector that postcard brings along starts out empty, and its way into
/// one that does not goes byte by byte.
struct Growing(Vec<u8>);

impl Flavor for Growing {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
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
