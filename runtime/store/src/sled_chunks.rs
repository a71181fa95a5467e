//! How a value lies in sled.
//!
//! sled moves what is larger than a quarter of a segment out of its log, into a file of its own
//! that it never syncs; where such a file is missing after a loss of power it silently goes on
//! without it. So no page may ever come that far. A page holds at most 20 keys (it is split above
//! 16, and takes in a neighbour with fewer than 4) and an index at most 257: with values cut into
//! pieces of [`PIECE_BYTES`] and keys of [`KEY_BYTES_MAX`](crate::store::KEY_BYTES_MAX) at most,
//! both stay under 512 KiB, which is what segments of [`SEGMENT_BYTES`] keep in the log.
//!
//! The last byte of a value says whether it is whole; the further pieces of one that is not have
//! keys of their own, in an area that callers cannot reach.

use crate::store::RESERVED_FROM;

/// sled's segments.
pub(crate) const SEGMENT_BYTES: usize = 2 << 20;
/// The largest piece of a value.
pub(crate) const PIECE_BYTES: usize = 8 << 10;

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

/// Puts a value down under its key, given with a zero behind it, which is the mark of one that is
/// whole. Answers into how many further pieces it had to be cut.
pub(crate) fn cut(key: &[u8], value_and_zero: &[u8], mut put: impl FnMut(&[u8], &[u8])) -> u32 {
    let Some((&WHOLE, value)) = value_and_zero.split_last() else {
        unreachable!("a batch keeps a zero behind each value");
    };
    let Some((first, rest)) = value.split_at_checked(PIECE_BYTES).filter(|(_, r)| !r.is_empty())
    else {
        put(key, value_and_zero);
        return 0;
    };
    let mut more = 0u32;
    for piece in rest.chunks(PIECE_BYTES) {
        put(&piece_key(key, more), piece);
        more += 1;
    }
    put(key, &[first, &more.to_be_bytes(), &[CUT]].concat());
    more
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
            let pieces = cut(b"k", &[&value[..], &[0]].concat(), |key, piece| { kept.insert(key.to_vec(), piece.to_vec()); });
            prop_assert!(kept.values().all(|piece| piece.len() <= PIECE_BYTES + 5));
            prop_assert_eq!(pieces > 0, len > PIECE_BYTES);
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
