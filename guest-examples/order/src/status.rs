//! How far an order is.

use std::borrow::Cow;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// How far an order is; of two the higher one stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was sent.
    Pending,
    /// It was accepted.
    Confirmed,
    /// It is on its way.
    Shipped,
    /// It has arrived.
    Delivered,
    /// It was called off, which wins over all.
    Cancelled,
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let status = Cow::<str>::deserialize(deserializer).ok();
        status.as_deref().and_then(Self::named).ok_or_else(|| {
            D::Error::custom("is not one of pending, confirmed, shipped, delivered, cancelled")
        })
    }
}

impl Status {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "pending" => Self::Pending,
            "confirmed" => Self::Confirmed,
            "shipped" => Self::Shipped,
            "delivered" => Self::Delivered,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}
