//! Deliberate bugs, for the simulator to find.
//!
//! A check that never failed proves nothing. Each bug here breaks one rule of the design, at the
//! place in the product where the rule is kept; `cargo xtask sim --bugs` plants one after the other
//! and shows how many runs it took to find it. Without the feature `planted-bugs` there is no bug
//! and no switch: [`is`] is a constant.

macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $name:ident => $slug:literal,)+) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $what])+ $name,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $slug,)+ }
            }

            /// What is wrong with it, in a sentence.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => concat!($($what,)+).trim_ascii(),)+ }
            }
        }
    };
}

bugs! {
    /// A write is acknowledged, and produced, before it is synced.
    AcknowledgeUnsynced => "acknowledge-unsynced",
    /// A heartbeat confirms what is not synced yet.
    ConfirmUnsynced => "confirm-unsynced",
    /// A change's context lacks one of the regions that its author has seen.
    DropContextEntry => "drop-context-entry",
    /// A change supersedes another because its clock is later, not because its author saw it.
    ClocksForVectors => "clocks-for-vectors",
    /// Heads are folded in the order in which they arrived.
    ArrivalOrder => "arrival-order",
    /// Heads of the same HLC are folded in the order in which they arrived.
    TiesByArrival => "ties-by-arrival",
    /// A conflict is resolved by the version that this region uses, not by the newest head's stamp.
    LocalVersion => "local-version",
    /// A heartbeat behind a gap moves watermarks.
    HeartbeatOverGap => "heartbeat-over-gap",
    /// A change behind a gap is taken once a record of the link was quarantined.
    GapAfterQuarantine => "gap-after-quarantine",
    /// A deleted row is forgotten while some region may not know of the deletion.
    ForgetEarly => "forget-early",
    /// Stable rises past a region that was not heard for a while.
    StablePastSilent => "stable-past-silent",
    /// Stable goes back when a new region is counted.
    StableGoesBack => "stable-goes-back",
    /// The floor rises past what waits.
    FloorPastWaiting => "floor-past-waiting",
    /// The floor rises past a concurrent change that has not seen it.
    FloorPastConcurrent => "floor-past-concurrent",
    /// After a start the clock does not begin above what is on disk.
    ClockFromZero => "clock-from-zero",
    /// A region whose wall clock is too far ahead goes by it in what it says.
    SkewedClockTicks => "skewed-clock-ticks",
    /// A region whose wall clock is too far ahead takes writes.
    SkewedClockWrites => "skewed-clock-writes",
    /// A region whose wall clock is too far ahead does not say so to the others.
    SkewedClockHides => "skewed-clock-hides",
    /// A region gives its HLC for the time, though it was dragged ahead of its wall clock.
    DraggedClockTells => "dragged-clock-tells",
    /// What a peer said last counts for its time, however long that was on its way.
    LastClockCounts => "last-clock-counts",
    /// What a peer said before the start counts for its time.
    BacklogIsNow => "backlog-is-now",
    /// After a start a region does not compare its disk with what others know.
    TrustTheDisk => "trust-the-disk",
    /// A change that no function could be asked about is applied with its newest head.
    HostFaultIsNewest => "host-fault-is-newest",
    /// After a guest fault the row is what was folded so far.
    GuestFaultIsPartial => "guest-fault-is-partial",
    /// Where no one ever saw the ancestor, the floor is taken for it.
    FloorForAncestor => "floor-for-ancestor",
    /// The ancestor is the last change that both sides have seen, without what is concurrent to it.
    OneHeadAncestor => "one-head-ancestor",
    /// What a peer lacks is sent again without its first change.
    ResendWithoutFirst => "resend-without-first",
    /// A change is confirmed once one peer has taken it.
    ConfirmByOne => "confirm-by-one",
    /// A watermark passes a change that waits.
    WatermarkPastWaiting => "watermark-past-waiting",
    /// What waits is not on disk.
    WaitingInMemory => "waiting-in-memory",
    /// A write to a row that is not there has seen nothing.
    MissingRowSawNothing => "missing-row-saw-nothing",
    /// A change is not taken to have seen the floor.
    ContextWithoutFloor => "context-without-floor",
    /// The row as it is is kept as the row at the floor.
    FloorImageIsImage => "floor-image-is-image",
    /// Changes are confirmed again and again, but never leave the outbox.
    OutboxKept => "outbox-kept",
    /// After a start rows with history are not looked at again.
    UnsettledForgotten => "unsettled-forgotten",
    /// A region that is evicted is cut where each survivor happens to be.
    EvictWithoutAgreement => "evict-without-agreement",
    /// Received records are dropped as soon as they are applied here.
    ReceivedDroppedEarly => "received-dropped-early",
    /// The cut is the least that a survivor has, not the most.
    CutIsMinimum => "cut-is-minimum",
    /// A new region is counted only when its joining is complete.
    CountLate => "count-late",
    /// What builds on a change that went with its region waits for ever.
    LostNeverGivenUp => "lost-never-given-up",
    /// A region that joins writes as soon as it has its snapshot.
    JoinerWritesEarly => "joiner-writes-early",
    /// A snapshot lacks what waits at the donor.
    SnapshotWithoutWaiting => "snapshot-without-waiting",
    /// A snapshot lacks the donor's outbox.
    SnapshotWithoutOutbox => "snapshot-without-outbox",
    /// A donor gives a snapshot before all regions count the new one.
    SnapshotBeforeCounted => "snapshot-before-counted",
    /// A version is stamped as soon as this region has it.
    ActivateEarly => "activate-early",
    /// What is said of a rollout is folded region by region, not in the order of time.
    RolloutByRegion => "rollout-by-region",
    /// Of two rollouts made apart both go on.
    TwoRolloutsAtOnce => "two-rollouts-at-once",
    /// A decision counts, whoever says it.
    AnyoneDecides => "anyone-decides",
    /// A step of a rollout counts wherever the rollout is.
    StepsFromAnywhere => "steps-from-anywhere",
    /// After an abort a region keeps to the version.
    AbortKeepsStamp => "abort-keeps-stamp",
    /// The first stage has all regions.
    StagesIgnored => "stages-ignored",
    /// Who activates does not look whether a region that came later has the version.
    LateRegionNotAwaited => "late-region-not-awaited",
    /// Self-tests are not compared.
    SelfTestsNotCompared => "self-tests-not-compared",
    /// The owner's gates see its own region's report alone.
    GateOfOneRegion => "gate-of-one-region",
    /// A stage ends as soon as its regions stamp the version.
    BakeNotWaited => "bake-not-waited",
    /// Nobody takes over from an owner that is evicted.
    OwnerNotSucceeded => "owner-not-succeeded",
    /// A rollout goes on though its version was retired or deleted before it was created.
    BarredGoesOn => "barred-goes-on",
    /// A region releases a version while changes that it stamped with it are not everywhere.
    ReleaseUnstable => "release-unstable",
    /// The digest of a table does not account for rows that others delete.
    DigestWithoutDeletes => "digest-without-deletes",
    /// A heartbeat says that all is applied which is taken.
    HeartbeatSaysTaken => "heartbeat-says-taken",
    /// What a host fault undoes stays in the row's version vector.
    RollBackKeepsVector => "roll-back-keeps-vector",
    /// After a commit that a full disk refused, the rows in memory are kept.
    CacheAfterFullDisk => "cache-after-full-disk",
    /// History below the floor stays on disk.
    HistoryStaysOnDisk => "history-stays-on-disk",
    /// A gap is not counted.
    GapUncounted => "gap-uncounted",
    /// What others say of a conflict's outcome is not compared.
    OutcomesNotCompared => "outcomes-not-compared",
    /// What others say their rows come to is not compared.
    StatesNotCompared => "states-not-compared",
    /// What rows come to is compared, whatever changes they have.
    StatesOfOtherChanges => "states-of-other-changes",
    /// A region says what its rows come to while changes wait.
    StateWhileWaiting => "state-while-waiting",
    /// The outcomes in a heartbeat that the next one overtakes are never said.
    UnsaidForgotten => "unsaid-forgotten",
    /// A divergence is not kept on disk.
    DivergenceInMemory => "divergence-in-memory",
    /// A divergence of a table does not pause its rollout.
    DivergencePausesNothing => "divergence-pauses-nothing",
    /// What a region passes on it never sends a second time.
    ForwardOnce => "forward-once",
    /// A region passes on what it has applied, not what it has received.
    ForwardWhenApplied => "forward-when-applied",
    /// A heartbeat is passed on before the changes that stand before it.
    ForwardHeartbeatsFirst => "forward-heartbeats-first",
    /// A link of which too much waits keeps a log from being read that others are heard in too.
    FullLinkHoldsOthers => "full-link-holds-others",
}

/// True if the bug is planted.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
mod planting {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in this thread, in place of the one before; with none, takes that out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// True if the bug is planted.
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use planting::{is, plant};
