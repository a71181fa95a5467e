//! The rules by which regions converge, as pure values and functions.
//!
//! This crate decides: what a change is, whether it is taken, applied or waits, what a row's image
//! is, what history may be dropped, which function version a region stamps its changes with. It
//! never reads a clock, draws a random number, opens a file or a socket, iterates in hash order or
//! computes with floats: time and what is on disk come in as values, what must be written, synced
//! and sent goes out as values ([`Commit`]), so that whole regions can be played by a simulator.
//!
//! What the caller owes, in this order, for each [`Commit`] it is handed:
//!
//! 1. Write all of it to the store in one atomic batch.
//! 2. Before any outbox record of it is produced or any client is told that its write is taken:
//!    sync the store.
//! 3. Before its heartbeat is produced: sync the store, after the batch that carries it.
//! 4. If the batch cannot be written, drop the [`Partition`] and restore it from the store: what is
//!    in memory has run ahead of the disk.

mod chain;
mod change;
mod conflict;
mod control;
mod digest;
mod divergence;
mod hlc;
mod id;
mod membership;
mod merge;
mod outstanding;
mod partition;
#[doc(hidden)]
pub mod planted;
mod publish;
mod rollout;
mod routes;
mod row;
mod skew;
mod start_check;
mod vector;
mod versions;

pub use chain::{
    ChangeVerdict, Counting, HeartbeatVerdict, Link, LinkCounters, LinkState, PassOn, Received,
};
pub use change::{Change, ChangeRecord, Heartbeat, Malformed, Operation, Stamp};
pub use conflict::{Ancestor, ConflictId, ConflictOutcome, ConflictRecord, ConflictSide, Replayed};
pub use control::{
    CHUNK_BYTES_MAX, COMPONENT_BYTES_MAX, CONTROL_PARTITION, ComponentChunk, ControlBody,
    ControlCommit, ControlPartition, ControlRecord, ControlSnapshot,
};
pub use digest::TableDigest;
pub use divergence::{
    DIVERGENCES_MAX, Diverged, DivergedSide, Divergence, DivergenceId, DivergenceWrite, EngineName,
    Evidence, InvalidEngine, OUTCOMES_MAX, Outcome, STATE_TABLES_MAX, ShortDigest, StateDigest,
};
pub use hlc::{Clock, ClockExhausted, Hlc, InvalidHlc, NODES_MAX};
pub use id::{
    ChangeId, FunctionVersion, InvalidId, PartitionCount, RegionId, RowKey, RowPk, TableName,
    partition_of,
};
pub use membership::{
    Cut, Duty, Membership, MembershipAnswer, MembershipChange, MembershipId, MembershipRecord,
    MembershipState, MembershipView, ProposeRefused, REGIONS_MAX,
};
pub use merge::{GuestFault, HostFault, MergeFunctions, MergeInput, MergeSide, Merged};
pub use outstanding::{Behind, OwnCounters};
pub use partition::{
    Alarm, Batch, Commit, ConflictWrite, HistoryWrite, LoadError, Partition, PartitionMeta,
    PartitionSetup, PartitionSnapshot, PartitionStanding, Precondition, Recounted, RowRepair,
    RowWrite, Rows, Suspect, WaitingWrite, WriteRefused, Written,
};
pub use publish::{Feed, FeedStep, Forward, ForwardedBeat};
pub use rollout::{
    AskRefused, CallCounters, CreateRefused, CreateRollout, FAULT_KINDS, FUEL_BUCKETS, Gate,
    GateKind, GateReading, GateVerdict, InvalidPlace, InvalidText, LATE_STAMP_MS, LATENCY_BUCKETS,
    NewRollout, PlanRefused, PreviousRollout, ROLLOUT_HISTORY_MAX, ROLLOUT_TEXT_BYTES_MAX,
    ROLLOUT_WAIT_MS_MAX, RegionProgress, Rollout, RolloutAsk, RolloutCommand, RolloutCounters,
    RolloutDecision, RolloutEnd, RolloutEvent, RolloutGates, RolloutHistory, RolloutId,
    RolloutPlace, RolloutPlan, RolloutRecord, RolloutStage, RolloutState, RolloutText, Rollouts,
    STAGES_MAX, SelfTest, VersionUse,
};
pub use routes::Routes;
pub use row::{Absorbed, Fold, FoldStep, Held, Row, RowState, Settled};
pub use skew::{ClockCheck, ClockVerdict};
pub use start_check::{StartCheck, StartVerdict};
pub use syncline_image::{IMAGE_BYTES_MAX, Image, NotCanonical};
pub use vector::VersionVector;
pub use versions::{
    Barred, VersionAsk, VersionEvent, VersionHistory, VersionRecord, VersionRefused, VersionView,
    Versions,
};
