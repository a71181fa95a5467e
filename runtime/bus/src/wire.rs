//! The records of the core as JSON on the bus, and back.
//!
//! Writing is plain: fields in the contract's order, images copied as the canonical bytes that
//! they are. Reading trusts nothing: a record either says exactly what its origin could have said,
//! the same in key, headers and payload, or it is refused with a reason.

mod civil;
mod control;
mod decode;
mod encode;
mod entries;
mod evidence;
mod fields;
mod membership;
mod rollout;
mod version;

use syncline_core::{ChangeRecord, ControlRecord, Heartbeat, RegionId};
use thiserror::Error;

pub use decode::{decode, region_tags};
pub use encode::{
    encode_change, encode_control, encode_heartbeat, encode_tagged_change, encode_tagged_heartbeat,
};

/// The `v` that this software writes, and the only one that it reads.
pub const WIRE_VERSION: u64 = 1;

/// The largest payload, in bytes: 4 MiB, as `max.message.bytes` of the topics.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// The key of every heartbeat. It has no `/`, so that no row can have it.
pub const HEARTBEAT_KEY: &str = "heartbeat";

/// The key of every control record: all of them stand in one lane.
const CONTROL_KEY: &str = "control";

const CONTENT_TYPE: &str = "application/json";

/// A record that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A local write of its region.
    Change(ChangeRecord),
    /// What its region says of itself.
    Heartbeat(Heartbeat),
    /// A part of a component, a step of a rollout, or one of who is counted.
    Control(ControlRecord),
}

/// Why a record was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Newer software wrote it, as its headers and its version say. Where the origin is one that
    /// is heard in the log, the link holds until this software is newer; such a record is never
    /// quarantined, however little of it makes sense here.
    #[error("read record: version {version} is not known to this software")]
    UnknownVersion {
        /// The version.
        version: u64,
        /// Who made it, as its headers say.
        origin: RegionId,
    },
    /// Nobody who follows the rules wrote it. It is quarantined, with this reason.
    #[error("read record: {0}")]
    Undecodable(String),
}
