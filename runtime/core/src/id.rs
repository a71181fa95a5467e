//! Names and identities, each checked once, at the edge.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::Hlc;

/// Why a text is not the id it should be. Texts of strangers are cut short in the message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidId {
    /// Not a table's name.
    #[error("a table name is a letter or _ and up to 127 letters, digits, _ . or -, not {0:?}")]
    Table(String),
    /// Not a row's key.
    #[error("a row_pk is 1 to 1,024 bytes of UTF-8 without control characters ({0})")]
    RowPk(&'static str),
    /// Not a region's name.
    #[error(
        "a region is 1 to 64 letters, digits, _ or -, with #N for an incarnation above 1, not {0:?}"
    )]
    Region(String),
    /// Not a function's version.
    #[error("a version is sha256: and 64 hexadecimal digits, not {0:?}")]
    Version(String),
    /// Not a conflict's id.
    #[error("a conflict's id is 32 hexadecimal digits, not {0:?}")]
    Conflict(String),
    /// Not a digest, or the id of a divergence.
    #[error("it is 32 hexadecimal digits, not {0:?}")]
    Digest(String),
    /// Not a number of partitions.
    #[error("the number of partitions is 1 to 1,024, not {0}")]
    Partitions(u32),
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A region, in one incarnation: `eu-west-1`, or `eu-west-1#2` after it lost its disk once. To all
/// version vectors another incarnation is another region.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RegionId(Arc<str>);

impl RegionId {
    /// The region's name without its incarnation.
    pub fn name(&self) -> &str {
        self.0.split_once('#').map_or(&self.0, |(name, _)| name)
    }

    /// 1 for the first.
    pub fn incarnation(&self) -> u32 {
        self.0.split_once('#').and_then(|(_, n)| n.parse().ok()).unwrap_or(1)
    }

    /// The region's name in a given incarnation.
    pub fn with_incarnation(name: &str, incarnation: u32) -> Result<Self, InvalidId> {
        match incarnation {
            0 => Err(InvalidId::Region(format!("{}#0", shown(name)))),
            1 => name.parse(),
            n => format!("{name}#{n}").parse(),
        }
    }

    /// As it stands in version vectors.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (name, incarnation) = match text.split_once('#') {
            Some((name, n)) => (name, Some(n)),
            None => (text, None),
        };
        let name_ok = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let incarnation_ok = incarnation.is_none_or(|n| {
            !n.starts_with('0')
                && n.bytes().all(|b| b.is_ascii_digit())
                && n.parse::<u32>().is_ok_and(|n| n > 1)
        });
        if name_ok && incarnation_ok {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Region(shown(text)))
        }
    }
}

/// A table's name: `[A-Za-z_][A-Za-z0-9_.-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TableName(Arc<str>);

impl TableName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TableName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let rest =
            text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if first && rest && text.len() <= 128 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Table(shown(text)))
        }
    }
}

/// A row's key within its table: 1 to 1,024 bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RowPk(Arc<str>);

impl RowPk {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RowPk {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() {
            return Err(InvalidId::RowPk("it is empty"));
        }
        if text.len() > Self::BYTES_MAX {
            return Err(InvalidId::RowPk("it is longer"));
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidId::RowPk("it has a control character"));
        }
        Ok(Self(text.into()))
    }
}

/// A row of a table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The table.
    pub table: TableName,
    /// The row's key in it.
    pub pk: RowPk,
}

impl fmt::Display for RowKey {
    /// `<table>/<row_pk>`, the key of the row's records on the bus.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.table, self.pk)
    }
}

/// A merge function's version: the SHA-256 of its component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionVersion(pub [u8; 32]);

impl FunctionVersion {
    /// The version of a component.
    pub fn of(component: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(component).into())
    }

    /// The 64 hexadecimal digits, as `sha256sum` prints them.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The first 12 hexadecimal digits, for logs and tables.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for FunctionVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl FromStr for FunctionVersion {
    type Err = InvalidId;

    /// With or without the `sha256:` in front.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut bytes = [0; 32];
        match hex::decode_to_slice(digits, &mut bytes) {
            Ok(()) if !digits.bytes().any(|b| b.is_ascii_uppercase()) => Ok(Self(bytes)),
            _ => Err(InvalidId::Version(shown(text))),
        }
    }
}

/// A change's identity, unique everywhere. Ordered by HLC, then region: the order of heads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId {
    /// When it was made.
    pub hlc: Hlc,
    /// Where it was made.
    pub region: RegionId,
}

impl ChangeId {
    /// A UUID in the shape of version 8 (RFC 9562), in the order of time: the HLC's milliseconds,
    /// then bits of a hash of the identity. The same in every region, so that it need not be kept.
    pub fn event_id(&self) -> String {
        use sha2::Digest as _;
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut hash = sha2::Sha256::new();
        hash.update(self.region.as_str().as_bytes());
        hash.update([0]);
        hash.update(self.hlc.bits().to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let mut bytes = [0u8; 16];
        bytes[..6].copy_from_slice(&self.hlc.millis().to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&hash[..10]);
        bytes[6] = 0x80 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        let mut id = String::with_capacity(36);
        for (at, byte) in bytes.into_iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                id.push('-');
            }
            id.extend([byte >> 4, byte & 15].map(|half| char::from(HEX[usize::from(half)])));
        }
        id
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.region, self.hlc)
    }
}

/// Into how many partitions rows are spread. Permanent, and the same in every region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionCount(u32);

impl PartitionCount {
    /// 1 to 1,024.
    pub fn new(count: u32) -> Result<Self, InvalidId> {
        if (1..=1024).contains(&count) {
            Ok(Self(count))
        } else {
            Err(InvalidId::Partitions(count))
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The partition of a row: murmur2 of `<table>/<row_pk>`, as Kafka's default partitioner computes
/// it, so that other producers and consumers of the topic agree.
pub fn partition_of(row: &RowKey, count: PartitionCount) -> u32 {
    let key = row.to_string();
    (murmur2(key.as_bytes()) & 0x7fff_ffff) % count.0
}

/// Austin Appleby's MurmurHash2 with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h: u32 = 0x9747_b28c ^ (data.len() as u32);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// By the text. Names are compared all the time, and most that are equal are clones of one.
macro_rules! in_order_of_text {
    ($($name:ident),*) => { $(
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
    )* };
}

in_order_of_text!(RegionId, TableName, RowPk);

macro_rules! as_text {
    ($($name:ident),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )* };
}
as_text!(RegionId, TableName, RowPk);

macro_rules! debug_as_display {
    ($($name:ident),*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )* };
}
debug_as_display!(RowKey, FunctionVersion, ChangeId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "_x", "carts", "a.b-c_9"] {
            assert!(good.parse::<TableName>().is_ok(), "{good}");
        }
        for bad in ["", "9a", "-a", "a/b", "a b", "ä", "..", &"a".repeat(129)] {
            assert!(bad.parse::<TableName>().is_err(), "{bad}");
        }
        assert!("a".repeat(128).parse::<TableName>().is_ok());
        for good in ["x", "../..", "a/b c", "日本", &"k".repeat(1024)] {
            assert!(good.parse::<RowPk>().is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\u{7f}", "\u{85}", &"k".repeat(1025)] {
            assert!(bad.parse::<RowPk>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_incarnation_is_part_of_the_region() {
        let second: RegionId = "us-east-1#2".parse().unwrap();
        assert_eq!((second.name(), second.incarnation()), ("us-east-1", 2));
        assert_eq!(RegionId::with_incarnation("us-east-1", 2), Ok(second));
        assert_eq!("a".parse::<RegionId>().unwrap().incarnation(), 1);
        for bad in ["", "a#", "a#1", "a#0", "a#02", "a#-2", "a#2#3", "a.b", "é", "a#99999999999"] {
            assert!(bad.parse::<RegionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_version_reads_back_what_it_prints() {
        let version = FunctionVersion::of(b"abc");
        assert_eq!(version.to_string().parse(), Ok(version));
        assert_eq!(version.hex().parse(), Ok(version));
        assert!(version.hex().to_uppercase().parse::<FunctionVersion>().is_err());
        assert!("sha256:12".parse::<FunctionVersion>().is_err());
    }

    #[test]
    fn murmur2_gives_what_kafka_gives() {
        // The values of Kafka's own test of its Utils.murmur2.
        for (text, hash) in [
            ("21", -973932308i32),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn event_ids_are_uuids_in_the_order_of_time() {
        let id = |ms, region: &str| {
            ChangeId { hlc: Hlc::new(ms, 0).unwrap(), region: region.parse().unwrap() }.event_id()
        };
        let early = id(1_795_203_212_955, "a");
        assert_eq!(early.len(), 36);
        assert!(early < id(1_795_203_212_956, "a"));
        assert_ne!(early, id(1_795_203_212_955, "b"));
    }
}
