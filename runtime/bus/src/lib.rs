//! What travels between regions, and through what.
//!
//! The *wire* half turns the core's records into [`Envelope`]s and back: JSON as the contract has
//! it, checked without mercy, as a record may come from anyone. The *bus* half carries envelopes:
//! the trait [`Bus`], [`EmbeddedBus`], which keeps each region's log in files on this machine, and
//! [`KafkaBus`], which keeps it in topics of the region's own cluster.
//!
//! A bus carries; it never judges. It knows nothing of chains, watermarks or duplicates: positions
//! only say where to go on reading, and whatever a log loses shows as a gap in the chain, which the
//! core has sent again. But it never skips in silence: what cannot be read is delivered as
//! [`Item::Corrupt`], a position that is not in the log as [`Item::Moved`].
//!
//! What the caller owes:
//!
//! 1. Keep a position ([`Delivery::next_position`]) in the same commit as the state that the
//!    delivery led to, and start the next reader there.
//! 2. After an error of [`Publisher::produce`], produce the same records again: some of them may
//!    be in the log already, and will be taken for the duplicates that they are.
//! 3. On [`DecodeError::UnknownVersion`] of a region that is heard in the log hold the link until
//!    the software is newer; on that of any other, on [`DecodeError::Undecodable`] and on
//!    [`Item::Corrupt`] quarantine the bytes and go on.

mod bus;
#[cfg(any(test, feature = "test-support"))]
pub mod conformance;
mod embedded;
mod envelope;
mod kafka;
mod wire;

pub use bus::{
    Bus, BusError, Delivery, Item, Lane, Outgoing, Publisher, Reader, SNAPSHOT_PAGE_BYTES_MAX,
    SnapshotPage, SnapshotReader, SnapshotWriter,
};
pub use embedded::{EmbeddedBus, Retention};
pub use envelope::{BadFrame, Envelope};
pub use kafka::{Cluster, KafkaBus, KafkaOptions, TopicSettings, TopicsFound};
pub use wire::{
    DecodeError, Decoded, HEARTBEAT_KEY, PAYLOAD_BYTES_MAX, WIRE_VERSION, decode, encode_change,
    encode_control, encode_heartbeat, encode_tagged_change, encode_tagged_heartbeat, region_tags,
};
