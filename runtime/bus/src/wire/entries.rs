//! Version vectors and lists, read with a limit and, of regions, without duplicates.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use syncline_core::{Hlc, RegionId, VersionVector};

/// As the core's limit, but applied while reading: what is behind it is never looked at.
const ENTRIES_MAX: usize = 256;

/// A string of the JSON, borrowed where it holds no escape.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Strings).map(Self)
    }
}

/// Region text -> HLC text.
pub(super) struct Entries(pub(super) VersionVector);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Vectors;
        impl<'de> Visitor<'de> for Vectors {
            type Value = VersionVector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of regions and HLCs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut vector = VersionVector::new();
                while let Some((region, hlc)) = map.next_entry::<Text<'_>, Text<'_>>()? {
                    let region: RegionId = region.0.parse().map_err(Error::custom)?;
                    let hlc: Hlc = hlc.0.parse().map_err(Error::custom)?;
                    check_room(vector.len())?;
                    if hlc.is_zero() {
                        let reason =
                            format!("{region} stands at zero, which is said by leaving it out");
                        return Err(Error::custom(reason));
                    }
                    if !vector.get(&region).is_zero() {
                        return Err(Error::custom(format!("{region} stands twice in one vector")));
                    }
                    vector.set(&region, hlc);
                }
                Ok(vector)
            }
        }
        deserializer.deserialize_map(Vectors).map(Self)
    }
}

/// A list of regions, none of them twice.
pub(super) struct Tags(pub(super) Vec<RegionId>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Regions;
        impl<'de> Visitor<'de> for Regions {
            type Value = Vec<RegionId>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of regions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut regions = Vec::new();
                while let Some(region) = seq.next_element::<Text<'_>>()? {
                    let region: RegionId = region.0.parse().map_err(Error::custom)?;
                    check_room(regions.len())?;
                    if regions.contains(&region) {
                        return Err(Error::custom(format!("{region} stands twice in one list")));
                    }
                    regions.push(region);
                }
                Ok(regions)
            }
        }
        deserializer.deserialize_seq(Regions).map(Self)
    }
}

/// A list of `MAX` items at most; what is behind them is never looked at.
pub(super) struct AtMost<T, const MAX: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of {MAX} items at most")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == MAX {
                        return Err(Error::invalid_length(MAX + 1, &self));
                    }
                    items.push(item);
                }
                Ok(items)
            }
        }
        deserializer.deserialize_seq(Items::<T, MAX>(PhantomData)).map(Self)
    }
}

fn check_room<E: Error>(entries: usize) -> Result<(), E> {
    if entries < ENTRIES_MAX {
        Ok(())
    } else {
        Err(Error::custom(format_args!("more than {ENTRIES_MAX} regions, which is the limit")))
    }
}
