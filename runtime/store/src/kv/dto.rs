//! The forms that several families share. Texts and images are borrowed, both ways.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use syncline_core::{
    ChangeId, FunctionVersion, Hlc, Image, Operation, RegionId, Stamp, VersionVector,
};

pub(crate) type Made<T> = Result<T, String>;

/// Bytes in one piece; serde would otherwise take a slice byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Bytes<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Bytes<'de>, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_bytes(Borrowed)
    }
}

/// (region, HLC) of each entry.
pub(crate) enum VectorV1<'a> {
    /// To be written, from where it is.
    Given(&'a VersionVector),
    Read(Vec<(&'a str, u64)>),
}

impl Serialize for VectorV1<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Given(vector) => serializer
                .collect_seq(vector.iter().map(|(region, hlc)| (region.as_str(), hlc.bits()))),
            Self::Read(entries) => entries.serialize(serializer),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for VectorV1<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::Read)
    }
}

impl<'a> VectorV1<'a> {
    pub(crate) const fn of(vector: &'a VersionVector) -> Self {
        Self::Given(vector)
    }

    pub(crate) fn make(self) -> Made<VersionVector> {
        match self {
            Self::Given(vector) => Ok(vector.clone()),
            Self::Read(entries) => entries
                .into_iter()
                .map(|(region, bits)| Ok((region_of(region)?, hlc_of(bits)?)))
                .collect(),
        }
    }
}

/// (HLC, region).
#[derive(Serialize, Deserialize)]
pub(crate) struct ChangeIdV1<'a>(u64, #[serde(borrow)] &'a str);

impl<'a> ChangeIdV1<'a> {
    pub(crate) fn of(id: &'a ChangeId) -> Self {
        Self(id.hlc.bits(), id.region.as_str())
    }

    pub(crate) fn make(self) -> Made<ChangeId> {
        Ok(ChangeId { hlc: hlc_of(self.0)?, region: region_of(self.1)? })
    }
}

pub(crate) fn hlc_of(bits: u64) -> Made<Hlc> {
    Hlc::from_bits(bits).map_err(|error| error.to_string())
}

pub(crate) fn region_of(text: &str) -> Made<RegionId> {
    text.parse().map_err(|error: syncline_core::InvalidId| error.to_string())
}

/// None: last writer wins.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct StampV1(Option<[u8; 32]>);

impl StampV1 {
    pub(crate) fn of(stamp: Stamp) -> Self {
        match stamp {
            Stamp::Lww => Self(None),
            Stamp::Function(version) => Self(Some(version.0)),
        }
    }

    pub(crate) fn make(self) -> Stamp {
        self.0.map_or(Stamp::Lww, |version| Stamp::Function(FunctionVersion(version)))
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct OperationV1(u8);

impl OperationV1 {
    pub(crate) fn of(operation: Operation) -> Self {
        Self(match operation {
            Operation::Insert => 1,
            Operation::Update => 2,
            Operation::Delete => 3,
        })
    }

    pub(crate) fn make(self) -> Made<Operation> {
        match self.0 {
            1 => Ok(Operation::Insert),
            2 => Ok(Operation::Update),
            3 => Ok(Operation::Delete),
            n => Err(format!("operation {n}")),
        }
    }
}

/// The bytes of an image; those of none are none.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ImageV1<'a>(#[serde(borrow)] Option<Bytes<'a>>);

impl<'a> ImageV1<'a> {
    pub(crate) fn of(image: Option<&'a Image>) -> Self {
        Self(image.map(|image| Bytes(image.as_bytes())))
    }

    /// What was an image when it was written is not checked again.
    pub(crate) fn make(self) -> Option<Image> {
        self.0.map(|bytes| Image::opaque(bytes.0))
    }
}
