//! A merge function without any law, for tests of convergence: the answer is a hash of both sides and
//! the ancestor.
//!
//! It is neither commutative, nor associative, nor idempotent, and now and then it deletes the row.
//! Regions still end with the same bytes, as each folds the same heads in the same order.
//!
//! Each image is hashed as one byte that says whether there is a row, its length in 8 bytes, and its
//! bytes; in the order ancestor, older, newer; by FNV-1a of 64 bits with a final mix. The answer is
//! `{"h":"<16 hex digits>"}`, or no row where the hash's highest byte is below 32.

use syncline_sdk::{Conflict, MergeError, Raw, merge_function};

/// Below this the highest byte of the hash deletes the row: one conflict in eight.
const DELETE_BELOW: u8 = 32;

/// Answers with the hash of the three images, or deletes the row.
///
/// # Errors
/// Never.
#[merge_function]
pub fn merge(c: Conflict<Raw<'_>>) -> Result<Option<Raw<'_>>, MergeError> {
    let mut hash = Fnv::new();
    for image in [&c.ancestor, &c.older.image, &c.newer.image] {
        hash.image(image.as_ref().map(Raw::as_bytes));
    }
    let hash = hash.finish().to_be_bytes();
    Ok((hash[0] >= DELETE_BELOW).then(|| Raw::from(answer(hash))))
}

/// `{"h":"..."}`.
fn answer(hash: [u8; 8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = br#"{"h":""#.to_vec();
    for byte in hash {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.extend_from_slice(br#""}"#);
    out
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// No row, an empty image and a shifted boundary between two images all differ.
    fn image(&mut self, image: Option<&[u8]>) {
        let bytes = image.unwrap_or_default();
        self.bytes(&[u8::from(image.is_some())]);
        self.bytes(&(bytes.len() as u64).to_le_bytes());
        self.bytes(bytes);
    }

    /// FNV leaves its highest bits poorly mixed for short inputs; this is the finish of MurmurHash3.
    fn finish(&self) -> u64 {
        let mut h = self.0;
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    }
}
