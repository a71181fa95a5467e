//! Keys that sort as their parts do.

use std::str::FromStr;

use syncline_core::{ChangeId, FunctionVersion, Hlc, RegionId, RowKey, RowPk, TableName};

use crate::StoreError;

/// Makes the list of all families from the same lines as the families, so that it lacks none.
macro_rules! families {
    ($($name:ident = $number:literal,)*) => {
        /// The families. A number is never used again for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Family {
            $($name = $number,)*
        }

        impl Family {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

families! {
    Node = 1,
    Meta = 2,
    Digest = 3,
    Row = 4,
    History = 5,
    Waiting = 6,
    Outbox = 7,
    Conflict = 8,
    ConflictById = 9,
    ConflictOfRow = 10,
    ConflictCount = 11,
    Rollout = 12,
    Chunk = 13,
    ComponentFacts = 14,
    ComponentPart = 15,
    Quarantine = 16,
    Received = 17,
    Membership = 18,
    Founders = 19,
    RolloutReport = 22,
    Divergence = 26,
    ConflictPinned = 27,
    VersionRecord = 30,
    DroppedComponent = 31,
    ConflictImages = 32,
    ConflictBytes = 33,
    NodeShare = 40,
    NodeDirectives = 41,
}

/// Builds a key, or the prefix of keys.
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn of(family: Family) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(family as u8);
        Self(bytes)
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn hlc(self, hlc: Hlc) -> Self {
        self.u64(hlc.bits())
    }

    pub(crate) fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text and its end.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    pub(crate) fn row(self, row: &RowKey) -> Self {
        self.text(row.table.as_str()).text(row.pk.as_str())
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a key from its start to its end.
pub(crate) struct KeyReader<'a> {
    key: &'a [u8],
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    /// Behind the family.
    pub(crate) fn new(key: &'a [u8]) -> Self {
        Self::behind(key, 1)
    }

    /// Behind a prefix of so many bytes.
    pub(crate) fn behind(key: &'a [u8], prefix_len: usize) -> Self {
        Self { key, rest: key.get(prefix_len..).unwrap_or_default() }
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StoreError> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StoreError> {
        self.fixed().map(u64::from_be_bytes)
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.bad("short"))?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(crate) fn hlc(&mut self) -> Result<Hlc, StoreError> {
        let bits = self.u64()?;
        Hlc::from_bits(bits).map_err(|error| self.bad(error))
    }

    pub(crate) fn version(&mut self) -> Result<FunctionVersion, StoreError> {
        self.fixed().map(FunctionVersion)
    }

    pub(crate) fn region(&mut self) -> Result<RegionId, StoreError> {
        self.text()
    }

    pub(crate) fn table(&mut self) -> Result<TableName, StoreError> {
        self.text()
    }

    pub(crate) fn row(&mut self) -> Result<RowKey, StoreError> {
        Ok(RowKey { table: self.table()?, pk: self.text::<RowPk>()? })
    }

    /// (HLC, region), in the order of changes.
    pub(crate) fn change(&mut self) -> Result<ChangeId, StoreError> {
        Ok(ChangeId { hlc: self.hlc()?, region: self.region()? })
    }

    pub(crate) fn end(self) -> Result<(), StoreError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.bad("too long")) }
    }

    /// How much of the key is read.
    pub(crate) fn position(&self) -> usize {
        self.key.len() - self.rest.len()
    }

    fn text<T: FromStr<Err: ToString>>(&mut self) -> Result<T, StoreError> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| self.bad("a text without its end"))?;
        let text = std::str::from_utf8(&self.rest[..end]).map_err(|error| self.bad(error))?;
        let read = text.parse::<T>().map_err(|error| self.bad(error.to_string()))?;
        self.rest = &self.rest[end + 1..];
        Ok(read)
    }

    fn bad(&self, reason: impl ToString) -> StoreError {
        StoreError::corrupt(place(self.key), reason)
    }
}

/// A key, for a message.
pub(crate) fn place(key: &[u8]) -> String {
    let shown: String = key.iter().take(48).map(|byte| format!("{byte:02x}")).collect();
    format!("key {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::arbitrary;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_sort_as_their_parts(
            a in (0..3u32, arbitrary::row(), arbitrary::change_id()),
            b in (0..3u32, arbitrary::row(), arbitrary::change_id()),
        ) {
            let key = |(partition, row, id): &(u32, RowKey, ChangeId)| {
                let key = Key::of(Family::Waiting).u32(*partition).row(row);
                key.hlc(id.hlc).text(id.region.as_str()).done()
            };
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
            let bytes = key(&a);
            let mut reader = KeyReader::new(&bytes);
            let read = (reader.u32().unwrap(), reader.row().unwrap(), reader.change().unwrap());
            prop_assert_eq!(read, a);
            reader.end().unwrap();
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(key in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = KeyReader::new(&key);
            let _ = reader.u32().and_then(|_| reader.row()).and_then(|_| reader.change());
            let _ = reader.end();
        }
    }
}
