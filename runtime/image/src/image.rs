//! The image as a value.

use std::fmt;
use std::sync::Arc;

use crate::canonical::{self, NotCanonical};
use crate::form::is_in_form;

/// The largest image, in bytes of its canonical form: 1 MiB.
pub const IMAGE_BYTES_MAX: usize = 1 << 20;

/// A row's content: a JSON object in canonical form. Cheap to clone.
///
/// Canonical: members sorted by the bytes of their decoded keys, no white space, strings escaped as
/// in RFC 8785, numbers as they were written. So equal rows are equal bytes in every region, and no
/// number loses a digit. To the core an image is just bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image(Arc<[u8]>);

impl Image {
    /// Brings a JSON object into canonical form.
    pub fn canonicalize(json: &[u8]) -> Result<Self, NotCanonical> {
        canonical::canonicalize(json).map(|bytes| Self(bytes.into()))
    }

    /// Takes bytes that must be in canonical form already, as they are in records.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, NotCanonical> {
        if is_in_form(bytes) {
            return Ok(Self(bytes.into()));
        }
        let canonical = canonical::canonicalize(bytes)?;
        match canonical.iter().zip(bytes).position(|(a, b)| a != b) {
            None if canonical.len() == bytes.len() => Ok(Self(canonical.into())),
            at => Err(NotCanonical::NotInForm { at: at.unwrap_or(canonical.len()) }),
        }
    }

    /// Takes bytes that are known to be an image, such as those read back from the store, or that
    /// stand for one in a test.
    pub fn opaque(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}
