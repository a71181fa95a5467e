//! How a value lies in sled.
//!
//! sled moves what is larger than a quarter of a segment out of its log, into a file of its own
//! that it never syncs; where such a file is missing after a loss of power it silently goes on
//! without it. So no page may ever come that far. A page holds at most 20 keys (it is split above
//! 16, and takes in a neighbour with fewer than 4) and an index at most 257: with values cut into
//! pieces of [`PIECE_BYTES`] and keys below 2 KiB, both stay under 512 KiB, which is what segments
//! of [`SEGMENT_BYTES`] keep in the log.
//!
//! The last byte of a value says whether it is whole; the further pieces of one that is not have
//! keys of their own, in an area that callers cannot reach.

use crate::store::RESERVED_FROM;

/// sled's segments.
pub(crate) const SEGMENT_BYTES: usize = 2 << 20;
/// The largest piece of a value.
pub(crate) const PIECE_BYTES: usize = 8 << 10;
/// The longest key.
pub(crate) const KEY_BYTES_MAX: usize = 1800;

const WHOLE: u8 = 0;
const CUT: u8 = 1;

/// What stands at a value's own key.
pub(crate) enum Head<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// The first piece, and how many there are besides.
    First(&'a [u8], u32),
}

/// Reads what stands at a value's own key; `None` if it is not what [`cut`] leaves there.
pub(crate) fn head(raw: &[u8]) -> Option<Head<'_>> {
    let (tag, rest) = raw.split_last()?;
    match *tag {
        WHOLE => Some(Head::Whole(rest)),
        CUT => {
            let (first, more) = rest.split_last_chunk::<4>()?;
            Some(Head::First(first, u32::from_be_bytes(*more)))
        }
        _ => None,
    }
}

/// Puts a value down under its key. Answers true if it had to be cut.
pub(crate) fn cut(key: Vec<u8>, mut value: Vec<u8>, mut put: impl FnMut(Vec<u8>, Vec<u8>)) -> bool {
    if value.len() <= PIECE_BYTES {
        value.push(WHOLE);
        put(key, value);
        return false;
    }
    let mut pieces = value.chunks(PIECE_BYTES);
    let mut first = pieces.next().unwrap_or_default().to_vec();
    let mut more = 0u32;
    for piece in pieces {
        put(piece_key(&key, more), piece.to_vec());
        more += 1;
    }
    first.extend_from_slice(&more.to_be_bytes());
    first.push(CUT);
    put(key, first);
    true
}

/// The key of a further piece. The number has a fixed length, so no two keys can meet.
pub(crate) fn piece_key(key: &[u8], piece: u32) -> Vec<u8> {
    let mut piece_key = Vec::with_capacity(key.len() + 5);
    piece_key.push(RESERVED_FROM);
    piece_key.extend_from_slice(key);
    piece_key.extend_from_slice(&piece.to_be_bytes());
    piece_key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn what_is_cut_can_be_put_together(len in prop_oneof![0..40usize, 8_000..40_000usize]) {
            let value: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            let mut kept = BTreeMap::new();
            let was_cut = cut(b"k".to_vec(), value.clone(), |key, piece| { kept.insert(key, piece); });
            prop_assert!(kept.values().all(|piece| piece.len() <= PIECE_BYTES + 5));
            prop_assert_eq!(was_cut, len > PIECE_BYTES);
            let whole = match head(&kept[&b"k"[..]]).unwrap() {
                Head::Whole(value) => value.to_vec(),
                Head::First(first, more) => (0..more).fold(first.to_vec(), |mut whole, i| {
                    whole.extend_from_slice(&kept[&piece_key(b"k", i)]);
                    whole
                }),
            };
            prop_assert_eq!(whole, value);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(raw in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = head(&raw);
        }
    }
}
