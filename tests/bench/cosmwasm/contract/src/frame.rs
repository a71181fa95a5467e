//! The conflict as one message, and the answer.
//!
//! A part is its length, 32 bits with the lowest byte first, and its bytes; a part that is absent
//! has the length [`ABSENT`]. The parts of a message: table, key, ancestor; then, of the older and
//! of the newer side: region, HLC (8 bytes, the lowest first), operation (1 byte: 0 insert, 1
//! update, 2 delete), image. The answer ends with one byte that says what stands before it:
//! [`ROW`] an image, [`GONE`] nothing, [`ERROR`] a text.

use syncline_sdk::{Conflict, MergeError, Operation, Side};

/// The length of what is not there.
const ABSENT: u32 = u32::MAX;

const ROW: u8 = 0;
const GONE: u8 = 1;
const ERROR: u8 = 2;

/// None: it is no such message.
pub(crate) fn conflict(message: &[u8]) -> Option<Conflict<&[u8]>> {
    let mut parts = Parts(message);
    let conflict = Conflict {
        table: parts.text()?,
        row_pk: parts.text()?,
        ancestor: parts.next()?,
        older: parts.side()?,
        newer: parts.side()?,
    };
    parts.0.is_empty().then_some(conflict)
}

pub(crate) fn answer(answer: Result<Option<Vec<u8>>, MergeError>) -> Vec<u8> {
    let (kind, mut bytes) = match answer {
        Ok(Some(row)) => (ROW, row),
        Ok(None) => (GONE, Vec::new()),
        Err(error) => (ERROR, String::from(error).into_bytes()),
    };
    // At the end, where it costs no copy of the row, or one that grows it in place.
    bytes.push(kind);
    bytes
}

/// What is left of a message.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// The outer None: there is no such part; the inner one: it is absent.
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = u32::from_le_bytes(*length);
        if length == ABSENT {
            self.0 = rest;
            return Some(None);
        }
        let (part, rest) = rest.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(Some(part))
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.next()??.to_vec()).ok()
    }

    fn side(&mut self) -> Option<Side<&'a [u8]>> {
        Some(Side {
            region: self.text()?,
            hlc: u64::from_le_bytes(self.next()??.try_into().ok()?),
            operation: match self.next()?? {
                [0] => Operation::Insert,
                [1] => Operation::Update,
                [2] => Operation::Delete,
                _ => return None,
            },
            image: self.next()?,
        })
    }
}
