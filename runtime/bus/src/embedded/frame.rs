//! Records in a segment file, each in a frame of its own.
//!
//! ```text
//! magic 4 | length of the body 4 | CRC-32 of the body 4 | CRC-32 of these 12 bytes and the position 4 | body
//! ```
//!
//! Numbers are little-endian. The header has a checksum of its own, so that the length is believed
//! or not before anything is made of it; the position is in it, so that bytes which got into the
//! wrong place are no frame there.

use crate::{Envelope, PAYLOAD_BYTES_MAX};

/// No UTF-8 text contains these bytes, so no record of JSON can look like a frame.
const MAGIC: [u8; 4] = [0xff, b'S', b'L', 0xfe];

pub(super) const HEADER_BYTES: usize = 16;

/// The largest body: the largest payload, its key and headers.
pub(super) const BODY_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (128 << 10);

/// What stands at a position.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A sound frame of so many bytes, header and body.
    Frame { len: usize },
    /// A frame of so many bytes whose body is not what was written.
    Damaged { len: usize },
    /// These bytes may be the beginning of a frame; so many are needed to tell.
    Incomplete { need: usize },
    /// No frame.
    Nothing,
}

/// Appends the envelope's frame, which is to stand at `position`, to `out`.
pub(super) fn append(out: &mut Vec<u8>, position: u64, envelope: &Envelope) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    envelope.append_to(out);
    let body = &out[start + HEADER_BYTES..];
    let (len, body_crc) = (body.len() as u32, crc32fast::hash(body));
    let header = &mut out[start..start + HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8..12].copy_from_slice(&body_crc.to_le_bytes());
    let crc = header_crc(&header[..12], position);
    header[12..].copy_from_slice(&crc.to_le_bytes());
}

/// Tells what stands at `position`, where `bytes` begin.
pub(super) fn step(bytes: &[u8], position: u64) -> Step {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Step::Incomplete { need: HEADER_BYTES };
    };
    let number = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let body_len = number(4) as usize;
    if !header.starts_with(&MAGIC)
        || number(12) != header_crc(&header[..12], position)
        || body_len > BODY_BYTES_MAX
    {
        return Step::Nothing;
    }
    let len = HEADER_BYTES + body_len;
    match rest.get(..body_len) {
        None => Step::Incomplete { need: len },
        Some(body) if crc32fast::hash(body) == number(8) => Step::Frame { len },
        Some(_) => Step::Damaged { len },
    }
}

/// The offset of the first sound and complete frame behind the first byte of `bytes`, which begin
/// at `position`.
pub(super) fn find(bytes: &[u8], position: u64) -> Option<usize> {
    let candidates = (1..bytes.len()).filter(|at| bytes[*at..].starts_with(&MAGIC));
    let sound =
        |at: &usize| matches!(step(&bytes[*at..], position + *at as u64), Step::Frame { .. });
    candidates.into_iter().find(sound)
}

fn header_crc(header: &[u8], position: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(&position.to_le_bytes());
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(position: u64, payload: &[u8]) -> Vec<u8> {
        let envelope =
            Envelope { key: "k".to_owned(), headers: Vec::new(), payload: payload.to_vec() };
        let mut bytes = Vec::new();
        append(&mut bytes, position, &envelope);
        bytes
    }

    proptest! {
        #[test]
        fn a_frame_is_sound_whole_and_where_it_was_written(
            position in 0..u64::MAX / 2,
            payload in prop::collection::vec(any::<u8>(), 0..200),
            flip in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let mut bytes = framed(position, &payload);
            let len = bytes.len();
            prop_assert_eq!(step(&bytes, position), Step::Frame { len });
            prop_assert_eq!(step(&bytes, position + 1), Step::Nothing);
            for cut in 0..len {
                let incomplete = matches!(step(&bytes[..cut], position), Step::Incomplete { .. });
                prop_assert!(incomplete);
            }
            let at = flip.index(len);
            bytes[at] ^= 1 << bit;
            let expected = if at < HEADER_BYTES { Step::Nothing } else { Step::Damaged { len } };
            prop_assert_eq!(step(&bytes, position), expected);
        }

        #[test]
        fn the_next_frame_is_found_behind_garbage(
            garbage in prop::collection::vec(prop_oneof![Just(0xff), Just(b'S'), any::<u8>()], 1..100),
        ) {
            let mut bytes = garbage.clone();
            bytes.extend(framed(1_000 + garbage.len() as u64, b"{}"));
            prop_assert_eq!(find(&bytes, 1_000), Some(garbage.len()));
            bytes.pop();
            prop_assert_eq!(find(&bytes, 1_000), None);
        }
    }
}
